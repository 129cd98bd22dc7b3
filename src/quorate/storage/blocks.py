"""The bytes of a log segment: one header, then blocks, each written by one flush.

    segment = header (256 bytes) block*
    header  = magic, version, cluster name length, reserved, segment number, first ordinal, node, cluster name, CRC
    block   = block header (40 bytes) content
    block header = magic, content bytes, first ordinal, last ordinal, durable ordinal, content CRC, header CRC
    content = frame*                                  (no frames: the block only carries its durable ordinal, a *mark*)
    frame   = group, ordinal, record count, length of each record, records

All integers are little-endian; every CRC is CRC-32C. A frame is what one `append` was given, and the ordinals of frames
are consecutive over the whole log. The header CRC of a block also covers the number of its segment and its offset, so
that a block is valid at its own place only: a copy of log bytes inside a value is never taken for a block.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c

from quorate.kernel import GroupId, NodeId

FORMAT_VERSION = 1
SEGMENT_MAGIC = b"QRWALOG\n"
BLOCK_MAGIC = b"QBk\x9e"
HEADER_BYTES = 256
BLOCK_HEADER_BYTES = 40
CLUSTER_BYTES_MAX = 200
# A block is written by one flush and is never split; a length above this is not believed.
CONTENT_BYTES_MAX = (1 << 32) - 1

_SEGMENT = struct.Struct("<8sHHIQQQ200s12x")
_BLOCK = struct.Struct("<4sIQQQI")
_FRAME = struct.Struct("<IQI")
_PLACE = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


class SegmentHeader(NamedTuple):
    """What a segment says about itself."""

    version: int
    number: int
    # Of the first frame that it may hold.
    first_ordinal: int
    node: NodeId
    cluster: str


class BlockHeader(NamedTuple):
    """What a block says about itself."""

    content_bytes: int
    first_ordinal: int
    # One less than the first where the block has no frames.
    last_ordinal: int
    # Everything up to here was stable when the block was written.
    durable_ordinal: int
    content_crc: int


class Frame(NamedTuple):
    """What one `append` was given."""

    group: GroupId
    ordinal: int
    records: list[bytes]


def encode_segment_header(*, number: int, first_ordinal: int, node: NodeId, cluster: str) -> bytes:
    """Return the first bytes of a segment."""
    name = cluster.encode()
    assert len(name) <= CLUSTER_BYTES_MAX, "the name of a cluster has at most 200 bytes"
    body = _SEGMENT.pack(SEGMENT_MAGIC, FORMAT_VERSION, len(name), 0, number, first_ordinal, node, name)
    return body + _CRC.pack(google_crc32c.value(body))


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """Return what the first bytes of a segment say; None when they are damaged or cut short."""
    if len(data) < HEADER_BYTES:
        return None
    body = data[: HEADER_BYTES - 4]
    if _CRC.unpack_from(data, HEADER_BYTES - 4)[0] != google_crc32c.value(body):
        return None
    magic, version, name_bytes, _reserved, number, first_ordinal, node, name = _SEGMENT.unpack(body)
    if magic != SEGMENT_MAGIC or name_bytes > CLUSTER_BYTES_MAX:
        return None
    return SegmentHeader(version, number, first_ordinal, NodeId(node), name[:name_bytes].decode("utf-8", "replace"))


def encode_frame(group: GroupId, ordinal: int, records: list[bytes]) -> list[bytes]:
    """Return the parts of a frame, to be joined.

    Complexity: O(records); no record is copied.
    """
    count = len(records)
    return [_FRAME.pack(group, ordinal, count), struct.pack(f"<{count}I", *map(len, records)), *records]


def encode_block_header(
    content: bytes, *, number: int, offset: int, first_ordinal: int, last_ordinal: int, durable_ordinal: int
) -> bytes:
    """Return the header of a block that stands at an offset of a segment."""
    body = _BLOCK.pack(
        BLOCK_MAGIC, len(content), first_ordinal, last_ordinal, durable_ordinal, google_crc32c.value(content)
    )
    return body + _CRC.pack(google_crc32c.value(body + _PLACE.pack(number, offset)))


def decode_block_header(data: bytes, offset: int, *, number: int) -> BlockHeader | None:
    """Return the block header at an offset of a segment's bytes; None when there is none that is whole."""
    body = data[offset : offset + BLOCK_HEADER_BYTES - 4]
    if len(data) < offset + BLOCK_HEADER_BYTES or not body.startswith(BLOCK_MAGIC):
        return None
    if _CRC.unpack_from(data, offset + BLOCK_HEADER_BYTES - 4)[0] != google_crc32c.value(
        body + _PLACE.pack(number, offset)
    ):
        return None
    _magic, content_bytes, first, last, durable, crc = _BLOCK.unpack(body)
    if last + 1 < first or durable >= first:
        return None
    return BlockHeader(content_bytes, first, last, durable, crc)


def content_of(data: bytes, offset: int, header: BlockHeader) -> bytes | None:
    """Return the content of the block at an offset; None when it is damaged or cut short."""
    begin = offset + BLOCK_HEADER_BYTES
    content = data[begin : begin + header.content_bytes]
    if len(content) != header.content_bytes or google_crc32c.value(content) != header.content_crc:
        return None
    return content


def frames_of(content: bytes) -> Iterator[Frame]:
    """Yield the frames of a whole block.

    Raises:
        ValueError: the content does not consist of frames, although its checksum is right.
    """
    offset = 0
    while offset < len(content):
        if offset + _FRAME.size > len(content):
            raise ValueError("a frame is cut short")
        group, ordinal, count = _FRAME.unpack_from(content, offset)
        offset += _FRAME.size
        if offset + 4 * count > len(content):
            raise ValueError("a table of lengths is cut short")
        lengths = struct.unpack_from(f"<{count}I", content, offset)
        offset += 4 * count
        if offset + sum(lengths) > len(content):
            raise ValueError("records are cut short")
        records: list[bytes] = []
        for length in lengths:
            records.append(content[offset : offset + length])
            offset += length
        yield Frame(GroupId(group), ordinal, records)
