"""How parts are timed: best of several rounds, so that a busy machine disturbs least, each beside its rival."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ROUND_COUNT = 5


class BenchRow(NamedTuple):
    """One measurement, and the rival's where there is one."""

    # What was measured, for example "bloom add one".
    case: str
    ours_ns: float
    rival: str = ""
    rival_ns: float | None = None
    # Other figures in words: bits a key, error rates, counts.
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our time over the rival's; below 1 we are quicker."""
        return None if self.rival_ns is None else self.ours_ns / self.rival_ns


def time_each(call: Callable[[Any], object], arguments: Sequence[Any]) -> float:
    """Return nanoseconds per call, one argument each, best of several rounds."""
    best = float("inf")
    for _ in range(ROUND_COUNT):
        begin = time.perf_counter_ns()
        for argument in arguments:
            call(argument)
        best = min(best, time.perf_counter_ns() - begin)
    return best / len(arguments)


def time_batch(call: Callable[[], object], item_count: int) -> float:
    """Return nanoseconds per item of one call for all of them, best of several rounds."""
    best = float("inf")
    for _ in range(ROUND_COUNT):
        begin = time.perf_counter_ns()
        call()
        best = min(best, time.perf_counter_ns() - begin)
    return best / item_count


def to_text(rows: Sequence[BenchRow]) -> str:
    """Return the rows as a table in columns."""
    lines = [f"{'case':38} {'ours ns':>10} {'rival':14} {'rival ns':>10} {'ratio':>7}  note"]
    for row in rows:
        rival_ns = "" if row.rival_ns is None else f"{row.rival_ns:10.1f}"
        ratio = "" if row.ratio is None else f"{row.ratio:7.2f}"
        lines.append(f"{row.case:38} {row.ours_ns:10.1f} {row.rival:14} {rival_ns:>10} {ratio:>7}  {row.note}".rstrip())
    return "\n".join(lines)
