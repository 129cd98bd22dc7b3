"""Benchmarks of the parts, each beside its rivals where it has any: `clocks.run`, `crdt.run`, and so on."""

from quorate.lab.bench_parts import anti_entropy, clocks, crdt, leaderless, placement, sketches
from quorate.lab.bench_parts.timing import BenchRow, to_text

__all__ = ["BenchRow", "anti_entropy", "clocks", "crdt", "leaderless", "placement", "sketches", "to_text"]
