"""Machines are plain data: comparable, picklable, recoverable; configurations and invariants say no when they should."""

import pickle
import random
from typing import Any

import pytest

from quorate.kernel import LogIndex, NodeId, milliseconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.raft import (
    COMMAND,
    ClusterHistory,
    Configuration,
    Entry,
    InvariantBroken,
    Raft,
    RaftConfig,
    Reconfigure,
    check_cluster,
)
from quorate.protocols.raft.testing import RaftCluster

FOUNDERS = Configuration((NodeId(1), NodeId(2), NodeId(3)))


def busy() -> RaftCluster:
    cluster = RaftCluster(3, joiners=[4], trailing_entry_count=2)
    cluster.elect(1)
    for number in range(6):
        cluster.propose(1, b"%d" % number)
    cluster.settle()
    cluster.compact(1)
    cluster.call(1, Reconfigure((NodeId(1), NodeId(2), NodeId(4)), (NodeId(3),), 1))
    cluster.settle()
    cluster.propose(1, b"under way")
    return cluster


def test_a_machine_survives_pickling_in_the_middle_of_everything() -> None:
    for machine in busy().alive:
        copy = pickle.loads(pickle.dumps(machine))
        assert copy == machine
        copy.term += 1
        assert copy != machine


def test_recovery_records_reproduce_what_is_durable() -> None:
    """What a log file begins with after a roll-over stands for all files before it."""
    for machine in busy().alive:
        again = Raft(machine.config, machine.recovery_records(), random.Random(0))
        assert (again.term, again.voted_for) == (machine.term, machine.voted_for)
        assert again.log.snapshot == machine.log.snapshot
        assert again.log.configurations == machine.log.configurations
        assert again.log.last_index == machine.log.last_index
        assert again.log.last_term == machine.log.last_term
        assert again.log.entries == machine.log.entries[-len(again.log.entries) :]
        assert again.commit_index == machine.log.snapshot.index


def test_nothing_is_applied_twice_or_ahead_of_the_disk_over_crashes() -> None:
    cluster = busy()
    cluster.settle()
    for node in (1, 2, 3, 4):
        cluster.crash(node)
        cluster.restart(node)
    cluster.run(milliseconds(3_000))
    assert cluster.leader is not None
    assert cluster.box(2).applied == [cluster.applied[LogIndex(index)] for index in sorted(cluster.applied)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"node": NodeId(0)}, "node"),
        ({"configuration": Configuration((NodeId(2), NodeId(1)))}, "configuration"),
        ({"configuration": Configuration((NodeId(1),), (NodeId(1),))}, "configuration"),
        ({"configuration": Configuration((NodeId(1),), (), (NodeId(2),))}, "joint"),
        ({"heartbeat_interval": 400_000_000}, "election_timeout"),
        ({"inflight_count_max": 0}, "inflight_count_max"),
        ({"trailing_entry_count": -1}, "trailing_entry_count"),
        ({"lease_reads": True, "check_quorum": False}, "lease_reads"),
        ({"clock_drift_ppm": 1_000_000}, "clock_drift_ppm"),
    ],
)
def test_a_config_that_cannot_work_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RaftConfig(**{"node": NodeId(1), "configuration": FOUNDERS, **change})


def test_a_lease_is_shorter_than_the_timeout_by_twice_the_drift() -> None:
    config = RaftConfig(node=NodeId(1), configuration=FOUNDERS, clock_drift_ppm=10_000)
    assert config.lease == config.election_timeout * 990_000 // 1_010_000


def test_two_leaders_of_a_term_are_noticed() -> None:
    one, two = RaftCluster(3), RaftCluster(3)
    one.elect(1)
    two.elect(2)
    with pytest.raises(InvariantBroken, match="election safety"):
        check_cluster([one.machine(1), two.machine(2)], ClusterHistory())


def test_different_entries_of_one_place_and_term_are_noticed() -> None:
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.settle()
    cluster.machine(3).log.entries[1] = Entry(LogIndex(2), 1, COMMAND, b"b")
    with pytest.raises(InvariantBroken, match="log matching"):
        check_cluster(cluster.alive, ClusterHistory())


def test_a_leader_without_a_committed_entry_is_noticed() -> None:
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.settle()
    history = ClusterHistory()
    check_cluster([cluster.machine(2)], history)
    del cluster.machine(1).log.entries[1:]
    cluster.machine(1).commit_index = LogIndex(1)
    with pytest.raises(InvariantBroken, match="leader completeness"):
        check_cluster([cluster.machine(1)], history)


def test_a_falling_commit_index_is_noticed() -> None:
    cluster = RaftCluster(1)
    cluster.machine(1).commit_index = LogIndex(0)
    with pytest.raises(InvariantBroken, match="fell"):
        check_cluster(cluster.alive, cluster.history)


class ForgetsItsVote(Raft):
    """PySyncObj's bug: the vote is not written down."""

    def _persist_hard_state(self) -> tuple[Any, ...]:
        return ()


def test_a_planted_bug_is_caught_by_the_invariants() -> None:
    """A node votes, crashes, forgets, and votes again in the same term: two leaders."""
    cluster = RaftCluster(3, machine=ForgetsItsVote, pre_vote=False, check_quorum=False)
    cluster.time_out(1)
    cluster.time_out(2)
    for letter in list(cluster.wire):
        if letter.to != 3 and letter.sender != 3:
            cluster.lose(letter)
    with pytest.raises(InvariantBroken, match="election safety"):
        cluster.deliver(cluster.wire[0])
        cluster.crash(3)
        cluster.restart(3)
        cluster.settle()
