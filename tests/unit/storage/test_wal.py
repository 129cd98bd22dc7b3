"""The write-ahead log: what it acknowledges it keeps, and it knows a torn tail from damage."""

import asyncio
from random import Random

import pytest

from quorate.kernel import GroupId, NodeId, marks
from quorate.kernel.errors import Corrupt, DiskFull, ForeignData, StorageError, SyncFailed
from quorate.storage import MemoryDisk, WriteAheadLog

A, B = GroupId(1), GroupId(2)
FIRST, SECOND = "log/0000000000000001.wal", "log/0000000000000002.wal"


async def opened(disk: MemoryDisk, *, segment_bytes_max: int = 64 << 20) -> WriteAheadLog:
    return await WriteAheadLog.open(
        disk, node=NodeId(1), cluster="c", segment_bytes_max=segment_bytes_max, free_bytes_min=0
    )


def write(wal: WriteAheadLog, group: GroupId, *records: bytes) -> int:
    """Append and flush one light block: it is stable at once."""
    ordinal = wal.append(group, records)
    wal.flush()
    return ordinal


def test_what_was_flushed_comes_back_by_group_in_order() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        wal.append(A, [b"a1", b"a2"])
        wal.append(B, [b"b1"])
        wal.flush()
        write(wal, A, b"", b"a3")
        await wal.close()
        again = await opened(disk)
        assert again.recovered_groups() == [A, B]
        assert again.recovered(A) == [(1, b"a1"), (1, b"a2"), (3, b""), (3, b"a3")]
        assert again.recovered(B) == [(2, b"b1")]
        assert again.recovered(A) == []
        assert (again.recovery.record_count, again.recovery.cut) == (5, None)
        assert write(again, A, b"next") == 4

    asyncio.run(main())


def test_a_light_load_is_synced_inline_and_a_heavy_one_in_the_background_as_one_group() -> None:
    async def main() -> None:
        wal = await opened(MemoryDisk())
        stable: list[int] = []
        wal.on_stable = stable.append
        write(wal, A, b"light")
        assert stable == [1]
        write(wal, A, b"x" * 300_000)
        for _ in range(10):
            write(wal, A, b"y" * 500)
        assert stable == [1]
        await wal.close()
        assert stable == [1, 2, 12]
        # Inline, in the background, inline again (what had come meanwhile is light), and the closing mark.
        assert (wal.block_count, wal.inline_count) == (4, 2)

    asyncio.run(main())


def test_nothing_is_called_stable_after_a_failed_sync() -> None:
    async def main(size_bytes: int) -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        stable: list[int] = []
        failures: list[StorageError] = []
        wal.on_stable, wal.on_failed = stable.append, failures.append
        disk.is_sync_broken = True
        write(wal, A, b"x" * size_bytes)
        for _ in range(3):
            await asyncio.sleep(0)
        disk.is_sync_broken = False
        write(wal, A, b"y")
        await wal.close()
        assert stable == []
        assert [type(failure) for failure in failures] == [SyncFailed]

    asyncio.run(main(10))
    asyncio.run(main(10_000))


def test_a_torn_last_block_is_cut_and_reported_at_every_length() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        write(wal, A, b"kept")
        whole = len(disk.bytes_of(FIRST))
        write(wal, A, b"torn")
        data = disk.bytes_of(FIRST)
        for size_bytes in range(whole, len(data)):
            torn = MemoryDisk()
            file = torn.open(FIRST, create=True)
            file.write(0, data[:size_bytes])
            again = await opened(torn)
            assert again.recovered(A) == [(1, b"kept")]
            cut = again.recovery.cut
            assert (cut is None) == (size_bytes == whole)
            assert cut is None or (cut.offset, cut.byte_count) == (whole, size_bytes - whole)
            assert len(torn.bytes_of(FIRST)) == whole

    asyncio.run(main())


def test_damage_before_a_block_that_calls_it_stable_stops_the_node_with_file_and_offset() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        write(wal, A, b"first")
        begin = len(disk.bytes_of(FIRST))
        write(wal, A, b"second")
        write(wal, A, b"third")
        disk.damage(FIRST, begin + 50, b"\xff")
        with pytest.raises(Corrupt, match=rf"log/0+1\.wal: .*offset {begin}.*remove it from the cluster"):
            await opened(disk)

    asyncio.run(main())


def test_damage_in_the_last_block_is_found_when_the_log_was_closed() -> None:
    """The closing mark says what was stable."""

    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        write(wal, A, b"only")
        await wal.close()
        disk.damage(FIRST, 256 + 45, b"\xff")
        with pytest.raises(Corrupt, match="offset 256"):
            await opened(disk)

    asyncio.run(main())


