"""Prints the benchmarks of parts, all or those named: python -m quorate.lab.bench_parts anti_entropy."""

import sys

from quorate.lab.bench_parts import anti_entropy, clocks, crdt, leaderless, placement, sketches, to_text

_PARTS = {
    "anti_entropy": anti_entropy,
    "clocks": clocks,
    "crdt": crdt,
    "leaderless": leaderless,
    "sketches": sketches,
    "placement": placement,
}

for name in sys.argv[1:] or list(_PARTS):
    sys.stdout.write(f"{name}\n{to_text(_PARTS[name].run())}\n\n")
    if name == "placement":
        sys.stdout.write(placement.table(placement.compare_all()) + "\n")
