"""A disk whose un-synced writes a power cut may lose, tear or reorder.

Content: a page cache over a durable image, in pages of 4 KiB. Names: a journal of creations, renames and removals, of
which a power cut keeps a prefix. A process crash keeps everything. After a failed sync the dirty pages are gone from
the disk's point of view while the cache still shows them, as on Linux.
"""

import errno
from typing import Final

import msgspec

from quorate.kernel import MICROSECOND, Duration
from quorate.kernel.errors import DiskError, DiskFull, SyncFailed
from quorate.sim.choices import Stream

PAGE_BYTES: Final = 4_096
SECTOR_BYTES: Final = 512


class DiskPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one disk behaves. Shares are in [0, 1]."""

    # A sync takes from the first to the second, uniformly.
    sync_min: Duration = Duration(200 * MICROSECOND)
    sync_max: Duration = Duration(2_000 * MICROSECOND)
    # Share of syncs that fail.
    sync_error: float = 0.0
    # Share of reads that fail.
    read_error: float = 0.0
    # Share of syncs that take `stall` longer.
    stall_share: float = 0.0
    stall: Duration = Duration(1_000_000 * MICROSECOND)
    capacity_bytes: int = 1 << 40


class Inode:
    """One file's content: what the cache shows and what the platter holds."""

    __slots__ = ("begun_count", "cache", "dirty", "durable", "finished_number", "is_size_dirty")

    def __init__(self) -> None:
        self.cache = bytearray()
        self.durable = bytearray()
        # Numbers of pages that differ, or may differ; a dict for its order.
        self.dirty: dict[int, None] = {}
        self.is_size_dirty = False
        # Syncs begun, and the number of the newest that has ended well.
        self.begun_count = 0
        self.finished_number = 0

    def touch(self, offset: int, end: int) -> None:
        """Mark the pages of a range."""
        for page in range(offset // PAGE_BYTES, (max(end, offset + 1) - 1) // PAGE_BYTES + 1):
            self.dirty[page] = None


class SimDisk:
    """The disk of one host: all its files, through every crash and restart."""

    def __init__(self, dice: Stream, *, policy: DiskPolicy) -> None:
        self.policy = policy
        self.sync_count = 0
        self.torn_count = 0
        self.used_bytes = 0
        self.is_failing = False
        # Until then every sync waits, by true time.
        self.stalled_until = 0
        self._dice = dice
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        # Changes of names since the last `sync_names`: (name, what it means from then on, None for absent).
        self._journal: list[tuple[tuple[str, Inode | None], ...]] = []

    def wipe(self) -> None:
        """Lose everything, as a new disk in its place; nobody has a file of it open."""
        self._names, self._durable_names, self._journal = {}, {}, []
        self.used_bytes = 0

    # -- names ------------------------------------------------------------------------------------------------------

    def open(self, name: str, *, create: bool) -> Inode:
        """Return a file; raise FileNotFoundError."""
        inode = self._names.get(name)
        if inode is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
            inode = Inode()
            self._change((name, inode))
        return inode

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin with a prefix, sorted."""
        return sorted(name for name in self._names if name.startswith(prefix))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what has it."""
        inode = self._names.get(old)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", old)
        if old == new:
            return
        replaced = self._names.get(new)
        if replaced is not None:
            self.used_bytes -= len(replaced.cache)
        self._change((old, None), (new, inode))

    def remove(self, name: str) -> None:
        """Remove a file; who has it open goes on with it."""
        inode = self._names.get(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        self.used_bytes -= len(inode.cache)
        self._change((name, None))

    def _change(self, *changes: tuple[str, Inode | None]) -> None:
        self._journal.append(changes)
        _apply(self._names, changes)

    def sync_names(self) -> None:
        """Make all changes of names durable. Raise SyncFailed."""
        self._maybe_fail("names")
        self._durable_names = dict(self._names)
        self._journal.clear()

    # -- content ----------------------------------------------------------------------------------------------------

    def read(self, name: str, inode: Inode, offset: int, byte_count: int) -> bytes:
        """Return bytes of the cache; raise DiskError."""
        if self._dice.chance(self.policy.read_error):
            raise DiskError(f"{name}: reading at {offset} failed")
        return bytes(memoryview(inode.cache)[offset : offset + byte_count])

    def write(self, name: str, inode: Inode, offset: int, data: bytes) -> None:
        """Write into the cache; raise DiskFull after a prefix."""
        assert offset <= len(inode.cache), "a write begins within the file or at its end, so that no holes arise"
        growth = max(0, offset + len(data) - len(inode.cache))
        room = self.policy.capacity_bytes - self.used_bytes
        if growth > room:
            data = data[: len(data) - growth + self._dice.below(max(1, room + 1))] if room > 0 else b""
            self._put(inode, offset, data)
            raise DiskFull(f"{name}: no space for {growth} bytes, {max(0, room)} are free")
        self._put(inode, offset, data)

    def _put(self, inode: Inode, offset: int, data: bytes) -> None:
        if not data:
            return
        before = len(inode.cache)
        end = offset + len(data)
        inode.cache[offset:end] = data
        inode.touch(offset, end)
        if end > before:
            inode.is_size_dirty = True
            self.used_bytes += end - before

    def truncate(self, inode: Inode, size_bytes: int) -> None:
        """Cut a file."""
        assert 0 <= size_bytes <= len(inode.cache), "a file is cut, never stretched"
        self.used_bytes -= len(inode.cache) - size_bytes
        inode.is_size_dirty = inode.is_size_dirty or size_bytes < len(inode.cache)
        del inode.cache[size_bytes:]
        last = (size_bytes - 1) // PAGE_BYTES
        inode.dirty = {page: None for page in inode.dirty if page <= last}

    @property
    def free_bytes(self) -> int:
        """Return how much can still be written."""
        return max(0, self.policy.capacity_bytes - self.used_bytes)

    # -- durability -------------------------------------------------------------------------------------------------

    def sync_delay(self, now: int) -> int:
        """Draw how long a sync takes that begins now."""
        policy = self.policy
        delay = self._dice.between(policy.sync_min, policy.sync_max)
        if self._dice.chance(policy.stall_share):
            delay += policy.stall
        return delay + max(0, self.stalled_until - now)

    def snapshot(self, inode: Inode) -> tuple[int, int, dict[int, bytes]]:
        """Return what a sync that begins now will make durable: (its number, length, pages)."""
        cache = inode.cache
        inode.begun_count += 1
        return (
            inode.begun_count,
            len(cache),
            {page: bytes(cache[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]) for page in inode.dirty},
        )

    def finish_sync(self, name: str, inode: Inode, snapshot: tuple[int, int, dict[int, bytes]]) -> None:
        """Make a snapshot durable. Raise SyncFailed: then its pages are lost, whatever the cache shows."""
        number, size_bytes, pages = snapshot
        if number < inode.finished_number:
            # One that began later, perhaps of the program's next life, has ended before: it covered all of this.
            return
        cache = inode.cache
        for page, data in pages.items():
            # Written to since: dirty still.
            if bytes(memoryview(cache)[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]) == data:
                inode.dirty.pop(page, None)
        self._maybe_fail(name)
        self.sync_count += 1
        inode.finished_number = number
        _resize(inode.durable, size_bytes)
        for page, data in pages.items():
            inode.durable[page * PAGE_BYTES : page * PAGE_BYTES + len(data)] = data
        inode.is_size_dirty = len(cache) != size_bytes

    def _maybe_fail(self, name: str) -> None:
        if self.is_failing or self._dice.chance(self.policy.sync_error):
            raise SyncFailed(f"{name}: sync failed; what was written since the last one may be lost")

    # -- harm -------------------------------------------------------------------------------------------------------

    def process_ended(self) -> None:
        """Keep everything: the page cache is the kernel's."""

    def power_cut(self) -> None:
        """Lose, tear or reorder what was not synced."""
        kept_count = self._dice.between(0, len(self._journal)) if self._journal else 0
        names = dict(self._durable_names)
        for changes in self._journal[:kept_count]:
            _apply(names, changes)
        for inode in dict.fromkeys([*names.values(), *self._names.values()]):
            self._cut(inode)
        self._journal.clear()
        self._names = names
        self._durable_names = dict(names)
        self.used_bytes = sum(len(inode.cache) for inode in dict.fromkeys(names.values()))

    def _cut(self, inode: Inode) -> None:
        if inode.dirty or inode.is_size_dirty:
            match self._dice.below(4):
                case 0:
                    pass  # nothing of it reached the platter
                case 1:
                    self._keep_prefix(inode)
                case 2:
                    self._keep_subset(inode, share=0.5)
                case _:
                    self._keep_subset(inode, share=1.0)
        inode.cache = bytearray(inode.durable)
        inode.dirty.clear()
        inode.is_size_dirty = False

    def _keep_prefix(self, inode: Inode) -> None:
        """Keep the cached bytes up to a random one, sectors or not; beyond it the old ones."""
        start = min(inode.dirty, default=0) * PAGE_BYTES
        end = len(inode.cache)
        cut = self._dice.between(start, end) if start < end else end
        if cut > len(inode.durable):
            _resize(inode.durable, cut)
        elif end < len(inode.durable) and self._dice.chance(0.5):
            _resize(inode.durable, end)
        inode.durable[start:cut] = inode.cache[start:cut]
        self.torn_count += 1

    def _keep_subset(self, inode: Inode, *, share: float) -> None:
        """Keep some of the pages, one of them perhaps torn at a sector; holes read as zeros."""
        kept = [page for page in sorted(inode.dirty) if share >= 1.0 or self._dice.chance(share)]
        end = len(inode.cache) if share >= 1.0 or self._dice.chance(0.5) else len(inode.durable)
        _resize(inode.durable, end)
        for page in kept:
            data = inode.cache[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
            if share < 1.0 and self._dice.chance(0.25):
                data = data[: self._dice.below(PAGE_BYTES // SECTOR_BYTES) * SECTOR_BYTES]
            room = max(0, end - page * PAGE_BYTES)
            inode.durable[page * PAGE_BYTES : page * PAGE_BYTES + len(data[:room])] = data[:room]
        self.torn_count += 1

    def rot(self, prefix: str = "") -> str | None:
        """Flip one bit of one durable file; return its name, or None when all are empty."""
        names = [name for name in sorted(self._names) if name.startswith(prefix) and self._names[name].cache]
        if not names:
            return None
        name = names[self._dice.below(len(names))]
        inode = self._names[name]
        place, bit = self._dice.below(len(inode.cache)), 1 << self._dice.below(8)
        inode.cache[place] ^= bit
        if place < len(inode.durable):
            inode.durable[place] ^= bit
        return name


def _apply(names: dict[str, Inode], changes: tuple[tuple[str, Inode | None], ...]) -> None:
    for name, inode in changes:
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _resize(content: bytearray, size_bytes: int) -> None:
    if size_bytes < len(content):
        del content[size_bytes:]
    else:
        content.extend(bytes(size_bytes - len(content)))
