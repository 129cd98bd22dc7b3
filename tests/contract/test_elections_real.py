"""STONITH with real processes: the old leader is killed, and only then does the new one write."""

import asyncio
import signal
from pathlib import Path

import pytest

from quorate.kernel import NodeId, seconds
from quorate.lab.elections import NODES, Run, Supervisor, run_really


@pytest.mark.slow
@pytest.mark.real
def test_a_new_leader_kills_the_old_one_before_it_writes(tmp_path: Path) -> None:
    """SIGKILL, confirmed by the operating system; no write of the old leader arrives after one of the new."""
    run = Run(kind="bully", cure="stonith", harm="partition")
    row, statuses = asyncio.run(run_really(run, seconds(2), tmp_path))
    assert statuses == {NodeId(4): -signal.SIGKILL, NodeId(5): -signal.SIGKILL}
    assert row.killed == (4, 5)
    writers = list(dict.fromkeys(attempt.node for attempt in run.attempts))
    assert writers == [5, 3]
    last_of_old = max(place for place, attempt in enumerate(run.attempts) if attempt.node == 5)
    first_of_new = min(place for place, attempt in enumerate(run.attempts) if attempt.node == 3)
    assert last_of_old < first_of_new
    assert (row.both_span, row.stale_count) == (0, 0)
    assert all(path.stat().st_size for path in tmp_path.iterdir()), "tokens are on disk"


@pytest.mark.slow
@pytest.mark.real
def test_a_leader_that_was_shot_first_shoots_nobody(tmp_path: Path) -> None:
    """Of two that ask for each other's death, one lives; a second order to kill the dead is harmless."""

    async def both_shoot() -> tuple[list[NodeId], list[NodeId]]:
        async with Supervisor(Run(kind="ring", cure="none", harm="partition"), tmp_path) as supervisor:
            shots = (
                supervisor._shoot(NodeId(3), [NodeId(4), NodeId(5)], [9, 3]),
                supervisor._shoot(NodeId(5), [NodeId(1), NodeId(3)], [9, 5]),
            )
            await asyncio.gather(*shots)
            await supervisor.kill(NodeId(4))
            return supervisor.run.killed, [node for node in NODES if node not in supervisor.statuses]

    killed, alive = asyncio.run(both_shoot())
    assert killed == [4, 5]
    assert alive == [1, 2, 3]
