"""A state as a stream of self-checking chunks: how it travels between nodes, is backed up, and lies on a plain disk.

    stream = begin pairs* end
    chunk  = magic, version, kind, reserved, ordinal, payload bytes, CRC of payload, CRC of this header; payload
    begin  = 1 and the meta, or 0 when there never was a checkpoint
    pairs  = a piece of: (key bytes, value bytes, key, value)*, cut anywhere
    end    = how many pairs and how many payload bytes there were, and the CRC over the payloads of all chunks before

Integers are little-endian; CRCs are CRC-32C. Keys ascend strictly over the whole stream.
"""

import struct
from collections.abc import Iterable, Iterator

import google_crc32c

from quorate.kernel.errors import Corrupt, ForeignData

FORMAT_VERSION = 1
MAGIC = b"QRCH"
HEADER_BYTES = 28
# A payload longer than this is not believed.
PAYLOAD_BYTES_MAX = 64 << 20

BEGIN, PAIRS, END = 1, 2, 3

_HEADER = struct.Struct("<4sHBBQII")
_CRC = struct.Struct("<I")
_LENGTHS = struct.Struct("<II")
_END = struct.Struct("<QQI")


def encode_chunk(kind: int, ordinal: int, payload: bytes) -> bytes:
    """Return one chunk."""
    head = _HEADER.pack(MAGIC, FORMAT_VERSION, kind, 0, ordinal, len(payload), google_crc32c.value(payload))
    return head + _CRC.pack(google_crc32c.value(head)) + payload


def chunks_of(meta: bytes | None, pairs: Iterable[tuple[bytes, bytes]], chunk_bytes: int) -> Iterator[bytes]:
    """Yield a state as chunks.

    Args:
        meta: what its last checkpoint stored beside the data; None before the first.
        pairs: all of it, keys ascending.
        chunk_bytes: the longest payload; 1 or more. Keys and values may be longer.

    Complexity: O(chunk_bytes + the longest pair) of memory.
    """
    assert 1 <= chunk_bytes <= PAYLOAD_BYTES_MAX, "a chunk has from 1 byte to 64 MiB"
    first = b"\0" if meta is None else b"\1" + meta
    yield encode_chunk(BEGIN, 0, first)
    crc, ordinal, pair_count, payload_bytes = google_crc32c.value(first), 1, 0, 0
    buffer = bytearray()
    for key, value in pairs:
        buffer += _LENGTHS.pack(len(key), len(value))
        buffer += key
        buffer += value
        pair_count += 1
        begin = 0
        while len(buffer) - begin >= chunk_bytes:
            payload = bytes(buffer[begin : begin + chunk_bytes])
            begin += chunk_bytes
            crc, payload_bytes = google_crc32c.extend(crc, payload), payload_bytes + len(payload)
            yield encode_chunk(PAIRS, ordinal, payload)
            ordinal += 1
        if begin:
            del buffer[:begin]
    if buffer:
        crc, payload_bytes = google_crc32c.extend(crc, bytes(buffer)), payload_bytes + len(buffer)
        yield encode_chunk(PAIRS, ordinal, bytes(buffer))
        ordinal += 1
    yield encode_chunk(END, ordinal, _END.pack(pair_count, payload_bytes, crc))


