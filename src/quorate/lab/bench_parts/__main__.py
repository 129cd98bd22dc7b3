"""Prints the benchmarks of parts, all or those named: python -m quorate.lab.bench_parts anti_entropy."""

import sys

from quorate.lab.bench_parts import PARTS, part, to_text

for name in sys.argv[1:] or PARTS:
    module = part(name)
    sys.stdout.write(f"{name}\n{to_text(module.run())}\n\n")
    if name == "placement":
        sys.stdout.write(module.table(module.compare_all()) + "\n")
