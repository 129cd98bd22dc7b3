"""Which values of the tables are at rest too, and may therefore be forgotten."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from quorate.store.space import Space

# What an entry costs beside its bytes: two dictionary cells, the entry, the key's and the value's object headers.
OVERHEAD_BYTES: Final = 250


class Cache:
    """Clean values in the order in which they became clean; the oldest go first."""

    def __init__(self, spaces: "list[Space]", bytes_max: int) -> None:
        self._spaces = spaces
        self._bytes_max = bytes_max
        # Ordered by hand: the front of a plain dict is slow to reach after many deletions there.
        self._sizes: OrderedDict[tuple[int, bytes], int] = OrderedDict()
        # About what the clean values cost.
        self.clean_bytes = 0

    def note_clean(self, db: int, key: bytes, size_bytes: int) -> None:
        """Note that a value of the table equals what lies at rest."""
        cell = (db, key)
        self.clean_bytes -= self._sizes.pop(cell, 0)
        self._sizes[cell] = size_bytes + len(key) + OVERHEAD_BYTES
        self.clean_bytes += self._sizes[cell]

    def trim(self) -> None:
        """Forget clean values until the rest is within bounds.

        Complexity: O(1) amortised over `note_clean`.
        """
        while self.clean_bytes > self._bytes_max:
            (db, key), size_bytes = self._sizes.popitem(last=False)
            self.clean_bytes -= size_bytes
            space = self._spaces[db]
            if key not in space.dirty and not space.is_held(key):
                space.table.pop(key, None)
