"""A base in memory whose checkpoints are whole images on a disk: for simulation, and for small stores.

A checkpoint writes all of the state into a new file, syncs it, and gives it the name of the old one. That costs
O(state), and in return there is nothing to judge at a start: the image is whole or damaged, never torn.
"""

import asyncio
from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from quorate.env import Disk
from quorate.kernel.errors import Corrupt, DiskFull
from quorate.storage.base import Changes, pairs_of
from quorate.storage.chunks import ChunkReader, chunks_of, split_chunks

CHUNK_BYTES = 64 << 10
# Changes taken over between two looks at the loop.
SLICE_COUNT = 2_000


class DiskSnapshot:
    """A view of a `DiskBase`: the state as it was."""

    def __init__(self, meta: bytes | None, pairs: "SortedDict[bytes, bytes]") -> None:
        self._meta = meta
        self._pairs = pairs

    @property
    def meta(self) -> bytes | None:
        """What the checkpoint stored beside the data; None before the first."""
        return self._meta

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield all of it as chunks."""
        return chunks_of(self._meta, self._pairs.items(), chunk_bytes)

    def close(self) -> None:
        """Give the view back."""


class DiskRestorer:
    """Collects a snapshot in memory."""

    def __init__(self, base: "DiskBase") -> None:
        self._base = base
        self._reader = ChunkReader("snapshot")
        self._pairs: list[tuple[bytes, bytes]] = []

    def write(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._pairs += self._reader.feed(chunk)

    async def finish(self) -> None:
        """Replace all content and meta."""
        self._reader.require_complete()
        await self._base.replace(self._reader.meta, self._pairs)

    def abort(self) -> None:
        """Forget what came."""
        self._pairs = []


class DiskBase:
    """State in memory, images through `Disk`."""

    def __init__(self, disk: Disk, name: str) -> None:
        """Open, or make a new one.

        Args:
            disk: where the image lies.
            name: of the image's file; NAME.new is used while a checkpoint is written.

        Raises:
            Corrupt: the image is damaged.
        """
        self._disk = disk
        self._name = name
        self._lock = asyncio.Lock()
        self._meta: bytes | None = None
        # Never changed in place: views and scans keep what they began with.
        self._pairs: SortedDict[bytes, bytes] = SortedDict()
        self._read()

    def _read(self) -> None:
        try:
            file = self._disk.open(self._name)
        except FileNotFoundError:
            return
        try:
            data = file.read(0, file.size_bytes())
        finally:
            file.close()
        reader = ChunkReader(self._name)
        pairs: list[tuple[bytes, bytes]] = []
        try:
            for chunk in split_chunks(self._name, data):
                pairs += reader.feed(chunk)
            reader.require_complete()
        except Corrupt as cause:
            raise Corrupt(
                f"{self._name}: the image is damaged ({cause}). Remove this node from the cluster, empty its data "
                "directory and add it again under a new id; its peers send it everything."
            ) from cause
        self._meta = reader.meta
        self._pairs = SortedDict(pairs)

    @property
    def meta(self) -> bytes | None:
        """What the last checkpoint stored beside the data; None before the first."""
        return self._meta

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as of the last checkpoint."""
        value: bytes | None = self._pairs.get(key)
        return value

    def scan(self, start: bytes, end: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs with start <= key < end in order of the key."""
        pairs = self._pairs
        if end is not None and end <= start:
            return
        for key in pairs.irange(start, end, inclusive=(True, False), reverse=reverse):
            yield key, pairs[key]

    def count(self) -> int:
        """Return how many keys there are."""
        return len(self._pairs)

    async def checkpoint(self, changes: Changes, meta: bytes) -> None:
        """Make changes and meta durable together.

        Complexity: O(state), not O(changes).
        """
        async with self._lock:
            pairs: dict[bytes, bytes] = dict(self._pairs)
            for place, (key, value) in enumerate(pairs_of(changes), 1):
                if value is None:
                    pairs.pop(key, None)
                else:
                    pairs[key] = value
                if place % SLICE_COUNT == 0:
                    await asyncio.sleep(0)
            await self._write(meta, SortedDict(pairs))

    async def replace(self, meta: bytes | None, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Replace everything."""
        async with self._lock:
            await self._write(meta, SortedDict(pairs))

    async def _write(self, meta: bytes | None, pairs: "SortedDict[bytes, bytes]") -> None:
        partial = f"{self._name}.new"
        file = self._disk.open(partial, create=True)
        try:
            file.truncate(0)
            offset = 0
            for chunk in chunks_of(meta, pairs.items(), CHUNK_BYTES):
                file.write(offset, chunk)
                offset += len(chunk)
                await asyncio.sleep(0)
            await file.sync()
        except DiskFull:
            self._disk.remove(partial)
            raise
        finally:
            file.close()
        self._disk.rename(partial, self._name)
        self._disk.sync_names()
        self._meta, self._pairs = meta, pairs

    def snapshot(self) -> DiskSnapshot:
        """Return a view of the last checkpoint."""
        return DiskSnapshot(self._meta, self._pairs)

    def restore(self) -> DiskRestorer:
        """Begin to replace everything."""
        return DiskRestorer(self)

    def close(self) -> None:
        """Nothing is held."""
