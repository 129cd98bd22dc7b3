"""Bases against a dict; the plain one with crashes at any moment of a checkpoint."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.storage import Base, DiskBase, LMDBBase, MemoryDisk

KEYS = st.one_of(
    st.binary(max_size=2), st.builds(lambda tail: b"k" * 479 + tail, st.binary(max_size=3)), st.binary(max_size=600)
)
CHANGES = st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=8)), max_size=12)


def check(base: Base, model: dict[bytes, bytes], bounds: list[bytes]) -> None:
    pairs = sorted(model.items())
    assert base.count() == len(pairs)
    assert list(base.scan(b"", None)) == pairs
    for start in bounds:
        assert base.get(start) == model.get(start)
        for end in bounds:
            expected = [pair for pair in pairs if start <= pair[0] < end]
            assert list(base.scan(start, end)) == expected
            assert list(base.scan(start, end, reverse=True)) == expected[::-1]


def apply(model: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {key: value for key, value in {**model, **changes}.items() if value is not None}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(checkpoints=st.lists(CHANGES, max_size=5), bounds=st.lists(KEYS, max_size=4))
def test_lmdb_agrees_with_a_dict(checkpoints: list[dict[bytes, bytes | None]], bounds: list[bytes]) -> None:
    async def main(directory: Path) -> None:
        base = LMDBBase(directory, ThreadPoolExecutor(1))
        model: dict[bytes, bytes] = {}
        for changes in checkpoints:
            await base.checkpoint(changes, b"m")
            model = apply(model, changes)
            check(base, model, bounds)
        base.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    checkpoints=st.lists(st.tuples(CHANGES, st.integers(0, 6), st.integers(0, 1 << 30)), max_size=6),
    bounds=st.lists(KEYS, max_size=3),
)
def test_a_crash_during_a_checkpoint_leaves_the_state_before_or_after_it(
    checkpoints: list[tuple[dict[bytes, bytes | None], int, int]], bounds: list[bytes]
) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        base = DiskBase(disk, "state/x")
        model: dict[bytes, bytes] = {}
        for number, (changes, turn_count, seed) in enumerate(checkpoints):
            meta = b"%d" % number
            task = asyncio.ensure_future(base.checkpoint(changes, meta))
            for _ in range(turn_count):
                await asyncio.sleep(0)
            is_done = task.done()
            task.cancel()
            await asyncio.wait([task])
            disk.crash(Random(seed))
            base = DiskBase(disk, "state/x")
            assert not is_done or base.meta == meta, "a finished checkpoint is never lost"
            if base.meta == meta:
                model = apply(model, changes)
            check(base, model, bounds)

    asyncio.run(main())
