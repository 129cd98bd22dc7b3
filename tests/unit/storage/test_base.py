"""One suite over every base: checkpoints are whole, views stay, restores are all or nothing."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quorate.kernel import marks
from quorate.kernel.errors import Corrupt, DiskFull, ForeignData
from quorate.storage import Base, DiskBase, LMDBBase, MemoryDisk, chunks_of

Maker = Callable[[str], Base]


@pytest.fixture(params=["disk", "lmdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Maker]:
    """Open a base by name; opening a name again closes what had it and finds what it left."""
    disk = MemoryDisk()
    opened: dict[str, Base] = {}

    def maker(name: str) -> Base:
        if name in opened:
            opened[name].close()
        if request.param == "disk":
            opened[name] = DiskBase(disk, name)
        else:
            opened[name] = LMDBBase(tmp_path / name, ThreadPoolExecutor(1))
        return opened[name]

    yield maker
    for base in opened.values():
        base.close()


LONG = b"L" * 480
KEYS = [
    b"",
    b"\x00",
    b"a",
    b"ab",
    b"b",
    LONG,
    LONG + b"\x00",
    LONG + b"a" * 200,
    LONG + b"b",
    LONG + b"c" * 900,
    b"\xff",
]


def everything(base: Base) -> list[tuple[bytes, bytes]]:
    return list(base.scan(b"", None))


def test_a_new_base_is_empty_and_has_no_meta(make: Maker) -> None:
    base = make("x")
    assert (base.meta, base.count(), everything(base), base.get(b"a")) == (None, 0, [], None)


def test_a_checkpoint_changes_and_removes_and_is_there_after_opening_again(make: Maker) -> None:
    async def main() -> None:
        base = make("x")
        await base.checkpoint({key: b"v" + key for key in KEYS}, b"one")
        await base.checkpoint([(b"a", None), (b"b", b"new"), (b"never", None)], b"two")
        for _ in range(2):
            assert (base.meta, base.count()) == (b"two", len(KEYS) - 1)
            assert (base.get(b"a"), base.get(b"b")) == (None, b"new")
            assert base.get(LONG + b"c" * 900) == b"v" + LONG + b"c" * 900
            base = make("x")

    asyncio.run(main())


def test_scans_are_in_order_both_ways_for_keys_of_any_length(make: Maker) -> None:
    async def main() -> None:
        base = make("x")
        await base.checkpoint({key: key[:3] for key in reversed(KEYS)}, b"")
        for start in KEYS:
            for end in (*KEYS, None):
                expected = [(key, key[:3]) for key in sorted(KEYS) if key >= start and (end is None or key < end)]
                assert list(base.scan(start, end)) == expected
                assert list(base.scan(start, end, reverse=True)) == expected[::-1]

    asyncio.run(main())


def test_a_view_and_a_scan_stay_as_they_were_while_checkpoints_go_on(make: Maker) -> None:
    async def main() -> None:
        base, copy = make("x"), make("copy")
        await base.checkpoint({b"%d" % number: b"old" for number in range(100)}, b"one")
        view, scan = base.snapshot(), base.scan(b"", None)
        first = next(scan)
        await base.checkpoint({b"%d" % number: None for number in range(100)}, b"two")
        assert len([first, *scan]) == 100
        assert view.meta == b"one"
        restorer = copy.restore()
        for chunk in view.chunks(100):
            restorer.write(chunk)
        await restorer.finish()
        view.close()
        assert (copy.meta, copy.count()) == (b"one", 100)
        assert set(everything(copy)) == {(b"%d" % number, b"old") for number in range(100)}

    asyncio.run(main())


def test_a_restore_replaces_everything_and_lasts(make: Maker) -> None:
    async def main() -> None:
        base = make("x")
        await base.checkpoint({b"gone": b"1"}, b"old")
        view = base.snapshot()
        pairs = [(key, b"r") for key in sorted(KEYS)]
        for _ in range(2):
            restorer = base.restore()
            for chunk in chunks_of(b"new", pairs, 64):
                restorer.write(chunk)
            await restorer.finish()
            restorer.abort()
        assert (base.meta, everything(base)) == (b"new", pairs)
        assert b"".join(view.chunks(1 << 20)) == b"".join(chunks_of(b"old", [(b"gone", b"1")], 1 << 20))
        await base.checkpoint({b"": None}, b"later")
        base = make("x")
        assert (base.meta, everything(base)) == (b"later", pairs[1:])

    asyncio.run(main())


def test_a_restore_into_lmdb_swaps_two_tables(tmp_path: Path) -> None:
    async def main() -> None:
        base = LMDBBase(tmp_path, ThreadPoolExecutor(1))
        restorer = base.restore()
        for chunk in chunks_of(b"new", [(b"k", b"v")], 64):
            restorer.write(chunk)
        with marks.expect("lmdb: restored"):
            await restorer.finish()
        assert base.get(b"k") == b"v"
        base.close()

    asyncio.run(main())


def test_an_aborted_or_incomplete_restore_leaves_the_old_state(make: Maker) -> None:
    async def main() -> None:
        base = make("x")
        await base.checkpoint({b"kept": b"1"}, b"old")
        chunks = list(chunks_of(b"new", [(b"%04d" % number, b"x" * 50) for number in range(100)], 500))
        incomplete = base.restore()
        for chunk in chunks[:-1]:
            incomplete.write(chunk)
        with pytest.raises(Corrupt, match="end was not seen"):
            await incomplete.finish()
        incomplete.abort()
        await base.checkpoint({b"more": b"2"}, b"newer")
        base = make("x")
        assert (base.meta, everything(base)) == (b"newer", [(b"kept", b"1"), (b"more", b"2")])

    asyncio.run(main())


def test_a_checkpoint_that_fails_on_the_way_changes_nothing(make: Maker) -> None:
    async def main() -> None:
        base = make("x")
        await base.checkpoint({b"kept": b"1"}, b"old")

        def changes() -> Iterator[tuple[bytes, bytes | None]]:
            for number in range(5_000):
                yield b"%d" % number, b"x"
            raise KeyError("the caller's own")

        with pytest.raises(KeyError):
            await base.checkpoint(changes(), b"new")
        assert (base.meta, everything(base)) == (b"old", [(b"kept", b"1")])
        await base.checkpoint({b"after": b"2"}, b"new")
        assert everything(base) == [(b"after", b"2"), (b"kept", b"1")]

    asyncio.run(main())


def test_damaged_repeated_and_missing_chunks_are_refused(make: Maker) -> None:
    async def main() -> None:
        base = make("x")
        chunks = list(chunks_of(b"m", [(b"%04d" % number, b"x" * 50) for number in range(50)], 300))
        for place, chunk in enumerate(chunks):
            for bad in (chunk[:-1], chunk + b"x", b"", chunk[:10] + b"\x77" + chunk[11:], chunks[place - 1]):
                restorer = base.restore()
                for good in chunks[:place]:
                    restorer.write(good)
                with pytest.raises(Corrupt):
                    restorer.write(bad)
                restorer.abort()
        assert base.count() == 0

    asyncio.run(main())


def test_a_damaged_image_stops_the_node() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        await DiskBase(disk, "x").checkpoint({b"k": b"v" * 1_000}, b"m")
        for offset in range(0, len(disk.bytes_of("x")), 37):
            old = disk.bytes_of("x")[offset : offset + 1]
            disk.damage("x", offset, bytes([old[0] ^ 1]))
            with pytest.raises((Corrupt, ForeignData), match="x: "):
                DiskBase(disk, "x")
            disk.damage("x", offset, old)
        assert DiskBase(disk, "x").get(b"k") == b"v" * 1_000

    asyncio.run(main())


@pytest.mark.real
def test_a_map_that_cannot_grow_is_a_full_disk_and_the_old_state_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.storage.lmdbbase.MAP_BYTES_MAX", 1 << 20)

    async def main() -> None:
        base = LMDBBase(tmp_path, ThreadPoolExecutor(1))
        await base.checkpoint({b"kept": b"1"}, b"old")
        with pytest.raises(DiskFull):
            await base.checkpoint({b"%d" % number: b"x" * 1_000 for number in range(3_000)}, b"new")
        assert (base.meta, everything(base)) == (b"old", [(b"kept", b"1")])
        await base.checkpoint({b"after": b"2"}, b"newer")
        assert base.get(b"after") == b"2"
        base.close()

    asyncio.run(main())
