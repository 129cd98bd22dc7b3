"""Third wing: reads that are too quick."""

from typing import Any

from quorate.kernel import LogIndex, NodeId
from quorate.lab.museum.bug import exhibit
from quorate.protocols.raft import Leader, Raft
from quorate.replication import Group

STALE = {
    "aims": {"isolate a proposing leader": 0.6, "isolate a new leader": 0.5, "pause a proposing leader": 0.3},
    "lease_reads": False,
    "has_operator": False,
}


@exhibit(
    name="read-without-barrier",
    story="""A leader answers reads from its own state without asking a quorum whether it still leads.
Behind a partition it goes on for a while and shows the past.""",
    source="Jepsen 2014, etcd and Consul: stale reads; Raft §8",
    layer="raft",
    caught_by=("not linearizable",),
    level="core",
    conditions=STALE,
    seeds_max=40,
)
class ReadWithoutBarrier(Raft):
    """Takes its own word for it."""

    def _add_read(self, role: Leader, token: int, requester: NodeId | None) -> None:
        self._answer_read(token, requester, self.commit_index)


@exhibit(
    name="read-before-first-commit",
    story="""A new leader confirms reads by a round of heartbeats, but does not wait until an entry of its own term is
committed. It leads, and does not know yet what its predecessor committed.""",
    source="Raft §8 and thesis §6.4: the no-op entry",
    layer="raft",
    caught_by=("not linearizable",),
    level="core",
    conditions={
        "aims": {"crash a proposing leader": 0.6, "cut the power of a proposing leader": 0.4},
        "lease_reads": False,
    },
    seeds_max=80,
)
class ReadBeforeFirstCommit(Raft):
    """Does not wait for its first commit."""

    def _add_read(self, role: Leader, token: int, requester: NodeId | None) -> None:
        first_index, role.first_index = role.first_index, LogIndex(0)
        try:
            super()._add_read(role, token, requester)
        finally:
            role.first_index = first_index


@exhibit(
    name="lease-on-a-drifting-clock",
    story="""A leader trusts its lease longer than the followers' clocks keep their promise: no bound on drift was
subtracted, and what was measured on one clock is compared with another. While it still reads alone, they elect.""",
    source="thesis §6.4.1: safe only while drift is bounded",
    layer="raft",
    caught_by=("not linearizable",),
    level="core",
    conditions={
        "lease_reads": True,
        "drift_ppb_max": 9_900_000,
        "aims": {"skew and isolate the leader": 0.9, "isolate a proposing leader": 0.5},
        "has_operator": False,
        "operations_per_second": 400,
        "worker_count": 12,
        "node_count": 5,
    },
    seeds_max=150,
)
class LeaseOnADriftingClock(Raft):
    """Counts five quarters of the election timeout as its lease."""

    def _has_lease(self, role: Leader) -> bool:
        if not self.config.lease_reads or role.is_lease_void or role.leased_at is None:
            return False
        return self.now - role.leased_at < self.config.election_timeout * 5 // 4


@exhibit(
    name="lease-from-the-answer",
    story="""The lease begins when the answers of a quorum arrive, not when the question was sent.
On a slow link the voters' promise began, and ends, long before.""",
    source="Gray & Cheriton 1989 measure a lease from the request; thesis §6.4.1",
    layer="raft",
    caught_by=("not linearizable",),
    level="core",
    conditions={
        "lease_reads": True,
        "aims": {"clog and isolate the leader": 0.9},
        "has_operator": False,
        "operations_per_second": 400,
        "worker_count": 12,
        "node_count": 5,
    },
    seeds_max=150,
)
class LeaseFromTheAnswer(Raft):
    """Begins its lease too late, so it ends too late."""

    def _confirm_reads(self, role: Leader) -> None:
        before = role.leased_at
        super()._confirm_reads(role)
        if role.leased_at != before:
            role.leased_at = self.now


@exhibit(
    name="transfer-keeps-the-lease",
    story="""A leader that has told another node to campaign goes on reading under its lease.
The voters were asked to overlook that very lease, so somebody else may already lead and write.""",
    source="thesis §3.10 with §6.4.1",
    layer="raft",
    caught_by=("not linearizable",),
    level="core",
    conditions={
        "lease_reads": True,
        "has_operator": True,
        "operator_ms": 250,
        "aims": {"isolate a leader that hands over": 0.9},
        "operations_per_second": 400,
        "worker_count": 12,
        "node_count": 5,
    },
    seeds_max=60,
)
class TransferKeepsTheLease(Raft):
    """Forgets that it has given its lease away."""

    def _has_lease(self, role: Leader) -> bool:
        role.is_lease_void = False
        return super()._has_lease(role)


@exhibit(
    name="stale-leader-answers",
    story="""The node that believes it leads answers reads from its own state at once: no round, no lease.
While it is paused or cut off, others have moved on.""",
    source="every primary that serves reads from its own memory",
    layer="replication",
    caught_by=("not linearizable",),
    level="loop",
    conditions=STALE | {"operations_per_second": 300, "worker_count": 8},
    seeds_max=200,
)
class StaleLeaderAnswers(Group):
    """Answers from its own state while it thinks that it leads."""

    def read(self, command: Any, caller: Any) -> None:
        """Answer at once."""
        if self.is_leader:
            caller.complete(self.state.query(command, 0))
            self._mark_dirty([caller])
        else:
            super().read(command, caller)


@exhibit(
    name="read-from-any-replica",
    story="""Every node answers reads from its own state, however far it is behind.""",
    source="ZooKeeper reads without sync, Cassandra at ONE: fine when declared, wrong when not",
    layer="replication",
    caught_by=("not linearizable",),
    level="loop",
    conditions={},
    seeds_max=10,
)
class ReadFromAnyReplica(Group):
    """Answers from its own state."""

    def read(self, command: Any, caller: Any) -> None:
        """Answer at once."""
        caller.complete(self.state.query(command, 0))
        self._mark_dirty([caller])


@exhibit(
    name="read-before-applied",
    story="""A read's barrier was confirmed, and the node answers before it has applied up to it.""",
    source="thesis §6.4, step 4: wait until the state machine has advanced at least as far as readIndex",
    layer="replication",
    caught_by=("not linearizable",),
    level="loop",
    conditions={},
    seeds_max=60,
)
class ReadBeforeApplied(Group):
    """Takes a confirmed barrier for an applied one."""

    def serve_reads(self, *, is_ticked: bool = False) -> None:
        """Answer every read whose barrier is known."""
        for batch in self._read_batches:
            if batch.index is not None:
                batch.index = 0
        super().serve_reads(is_ticked=is_ticked)
