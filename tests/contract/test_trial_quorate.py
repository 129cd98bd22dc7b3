"""Quorate on trial, with the same rules as everybody else; and without its disk it must fail."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quorate.kernel import NodeId, seconds
from quorate.lab import QuorateSystem, TrialOptions, TrialResult, run_trial
from quorate.lab.systems import Signal

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Forgetful(QuorateSystem):
    """Nodes whose disk is empty after a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.crashed: set[NodeId] = set()

    async def stop(self, node: NodeId, how: Signal) -> None:
        await super().stop(node, how)
        self.crashed.add(node)

    async def start(self, node: NodeId) -> None:
        if node in self.crashed:
            shutil.rmtree(self._directory / f"node-{node}")
            (self._directory / f"node-{node}").mkdir()
        await super().start(node)


def tried(tmp_path: Path, system: QuorateSystem, **options: Any) -> TrialResult:
    wanted = {"node_count": 3, "rate_per_second": 150, "worker_count": 9, "output": tmp_path, **options}
    return run_trial(TrialOptions(**wanted), system=system, console=Console(file=io.StringIO()))


def test_acknowledged_writes_survive_the_leaders_death_and_isolation(tmp_path: Path) -> None:
    result = tried(tmp_path, QuorateSystem(), duration=seconds(8), faults=("crash-leader", "isolate-leader"))
    assert result.verdict == "valid"
    assert result.recovery_ns is not None
    assert len({seen.node for _, seen in result.leaders if seen.node is not None}) > 1


def test_a_node_that_forgets_its_disk_is_caught(tmp_path: Path) -> None:
    """One node, so that nobody else remembers: with more, a peer that is up to date may save the day by luck."""
    result = tried(tmp_path, Forgetful(), node_count=1, duration=seconds(6), faults=("crash-leader",))
    assert result.verdict == "invalid"


def test_the_second_act_serves_one_keyspace_on_both_sides_of_a_partition(tmp_path: Path) -> None:
    """On the processes of the first act: Raft refuses on the minority side, the leaderless keyspace does not."""
    result = tried(tmp_path, QuorateSystem(has_carts=True), duration=seconds(1), faults=(), act_count=2)
    assert result.act is not None
    assert result.act.verdict == "valid", result.act.reason
    assert result.exit_status == 0
    assert (tmp_path / "history-carts.jsonl").exists()
