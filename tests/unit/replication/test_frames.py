"""Frames are cut from a stream wherever it was split, and nothing damaged gets through."""

import random

import pytest

from quorate.kernel import Malformed
from quorate.replication import FRAME_BYTES_MAX, FrameReader, Kind, frame

FRAMES = [(Kind.HELLO, b""), (Kind.MESSAGE, b"x" * 1000), (Kind.PING, b""), (Kind.SNAPSHOT, bytes(range(256)))]
STREAM = b"".join(frame(kind, payload) for kind, payload in FRAMES)


def test_frames_come_whole_however_the_stream_is_split() -> None:
    dice = random.Random(1)
    for _ in range(50):
        reader, found, rest = FrameReader(), [], STREAM
        while rest:
            size = dice.choice((1, 2, 8, 9, 10, 500, 5000))
            found += reader.feed(rest[:size])
            rest = rest[size:]
        assert found == FRAMES
        assert reader.waiting_bytes == 0


def test_a_changed_bit_is_noticed_wherever_it_is() -> None:
    data = frame(Kind.MESSAGE, b"hello")
    for place in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            reader = FrameReader()
            try:
                found = reader.feed(bytes(damaged) + bytes(100))
            except Malformed:
                continue
            assert found == []  # a length that grew: waits for more, or finds no checksum
            assert reader.waiting_bytes > 0


def test_a_frame_above_the_limit_is_refused_by_its_head() -> None:
    with pytest.raises(Malformed, match="above the limit"):
        FrameReader().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(5))
