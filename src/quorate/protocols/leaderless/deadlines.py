"""What is due when, for many short waits: a bucket per millisecond, and one timer for the earliest."""

import heapq
from typing import Final

from quorate.kernel import MILLISECOND, Instant

_STEP: Final = MILLISECOND


class Deadlines:
    """Numbers that become due. Waits that are no longer of interest are not taken out: their owner finds them gone."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[int]] = {}
        self._heap: list[int] = []

    def add(self, number: int, at: Instant) -> None:
        """Let a number become due at a moment, or less than a millisecond later. Complexity: O(1) in a used bucket."""
        place = -(-at // _STEP)
        bucket = self._buckets.get(place)
        if bucket is None:
            self._buckets[place] = [number]
            heapq.heappush(self._heap, place)
        else:
            bucket.append(number)

    @property
    def next_at(self) -> Instant | None:
        """The earliest moment at which something is due."""
        return Instant(self._heap[0] * _STEP) if self._heap else None

    def take_due(self, now: Instant) -> list[int]:
        """Take out all that is due, in order."""
        due: list[int] = []
        while self._heap and self._heap[0] * _STEP <= now:
            due += self._buckets.pop(heapq.heappop(self._heap))
        return due
