"""Raft under random schedules: whatever is lost, repeated, reordered or crashed, the five safety properties hold."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import SECOND, LogIndex, NodeId, milliseconds
from quorate.protocols.raft import (
    Leader,
    PeerLost,
    Propose,
    Read,
    ReadReady,
    Reconfigure,
    TransferLeadership,
)
from quorate.protocols.raft.testing import RaftCluster


class Schedule:
    """One random run; the seed is the whole run."""

    def __init__(self, seed: int, *, voter_count: int, joiner_count: int = 0, **config: object) -> None:
        self.rng = random.Random(seed)
        joiners = range(voter_count + 1, voter_count + 1 + joiner_count)
        self.cluster = RaftCluster(voter_count, joiners=joiners, seed=seed, **config)
        self.nodes = list(self.cluster.boxes)
        self.token = 0
        # Token → what was committed somewhere when the read was asked.
        self.asked: dict[int, LogIndex] = {}
        self.judged: dict[NodeId, int] = dict.fromkeys(self.nodes, 0)
        self.read_count = 0

    def run(self, step_count: int) -> None:
        # Swarm: some runs are calm and get far, others are nothing but harm.
        harm = self.rng.choice((0.05, 0.2, 0.5, 1.0))
        moves = [
            (40.0, self.deliver), (6 * harm, self.repeat), (6 * harm, self.lose), (12.0, self.fire), (12.0, self.propose),
            (6.0, self.read), (2 * harm, self.crash), (4.0, self.restart), (6.0, self.sync), (1 * harm, self.slow),
            (1 * harm, self.cut), (2.0, self.heal), (1.5, self.reconfigure), (2.0, self.compact), (1.0, self.transfer),
            (1 * harm, self.link),
        ]  # fmt: skip
        weights = [weight for weight, _ in moves]
        actions = [action for _, action in moves]
        for action in self.rng.choices(actions, weights, k=step_count):
            action()
            self.judge_reads()

    def alive(self) -> list[NodeId]:
        return [node for node in self.nodes if self.cluster.boxes[node].is_alive]

    def deliver(self) -> None:
        for _ in range(self.rng.randint(1, 12)):
            if self.cluster.wire:
                # Mostly in order, so that something happens; sometimes not.
                at = 0 if self.rng.random() < 0.8 else self.rng.randrange(len(self.cluster.wire))
                self.cluster.deliver(self.cluster.wire[at])

    def repeat(self) -> None:
        if self.cluster.wire:
            letter = self.rng.choice(self.cluster.wire)
            self.cluster.deliver(letter, repeat=True)

    def lose(self) -> None:
        if self.cluster.wire:
            self.cluster.lose(self.rng.choice(self.cluster.wire))

    def fire(self) -> None:
        timers = [(at, node, timer) for node in self.alive() for timer, at in self.cluster.boxes[node].timers.items()]
        if timers:
            _, node, timer = min(timers)
            self.cluster.fire(node, timer)

    def propose(self) -> None:
        node = self.leader_or_any()
        self.token += 1
        if node is not None:
            payloads = tuple(b"%d.%d" % (self.token, part) for part in range(self.rng.randint(1, 3)))
            self.cluster.call(node, Propose(payloads, self.token))

    def leader_or_any(self) -> NodeId | None:
        leader = self.cluster.leader
        if leader is not None and self.rng.random() < 0.8:
            return leader.node
        return self.rng.choice(self.alive()) if self.alive() else None

    def read(self) -> None:
        node = self.rng.choice(self.alive()) if self.alive() else None
        self.token += 1
        if node is not None:
            self.asked[self.token] = self.cluster.history.last_committed
            self.cluster.call(node, Read(self.token))

    def judge_reads(self) -> None:
        for node in self.alive():
            outputs = self.cluster.boxes[node].outputs
            for output in outputs[self.judged[node] :]:
                if isinstance(output, ReadReady):
                    self.read_count += 1
                    assert self.asked[output.token] <= output.index, f"a stale read at node {node}"
            self.judged[node] = len(outputs)

    def crash(self) -> None:
        if len(self.alive()) > 1:
            self.cluster.crash(self.rng.choice(self.alive()))

    def restart(self) -> None:
        dead = [node for node in self.nodes if node not in self.alive()]
        if dead:
            node = self.rng.choice(dead)
            self.judged[node] = 0
            self.cluster.restart(node)

    def sync(self) -> None:
        node = self.rng.choice(self.nodes)
        box = self.cluster.boxes[node]
        if box.is_alive and box.writes:
            self.cluster.sync(node, write_count=self.rng.randint(1, len(box.writes)))

    def slow(self) -> None:
        box = self.cluster.boxes[self.rng.choice(self.nodes)]
        box.is_slow = not box.is_slow

    def cut(self) -> None:
        left = self.rng.sample(self.nodes, self.rng.randint(1, len(self.nodes) - 1))
        self.cluster.cut(left, [node for node in self.nodes if node not in left])

    def heal(self) -> None:
        self.cluster.heal()

    def reconfigure(self) -> None:
        node = self.leader_or_any()
        config = self.cluster.machine(1).config
        # Without both, a removed node may depose leaders for ever (§6, "disruptive servers").
        if node is not None and config.pre_vote and config.check_quorum:
            voters = self.rng.sample(self.nodes, self.rng.randint(1, len(self.nodes)))
            learners = [other for other in self.nodes if other not in voters and self.rng.random() < 0.5]
            self.cluster.call(node, Reconfigure(tuple(voters), tuple(learners), 0))

    def compact(self) -> None:
        if self.alive():
            self.cluster.compact(self.rng.choice(self.alive()))

    def transfer(self) -> None:
        node = self.leader_or_any()
        if node is not None:
            self.cluster.call(node, TransferLeadership(self.rng.choice(self.nodes), 0))

    def link(self) -> None:
        if self.alive():
            self.cluster.call(self.rng.choice(self.alive()), PeerLost(self.rng.choice(self.nodes)))

    def recover(self) -> None:
        """Heal everything; within seconds there is a leader, it commits, and all members hold the same."""
        cluster = self.cluster
        cluster.heal()
        for node in self.nodes:
            if not cluster.boxes[node].is_alive:
                self.judged[node] = 0
                cluster.restart(node)
            cluster.boxes[node].is_slow = False
            cluster.sync(node)
        cluster.run(20 * SECOND)
        leader = cluster.leader
        assert leader is not None, "a healed group elects a leader"
        cluster.propose(leader.node, b"last")
        cluster.run(2 * SECOND)
        leader = cluster.leader
        assert leader is not None
        assert isinstance(leader.role, Leader)
        assert cluster.applied[LogIndex(leader.commit_index)].payload == b"last"
        assert not leader.configuration.is_joint, "a change that was begun is finished"
        for node in leader.configuration.members:
            box = cluster.boxes[node]
            assert box.applied_index == leader.commit_index, f"node {node} caught up"
            expected = [cluster.applied[LogIndex(index)] for index in range(1, box.applied_index + 1)]
            assert box.applied == expected, f"node {node} applied every entry once, in order"
        self.judge_reads()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), pre_vote=st.booleans(), check_quorum=st.booleans())
def test_three_nodes_stay_safe_and_recover_under_any_schedule(seed: int, pre_vote: bool, check_quorum: bool) -> None:
    """Loss, repetition, reordering, slow disks, crashes that lose writes, partitions, snapshots, transfers."""
    schedule = Schedule(
        seed, voter_count=3, pre_vote=pre_vote, check_quorum=check_quorum, trailing_entry_count=seed % 5
    )
    schedule.run(300)
    schedule.recover()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_members_change_under_any_schedule(seed: int) -> None:
    """Five nodes, of which two join later, change places as voters and learners all the time."""
    schedule = Schedule(seed, voter_count=3, joiner_count=2, trailing_entry_count=2, inflight_count_max=2)
    schedule.run(400)
    schedule.recover()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_five_voters_stay_safe_and_recover_over_a_long_schedule(seed: int) -> None:
    schedule = Schedule(seed, voter_count=5, trailing_entry_count=seed, append_bytes_max=8, inflight_bytes_max=32)
    schedule.run(1_500)
    schedule.recover()
    assert schedule.read_count > 0


def test_leased_reads_are_never_stale_while_clocks_agree() -> None:
    """Thesis §6.4.1: all nodes share one clock here, so no drift can break a lease."""
    read_count = 0
    for seed in range(15):
        schedule = Schedule(seed, voter_count=3, lease_reads=True, election_timeout=milliseconds(300))
        schedule.run(300)
        schedule.recover()
        read_count += schedule.read_count
    assert read_count > 10
