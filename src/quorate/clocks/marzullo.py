"""Marzullo's intersection: the smallest interval that agrees with the most sources.

Theory. Each correct source's interval contains true time. If at most f of n sources lie, true time is in every region
that n - f intervals share. Sweep the sorted endpoints and keep the region covered most often.

Source      Marzullo 1984, "Maintaining the time in a distributed system".
Complexity  O(n log n) time, O(n) space.
"""

from collections.abc import Sequence
from typing import NamedTuple

from quorate.clocks.intervals import TimeInterval
from quorate.kernel import errors


class Agreement(NamedTuple):
    """What the most sources agree on."""

    interval: TimeInterval
    # How many sources contain the interval.
    source_count: int


def marzullo(intervals: Sequence[TimeInterval]) -> Agreement:
    """Return the first region that the largest number of intervals share. Touching ends count as shared.

    Raises:
        UsageError: there is no interval, or one ends before it begins.

    Example:
        >>> marzullo([TimeInterval(8, 12), TimeInterval(11, 13), TimeInterval(14, 15)])
        Agreement(interval=TimeInterval(earliest_ns=11, latest_ns=12), source_count=2)
    """
    if not intervals:
        raise errors.UsageError("there is no interval to intersect")
    edges: list[tuple[int, int]] = []
    for earliest_ns, latest_ns in intervals:
        if latest_ns < earliest_ns:
            raise errors.UsageError(f"an interval's end {latest_ns} lies before its beginning {earliest_ns}")
        # Beginnings sort before ends at the same moment, so that touching intervals overlap.
        edges += [(earliest_ns, 0), (latest_ns, 1)]
    edges.sort()
    open_count = best_count = 0
    best = intervals[0]
    for place, (moment_ns, is_end) in enumerate(edges):
        open_count += -1 if is_end else 1
        if open_count > best_count:
            # The next edge ends this region: if it were a beginning, that one would be counted as better.
            best, best_count = TimeInterval(moment_ns, edges[place + 1][0]), open_count
    return Agreement(best, best_count)
