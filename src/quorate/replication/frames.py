"""Frames between nodes: length, checksum, kind, payload.

```text
u32 length of payload · u32 crc32c of kind and payload · u8 kind · payload      (big endian)
```

A frame that is too long, or whose checksum is wrong, ends the connection: nothing behind it can be trusted.
"""

import struct
from enum import IntEnum
from typing import Final

import google_crc32c

from quorate.kernel import Malformed

PROTOCOL_VERSION: Final = 1
"""Spoken in the greeting; nodes of different versions refuse each other by name."""

HEADER: Final = struct.Struct(">IIB")
FRAME_BYTES_MAX: Final = 80 << 20
"""Above the largest append and the largest snapshot chunk; a longer frame is garbage."""


class Kind(IntEnum):
    """What a frame carries."""

    HELLO = 1
    REFUSAL = 2
    PING = 3
    # A machine's message: group (u32) and the encoded message.
    MESSAGE = 4
    # A follower hands a batch of commands to the leader.
    FORWARD = 5
    FORWARD_RESULT = 6
    SNAPSHOT = 7
    PUBLISH = 8


def frame(kind: int, payload: bytes) -> bytes:
    """Return the bytes of one frame."""
    checksum: int = google_crc32c.extend(kind, payload)
    return HEADER.pack(len(payload), checksum, kind) + payload


class FrameReader:
    """Cuts a byte stream into frames. Invariant: holds less than one whole frame between calls."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the whole frames (kind, payload) that are complete now; raise Malformed for anything else."""
        buffer = self._buffer + data if self._buffer else data
        frames: list[tuple[int, bytes]] = []
        offset = 0
        size_bytes = len(buffer)
        while size_bytes - offset >= HEADER.size:
            length, checksum, kind = HEADER.unpack_from(buffer, offset)
            if length > FRAME_BYTES_MAX:
                raise Malformed(f"a frame of {length} bytes is above the limit of {FRAME_BYTES_MAX}")
            end = offset + HEADER.size + length
            if end > size_bytes:
                break
            payload = buffer[offset + HEADER.size : end]
            if google_crc32c.extend(kind, payload) != checksum:
                raise Malformed("a frame's checksum is wrong")
            frames.append((kind, payload))
            offset = end
        self._buffer = buffer[offset:]
        return frames
