"""Which keys end when: an index ordered by (due time, database, key)."""

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.store.space import Space


class Expiries:
    """A heap whose cells may be out of date; `Space.due` says which are not.

    Invariant: every live key with an expiry has a cell with its present due time.
    """

    def __init__(self, spaces: "list[Space]") -> None:
        self._spaces = spaces
        self._heap: list[tuple[int, int, bytes]] = []
        # Above it, cells that are out of date are dropped; twice what was live at the last time, and some.
        self._cell_count_max = 1024

    def add(self, due_ms: int, db: int, key: bytes) -> None:
        """Note when a key ends.

        Complexity: O(log n), n cells; now and then O(n) to drop those that are out of date.
        """
        heappush(self._heap, (due_ms, db, key))
        if len(self._heap) > self._cell_count_max:
            self._heap = [(due, space.db, key) for space in self._spaces for key, due in space.due.items()]
            heapify(self._heap)
            self._cell_count_max = 1024 + 2 * len(self._heap)

    def next_ms(self) -> int | None:
        """Return when the next key ends; None when none will."""
        heap = self._heap
        while heap:
            due_ms, db, key = heap[0]
            if self._spaces[db].due.get(key) == due_ms:
                return due_ms
            heappop(heap)
        return None

    def pop_due(self, now_ms: int) -> tuple[int, bytes] | None:
        """Return database and key of the next key that is due, and forget it; None when none is."""
        due_ms = self.next_ms()
        if due_ms is None or due_ms > now_ms:
            return None
        _, db, key = heappop(self._heap)
        return db, key
