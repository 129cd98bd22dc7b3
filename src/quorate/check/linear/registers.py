"""A register whose written values all differ is judged in O(n log n), exactly.

All operations on one value form a *cluster*: its write and the reads that saw it. Between its first answer f and its
last call s a cluster needs the register for itself: if f < s it is a forward zone [f, s], else a backward zone [s, f]
that needs one moment only. The history is linearizable if and only if no read comes before its write, no two forward
zones overlap, and no backward zone lies inside a forward one.

Source: Gibbons & Korach 1997, "Testing shared memories", section 4 (registers with known read mapping).
"""

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from itertools import pairwise

from quorate.check.history import NEVER, Operation, freeze

_READS = ("read", "get")
_WRITES = ("write", "put")


class _Cluster:
    """The operations on one value, by their extremes."""

    __slots__ = ("first_answer", "first_answered", "last_call", "last_called", "write")

    def __init__(self, write: Operation | None, *, first_answer: int, last_call: int) -> None:
        self.write = write
        self.first_answer = first_answer
        self.last_call = last_call
        self.first_answered = write
        self.last_called = write

    def witness(self) -> list[Operation]:
        """Return the operations that make the zone what it is."""
        extremes = (self.write, self.first_answered, self.last_called)
        return [o for place, o in enumerate(extremes) if o is not None and o not in extremes[:place]]


def judge_register(operations: Sequence[Operation], initial: Hashable) -> list[Operation] | None:
    """Return a few operations that contradict a register; an empty list if the history is linearizable.

    Returns:
        None where the method does not apply: other functions than reads and writes, or a value written twice.

    Complexity: O(n) for operations in the order of their calls, and a sort of the clusters.
    """
    clusters: dict[Hashable, _Cluster] = {initial: _Cluster(None, first_answer=-1, last_call=-2)}
    for operation in operations:
        if operation.f in _WRITES:
            if operation.outcome == "fail":
                continue
            value = freeze(operation.value)
            if value in clusters:
                return None
            clusters[value] = _Cluster(operation, first_answer=operation.done, last_call=operation.call)
        elif operation.f not in _READS:
            return None
    # A write that may not have happened counts only if somebody saw its value.
    seen: dict[Hashable, None] = {}
    for operation in operations:
        if operation.outcome != "ok" or operation.f not in _READS:
            continue
        value = freeze(operation.result)
        cluster = clusters.get(value)
        if cluster is None:
            return [operation]
        if cluster.write is not None and operation.done < cluster.write.call:
            return [operation, cluster.write]
        seen[value] = None
        if operation.done < cluster.first_answer:
            cluster.first_answer, cluster.first_answered = operation.done, operation
        if operation.call > cluster.last_call:
            cluster.last_call, cluster.last_called = operation.call, operation
    happened = [
        cluster
        for value, cluster in clusters.items()
        if cluster.write is None or cluster.write.done != NEVER or value in seen
    ]
    return _judge_zones(happened)


def _judge_zones(clusters: list[_Cluster]) -> list[Operation]:
    forward = sorted((c for c in clusters if c.first_answer < c.last_call), key=lambda c: c.first_answer)
    for earlier, later in pairwise(forward):
        if later.first_answer < earlier.last_call:
            return earlier.witness() + later.witness()
    starts = [cluster.first_answer for cluster in forward]
    for cluster in clusters:
        if cluster.first_answer < cluster.last_call:
            continue
        place = bisect_left(starts, cluster.last_call) - 1
        if place >= 0 and cluster.first_answer < forward[place].last_call:
            return forward[place].witness() + cluster.witness()
    return []
