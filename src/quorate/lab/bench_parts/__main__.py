"""Prints the benchmarks of one part, or of all: python -m quorate.lab.bench_parts [clocks | sketches | placement]."""

import sys

from quorate.lab.bench_parts import clocks, placement, sketches, to_text

_PARTS = {"clocks": clocks, "sketches": sketches, "placement": placement}

for name in sys.argv[1:] or list(_PARTS):
    sys.stdout.write(f"{name}\n{to_text(_PARTS[name].run())}\n\n")
    if name == "placement":
        sys.stdout.write(placement.table(placement.compare_all()) + "\n")
