"""State at rest that is gone with the process: for tests, examples, and stores that need not last."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from quorate.storage import Changes


class _MemorySnapshot:
    """A view of a `MemoryBase`, as it was."""

    def __init__(self, meta: bytes | None, pairs: list[tuple[bytes, bytes]]) -> None:
        self._meta = meta
        self._pairs = pairs

    @property
    def meta(self) -> bytes | None:
        """Return what the checkpoint stored beside the data."""
        return self._meta

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield all of it as self-checking chunks."""
        from quorate.storage import chunks_of

        return chunks_of(self._meta, self._pairs, chunk_bytes)

    def close(self) -> None:
        """Give the view back."""


class _MemoryRestorer:
    """Collects a snapshot beside the old state."""

    def __init__(self, base: "MemoryBase") -> None:
        from quorate.storage import ChunkReader

        self._base = base
        self._reader = ChunkReader("snapshot")
        self._pairs: list[tuple[bytes, bytes]] = []

    def write(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._pairs += self._reader.feed(chunk)

    async def finish(self) -> None:
        """Replace all content and meta."""
        self._reader.require_complete()
        self._base.replace(self._reader.meta, self._pairs)

    def abort(self) -> None:
        """Forget what came."""
        self._pairs = []


class MemoryBase:
    """A `quorate.storage.Base` in memory."""

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

    def count(self) -> int:
        """Return how many keys there are."""
        return len(self._pairs)

    async def checkpoint(self, changes: "Changes", meta: bytes) -> None:
        """Take changes and meta over."""
        for key, value in changes.items() if hasattr(changes, "items") else changes:
            if value is None:
                self._pairs.pop(key, None)
            else:
                self._pairs[key] = value
        self._meta = meta

    def snapshot(self) -> _MemorySnapshot:
        """Return a view of the last checkpoint."""
        return _MemorySnapshot(self._meta, list(self._pairs.items()))

    def restore(self) -> _MemoryRestorer:
        """Begin to replace everything."""
        return _MemoryRestorer(self)

    def replace(self, meta: bytes | None, pairs: list[tuple[bytes, bytes]]) -> None:
        """Make this all there is."""
        self._meta = meta
        self._pairs = SortedDict(pairs)

    def close(self) -> None:
        """Give everything back."""
