"""Clocks: what a stamp costs, and the sibling explosion in figures.

Run: python -m quorate.lab.bench_parts clocks
"""

from collections.abc import Callable
from functools import partial

from quorate.clocks import (
    DottedVersionSet,
    HybridClock,
    IntervalTreeStamp,
    LamportClock,
    Stamping,
    VectorClock,
    VersionVector,
    measure_siblings,
)
from quorate.kernel import Seeds
from quorate.lab.bench_parts.timing import BenchRow, time_batch, time_each


def run(*, stamp_count: int = 20_000) -> list[BenchRow]:
    """Time one operation of each clock, and repeat the experiment with seven writers."""
    lamport, vector, hybrid = LamportClock(actor=1), VectorClock(actor=1), HybridClock(actor=1)
    calls = range(stamp_count)
    left = VersionVector({actor: actor + 1 for actor in range(10)})
    right = left.increment(3)
    siblings = DottedVersionSet()
    for number in range(5):
        siblings = siblings.put(b"%d" % number, actor=number % 3, context=VersionVector())
    forked = IntervalTreeStamp.seed().fork()[0].fork()[1]
    rows = [
        BenchRow("lamport tick", time_each(lambda _: lamport.tick(), calls)),
        BenchRow("vector tick, 1 actor", time_each(lambda _: vector.tick(), calls)),
        BenchRow("version vectors compare, 10 actors", time_each(lambda _: left.compare(right), calls)),
        BenchRow("version vectors merge, 10 actors", time_each(lambda _: left.merge(right), calls)),
        BenchRow("hybrid tick", time_each(lambda wall: hybrid.tick(wall_ns=wall), calls)),
        BenchRow("dotted set put, 5 siblings", time_each(lambda _: siblings.put(b"x", actor=1, context=left), calls)),
        BenchRow("interval tree event", time_each(lambda _: forked.event(), calls)),
        BenchRow("version vector encode and decode", time_each(_there_and_back(left), range(2000))),
    ]
    for stamping in Stamping:
        report = measure_siblings(stamping, writer_count=7, write_count=5000, rng=Seeds(1).stream("siblings"))
        elapsed = time_batch(partial(_explode, stamping), 500)
        note = (
            f"at most {report.sibling_count_max} siblings, {report.zombie_count_max} of them replaced already, "
            f"{report.entry_count_max} entries"
        )
        rows.append(BenchRow(f"7 writers, {stamping.value}", elapsed, note=note))
    return rows


def _there_and_back(vector: VersionVector) -> Callable[[int], VersionVector]:
    return lambda _: VersionVector.from_bytes(vector.to_bytes())


def _explode(stamping: Stamping) -> None:
    measure_siblings(stamping, writer_count=7, write_count=500, rng=Seeds(1).stream("siblings"))
