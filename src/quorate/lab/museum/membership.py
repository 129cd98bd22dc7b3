"""Fourth wing: changes of members that split the vote."""

from quorate.kernel import LogIndex
from quorate.lab.museum.bug import exhibit
from quorate.protocols.quorums import JointQuorum, MajorityQuorum
from quorate.protocols.raft import (
    CONFIGURATION,
    CONFIGURATIONS,
    Configuration,
    Leader,
    Proposed,
    Raft,
    Reconfigure,
)

CHURN = {
    "has_operator": True,
    "lease_reads": False,
    "aims": {
        "isolate a leader that changes members": 0.5,
        "isolate a leader that changes members with one other": 0.8,
        "isolate a proposing leader with one other": 0.3,
    },
}


@exhibit(
    name="single-server-change-2015",
    story="""Members are changed one at a time, without joint consensus, and a new leader may begin a change before it
has committed an entry of its own term. Two leaders of different terms each change one member of an even number of
voters, and their majorities need not meet.""",
    source="Ongaro, raft-dev, 10 July 2015, 'bug in single-server membership changes'",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions={
        "has_operator": True,
        "lease_reads": False,
        "aims": {"split twice around a change of members": 0.6},
        "has_random_faults": False,
        "node_count": 5,
        "operator_ms": 80,
        "pre_vote": False,
    },
    seeds_max=500,
    is_slow=True,
)
class SingleServerChange(Raft):
    """Adds or removes one voter at a time, at once."""

    def _may_reconfigure(self, role: Leader) -> bool:
        return True

    def _on_reconfigure(self, call: Reconfigure) -> None:
        role, present = self.role, self.configuration.voters
        added = [node for node in call.voters if node not in present]
        removed = [node for node in present if node not in call.voters and node != self.node]
        voters = (
            tuple(sorted((*present, added[0])))
            if added
            else tuple(node for node in present if node != removed[0])
            if removed
            else present
        )
        wanted = Configuration(voters)
        if not isinstance(role, Leader) or voters == present or self._why_not_reconfigure(wanted):
            self._refuse(call.token, "not now")
            return
        index = LogIndex(self.log.last_index + 1)
        self._append_own(role, CONFIGURATION, (CONFIGURATIONS.encode(wanted),))
        self._replicate(role)
        self._answer(Proposed(call.token, index, self.term))


@exhibit(
    name="straight-to-the-new-members",
    story="""A leader switches from the old members to any new ones in one step.
A majority of the old and a majority of the new decide apart from each other.""",
    source="Raft §6, Figure 10: why joint consensus",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions=CHURN | {"node_count": 5, "operator_ms": 200},
    seeds_max=60,
)
class StraightToTheNewMembers(Raft):
    """Leaves out the joint configuration."""

    def _on_reconfigure(self, call: Reconfigure) -> None:
        role = self.role
        wanted = Configuration(call.voters, call.learners)
        if not isinstance(role, Leader) or self._why_not_reconfigure(wanted):
            self._refuse(call.token, "not now")
            return
        index = LogIndex(self.log.last_index + 1)
        self._append_own(role, CONFIGURATION, (CONFIGURATIONS.encode(wanted),))
        self._replicate(role)
        self._answer(Proposed(call.token, index, self.term))


@exhibit(
    name="joint-counts-only-the-new",
    story="""During a change only the new majority is asked.
The old one, which has not heard of the change, elects a leader of its own.""",
    source="Raft §6: agreement requires separate majorities from both configurations",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions=CHURN | {"node_count": 5, "operator_ms": 200},
    seeds_max=80,
)
class JointCountsOnlyTheNew(Raft):
    """Forgets the outgoing voters."""

    def _use_configuration(self) -> None:
        super()._use_configuration()
        self.quorum = JointQuorum(self.configuration.voters, ())


@exhibit(
    name="learner-counted",
    story="""A leader counts learners among the holders of an entry.
The entry is committed on nodes without a vote; the voters elect a leader without it.""",
    source="thesis §4.2.1: non-voting servers are not counted for majorities",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions={
        "has_operator": True,
        "lease_reads": False,
        "aims": {"crash a proposing leader": 0.8, "cut the power of a proposing leader": 0.8},
        "node_count": 5,
        "operator_ms": 400,
        "lose_share": 0.3,
    },
    seeds_max=400,
    is_slow=True,
)
class LearnerCounted(Raft):
    """Counts all members alike when it commits."""

    def _maybe_commit(self, role: Leader) -> bool:
        match_index = {peer: progress.match_index for peer, progress in role.progress.items()}
        match_index[self.node] = self.durable_index
        reached = LogIndex(MajorityQuorum(self.configuration.members).commit_index(match_index))
        if reached <= self.commit_index or not self._may_commit(role, reached):
            return super()._maybe_commit(role)
        self._advance_commit(reached)
        return True