class ChunkReader:
    """Takes the chunks of a stream in order and gives back the pairs; anything unexpected is Corrupt."""

    def __init__(self, name: str) -> None:
        # What the sentence of an error calls the stream.
        self.name = name
        self.meta: bytes | None = None
        self.is_complete = False
        self.pair_count = 0
        self._ordinal = 0
        self._payload_bytes = 0
        self._crc = 0
        self._rest = b""
        self._last_key: bytes | None = None

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Take the next chunk and return the pairs that it completes.

        Raises:
            Corrupt: it is damaged, out of order, or the whole does not add up.
            ForeignData: it is of a format that this program does not know.
        """
        kind, payload = self._open(chunk)
        if self.is_complete:
            raise self._corrupt("goes on behind its end")
        if (kind == BEGIN) != (self._ordinal == 0):
            raise self._corrupt("does not begin where it should")
        self._ordinal += 1
        if kind == END:
            self._finish(payload)
            return []
        self._crc = google_crc32c.extend(self._crc, payload)
        if kind == BEGIN:
            if payload[:1] not in {b"\0", b"\1"}:
                raise self._corrupt("has no meta")
            self.meta = payload[1:] if payload[0] else None
            return []
        self._payload_bytes += len(payload)
        return self._pairs(payload)

    def _open(self, chunk: bytes) -> tuple[int, bytes]:
        if len(chunk) < HEADER_BYTES or _CRC.unpack_from(chunk, HEADER_BYTES - 4)[0] != google_crc32c.value(
            chunk[: HEADER_BYTES - 4]
        ):
            raise self._corrupt("has a damaged header")
        magic, version, kind, _reserved, ordinal, payload_bytes, crc = _HEADER.unpack_from(chunk)
        payload = chunk[HEADER_BYTES:]
        if magic != MAGIC:
            raise self._corrupt("has a damaged header")
        if version != FORMAT_VERSION:
            raise ForeignData(f"{self.name}: has format {version}, and this program knows {FORMAT_VERSION}")
        if len(payload) != payload_bytes or google_crc32c.value(payload) != crc:
            raise self._corrupt("is damaged")
        if ordinal != self._ordinal:
            raise self._corrupt(f"is number {ordinal}")
        if kind not in {BEGIN, PAIRS, END}:
            raise self._corrupt(f"is of unknown kind {kind}")
        return kind, payload

    def _pairs(self, payload: bytes) -> list[tuple[bytes, bytes]]:
        data = self._rest + payload
        found: list[tuple[bytes, bytes]] = []
        offset = 0
        while offset + _LENGTHS.size <= len(data):
            key_bytes, value_bytes = _LENGTHS.unpack_from(data, offset)
            begin = offset + _LENGTHS.size
            end = begin + key_bytes + value_bytes
            if end > len(data):
                break
            key = data[begin : begin + key_bytes]
            if self._last_key is not None and key <= self._last_key:
                raise self._corrupt("has keys out of order")
            self._last_key = key
            found.append((key, data[begin + key_bytes : end]))
            offset = end
        self._rest = data[offset:]
        self.pair_count += len(found)
        return found

    def _finish(self, payload: bytes) -> None:
        if len(payload) != _END.size or self._rest:
            raise self._corrupt("ends within a pair")
        if _END.unpack(payload) != (self.pair_count, self._payload_bytes, self._crc):
            raise self._corrupt("says that something is missing")
        self.is_complete = True

    def require_complete(self) -> None:
        """Raise Corrupt unless the end has been seen."""
        if not self.is_complete:
            raise self._corrupt("is missing: the end was not seen")

    def _corrupt(self, what: str) -> Corrupt:
        return Corrupt(
            f"{self.name}: chunk {self._ordinal} {what}. "
            "Nothing was replaced; take the snapshot again, from another node."
        )


def split_chunks(name: str, data: bytes) -> Iterator[bytes]:
    """Yield the chunks of a stream that was written end to end; raise Corrupt where a length is not believable."""
    offset = 0
    while offset < len(data):
        payload_bytes = PAYLOAD_BYTES_MAX + 1
        if offset + HEADER_BYTES <= len(data):
            payload_bytes = _HEADER.unpack_from(data, offset)[5]
        end = offset + HEADER_BYTES + payload_bytes
        if payload_bytes > PAYLOAD_BYTES_MAX or end > len(data):
            raise Corrupt(f"{name}: damaged or cut short at offset {offset}")
        yield data[offset:end]
        offset = end


def split_streams(name: str, data: bytes) -> Iterator[list[bytes]]:
    """Yield the streams that were written one behind another, each as its chunks; these are checked when they are read.

    Raises:
        Corrupt: a length is not believable, or the last stream has no end.
    """
    stream: list[bytes] = []
    for chunk in split_chunks(name, data):
        stream.append(chunk)
        if _HEADER.unpack_from(chunk)[2] == END:
            yield stream
            stream = []
    if stream:
        raise Corrupt(f"{name}: cut short, the last part has no end")
