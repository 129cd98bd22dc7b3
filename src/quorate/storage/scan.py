"""Reading segments back: what is whole, what was torn by a crash, what is damaged.

Theory. A flush writes one block, and one sync makes it stable; the next flush starts only after that. So when a node
crashes, at most the blocks that no sync has covered are missing, torn, or there with a hole before them. All of them
are at the end of the last segment, and none of them was ever acknowledged: cutting them off loses nothing.

Damage in the middle looks alike: a block that is not whole, with whole ones behind it. What tells the two apart is
written in the blocks themselves: each says up to which ordinal the log was stable when it was written. Let the first
block that is not whole begin with ordinal E.

    some whole block header behind it says "stable up to E or more"   E had been acknowledged: damage, never cut
    no one behind it says so                                          torn: cut here

The blocks behind a legal hole are cut as well: they were part of the same unfinished sync or of no sync.

Where nothing behind a damaged block speaks of it, damage and tearing cannot be told apart. So that this is rare, a
log that has nothing to do writes a *mark* (a block without frames) soon after its last sync, and another when it is
closed or when it goes on to the next segment. What remains is a block that rots between its sync and the next block
or mark. In a segment that is not the last there is no tearing: it was stable before its successor was begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from quorate.env import Disk
from quorate.kernel import GroupId
from quorate.kernel.errors import Corrupt, DiskError
from quorate.storage.blocks import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    HEADER_BYTES,
    Frame,
    SegmentHeader,
    content_of,
    decode_block_header,
    decode_segment_header,
    frames_of,
)

LOG_PREFIX = "log/"
SUFFIX = ".wal"

ADVICE = (
    "This node cannot tell what it had promised, so it must not go on with this data: remove it from the cluster, "
    "empty its data directory and add it again under a new id; its peers send it everything. "
    "A cluster of one node is restored from a snapshot."
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The end of a log that a crash left unfinished."""

    name: str
    # Everything from here on goes.
    offset: int
    byte_count: int
    # What is wrong at the offset.
    reason: str


@dataclass(kw_only=True)
class Segment:
    """One file of the log, as it was found or as it is being written."""

    name: str
    number: int
    first_ordinal: int
    # Of the last frame in it; one less than the first where there is none.
    last_ordinal: int
    # End of the last whole block.
    end_offset: int
    # Last ordinal of each group that has frames here.
    last_ordinals: dict[GroupId, int] = field(default_factory=dict)
    block_count: int = 0
    record_count: int = 0
    # The highest ordinal that a block here calls stable, and where the first block that is above it begins.
    durable_ordinal: int = 0
    unmarked_offset: int = HEADER_BYTES
    cut: Cut | None = None


def segment_name(number: int) -> str:
    """Return the name of a segment; names sort by number."""
    return f"{LOG_PREFIX}{number:016d}{SUFFIX}"


def segment_names(disk: Disk) -> list[tuple[int, str]]:
    """Return number and name of each segment, in order; other files are passed over."""
    found: list[tuple[int, str]] = []
    for name in disk.names(LOG_PREFIX):
        digits = name[len(LOG_PREFIX) : -len(SUFFIX)]
        if name.endswith(SUFFIX) and digits.isascii() and digits.isdigit() and name == segment_name(int(digits)):
            found.append((int(digits), name))
    return found


def read_all(disk: Disk, name: str) -> bytes:
    """Return a whole file; raise DiskError."""
    file = disk.open(name)
    try:
        size_bytes = file.size_bytes()
        data = file.read(0, size_bytes)
    finally:
        file.close()
    if len(data) != size_bytes:
        raise DiskError(f"{name}: {size_bytes} bytes were promised and {len(data)} read")
    return data


def read_header(name: str, number: int, data: bytes, *, is_last: bool) -> SegmentHeader | None:
    """Return the header of a segment; None where a crash cut its making short, so that nothing was ever in it.

    Raises:
        Corrupt: the header is damaged, although the segment was in use.
    """
    header = decode_segment_header(data)
    if header is None:
        # The header is stable before the first block is written, so a longer file had a whole one.
        if is_last and len(data) <= HEADER_BYTES:
            return None
        raise Corrupt(f"{name}: the header (offset 0) is damaged. {ADVICE}")
    if header.number != number:
        raise Corrupt(f"{name}: this is segment {header.number} under a wrong name (offset 0). {ADVICE}")
    return header