def test_a_hole_in_what_was_never_stable_is_cut_although_whole_bytes_follow() -> None:
    """A crash may write the second of two unsynced blocks and lose the first."""

    async def main() -> None:
        disk = MemoryDisk(sync_turn_count=1_000)
        wal = await opened(disk)
        write(wal, A, b"kept")
        begin = len(disk.bytes_of(FIRST))
        wal.append(A, [b"p" * 3_000])
        wal.append(A, [b"q" * 3_000])
        wal.flush()
        disk.damage(FIRST, begin + 100, b"\0" * 2_000)
        again = await opened(disk)
        assert again.recovered(A) == [(1, b"kept")]
        assert again.recovery.cut is not None

    asyncio.run(main())


def test_a_copy_of_log_bytes_inside_a_record_is_not_taken_for_a_block() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        write(wal, A, b"one")
        write(wal, A, b"two")
        stolen = disk.bytes_of(FIRST)[256:]
        begin = len(disk.bytes_of(FIRST))
        write(wal, A, stolen)
        disk.cut(FIRST, len(disk.bytes_of(FIRST)) - 1)
        again = await opened(disk)
        assert again.recovery.cut is not None
        assert again.recovery.cut.offset == begin

    asyncio.run(main())


def test_a_full_disk_keeps_the_records_and_writes_them_when_space_returns() -> None:
    async def main() -> None:
        disk = MemoryDisk(capacity_bytes=1_000)
        wal = await opened(disk)
        stable: list[int] = []
        full: list[DiskFull] = []
        wal.on_stable, wal.on_full = stable.append, full.append
        write(wal, A, b"fits")
        size_bytes = len(disk.bytes_of(FIRST))
        with marks.expect("wal: disk full"):
            write(wal, A, b"x" * 900)
        assert (stable, len(full), wal.is_short_of_space) == ([1], 1, True)
        assert len(disk.bytes_of(FIRST)) == size_bytes, "the part that was written is taken back"
        write(wal, A, b"and more")
        assert (stable, len(full)) == ([1], 1)
        disk.capacity_bytes = 1 << 20
        wal.flush()
        assert (stable, wal.is_short_of_space) == ([1, 3], False)
        await wal.close()
        assert [record for _, record in (await opened(disk)).recovered(A)] == [b"fits", b"x" * 900, b"and more"]

    asyncio.run(main())


