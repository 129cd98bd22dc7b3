"""One log for all groups of a node: one write and one sync per turn of the loop.

Life of a record. `append` puts it into a buffer and returns an ordinal. `flush`, once per turn, writes the whole buffer
as one block (see `blocks`) and starts one sync. While that is under way further turns only fill the buffer, which the
next block takes as a whole: group commit. `on_stable(ordinal)` says that everything up to an ordinal survives a crash.
A light load (few bytes, and a device that has been quick) is synced inline, which saves two hops between threads;
anything else in the background, so that the loop goes on meanwhile.

Contract for the host.

- Every `append` is one *frame* with its own ordinal, whole or gone after a crash. All its records share the ordinal.
- Nothing may be acknowledged before `on_stable` names its ordinal. After `on_failed` nothing is ever stable again.
- `release(group, ordinal)` says: frames of this group below the ordinal are not needed any more. It takes effect when
  everything appended before the call is stable, so the usual order is: checkpoint; append again the small records
  that must survive (promises, the place where the log begins); release up to the oldest frame still needed.
- A segment goes when every group that has frames in it has released them, the oldest segment first. A group that never
  appends nor releases keeps its segment and all later ones: `holding_back` names such groups, and the host lets them
  append their promises again and release. Nothing is copied from segment to segment.
- After a restart `recovered(group)` gives all frames of the segments that are left, also released ones. Their effect
  must be the same with and without the frames before them that are gone.

Reserved space. A sync that changes a file's length also commits the file system's journal, one at a time for all
processes; so the log writes zeros ahead of itself and then only overwrites them. That halves a sync on ext4 and takes
the long ones away. A tail of zeros is the end of the log, not a torn block.

A full disk. A block that did not fit is cut off again at once, and its records stay in the buffer: the machines already
count on them, and nobody has been told that they are stable. The write is tried again, with what has come since, until
space returns. So that it hardly ever comes to this, `is_short_of_space` turns true while `free_bytes_min` is still
left: the node then refuses new commands with a definite error, and the rest of the disk is for elections, reads and
checkpoints. A floor was preferred to a reserve file because it needs no space and no write of its own.

Failures. A failed sync leaves unknown what is on the device, so the log stops for ever. A log that is opened again
writes what had not been called stable once more, in place, before it syncs: after a failed sync the pages in memory can
look clean without having reached the device, and would be read back and believed.

Source: group commit: DeWitt et al. 1984; telling torn from damaged: Alagappan et al. 2018 (protocol-aware recovery);
failed syncs: Rebello et al. 2020.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from quorate.env import Disk, File
from quorate.kernel import GroupId, NodeId, marks
from quorate.kernel.errors import Corrupt, DiskFull, ForeignData, StorageError, UsageError
from quorate.storage.blocks import (
    BLOCK_HEADER_BYTES,
    CLUSTER_BYTES_MAX,
    FORMAT_VERSION,
    HEADER_BYTES,
    SegmentHeader,
    encode_block_header,
    encode_frame,
    encode_segment_header,
)
from quorate.storage.scan import (
    ADVICE,
    Cut,
    Segment,
    check_chain,
    read_all,
    read_header,
    read_segment,
    segment_name,
    segment_names,
)

log = logging.getLogger("quorate.wal")

# A light load: at most so much waits …
INLINE_BYTES_MAX = 262_144
# … and the last syncs took less than this on average. Greater: the loop stands still longer.
INLINE_SYNC_S_MAX = 0.004
# A full disk is tried again after this.
RETRY_S = 0.2
# An idle log writes down that it is stable after this.
MARK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What opening found."""

    segment_count: int
    record_count: int
    log_bytes: int
    # None where the log ended with a whole block.
    cut: Cut | None


@dataclass(kw_only=True)
class _Found:
    """What is read before anything is changed."""

    segments: list[Segment] = field(default_factory=list)
    groups: dict[GroupId, list[tuple[int, bytes]]] = field(default_factory=dict)
    # A last segment whose making was cut short.
    unfinished: str | None = None


