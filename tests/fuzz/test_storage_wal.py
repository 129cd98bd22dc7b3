"""Garbage in a segment gives Corrupt or a clean cut, and never a record that was not written."""

import asyncio
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import GroupId, NodeId
from quorate.kernel.errors import Corrupt, ForeignData
from quorate.storage import MemoryDisk, WriteAheadLog

NAME = "log/0000000000000001.wal"
RECORDS = [bytes([number]) * (number * 7) for number in range(30)]


async def _opened(disk: MemoryDisk) -> WriteAheadLog:
    return await WriteAheadLog.open(disk, node=NodeId(1), cluster="c", free_bytes_min=0)


@cache
def sound() -> bytes:
    async def main() -> bytes:
        disk = MemoryDisk()
        wal = await _opened(disk)
        for record in RECORDS:
            wal.append(GroupId(1), [record])
            wal.flush()
        return disk.bytes_of(NAME)

    return asyncio.run(main())


def check(data: bytes) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        disk.open(NAME, create=True).write(0, data)
        try:
            wal = await _opened(disk)
        except (Corrupt, ForeignData):
            return
        found = [record for _ordinal, record in wal.recovered(GroupId(1))]
        assert found == RECORDS[: len(found)]
        # What was cut is gone for good: the log goes on behind it.
        wal.append(GroupId(1), [b"next"])
        wal.flush()
        await wal.close()
        assert [record for _ordinal, record in (await _opened(disk)).recovered(GroupId(1))] == [*found, b"next"]

    asyncio.run(main())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(changes=st.lists(st.tuples(st.integers(0, 8_000), st.binary(min_size=1, max_size=50)), min_size=1, max_size=4))
def test_overwritten_bytes_give_corrupt_or_a_clean_cut(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(sound())
    for offset, piece in changes:
        begin = offset % len(data)
        data[begin : begin + len(piece)] = piece
    check(bytes(data))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(size_bytes=st.integers(0, 8_000), tail=st.binary(max_size=300))
def test_a_cut_segment_with_garbage_behind_gives_corrupt_or_a_clean_cut(size_bytes: int, tail: bytes) -> None:
    check(sound()[:size_bytes] + tail)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.binary(max_size=2_000))
def test_pure_garbage_gives_corrupt_or_an_empty_log(data: bytes) -> None:
    check(data)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(begin=st.integers(256, 5_000), length=st.integers(1, 500))
def test_a_piece_taken_out_gives_corrupt_or_a_clean_cut(begin: int, length: int) -> None:
    data = sound()
    check(data[:begin] + data[begin + length :])