def read_segment(
    name: str, header: SegmentHeader, data: bytes, *, is_last: bool
) -> tuple[Segment, list[tuple[int, list[Frame]]]]:
    """Return what a segment holds, and its frames by the offset of their block.

    Raises:
        Corrupt: something that had been acknowledged is damaged.
    """
    number = header.number
    segment = Segment(
        name=name,
        number=number,
        first_ordinal=header.first_ordinal,
        last_ordinal=header.first_ordinal - 1,
        end_offset=HEADER_BYTES,
        durable_ordinal=header.first_ordinal - 1,
    )
    blocks: list[tuple[int, list[Frame]]] = []
    ends: list[tuple[int, int]] = []
    while segment.end_offset < len(data):
        offset = segment.end_offset
        expected = segment.last_ordinal + 1
        block = decode_block_header(data, offset, number=number)
        if block is None and not data[offset:].strip(b"\0"):
            break  # space that was reserved for later blocks
        if block is None:
            _judge(segment, data, "no block begins here", is_last=is_last)
            break
        content = content_of(data, offset, block)
        if content is None:
            _judge(segment, data, "a block is cut short or damaged", is_last=is_last)
            break
        if block.first_ordinal != expected:
            # A whole block at its own place with other ordinals: no crash does that.
            raise Corrupt(f"{name}: ordinal {block.first_ordinal} at offset {offset}, not {expected}. {ADVICE}")
        frames = _frames(name, offset, content, first_ordinal=block.first_ordinal, last_ordinal=block.last_ordinal)
        for frame in frames:
            segment.last_ordinals[frame.group] = frame.ordinal
            segment.record_count += len(frame.records)
        if frames:
            blocks.append((offset, frames))
        ends.append((block.last_ordinal, offset))
        segment.block_count += 1
        segment.last_ordinal = block.last_ordinal
        segment.durable_ordinal = max(segment.durable_ordinal, block.durable_ordinal)
        segment.end_offset = offset + BLOCK_HEADER_BYTES + block.content_bytes
    above = [offset for last_ordinal, offset in ends if last_ordinal > segment.durable_ordinal]
    segment.unmarked_offset = above[0] if above else segment.end_offset
    return segment, blocks


def _frames(name: str, offset: int, content: bytes, *, first_ordinal: int, last_ordinal: int) -> list[Frame]:
    try:
        frames = list(frames_of(content))
    except ValueError as cause:
        raise Corrupt(f"{name}: the block at offset {offset} holds no frames: {cause}. {ADVICE}") from cause
    if [frame.ordinal for frame in frames] != list(range(first_ordinal, last_ordinal + 1)):
        raise Corrupt(f"{name}: the frames of the block at offset {offset} are not in order. {ADVICE}")
    return frames


def _judge(segment: Segment, data: bytes, reason: str, *, is_last: bool) -> None:
    """Decide whether what is not whole at the end offset was torn or is damaged; see the module."""
    offset, lost = segment.end_offset, segment.last_ordinal + 1
    if not is_last:
        raise Corrupt(f"{segment.name}: {reason} (offset {offset}), and a later segment exists. {ADVICE}")
    found = data.find(BLOCK_MAGIC, offset)
    while found >= 0:
        block = decode_block_header(data, found, number=segment.number)
        if block is not None and block.durable_ordinal >= lost:
            raise Corrupt(
                f"{segment.name}: {reason} (offset {offset}), but ordinal {lost} was stable: "
                f"the block at offset {found} says so. {ADVICE}"
            )
        found = data.find(BLOCK_MAGIC, found + 1)
    segment.cut = Cut(name=segment.name, offset=offset, byte_count=len(data) - offset, reason=reason)


def check_chain(segments: Sequence[Segment]) -> None:
    """Check that each segment goes on where the one before it ends; raise Corrupt."""
    for before, after in pairwise(segments):
        if after.number != before.number + 1:
            raise Corrupt(
                f"{after.name}: the segment before it, {segment_name(after.number - 1)}, is missing. {ADVICE}"
            )
        if after.first_ordinal != before.last_ordinal + 1:
            raise Corrupt(
                f"{before.name}: ends with ordinal {before.last_ordinal} at offset {before.end_offset}, "
                f"but {after.name} begins with {after.first_ordinal}. {ADVICE}"
            )
