"""A disk in memory that forgets, tears and reorders what was not synced, as the guarantees of `env.Disk` allow.

For tests, and for nodes that need no disk. The crash of a whole simulated machine, with its schedule of faults, is the
business of the simulator; this disk only needs a random stream.
"""

import asyncio
import random

from quorate.kernel.errors import DiskFull, SyncFailed, UsageError

PAGE_BYTES = 4096


class _Content:
    """Bytes as this process sees them, and as they are on the device."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.synced = b""

    def crash(self, rng: random.Random) -> None:
        """Keep any subset of the pages that were not synced, and perhaps only a part of one of them."""
        old, new = self.synced, bytes(self.now)
        if old == new:
            return
        shorter, longer = sorted((len(old), len(new)))
        size_bytes = rng.choice((len(old), len(new), rng.randint(shorter, longer)))
        keep_share = rng.choice((0.0, 0.5, 0.9, 1.0))
        result = bytearray(old.ljust(longer, b"\0"))
        for begin in range(0, longer, PAGE_BYTES):
            if rng.random() < keep_share:
                end = begin + (PAGE_BYTES if rng.randrange(4) else rng.randrange(PAGE_BYTES))
                page = new[begin:end]
                result[begin : begin + len(page)] = page
        self.synced = bytes(result[:size_bytes])
        self.now = bytearray(self.synced)


class MemoryFile:
    """An open file of a `MemoryDisk`."""

    def __init__(self, disk: "MemoryDisk", name: str, content: _Content) -> None:
        self.name = name
        self._disk = disk
        self._content = content

    def size_bytes(self) -> int:
        """Return the current length."""
        return len(self._content.now)

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return up to so many bytes; fewer only at the end of the file."""
        return bytes(self._content.now[offset : offset + byte_count])

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset; where the capacity ends, write a prefix and raise DiskFull."""
        content = self._content.now
        assert offset <= len(content), "a write leaves no hole"
        growth = max(0, offset + len(data) - len(content))
        excess = max(0, growth - self._disk.free_bytes())
        kept = data[: len(data) - excess]
        content[offset : offset + len(kept)] = kept
        if excess:
            raise DiskFull(f"{self.name}: no space left on the device")

    def truncate(self, size_bytes: int) -> None:
        """Cut the file."""
        del self._content.now[size_bytes:]

    async def sync(self) -> None:
        """Make durable what had been written when this was called, some turns later."""
        data = bytes(self._content.now)
        for _ in range(self._disk.sync_turn_count):
            await asyncio.sleep(0)
        self._check()
        self._content.synced = data

    def sync_now(self) -> None:
        """Make content and length durable."""
        self._check()
        self._content.synced = bytes(self._content.now)

    def _check(self) -> None:
        self._disk.sync_count += 1
        if self._disk.is_sync_broken:
            raise SyncFailed(f"{self.name}: sync failed: Input/output error")

    def close(self) -> None:
        """Give the file back."""


class MemoryDisk:
    """One node's directory in memory.

    Example:
        >>> disk = MemoryDisk()
        >>> file = disk.open("a", create=True)
        >>> file.write(0, b"not synced"); disk.sync_names()
        >>> disk.crash(random.Random(4)); disk.names()
        ['a']
    """

    def __init__(self, *, capacity_bytes: int = 1 << 40, sync_turn_count: int = 1) -> None:
        # How much all files together may hold.
        self.capacity_bytes = capacity_bytes
        # How many turns of the loop a background sync takes.
        self.sync_turn_count = sync_turn_count
        # While True every sync fails.
        self.is_sync_broken = False
        self.sync_count = 0
        self._files: dict[str, _Content] = {}
        # Names on the device, after each change since the last sync of names; the first is what is certain.
        self._histories: list[dict[str, _Content]] = [{}]

    def _changed(self) -> None:
        self._histories.append(dict(self._files))

    def open(self, name: str, *, create: bool = False) -> MemoryFile:
        """Open for reading and writing."""
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise UsageError(f"{name!r} is not a name inside a node's directory")
        if name not in self._files:
            if not create:
                raise FileNotFoundError(name)
            self._files[name] = _Content()
            self._changed()
        return MemoryFile(self, name, self._files[name])

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that begin with a prefix, sorted."""
        return sorted(name for name in self._files if name.startswith(prefix))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._files[new] = self._files.pop(old)
        self._changed()

    def remove(self, name: str) -> None:
        """Remove a file."""
        if name not in self._files:
            raise FileNotFoundError(name)
        del self._files[name]
        self._changed()

    def sync_names(self) -> None:
        """Make all creations, renames and removals durable."""
        if self.is_sync_broken:
            raise SyncFailed("directory: sync failed: Input/output error")
        self._histories = [dict(self._files)]

    def free_bytes(self) -> int:
        """Return how much can still be written."""
        return max(0, self.capacity_bytes - sum(len(content.now) for content in self._files.values()))

    def crash(self, rng: random.Random) -> None:
        """Lose power: keep a moment of the names since their last sync, and any part of what was not synced."""
        self._files = dict(rng.choice(self._histories))
        self._histories = [dict(self._files)]
        for name in sorted(self._files):
            self._files[name].crash(rng)

    def bytes_of(self, name: str) -> bytes:
        """Return the content of a file, as this process sees it."""
        return bytes(self._files[name].now)

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Overwrite bytes on the device and in the cache, as rot does."""
        content = self._files[name]
        content.now[offset : offset + len(data)] = data
        synced = bytearray(content.synced)
        synced[offset : offset + len(data)] = data
        content.synced = bytes(synced)

    def cut(self, name: str, size_bytes: int) -> None:
        """Shorten a file on the device and in the cache, behind everybody's back."""
        content = self._files[name]
        del content.now[size_bytes:]
        content.synced = content.synced[:size_bytes]
