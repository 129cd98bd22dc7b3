"""Trials of ZooKeeper, PostgreSQL, Redis with Sentinel and NATS: each is found to be what its documents say.

Where a server is not installed these tests fail, and the error names the package: `.ci/run` installs all of them.
"""

import io
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quorate.check import Event, History, check
from quorate.kernel import errors, seconds
from quorate.lab import System, TrialOptions, TrialResult, make_system, run_trial
from quorate.lab.systems.programs import program
from quorate.lab.systems.zookeeper_system import ZooKeeperSystem

pytestmark = [pytest.mark.real, pytest.mark.slow]


def tried(tmp_path: Path, system: System | str, **options: Any) -> TrialResult:
    wanted = {"node_count": 3, "faults": (), "rate_per_second": 200, "output": tmp_path, **options}
    chosen = make_system(system) if isinstance(system, str) else system
    return run_trial(TrialOptions(**wanted), system=chosen, console=Console(file=io.StringIO(), width=120))


def leaders(result: TrialResult) -> set[int]:
    return {seen.node for _, seen in result.leaders if seen.node is not None}


def updates_alone(result: TrialResult) -> History:
    history = History.from_lines(result.history.read_bytes().splitlines())
    kept = [event for event in history.events if event.f != "read"]
    return History(
        [Event(**{name: getattr(e, name) for name in e.__struct_fields__} | {"index": n}) for n, e in enumerate(kept)]
    )


def test_sentinel_loses_acknowledged_writes_at_a_failover_and_the_report_shows_which(tmp_path: Path) -> None:
    """The primary that is cut off goes on saying OK until somebody tells it that it is none."""
    result = tried(
        tmp_path, "redis-sentinel", duration=seconds(6.8), faults=("isolate-leader",), fault_duration=seconds(4)
    )
    assert len(leaders(result)) > 1
    assert result.verdict == "invalid"
    lost = result.finding.witness[0]
    assert lost.outcome == "ok"
    assert lost.key is not None and f"{lost.key}" in (tmp_path / "report.html").read_text()


def test_zookeeper_without_sync_reads_the_past_but_writes_in_one_order(tmp_path: Path) -> None:
    """Its guide: writes are linearizable, reads sequentially consistent; a client's view never moves back."""
    # Whether somebody happens to look at the past is chance: one of a few trials shows it.
    for seed in range(1, 6):
        result = tried(
            tmp_path,
            "zookeeper-local",
            duration=seconds(4.5),
            faults=("partition-halves",),
            fault_duration=seconds(2.2),
            seed=seed,
        )
        if result.verdict == "invalid":
            break
    assert result.verdict == "invalid"
    assert check(updates_alone(result), "kv").verdict == "valid"
    seen: dict[tuple[int, str], int] = defaultdict(int)
    for call in result.calls:
        if call.key.startswith("counter") and call.outcome == "ok":
            assert int(call.result or 0) >= seen[call.worker, call.key]
            seen[call.worker, call.key] = int(call.result or 0)
    assert seen


def test_zookeeper_with_sync_stays_valid_while_its_leader_is_cut_off(tmp_path: Path) -> None:
    result = tried(tmp_path, "zookeeper", duration=seconds(5), faults=("isolate-leader",), fault_duration=seconds(2))
    assert result.verdict == "valid"
    # The links do harm: there was a time without a leader, and another epoch after it.
    assert len({seen.term for _, seen in result.leaders if seen.node is not None}) > 1


def test_postgres_with_a_synchronous_standby_keeps_what_it_acknowledged_over_a_promotion(tmp_path: Path) -> None:
    result = tried(tmp_path, "postgres", duration=seconds(6.8), faults=("isolate-leader",), fault_duration=seconds(4))
    assert len(leaders(result)) > 1
    assert result.verdict == "valid"


def test_postgres_with_asynchronous_standbys_loses_acknowledged_writes_at_a_promotion(tmp_path: Path) -> None:
    result = tried(
        tmp_path, "postgres-async", duration=seconds(6.8), faults=("isolate-leader",), fault_duration=seconds(4)
    )
    assert len(leaders(result)) > 1
    assert result.verdict == "invalid"


def test_clustered_nats_lets_two_updates_of_one_sequence_succeed_until_2_9_21(tmp_path: Path) -> None:
    """nats-io/nats-server#4320: the expected sequence was checked before the proposal alone. No fault is needed."""
    said = subprocess.run(
        [program("nats-server", package="nats-server"), "--version"], capture_output=True, text=True, check=True
    )
    version = tuple(map(int, re.findall(r"\d+", said.stdout)[:3]))
    result = tried(tmp_path, "nats", duration=seconds(3), rate_per_second=800, key_count=4)
    assert result.verdict == ("invalid" if version < (2, 9, 21) else "valid")


def test_a_server_that_is_not_installed_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(
        errors.UsageError,
        match="such-server is not on the PATH: install the that-package package",
    ):
        program("such-server", package="that-package")
    with pytest.raises(errors.UsageError, match="install the zookeeper package"):
        tried(tmp_path, ZooKeeperSystem(jar=tmp_path / "none.jar"), duration=seconds(1))
