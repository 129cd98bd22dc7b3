"""Prints the benchmarks of parts: python -m quorate.lab.bench_parts [clocks | crdt | sketches | placement]."""

import sys

from quorate.lab.bench_parts import clocks, crdt, placement, sketches, to_text

_PARTS = {"clocks": clocks, "crdt": crdt, "sketches": sketches, "placement": placement}

for name in sys.argv[1:] or list(_PARTS):
    sys.stdout.write(f"{name}\n{to_text(_PARTS[name].run())}\n\n")
    if name == "placement":
        sys.stdout.write(placement.table(placement.compare_all()) + "\n")
