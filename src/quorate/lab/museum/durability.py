"""Fifth wing: disks that are believed too soon, or not at all."""

import asyncio
from typing import Any

from quorate.kernel import LogIndex
from quorate.kernel.errors import StorageError
from quorate.lab.museum.bug import Bug, add, exhibit
from quorate.protocols.raft import Compact
from quorate.server import Replica
from quorate.storage import DiskBase, WriteAheadLog
from quorate.storage.blocks import BLOCK_HEADER_BYTES, BlockHeader, content_of

BLACKOUTS = {
    "aims": {"black out": 0.6, "cut a follower, then isolate the leader": 0.6, "cut a voter, then its candidate": 0.4},
    "node_count": 3,
    "down_max": 3,
    "lease_reads": False,
}


@exhibit(
    name="no-fsync",
    story="""The log is written and never synced: the kernel will see to it.
Everything is fast, and whole clusters forget when the power fails.""",
    source="PostgreSQL with fsync=off, Redis with appendfsync no",
    layer="storage",
    caught_by=("divergence", "invariant", "not linearizable", "node stopped"),
    level="loop",
    conditions=BLACKOUTS,
    seeds_max=20,
)
class NoFsync(WriteAheadLog):
    """Calls stable what is written."""

    def _sync_inline(self) -> None:
        self._become_stable(self._written_ordinal)

    async def _sync_in_background(self, ordinal: int) -> None:
        await asyncio.sleep(0)
        self._task = None
        self._become_stable(ordinal)
        self.flush()


@exhibit(
    name="ack-before-sync",
    story="""The log says that a block is stable when its sync has begun.
The sync comes soon after; the power sometimes sooner.""",
    source="group commit that tells its waiters at the wrong end",
    layer="storage",
    caught_by=("divergence", "invariant", "not linearizable", "node stopped"),
    level="loop",
    conditions=BLACKOUTS | {"sync_min_us": 4_000, "sync_max_us": 12_000},
    seeds_max=60,
)
class AckBeforeSync(WriteAheadLog):
    """Says it first and does it then."""

    def _sync_inline(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._sync_in_background(self._written_ordinal))

    async def _sync_in_background(self, ordinal: int) -> None:
        self._become_stable(ordinal)
        try:
            await self._open_file().sync()
        except StorageError as cause:
            self._task = None
            self._fail(cause)
            return
        self._task = None
        self.flush()


@exhibit(
    name="sync-error-ignored",
    story="""fsync fails, the error is logged, the pages look clean, and the log goes on as if they were on the device.
The next power cut shows that they are not.""",
    source="PostgreSQL 'fsyncgate' 2018; Rebello et al. 2020",
    layer="storage",
    caught_by=("divergence", "invariant", "not linearizable", "node stopped"),
    level="loop",
    conditions=BLACKOUTS | {"sync_error": 0.03},
    seeds_max=60,
)
class SyncErrorIgnored(WriteAheadLog):
    """Takes a failed sync for a slow one."""

    def _sync_inline(self) -> None:
        try:
            self._open_file().sync_now()
        except StorageError:
            self.recovery = self.recovery
        self._become_stable(self._written_ordinal)

    async def _sync_in_background(self, ordinal: int) -> None:
        try:
            await self._open_file().sync()
        except StorageError:
            self.recovery = self.recovery
        self._task = None
        self._become_stable(ordinal)
        self.flush()


def _unchecked(data: bytes, offset: int, header: BlockHeader) -> bytes | None:
    """Return the content of a block without looking at its checksum."""
    begin = offset + BLOCK_HEADER_BYTES
    content = data[begin : begin + header.content_bytes]
    return content if len(content) == header.content_bytes else None


add(
    Bug(
        name="torn-tail-taken-as-whole",
        story="""A log is read back without looking at checksums: what has the right length is taken as whole.
A block that the power cut has torn is replayed as it lies there: holes, zeros, half an entry.""",
        source="Alagappan et al. 2018, protocol-aware recovery",
        layer="storage",
        caught_by=("divergence", "invariant", "not linearizable", "node stopped", "exception"),
        level="loop",
        plants=((content_of, _unchecked),),
        conditions=BLACKOUTS
        | {
            "large_values": True,
            "has_chores": True,
            "sync_min_us": 2_000,
            "sync_max_us": 9_000,
            "aims": {
                "black out": 0.6,
                "cut the power of a proposing leader": 0.8,
                "cut the power of a follower that takes entries": 0.8,
            },
        },
        seeds_max=200,
    )
)


@exhibit(
    name="log-cut-before-checkpoint",
    story="""The log is cut first and the checkpoint that replaces it is written then.
A crash in between leaves neither.""",
    source="ALICE (Pillai et al. 2014): ordering of updates in eleven applications",
    layer="server",
    caught_by=("divergence", "invariant", "node stopped", "not linearizable", "exception", "no progress"),
    level="loop",
    conditions={
        "checkpoint_entry_count": 15,
        "trailing_entry_count": 0,
        "aims": {"cut the power during a checkpoint": 0.5, "crash during a checkpoint": 0.5},
    },
    seeds_max=30,
)
class LogCutBeforeCheckpoint(Replica):
    """Compacts first."""

    async def checkpoint(self) -> LogIndex:
        """Cut the log, then make the state durable."""
        index = self.state.applied_index
        if index > self._checkpointed_index:
            self.group.host.call(Compact(index))
            self._release()
            await asyncio.sleep(0.005)
        return await super().checkpoint()


@exhibit(
    name="checkpoint-without-sync",
    story="""A checkpoint is written to a new file and renamed over the old one, without a sync before the rename.
After a power cut the name is there and the content is not.""",
    source="the ext4 rename debate of 2009; ALICE (Pillai et al. 2014)",
    layer="storage",
    caught_by=("node stopped", "divergence", "invariant", "exception"),
    level="loop",
    conditions={
        "checkpoint_entry_count": 15,
        "aims": {"cut the power during a checkpoint": 0.8, "black out": 0.2},
        "node_count": 3,
        "down_max": 3,
    },
    seeds_max=30,
)
class CheckpointWithoutSync(DiskBase):
    """Renames what is not stable."""

    async def _write(self, meta: bytes | None, pairs: Any) -> None:
        disk = self._disk
        self._disk = _Hasty(disk)
        try:
            await super()._write(meta, pairs)
        finally:
            self._disk = disk


class _Hasty:
    """A disk that skips the sync of files."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk

    def open(self, name: str, *, create: bool = False) -> Any:
        """Open a file that is never synced."""
        return _HastyFile(self._disk.open(name, create=create))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)


class _HastyFile:
    """A file that says it is synced."""

    def __init__(self, file: Any) -> None:
        self._file = file

    async def sync(self) -> None:
        """Do nothing."""
        await asyncio.sleep(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
