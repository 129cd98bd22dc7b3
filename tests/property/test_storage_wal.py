"""The log against a list, with a crash at any moment that loses, tears and reorders what was not synced."""

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import GroupId, NodeId
from quorate.storage import MemoryDisk, WriteAheadLog

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3), st.lists(st.integers(0, 9_000), max_size=4)),
        st.tuples(st.just("flush"), st.just(0), st.just([])),
        st.tuples(st.just("wait"), st.integers(1, 4), st.just([])),
        st.tuples(st.just("release"), st.integers(1, 3), st.just([])),
        st.tuples(st.just("crash"), st.integers(0, 1 << 30), st.just([])),
        st.tuples(st.just("close"), st.just(0), st.just([])),
        st.tuples(st.just("capacity"), st.sampled_from((20_000, 1 << 30)), st.just([])),
    ),
    max_size=40,
)


class Model:
    """All frames that were appended, the ordinal that was called stable, and what was released."""

    def __init__(self) -> None:
        self.frames: dict[int, tuple[int, list[bytes]]] = {}
        self.stable = 0
        self.released: dict[int, int] = {}

    def check(self, wal: WriteAheadLog) -> None:
        assert wal.last_ordinal >= self.stable, "nothing that was called stable is lost"
        assert wal.last_ordinal in self.frames or wal.last_ordinal == 0
        self.frames = {ordinal: frame for ordinal, frame in self.frames.items() if ordinal <= wal.last_ordinal}
        for group in (1, 2, 3):
            floor = self.released.get(group, 0)
            found = wal.recovered(GroupId(group))
            expected = [
                (ordinal, record)
                for ordinal, (owner, records) in sorted(self.frames.items())
                if owner == group
                for record in records
            ]
            # A suffix of what was appended, in which at most released frames are missing.
            assert found == expected[len(expected) - len(found) :]
            assert all(ordinal < floor for ordinal, _record in expected[: len(expected) - len(found)])
        self.stable = wal.last_ordinal


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=STEPS, sync_turn_count=st.integers(1, 3), reserve_bytes=st.sampled_from([0, 100, 6_000]))
def test_after_any_crash_the_log_is_a_prefix_that_holds_all_that_was_stable(
    steps: list[tuple[str, int, list[int]]], sync_turn_count: int, reserve_bytes: int
) -> None:
    asyncio.run(_run(steps, sync_turn_count, reserve_bytes))


async def _run(steps: list[tuple[str, int, list[int]]], sync_turn_count: int, reserve_bytes: int) -> None:
    disk = MemoryDisk(sync_turn_count=sync_turn_count, capacity_bytes=1 << 30)
    model = Model()

    async def opened() -> WriteAheadLog:
        disk.capacity_bytes = 1 << 30
        wal = await WriteAheadLog.open(
            disk,
            node=NodeId(1),
            cluster="c",
            segment_bytes_max=8_000,
            free_bytes_min=0,
            reserve_bytes=reserve_bytes,
        )
        model.check(wal)

        def on_stable(ordinal: int) -> None:
            assert ordinal > model.stable
            model.stable = ordinal

        wal.on_stable = on_stable
        return wal

    wal = await opened()
    for kind, number, sizes in steps:
        match kind:
            case "append":
                records = [bytes([ordinal % 251]) * size for ordinal, size in enumerate(sizes, len(model.frames))]
                ordinal = wal.append(GroupId(number), records)
                model.frames[ordinal] = (number, records)
            case "flush":
                wal.flush()
            case "wait":
                for _ in range(number):
                    await asyncio.sleep(0)
            case "release":
                model.released[number] = wal.last_ordinal
                wal.release(GroupId(number), wal.last_ordinal)
            case "capacity":
                disk.capacity_bytes = number
            case "crash":
                if wal._task is not None:
                    wal._task.cancel()
                wal.on_stable = lambda _ordinal: None
                disk.crash(Random(number))
                wal = await opened()
            case _:
                await wal.close()
                wal = await opened()
