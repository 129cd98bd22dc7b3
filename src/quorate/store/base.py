"""What the memory table needs of the state at rest, and the smallest thing that gives it."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from sortedcontainers import SortedDict


class Base(Protocol):
    """Ordered state at rest. A subset of what `storage` offers."""

    @property
    def meta(self) -> bytes | None:
        """Return the meta of the last checkpoint; None before the first."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as of the last checkpoint."""

    def scan(self, start: bytes, end: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs with start <= key < end in order of the key; None: to the end."""

    async def checkpoint(self, changes: Mapping[bytes, bytes | None], meta: bytes) -> None:
        """Make changes (None deletes) and meta durable together, without blocking the loop for long."""


class MemoryBase:
    """State at rest that is gone with the process."""

    def __init__(self) -> None:
        self._meta: bytes | None = None
        self._pairs: SortedDict = SortedDict()

    @property
    def meta(self) -> bytes | None:
        """Return the meta of the last checkpoint; None before the first."""
        return self._meta

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as of the last checkpoint."""
        value: bytes | None = self._pairs.get(key)
        return value

    def scan(self, start: bytes, end: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs with start <= key < end in order of the key."""
        for key in self._pairs.irange(start, end, inclusive=(True, False), reverse=reverse):
            yield key, self._pairs[key]

    async def checkpoint(self, changes: Mapping[bytes, bytes | None], meta: bytes) -> None:
        """Take changes and meta over."""
        for key, value in changes.items():
            if value is None:
                self._pairs.pop(key, None)
            else:
                self._pairs[key] = value
        self._meta = meta
