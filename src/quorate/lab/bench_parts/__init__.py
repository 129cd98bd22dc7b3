"""Benchmarks of the parts, each beside its rivals: `clocks.run`, `crdt.run`, `sketches.run`, `placement.run`."""

from quorate.lab.bench_parts import clocks, crdt, placement, sketches
from quorate.lab.bench_parts.timing import BenchRow, to_text

__all__ = ["BenchRow", "clocks", "crdt", "placement", "sketches", "to_text"]