def test_an_idle_log_on_a_full_disk_goes_without_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark only narrows what counts as torn; a record that comes later still finds its place."""
    monkeypatch.setattr("quorate.storage.wal.MARK_S", 0.0)

    async def main() -> None:
        disk = MemoryDisk(capacity_bytes=1 << 20)
        wal = await opened(disk)
        write(wal, A, b"one")
        disk.capacity_bytes = len(disk.bytes_of(FIRST))
        with marks.expect("wal: no room for a mark"):
            while "wal: no room for a mark" not in marks.counts:
                await asyncio.sleep(0)
        disk.capacity_bytes = 1 << 20
        write(wal, A, b"two")
        await wal.close()
        assert [record for _, record in (await opened(disk)).recovered(A)] == [b"one", b"two"]

    marks.reset()
    asyncio.run(main())


def test_a_full_disk_is_tried_again_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.storage.wal.RETRY_S", 0.001)

    async def main() -> None:
        disk = MemoryDisk(capacity_bytes=500)
        wal = await opened(disk)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        wal.on_stable = done.set_result
        wal.on_full = lambda _cause: setattr(disk, "capacity_bytes", 10_000)
        write(wal, A, b"x" * 900)
        async with asyncio.timeout(5):
            assert await done == 1

    asyncio.run(main())


def test_space_is_short_below_the_floor_and_only_ends_a_quarter_above_it() -> None:
    async def main() -> None:
        disk = MemoryDisk(capacity_bytes=256 + 999)
        wal = await WriteAheadLog.open(disk, node=NodeId(1), cluster="c", free_bytes_min=1_000)
        assert wal.is_short_of_space
        disk.capacity_bytes = 256 + 1_200
        assert wal.is_short_of_space
        disk.capacity_bytes = 256 + 1_250
        assert not wal.is_short_of_space

    asyncio.run(main())


def test_a_segment_goes_when_every_group_in_it_has_released_it() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk, segment_bytes_max=600)
        for number in range(10):
            write(wal, A, b"a" * 200)
            if number == 0:
                write(wal, B, b"b")
        count = wal.segment_count
        assert count > 3
        wal.release(A, wal.last_ordinal + 1)
        assert wal.segment_count == count
        assert wal.holding_back() == (B,)
        again = wal.append(B, [b"b"])
        wal.release(B, again)
        assert wal.segment_count == count, "a release waits for what was appended before it"
        wal.flush()
        assert wal.segment_count == 1
        await wal.close()
        reopened = await opened(disk, segment_bytes_max=600)
        assert [record for _, record in reopened.recovered(B)] == [b"b"]
        assert write(reopened, A, b"on") == again + 1

    asyncio.run(main())


def test_a_missing_segment_and_damage_in_an_older_one_stop_the_node() -> None:
    async def main() -> None:
        async def filled() -> MemoryDisk:
            disk = MemoryDisk()
            wal = await opened(disk, segment_bytes_max=300)
            for _ in range(4):
                write(wal, A, b"a" * 100)
            await wal.close()
            return disk

        disk = await filled()
        disk.remove(SECOND)
        with pytest.raises(Corrupt, match="is missing"):
            await opened(disk)
        disk = await filled()
        disk.cut(FIRST, len(disk.bytes_of(FIRST)) - 1)
        with pytest.raises(Corrupt, match="a later segment exists"):
            await opened(disk)
        disk = await filled()
        disk.damage(FIRST, 3, b"?")
        with pytest.raises(Corrupt, match="header"):
            await opened(disk)

    asyncio.run(main())


def test_a_segment_whose_making_was_cut_short_is_made_again() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        wal = await opened(disk)
        write(wal, A, b"kept")
        await wal.close()
        disk.open(SECOND, create=True).write(0, b"half a header")
        again = await opened(disk)
        assert again.recovered(A) == [(1, b"kept")]
        assert disk.names("log/") == [FIRST]

    asyncio.run(main())


def test_the_log_of_another_node_cluster_or_format_is_refused() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        await opened(disk)
        with pytest.raises(ForeignData, match=r"node 1 of cluster 'c', not to node 2"):
            await WriteAheadLog.open(disk, node=NodeId(2), cluster="c")
        with pytest.raises(ForeignData, match="cluster 'other'"):
            await WriteAheadLog.open(disk, node=NodeId(1), cluster="other")

    asyncio.run(main())


def test_what_is_recovered_is_durable_even_if_it_was_only_in_memory() -> None:
    """A node that was killed between write and sync reads its own cache back: it must not lose that later."""

    async def main() -> None:
        disk = MemoryDisk(sync_turn_count=1_000)
        wal = await opened(disk)
        write(wal, A, b"z" * 5_000)
        again = await opened(disk)
        assert len(again.recovered(A)) == 1
        disk.crash(Random(1))
        assert len((await opened(disk)).recovered(A)) == 1

    asyncio.run(main())


def test_a_release_waits_until_what_was_appended_before_it_is_stable() -> None:
    """The promises that replace the released frames may still be in the buffer when an older sync ends."""

    async def main() -> None:
        wal = await opened(MemoryDisk(sync_turn_count=5), segment_bytes_max=600)
        for _ in range(4):
            write(wal, A, b"a" * 400)
        seen: list[tuple[int, int]] = []
        wal.on_stable = lambda ordinal: seen.append((ordinal, wal.segment_count))
        write(wal, A, b"a" * 5_000)
        count = wal.segment_count
        under_way, promised = wal.last_ordinal, wal.append(A, [b"promise"])
        wal.release(A, promised)
        await wal.close()
        assert seen[0] == (under_way, count)
        assert seen[1] == (promised, 1)

    asyncio.run(main())


def test_reserved_space_is_the_end_of_the_log_and_not_a_torn_block() -> None:
    """Zeros ahead of the log are overwritten without changing the file's length, and are nothing to report."""

    async def main() -> None:
        disk = MemoryDisk()

        async def reserving() -> WriteAheadLog:
            return await WriteAheadLog.open(
                disk, node=NodeId(1), cluster="c", segment_bytes_max=1 << 20, free_bytes_min=0, reserve_bytes=4_096
            )

        wal = await reserving()
        write(wal, A, b"one")
        size_bytes = len(disk.bytes_of(FIRST))
        write(wal, A, b"two")
        assert len(disk.bytes_of(FIRST)) == size_bytes > 4_096
        await wal.close()
        again = await reserving()
        assert [record for _, record in again.recovered(A)] == [b"one", b"two"]
        assert again.recovery.cut is None
        write(again, A, b"three")
        assert len(disk.bytes_of(FIRST)) == size_bytes

    asyncio.run(main())
