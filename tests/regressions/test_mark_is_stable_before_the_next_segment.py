"""The mark of an idle log is stable before the next segment begins, or a power cut looks like damage."""

import asyncio
import random

import pytest

from quorate.kernel import GroupId, NodeId
from quorate.storage import MemoryDisk, WriteAheadLog


async def _idle_then_roll(disk: MemoryDisk) -> None:
    wal = await WriteAheadLog.open(disk, node=NodeId(1), cluster="c", segment_bytes_max=1_000)
    wal.append(GroupId(1), [b"x" * 1_200])
    wal.flush()
    await asyncio.sleep(0.02)
    wal.append(GroupId(1), [b"the first of the next segment"])
    wal.flush()
    assert wal.segment_count == 2


@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_after_a_mark_and_a_new_segment_leaves_a_log_that_opens(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """An idle log writes a mark without a sync; found by a campaign: the cut left a hole before a later segment."""
    monkeypatch.setattr("quorate.storage.wal.MARK_S", 0.001)
    disk = MemoryDisk()
    asyncio.run(_idle_then_roll(disk))

    disk.crash(random.Random(seed))
    wal = asyncio.run(WriteAheadLog.open(disk, node=NodeId(1), cluster="c", segment_bytes_max=1_000))

    assert wal.recovered(GroupId(1))[0][0] == 1
