"""Percentiles and what a trial measures: pure functions of what was recorded."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from quorate.kernel import SECOND
from quorate.lab.nemesis import FaultSpan
from quorate.lab.recorder import Call


class Latencies(msgspec.Struct, frozen=True):
    """Of answered operations, in nanoseconds; zeros when there are none."""

    count: int = 0
    p50_ns: int = 0
    p99_ns: int = 0
    max_ns: int = 0


class Outage(msgspec.Struct, frozen=True):
    """The longest time without an acknowledged update that a fault caused: see `outages`."""

    fault: str
    detail: str
    start_ns: int
    end_ns: int
    # Between two acknowledgements, or to the end of the load.
    gap_ns: int
    # Whether an update was acknowledged after the gap.
    recovered: bool


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest value that at least a share of all values do not exceed (nearest rank).

    Args:
        ordered: values in ascending order.
        share: 0 to 1.

    Returns:
        One of the values; 0 when there are none.

    Example:
        >>> percentile([1, 2, 3, 4], 0.5)
        2
    """
    assert 0 <= share <= 1, "a share lies between 0 and 1"
    if not ordered:
        return 0
    rank = -(-len(ordered) * round(share * 1_000_000) // 1_000_000)  # rounded up, without the error of floats
    return ordered[max(rank, 1) - 1]


def latencies(calls: Sequence[Call], *, updates: bool | None = None) -> Latencies:
    """Return the latencies of answered calls; of updates or reads alone when asked. Complexity: O(n log n)."""
    spans = sorted(
        call.complete_ns - call.invoke_ns
        for call in calls
        if call.outcome == "ok" and (updates is None or call.is_update == updates)
    )
    if not spans:
        return Latencies()
    return Latencies(len(spans), percentile(spans, 0.5), percentile(spans, 0.99), spans[-1])


def availability(calls: Sequence[Call], *, end_ns: int, step_ns: int = SECOND) -> list[float | None]:
    """Return, per step, the share of completed calls that were served; None where nothing completed.

    A call counts where it completed: a call that times out after a second counts against the second in which its
    client gave up. Complexity: O(n).
    """
    step_count = -(-end_ns // step_ns)
    answered, completed = [0] * step_count, [0] * step_count
    for call in calls:
        place = call.complete_ns // step_ns
        if call.outcome != "open" and place < step_count:
            completed[place] += 1
            answered[place] += call.was_served
    return [a / c if c else None for a, c in zip(answered, completed, strict=True)]


def throughput(calls: Sequence[Call], *, end_ns: int, step_ns: int = SECOND) -> list[int]:
    """Return how many calls were answered in each step. Complexity: O(n)."""
    counts = [0] * -(-end_ns // step_ns)
    for call in calls:
        place = call.complete_ns // step_ns
        if call.outcome == "ok" and place < len(counts):
            counts[place] += 1
    return counts


def outages(calls: Sequence[Call], spans: Sequence[FaultSpan], *, end_ns: int) -> list[Outage]:
    """Return the longest time without service after each fault, until the next begins or service is back.

    Reads are left out, because a part that is cut off may answer them and still be of no use.
    Complexity: O(n log n), n calls.
    """
    acknowledged = sorted(call.complete_ns for call in calls if call.outcome == "ok" and call.is_update)
    found: list[Outage] = []
    for place, span in enumerate(spans):
        until = spans[place + 1].start_ns if place + 1 < len(spans) else end_ns
        inside = acknowledged[bisect_left(acknowledged, span.start_ns) : bisect_left(acknowledged, until)]
        after = acknowledged[bisect_left(acknowledged, until) :][:1]
        # Service that had not come back when the next fault began is this fault's; what broke after it was healed and
        # served again is the next one's.
        is_ours = not inside or inside[-1] < (span.end_ns or until)
        edges = [span.start_ns, *inside, *((after or [end_ns]) if is_ours else [until])]
        gap, number = max((later - earlier, number) for number, (earlier, later) in enumerate(pairwise(edges)))
        found.append(Outage(span.name, span.detail, span.start_ns, span.end_ns, gap, _recovered(number, inside, after)))
    return found


def _recovered(number: int, inside: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the gap with a number, counted from the start of a fault, was ended by an acknowledgement."""
    return number < len(inside) or bool(after)