class WriteAheadLog:
    """The log of one node; see the module. Made by `open`."""

    def __init__(
        self,
        disk: Disk,
        *,
        node: NodeId,
        cluster: str,
        segment_bytes_max: int,
        free_bytes_min: int,
        reserve_bytes: int,
        inline_bytes_max: int,
    ) -> None:
        self.on_stable: Callable[[int], None] = lambda _ordinal: None
        self.on_full: Callable[[DiskFull], None] = lambda _cause: None
        self.on_failed: Callable[[StorageError], None] = lambda _cause: None
        self.recovery = Recovery(segment_count=0, record_count=0, log_bytes=0, cut=None)
        # Ordinals of the last frame appended, and of the last that is stable.
        self.last_ordinal = 0
        self.stable_ordinal = 0
        # How many blocks were written, and how many of them were synced inline.
        self.block_count = 0
        self.inline_count = 0
        self._disk = disk
        self._node = node
        self._cluster = cluster
        self._segment_bytes_max = segment_bytes_max
        self._free_bytes_min = free_bytes_min
        self._zeros = bytes(reserve_bytes)
        self._inline_bytes_max = inline_bytes_max
        # Length of the last segment's file, reserved space included.
        self._reserved_offset = 0
        self._segments: list[Segment] = []
        self._file: File | None = None
        self._recovered: dict[GroupId, list[tuple[int, bytes]]] = {}
        # The buffer: frames that no block holds yet.
        self._parts: list[bytes] = []
        self._groups: dict[GroupId, int] = {}
        self._waiting_bytes = 0
        # Last ordinal that a block holds, and the highest that a block calls stable.
        self._written_ordinal = 0
        self._marked_ordinal = 0
        self._floors: dict[GroupId, int] = {}
        self._releases: list[tuple[int, GroupId, int]] = []
        self._task: asyncio.Task[None] | None = None
        self._sync_s = 0.0
        self._is_full = False
        self._is_short = False
        self._failure: StorageError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    # -- opening --------

    @classmethod
    async def open(
        cls,
        disk: Disk,
        *,
        node: NodeId,
        cluster: str,
        segment_bytes_max: int = 64 << 20,
        free_bytes_min: int = 64 << 20,
        reserve_bytes: int = 0,
        inline_bytes_max: int = INLINE_BYTES_MAX,
    ) -> "WriteAheadLog":
        """Recover what is on the disk and be ready to append.

        Args:
            disk: the node's directory; the log lives below `log/`.
            node: whose log it is.
            cluster: to which the node belongs; at most 200 bytes.
            segment_bytes_max: a segment that has grown to this is followed by a new one. Greater: fewer files, and
                more that must be kept for one old record.
            free_bytes_min: with less space than this, `is_short_of_space`.
            reserve_bytes: zeros written ahead whenever the file's end is reached. Greater: rarer, longer pauses for it.
            inline_bytes_max: a larger block is synced in the background. Greater: fewer hops, longer stops of the loop.

        Raises:
            Corrupt: something that had been acknowledged is damaged; the sentence names file and offset and what to do.
            ForeignData: the log is another node's, another cluster's or of a newer format.
            DiskError, DiskFull, SyncFailed: the disk does not work, or has no room for a header.

        Complexity: O(bytes of the log); reads one segment at a time.
        """
        if len(cluster.encode()) > CLUSTER_BYTES_MAX:
            raise UsageError(f"the name of a cluster has at most {CLUSTER_BYTES_MAX} bytes")
        self = cls(
            disk,
            node=node,
            cluster=cluster,
            segment_bytes_max=segment_bytes_max,
            free_bytes_min=free_bytes_min,
            reserve_bytes=reserve_bytes,
            inline_bytes_max=inline_bytes_max,
        )
        found = await self._read()
        self._segments = found.segments
        self._recovered = found.groups
        if found.segments:
            last = found.segments[-1]
            self.last_ordinal = self.stable_ordinal = self._written_ordinal = last.last_ordinal
            self._marked_ordinal = last.durable_ordinal
        if found.unfinished is not None:
            disk.remove(found.unfinished)
            disk.sync_names()
        if found.segments:
            self._settle(found.segments[-1])
        else:
            self._begin_segment(1)
        self._report(found.segments[-1].cut if found.segments else None)
        return self

    def _report(self, cut: Cut | None) -> None:
        self.recovery = Recovery(
            segment_count=len(self._segments),
            record_count=sum(segment.record_count for segment in self._segments),
            log_bytes=self.log_bytes,
            cut=cut,
        )
        if cut is not None:
            marks.hit("wal: torn tail cut")
            log.warning(
                "%s: %d bytes from offset %d were never acknowledged and are cut (%s)",
                cut.name,
                cut.byte_count,
                cut.offset,
                cut.reason,
            )

    async def _read(self) -> _Found:
        found = _Found()
        names = segment_names(self._disk)
        for place, (number, name) in enumerate(names):
            is_last = place == len(names) - 1
            data = read_all(self._disk, name)
            header = read_header(name, number, data, is_last=is_last)
            if header is None:
                found.unfinished = name
                if number > 1 and not found.segments:
                    raise Corrupt(f"{name}: unfinished (offset 0), and the segment before it is missing. {ADVICE}")
                break
            self._check_owner(name, header)
            segment, blocks = read_segment(name, header, data, is_last=is_last)
            found.segments.append(segment)
            for _offset, frames in blocks:
                for frame in frames:
                    records = found.groups.setdefault(frame.group, [])
                    records.extend((frame.ordinal, record) for record in frame.records)
            await asyncio.sleep(0)
        check_chain(found.segments)
        if found.unfinished is not None and found.segments and found.segments[-1].cut is not None:
            # The successor is begun only when the segment is stable to its end.
            raise Corrupt(f"{found.segments[-1].name}: damaged at offset {found.segments[-1].end_offset}. {ADVICE}")
        return found

    def _check_owner(self, name: str, header: SegmentHeader) -> None:
        if header.version != FORMAT_VERSION:
            raise ForeignData(f"{name}: has format {header.version}, and this program knows {FORMAT_VERSION}")
        if (header.node, header.cluster) != (self._node, self._cluster):
            raise ForeignData(
                f"{name}: belongs to node {header.node} of cluster {header.cluster!r}, "
                f"not to node {self._node} of cluster {self._cluster!r}"
            )

    def _settle(self, segment: Segment) -> None:
        """Make what was found stable: write the part again that no block calls stable, cut the rest, sync."""
        file = self._disk.open(segment.name)
        if segment.cut is not None:
            file.truncate(segment.end_offset)
        # Whole blocks that are already called stable need not be found again: they are few bytes at most.
        if segment.end_offset > HEADER_BYTES and segment.durable_ordinal < segment.last_ordinal:
            begin = segment.unmarked_offset
            file.write(begin, file.read(begin, segment.end_offset - begin))
        file.sync_now()
        self._disk.sync_names()
        self._file = file
        self._reserved_offset = file.size_bytes()

    def recovered(self, group: GroupId) -> list[tuple[int, bytes]]:
        """Return (ordinal, record) of a group as found when the log was opened, in order; once, then they are gone."""
        return self._recovered.pop(group, [])

    def recovered_groups(self) -> list[GroupId]:
        """Return the groups whose records have not been taken yet, sorted."""
        return sorted(self._recovered)

    # -- writing --------

    def append(self, group: GroupId, records: Sequence[bytes]) -> int:
        """Put records of a group into the buffer, to be written with the next flush; return their common ordinal.

        Complexity: O(records).
        """
        assert not self._is_closed, "a closed log takes nothing"
        self.last_ordinal += 1
        parts = encode_frame(group, self.last_ordinal, list(records))
        self._parts += parts
        self._waiting_bytes += sum(map(len, parts))
        self._groups[group] = self.last_ordinal
        return self.last_ordinal

    def flush(self) -> None:
        """Write what is in the buffer as one block and begin to sync it; called once per turn of the loop.

        Does nothing while a sync is under way: its end flushes what has come since.
        """
        if not self._parts or self._task is not None or self._failure is not None:
            return
        if self._is_full and self._disk.free_bytes() < self._waiting_bytes + BLOCK_HEADER_BYTES:
            self._retry_later()
            return
        is_light = self._waiting_bytes <= self._inline_bytes_max and self._sync_s <= INLINE_SYNC_S_MAX
        try:
            self._roll_if_due()
            self._write_block()
        except DiskFull as cause:
            self._become_full(cause)
            return
        except StorageError as cause:
            self._fail(cause)
            return
        self._is_full = False
        if is_light:
            self._sync_inline()
        else:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._sync_in_background(self._written_ordinal), name="wal sync")

    def _write_block(self) -> None:
        """Write the buffer, or a mark when it is empty, at the end; take it back when it does not fit."""
        file, segment = self._open_file(), self._segments[-1]
        content = b"".join(self._parts)
        header = encode_block_header(
            content,
            number=segment.number,
            offset=segment.end_offset,
            first_ordinal=self._written_ordinal + 1,
            last_ordinal=self.last_ordinal if content else self._written_ordinal,
            durable_ordinal=self.stable_ordinal,
        )
        try:
            file.write(segment.end_offset, header + content)
        except DiskFull:
            self._give_back(file)
            raise
        segment.end_offset += len(header) + len(content)
        if segment.end_offset > self._reserved_offset:
            self._reserved_offset = segment.end_offset
            self._reserve(file)
        segment.block_count += 1
        self._marked_ordinal = self.stable_ordinal
        self.block_count += 1
        if content:
            segment.last_ordinals.update(self._groups)
            segment.last_ordinal = self._written_ordinal = self.last_ordinal
            self._parts.clear()
            self._groups.clear()
            self._waiting_bytes = 0

    def _reserve(self, file: File) -> None:
        """Write zeros behind the last block; the sync of that block makes them stable too."""
        if self._zeros:
            try:
                file.write(self._reserved_offset, self._zeros)
            except DiskFull:
                self._give_back(file)
            else:
                self._reserved_offset += len(self._zeros)

    def _give_back(self, file: File) -> None:
        """Cut the file behind the last whole block."""
        self._reserved_offset = self._segments[-1].end_offset
        file.truncate(self._reserved_offset)

    def _sync_inline(self) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            self._open_file().sync_now()
        except StorageError as cause:
            self._fail(cause)
            return
        self.inline_count += 1
        self._took(loop.time() - begin)
        self._become_stable(self._written_ordinal)

    async def _sync_in_background(self, ordinal: int) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            await self._open_file().sync()
        except StorageError as cause:
            self._task = None
            self._fail(cause)
            return
        self._took(loop.time() - begin)
        self._task = None
        self._become_stable(ordinal)
        self.flush()

    def _took(self, span_s: float) -> None:
        self._sync_s += (span_s - self._sync_s) / 8

    def _become_stable(self, ordinal: int) -> None:
        self.stable_ordinal = ordinal
        if self._releases:
            self._apply_releases()
        if self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(MARK_S, self._on_timer)
        self.on_stable(ordinal)

    def _on_timer(self) -> None:
        """Mark an idle log, or try a full disk again."""
        self._timer = None
        if self._parts:
            self.flush()
        elif self._task is None and self._failure is None and self._marked_ordinal < self.stable_ordinal:
            try:
                self._write_block()
            except DiskFull:
                marks.hit("wal: no room for a mark")
            except StorageError as cause:
                self._fail(cause)

    # -- what goes wrong --------

    def _become_full(self, cause: DiskFull) -> None:
        marks.hit("wal: disk full")
        self._retry_later()
        if not self._is_full:
            self._is_full = True
            self.on_full(cause)

    def _retry_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._on_timer)

    def _fail(self, cause: StorageError) -> None:
        if self._failure is None:
            self._failure = cause
            self.on_failed(cause)

    @property
    def is_short_of_space(self) -> bool:
        """Whether new commands are to be refused: little space is left, or a block waits for space.

        Ends when a quarter more than the floor is free, so that it does not flicker.
        """
        floor = self._free_bytes_min
        self._is_short = self._disk.free_bytes() < (floor + floor // 4 if self._is_short else floor)
        return self._is_short or self._is_full

    # -- segments --------

    def _open_file(self) -> File:
        assert self._file is not None, "an open log has an open segment"
        return self._file

    def _roll_if_due(self) -> None:
        """Begin a new segment when the last one has its size; only ever while no sync is under way.

        Raises:
            DiskFull: nothing has changed.
        """
        segment = self._segments[-1]
        if segment.end_offset < self._segment_bytes_max or segment.last_ordinal < segment.first_ordinal:
            return
        assert self.stable_ordinal == self._written_ordinal, "a segment is stable before the next one begins"
        file = self._open_file()
        if self._marked_ordinal < self.stable_ordinal:
            parts, self._parts = self._parts, []
            try:
                self._write_block()
            finally:
                self._parts = parts
        self._give_back(file)
        # Also where no mark is written now: the one that an idle log wrote is not stable yet.
        file.sync_now()
        self._begin_segment(segment.number + 1)
        file.close()

    def _begin_segment(self, number: int) -> None:
        """Make a new last segment, stable before anything is written into it."""
        name = segment_name(number)
        header = encode_segment_header(
            number=number, first_ordinal=self._written_ordinal + 1, node=self._node, cluster=self._cluster
        )
        file = self._disk.open(name, create=True)
        try:
            file.truncate(0)
            file.write(0, header)
        except StorageError:
            file.close()
            raise
        except DiskFull:
            file.close()
            self._disk.remove(name)
            raise
        file.sync_now()
        self._disk.sync_names()
        self._file = file
        self._reserved_offset = HEADER_BYTES
        self._segments.append(
            Segment(
                name=name,
                number=number,
                first_ordinal=self._written_ordinal + 1,
                last_ordinal=self._written_ordinal,
                end_offset=HEADER_BYTES,
                durable_ordinal=self._written_ordinal,
            )
        )

    def release(self, group: GroupId, ordinal: int) -> None:
        """Give up the frames of a group below an ordinal, once everything appended so far is stable."""
        self._releases.append((self.last_ordinal, group, ordinal))
        if self.stable_ordinal >= self.last_ordinal:
            self._apply_releases()

    def _apply_releases(self) -> None:
        kept: list[tuple[int, GroupId, int]] = []
        for barrier, group, ordinal in self._releases:
            if barrier <= self.stable_ordinal:
                self._floors[group] = max(ordinal, self._floors.get(group, 0))
            else:
                kept.append((barrier, group, ordinal))
        self._releases = kept
        try:
            while len(self._segments) > 1 and not self.holding_back():
                # One at a time, each removal stable before the next: a crash leaves no gap.
                self._disk.remove(self._segments.pop(0).name)
                self._disk.sync_names()
        except StorageError as cause:
            self._fail(cause)

    def holding_back(self) -> tuple[GroupId, ...]:
        """Return the groups for whose sake the oldest segment is kept, sorted.

        Complexity: O(groups in the segment).
        """
        oldest = self._segments[0].last_ordinals
        return tuple(sorted(group for group, last in oldest.items() if self._floors.get(group, 0) <= last))

    @property
    def log_bytes(self) -> int:
        """How large all segments are together."""
        return sum(segment.end_offset for segment in self._segments)

    @property
    def segment_count(self) -> int:
        """How many segments there are."""
        return len(self._segments)

    async def close(self) -> None:
        """Write and sync what is in the buffer if that can be done, and mark the log stable to its end."""
        if self._is_closed:
            return
        while self._failure is None and (self._task is not None or (self._parts and not self._is_full)):
            self.flush()
            if self._task is not None:
                await self._task
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        file = self._open_file()
        if self._failure is None and not self._parts and self._marked_ordinal < self.stable_ordinal:
            try:
                self._write_block()
                await file.sync()
            except (StorageError, DiskFull) as cause:
                log.warning("the log could not be marked at its end: %s", cause)
        file.close()
