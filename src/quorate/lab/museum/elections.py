"""First wing: elections that elect too many, or the wrong one."""

from typing import Any

from quorate.kernel import Message, NodeId, Record, Send
from quorate.lab.museum.bug import exhibit
from quorate.protocols.raft import Candidate, HardState, Leader, Raft, RequestVote, VoteResult

# What a vote that is forgotten needs: a voter that restarts between two candidates of one term.
REVOLT = {
    "aims": {"cut a voter, then its candidate": 0.8, "cut the power of a voter": 0.3},
    "has_random_faults": True,
    "pre_vote": False,
    "lease_reads": False,
}


@exhibit(
    name="vote-not-persisted",
    story="""A voter keeps in memory for whom it voted, and writes down only the term.
After a restart it votes again in the same term: two leaders of one term, and clients lose what the first one took.""",
    source="PySyncObj (the vote is a field of the object, never of the journal); Raft, Figure 2, persistent state",
    layer="raft",
    caught_by=("invariant",),
    level="core",
    conditions={
        "aims": {"restart a voter at once": 0.9, "isolate a new leader": 0.6, "crash a proposing leader": 0.3},
        "latency_ms": 30,
        "pre_vote": False,
        "lease_reads": False,
        "down_max": 2,
    },
    seeds_max=80,
)
class VoteNotPersisted(Raft):
    """Writes the term without the vote."""

    def _persist_hard_state(self) -> tuple[Record, ...]:
        return (HardState(self.term, None),)


@exhibit(
    name="term-not-persisted",
    story="""Neither term nor vote is written down: only the log survives a restart.
A restarted node begins with an old term and votes again in terms in which it has voted.""",
    source="Raft, Figure 2: currentTerm must be on stable storage before a node answers",
    layer="raft",
    caught_by=("invariant", "node stopped"),
    level="core",
    conditions=REVOLT,
    seeds_max=150,
)
class TermNotPersisted(Raft):
    """Writes neither term nor vote."""

    def _persist_hard_state(self) -> tuple[Record, ...]:
        return ()


@exhibit(
    name="votes-for-everybody",
    story="""A voter grants its vote to every candidate of its term whose log is good enough, and does not look
whether it has given it already.""",
    source="Raft §5.2: at most one candidate in a term, first come, first served",
    layer="raft",
    caught_by=("invariant",),
    level="core",
    conditions={"pre_vote": False, "lease_reads": False},
    seeds_max=80,
)
class VotesForEverybody(Raft):
    """Forgets that it has voted."""

    def _may_vote_for(self, candidate: NodeId) -> bool:
        return self.leader is None and self.node != candidate


@exhibit(
    name="no-up-to-date-check",
    story="""A voter grants its vote without comparing logs.
A candidate that misses committed entries is elected and overwrites them.""",
    source="Raft §5.4.1, the election restriction",
    layer="raft",
    caught_by=("invariant",),
    level="core",
    conditions={"aims": {"isolate a proposing leader": 0.4, "crash a proposing leader": 0.3}},
    seeds_max=25,
)
class NoUpToDateCheck(Raft):
    """Takes any log for good."""

    def _is_up_to_date(self, message: RequestVote) -> bool:
        return True


@exhibit(
    name="repeated-votes-counted",
    story="""A candidate counts answers, not voters: a repeated message is a second vote.
Two candidates can each think that they have a majority.""",
    source="common in first implementations that trust the network to deliver once",
    layer="raft",
    caught_by=("invariant",),
    level="core",
    conditions={"node_count": 5, "pre_vote": False, "lease_reads": False, "repeat_share": 0.5},
    seeds_max=60,
)
class RepeatedVotesCounted(Raft):
    """Takes a second answer of a voter for the answer of another."""

    def _on_vote_result(self, sender: NodeId, message: VoteResult) -> None:
        role = self.role
        if isinstance(role, Candidate) and message.granted and not message.pre and role.votes.get(sender):
            silent = [voter for voter in self.quorum.voters if voter not in role.votes]
            if silent and message.term == self.term:
                role.votes[silent[0]] = True
                self._tally_votes(role)
                return
        super()._on_vote_result(sender, message)


@exhibit(
    name="promises-before-the-write",
    story="""Votes and acknowledgements leave at once, and the write follows.
A power cut in between takes back what others already count on.""",
    source="Raft, Figure 2: persistent state is updated on stable storage before responding",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions={
        "aims": {
            "cut a voter, then its candidate": 0.5,
            "cut a follower, then isolate the leader": 0.5,
            "black out": 0.3,
        },
        "lease_reads": False,
        "down_max": 3,
        "node_count": 3,
    },
    seeds_max=30,
)
class PromisesBeforeTheWrite(Raft):
    """Speaks first and writes then."""

    def _send(self, to: NodeId, message: Message) -> None:
        self._flush_hard_state()
        self._emit(Send(to, message, eager=True))


@exhibit(
    name="obeys-deposed-leaders",
    story="""A follower takes entries without comparing the leader's term with its own.
A leader of the past, back from behind a partition, overwrites what the present one has committed.""",
    source="Raft §5.1: a server that receives a request with a stale term rejects it",
    layer="raft",
    caught_by=("invariant", "node stopped", "not linearizable"),
    level="core",
    conditions={"aims": {"isolate a proposing leader": 0.5, "isolate a new leader": 0.3}},
    seeds_max=200,
)
class ObeysDeposedLeaders(Raft):
    """Takes every leader for its own."""

    def _on_append_entries(self, sender: NodeId, message: Any) -> None:
        if message.term < self.term and not isinstance(self.role, Leader):
            # As if it had no term of its own; so the sender hears nothing of a newer one.
            term, self.term = self.term, message.term
            try:
                self._take_entries(sender, message)
            finally:
                self.term = term
            return
        super()._on_append_entries(sender, message)
