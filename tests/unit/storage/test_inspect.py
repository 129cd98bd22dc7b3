"""The doctor says what is there and changes nothing."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quorate.kernel import GroupId, NodeId
from quorate.kernel.errors import Corrupt
from quorate.storage import (
    DiskBase,
    LMDBBase,
    MemoryDisk,
    WriteAheadLog,
    inspect,
    inspect_image,
    inspect_lmdb,
    inspect_log,
)

FIRST = "log/0000000000000001.wal"


async def filled() -> MemoryDisk:
    disk = MemoryDisk()
    wal = await WriteAheadLog.open(disk, node=NodeId(3), cluster="c", segment_bytes_max=600)
    for number in range(6):
        wal.append(GroupId(1 + number % 2), [b"x" * 200])
        wal.flush()
    return disk


def test_a_sound_log_is_described() -> None:
    disk = asyncio.run(filled())
    report = inspect_log(disk)
    assert report.is_sound
    assert (report.node, report.cluster, report.cut) == (3, "c", None)
    assert {group: len(records) for group, records in report.groups.items()} == {GroupId(1): 3, GroupId(2): 3}
    assert (report.segment_count, report.record_count) == (3, 6)
    assert inspect(disk) == report
    assert [segment.last_ordinal for segment in report.segments] == [2, 4, 6]
    assert inspect_log(MemoryDisk()).is_sound


def test_a_torn_tail_is_reported_as_sound_and_left_alone() -> None:
    disk = asyncio.run(filled())
    last = disk.names("log/")[-1]
    disk.cut(last, len(disk.bytes_of(last)) - 3)
    before = disk.bytes_of(last)
    report = inspect_log(disk)
    assert report.is_sound
    assert report.cut is not None
    assert report.cut.name == last
    assert disk.bytes_of(last) == before


def test_damage_is_named_and_the_rest_is_still_read() -> None:
    disk = asyncio.run(filled())
    disk.damage(FIRST, 300, b"\0\0")
    report = inspect_log(disk)
    assert not report.is_sound
    assert FIRST in report.problems[0]
    assert len(report.segments) == 2
    with pytest.raises(Corrupt, match=FIRST):
        inspect(disk)


def test_images_are_checked() -> None:
    disk = MemoryDisk()
    asyncio.run(DiskBase(disk, "i").checkpoint({b"a": b"1", b"b": b"2"}, b"meta"))
    report = inspect_image(disk, "i")
    assert (report.count, report.meta_bytes, report.problem) == (2, 4, None)
    disk.damage("i", 40, b"\xff")
    assert inspect_image(disk, "i").problem is not None


@pytest.mark.real
def test_an_lmdb_state_is_walked_through(tmp_path: Path) -> None:
    base = LMDBBase(tmp_path / "x", ThreadPoolExecutor(1))
    asyncio.run(base.checkpoint({b"a": b"1", b"b": b"2"}, b"meta"))
    base.close()
    report = inspect_lmdb(tmp_path / "x")
    assert (report.count, report.meta_bytes, report.problem) == (2, 4, None)
    assert inspect_lmdb(tmp_path / "absent").problem is not None
    (tmp_path / "x" / "data.mdb").write_bytes(b"?" * 10_000)
    assert inspect_lmdb(tmp_path / "x").problem is not None
