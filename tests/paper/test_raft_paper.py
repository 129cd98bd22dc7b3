"""The sentences of the Raft paper, one test each; the docstring names the section.

Source: Ongaro & Ousterhout, In Search of an Understandable Consensus Algorithm, 2014 (§n); Ongaro's thesis, 2014.
"""

import random
from collections.abc import Callable, Sequence

import pytest

from quorate.kernel import (
    Instant,
    LogIndex,
    NodeId,
    Persist,
    Persisted,
    Received,
    Record,
    Send,
    Started,
    TimerFired,
    milliseconds,
)
from quorate.protocols.raft import (
    COMMAND,
    EMPTY,
    Append,
    AppendEntries,
    AppendResult,
    Candidate,
    Configuration,
    Entry,
    Follower,
    HardState,
    Leader,
    PreCandidate,
    Raft,
    RaftConfig,
    ReadReady,
    Reconfigure,
    Reconfigured,
    Refused,
    RequestVote,
    SnapshotMarker,
    TimeoutNow,
    TransferLeadership,
    VoteResult,
)
from quorate.protocols.raft.testing import RaftCluster

FOUNDERS = Configuration((NodeId(1), NodeId(2), NodeId(3)))


def entry(index: int, term: int, payload: bytes = b"") -> Entry:
    return Entry(LogIndex(index), term, COMMAND if payload else EMPTY, payload)


def log_of(*terms: int) -> tuple[Entry, ...]:
    return tuple(entry(index, term, b"%d" % index) for index, term in enumerate(terms, 1))


def machine(
    node: int = 1, *, term: int = 0, voted_for: int | None = None, terms: Sequence[int] = (), **config: object
) -> Raft:
    """A follower of three with this term, vote and log, started at time 0; pre-vote off unless told."""
    records: list[Record] = [SnapshotMarker(LogIndex(0), 0, FOUNDERS)]
    records.append(HardState(term, None if voted_for is None else NodeId(voted_for)))
    if terms:
        records.append(Append(log_of(*terms)))
    settings = {"pre_vote": False, **config}
    made = Raft(RaftConfig(node=NodeId(node), configuration=FOUNDERS, **settings), records, random.Random(node))  # type: ignore[arg-type]
    made.step(Started(), now=Instant(0))
    return made


def receive(made: Raft, sender: int, message: object) -> list[object]:
    """Give a message; return what is sent back."""
    effects = made.step(Received(NodeId(sender), message), now=made.now)  # type: ignore[arg-type]
    return [effect.message for effect in effects if isinstance(effect, Send)]


def settle_disk(made: Raft) -> None:
    made.step(Persisted(made._persist_count), now=made.now)


def time_out(made: Raft) -> list[object]:
    effects = made.step(TimerFired("election"), now=Instant(made.now + milliseconds(1_000)))
    return [effect.message for effect in effects if isinstance(effect, Send)]


def leader(*, term: int = 1, terms: Sequence[int] = ()) -> Raft:
    """Node 1 elected in the term after `term - 1`, its own entry on disk."""
    made = machine(1, term=term - 1, terms=terms)
    time_out(made)
    settle_disk(made)
    receive(made, 2, VoteResult(term, granted=True))
    assert isinstance(made.role, Leader)
    settle_disk(made)
    return made


# §5.1: terms.


@pytest.mark.parametrize("role", ["follower", "candidate", "leader"])
def test_a_newer_term_makes_everybody_a_follower_of_it(role: str) -> None:
    """§5.1: if one server's current term is smaller than the other's, it updates; leaders and candidates revert."""
    made = leader(term=2) if role == "leader" else machine(term=2)
    if role == "candidate":
        time_out(made)
    receive(made, 3, AppendEntries(9, LogIndex(0), 0, (), LogIndex(0), 1))
    assert made.term == 9
    assert made.role == Follower(NodeId(3), made.now)


def test_a_request_with_an_old_term_is_refused() -> None:
    """§5.1: a request with a stale term number is rejected."""
    made = machine(term=5)
    assert receive(made, 2, RequestVote(4, LogIndex(9), 4)) == [VoteResult(5, granted=False)]
    assert receive(made, 2, AppendEntries(4, LogIndex(0), 0, log_of(4), LogIndex(0), 3)) == [
        AppendResult(5, success=False, match_index=LogIndex(0), round=3)
    ]
    assert made.log.last_index == 0


# §5.2: elections.


def test_nodes_start_as_followers() -> None:
    """§5.2: when servers start up, they begin as followers."""
    assert machine(term=3).role == Follower()


def test_a_follower_that_hears_nobody_campaigns_in_a_new_term() -> None:
    """§5.2: it increments its current term, votes for itself and asks all others."""
    made = machine(term=1)
    effects = made.step(TimerFired("election"), now=Instant(milliseconds(1_000)))
    assert made.term == 2
    assert isinstance(made.role, Candidate)
    request = RequestVote(2, LogIndex(0), 0)
    assert [effect for effect in effects if isinstance(effect, Persist | Send)] == [
        Persist((HardState(2, NodeId(1)),)),
        Send(NodeId(2), request),
        Send(NodeId(3), request),
    ]


def test_a_follower_that_hears_its_leader_does_not_campaign() -> None:
    """§5.2: a server remains a follower as long as it receives valid RPCs from a leader."""
    made = machine(term=1)
    for moment in range(1, 30):
        made.step(
            Received(NodeId(2), AppendEntries(1, LogIndex(0), 0, (), LogIndex(0), moment)),
            now=Instant(milliseconds(100 * moment)),
        )
        made.step(TimerFired("election"), now=made.now)
    assert made.role == Follower(NodeId(2), made.now)
    assert made.term == 1


def test_a_candidate_with_the_votes_of_a_majority_leads() -> None:
    """§5.2: a candidate wins an election if it receives votes from a majority of the cluster in the same term."""
    made = machine(term=0)
    time_out(made)
    assert isinstance(made.role, Candidate)
    settle_disk(made)
    assert isinstance(made.role, Candidate), "one of three votes is not enough"
    sent = receive(made, 3, VoteResult(1, granted=True))
    assert isinstance(made.role, Leader)
    assert [type(message) for message in sent] == [AppendEntries, AppendEntries], "it sends heartbeats at once"


def test_a_candidate_counts_its_own_vote_only_when_it_is_on_disk() -> None:
    """§5.2 with Figure 2: the vote is persistent state, the candidate's own too."""
    made = machine(term=0)
    time_out(made)
    receive(made, 2, VoteResult(1, granted=True))
    assert isinstance(made.role, Candidate)
    settle_disk(made)
    assert isinstance(made.role, Leader)


def test_a_vote_is_given_once_a_term_first_come_first_served() -> None:
    """§5.2: each server will vote for at most one candidate in a given term."""
    made = machine(term=0)
    assert receive(made, 2, RequestVote(1, LogIndex(0), 0)) == [VoteResult(1, granted=True)]
    assert receive(made, 3, RequestVote(1, LogIndex(0), 0)) == [VoteResult(1, granted=False)]
    assert receive(made, 2, RequestVote(1, LogIndex(0), 0)) == [VoteResult(1, granted=True)], "asked again, told again"


def test_a_vote_survives_a_restart() -> None:
    """Figure 2: votedFor is updated on stable storage before responding to RPCs."""
    made = machine(term=4, voted_for=3)
    assert receive(made, 2, RequestVote(4, LogIndex(0), 0)) == [VoteResult(4, granted=False)]


def test_a_vote_leaves_behind_its_write() -> None:
    """Figure 2: the answer is behind the record, and not eager."""
    effects = machine().step(Received(NodeId(2), RequestVote(1, LogIndex(0), 0)), now=Instant(0))
    kept = [effect for effect in effects if isinstance(effect, Persist | Send)]
    assert kept == [Persist((HardState(1, NodeId(2)),)), Send(NodeId(2), VoteResult(1, granted=True))]


def test_a_candidate_that_hears_the_leader_of_its_term_gives_up() -> None:
    """§5.2: if the leader's term is at least as large, the candidate recognizes the leader as legitimate."""
    made = machine(term=0)
    time_out(made)
    receive(made, 2, AppendEntries(1, LogIndex(0), 0, (), LogIndex(0), 1))
    assert made.role == Follower(NodeId(2), made.now)


def test_a_split_vote_ends_with_another_term() -> None:
    """§5.2: when this happens, each candidate will time out and start a new election."""
    made = machine(term=0)
    time_out(made)
    time_out(made)
    assert (made.term, made.voted_for) == (2, NodeId(1))
    assert isinstance(made.role, Candidate)


def test_election_timeouts_are_drawn_from_t_to_two_t() -> None:
    """§5.2 and §9.3: timeouts are chosen randomly from a fixed interval."""
    made = machine(election_timeout=milliseconds(300))
    draws = {made._draw_election_timeout() for _ in range(50)}
    assert len(draws) > 40
    assert all(milliseconds(300) <= draw < milliseconds(600) for draw in sorted(draws))


# §5.3: log replication.


def test_a_leader_appends_and_sends_in_parallel_and_commits_with_a_majority() -> None:
    """§5.3: when the entry has been safely replicated, the leader applies it."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.cut([1], [3])
    cluster.propose(1, b"a")
    cluster.settle()
    assert [item.payload for item in cluster.box(1).applied] == [b"", b"a"]
    assert [item.payload for item in cluster.box(2).applied] == [b"", b"a"]
    assert cluster.box(3).applied_index == 1


def test_a_follower_refuses_entries_that_do_not_join_its_log() -> None:
    """§5.3: if the follower does not find an entry with the same index and term, it refuses the new entries."""
    made = machine(term=2, terms=(1, 1, 2))
    for prev_index, prev_term in ((4, 2), (3, 3), (3, 1)):
        message = AppendEntries(3, LogIndex(prev_index), prev_term, (entry(prev_index + 1, 3, b"n"),), LogIndex(0), 1)
        (answer,) = receive(made, 2, message)
        assert isinstance(answer, AppendResult)
        assert not answer.success
    assert made.log.last_index == 3


def test_a_conflict_replaces_the_rest_of_the_log() -> None:
    """§5.3: conflicting entries in follower logs are overwritten with entries from the leader's log."""
    made = machine(term=3, terms=(1, 1, 2, 2))
    receive(made, 2, AppendEntries(3, LogIndex(2), 1, (entry(3, 3, b"n"),), LogIndex(0), 1))
    assert [item.term for item in made.log.entries] == [1, 1, 3]


def test_a_late_append_truncates_nothing() -> None:
    """Figure 2, AppendEntries step 3: only an existing entry that conflicts is deleted, with those that follow it."""
    made = machine(term=1, terms=(1, 1, 1))
    receive(made, 2, AppendEntries(1, LogIndex(0), 0, log_of(1, 1), LogIndex(0), 1))
    receive(made, 2, AppendEntries(1, LogIndex(1), 1, (), LogIndex(0), 1))
    assert made.log.last_index == 3


FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


@pytest.mark.parametrize("name", FIGURE_7)
def test_a_leader_brings_every_log_of_figure_7_in_line(name: str) -> None:
    """§5.3, Figure 7: the leader finds the latest log entry where the two logs agree, in few questions."""
    cluster = RaftCluster(3, pre_vote=False)
    for node, terms in ((1, (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)), (2, FIGURE_7[name]), (3, (1, 1, 1))):
        cluster.crash(node)
        cluster.box(node).disk = [
            SnapshotMarker(LogIndex(0), 0, FOUNDERS),
            HardState(7, None),
            Append(log_of(*terms)),
        ]
        cluster.restart(node)
    cluster.time_out(1)
    question_count = 0
    while cluster.wire:
        letter = cluster.wire[0]
        if letter.to == 2 and isinstance(letter.content, AppendEntries) and not letter.content.entries:
            question_count += letter.content.round > 0
        cluster.deliver(letter)
    if name == "d":
        assert isinstance(cluster.machine(1).role, Leader), "node 3 is enough: d refuses its vote"
    assert cluster.machine(2).log.entries == cluster.machine(1).log.entries
    assert [item.term for item in cluster.machine(2).log.entries] == [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]
    assert question_count <= 4, "one question for each term that differs, not for each entry"


# §5.4: safety.


@pytest.mark.parametrize(
    ("candidate", "voter", "granted"),
    [((1, 1), (1,), True), ((1, 1), (1, 1), True), ((1,), (1, 1), False), ((2,), (1, 1), True), ((1, 1), (2,), False)],
)
def test_a_vote_goes_only_to_logs_that_are_as_up_to_date(
    candidate: tuple[int, ...], voter: tuple[int, ...], granted: bool
) -> None:
    """§5.4.1: the later last term is more up-to-date; with the same term, the longer log."""
    made = machine(term=2, terms=voter)
    answer = receive(made, 2, RequestVote(3, LogIndex(len(candidate)), candidate[-1]))
    assert answer == [VoteResult(3, granted=granted)]


def test_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    """§5.4.2, Figure 8: only entries of the leader's current term are committed by counting replicas."""
    made = leader(term=4, terms=(1, 2))
    receive(made, 2, AppendResult(4, success=True, match_index=LogIndex(2), round=1))
    assert made.commit_index == 0, "a majority holds entry 2, of term 2"
    receive(made, 2, AppendResult(4, success=True, match_index=LogIndex(3), round=1))
    assert made.commit_index == 3, "with an entry of term 4 all before it are committed"


def deliver_between(cluster: RaftCluster, nodes: set[int], *, until: Callable[[], bool]) -> None:
    """Deliver only what these nodes say to each other, in order; everything else is lost."""
    while not until():
        letter = cluster.wire[0]
        if {letter.sender, letter.to} <= nodes:
            cluster.deliver(letter)
        else:
            cluster.lose(letter)
    for letter in list(cluster.wire):
        cluster.lose(letter)


def lead(cluster: RaftCluster, node: int, voters: set[int]) -> None:
    """Elect a node by these voters; what it sends as a leader is lost."""
    while not isinstance(cluster.machine(node).role, Leader):
        cluster.time_out(node)
        deliver_between(
            cluster, voters, until=lambda: not cluster.wire or isinstance(cluster.machine(node).role, Leader)
        )


def test_an_entry_on_a_majority_can_be_overwritten_and_was_never_committed() -> None:
    """§5.4.2, Figure 8 (a) to (d), on five nodes."""
    cluster = RaftCluster(5, pre_vote=False, check_quorum=False, append_bytes_max=1, inflight_count_max=1)
    lead(cluster, 1, {1, 2, 3})
    cluster.propose(1, b"old")  # (a) only nodes 1 and 2 get it
    cluster.fire(1, "heartbeat")
    deliver_between(cluster, {1, 2}, until=lambda: cluster.machine(2).log.last_index == 2)
    cluster.crash(1)
    lead(cluster, 5, {3, 4, 5})  # (b) another entry stands at that place, on node 5 only
    cluster.crash(5)
    cluster.restart(1)
    lead(cluster, 1, {1, 2, 3, 4})  # (c) the old entry spreads to a majority
    cluster.fire(1, "heartbeat")
    deliver_between(cluster, {1, 3}, until=lambda: cluster.machine(3).log.last_index == 2)
    assert [cluster.machine(node).log.has(2, 1) for node in (1, 2, 3)] == [True] * 3
    assert cluster.machine(1).commit_index == 0
    cluster.crash(1)
    cluster.restart(5)
    lead(cluster, 5, {2, 3, 4, 5})  # (d) and is overwritten
    cluster.run(milliseconds(500))
    assert [item.payload for item in cluster.box(3).applied] == [b"", b""]
    cluster.restart(1)
    cluster.run(milliseconds(500))
    assert [item.payload for item in cluster.box(1).applied] == [b"", b""]


# §5.5, §7, §8.


def test_a_repeated_append_changes_nothing() -> None:
    """§5.5: Raft RPCs are idempotent."""
    made = machine(term=1)
    message = AppendEntries(1, LogIndex(0), 0, log_of(1, 1), LogIndex(1), 1)
    receive(made, 2, message)
    settle_disk(made)
    before = (made.log.last_index, made.commit_index)
    effects = made.step(Received(NodeId(2), message), now=made.now)
    assert not [effect for effect in effects if isinstance(effect, Persist)]
    assert (made.log.last_index, made.commit_index) == before


def test_a_follower_far_behind_gets_a_snapshot_and_goes_on_from_there() -> None:
    """§7: the leader sends a snapshot when it has discarded the next entry that it needs to send."""
    cluster = RaftCluster(3, trailing_entry_count=0)
    cluster.elect(1)
    cluster.cut([3], [1, 2])
    cluster.propose(1, b"a", b"b", b"c")
    cluster.settle()
    cluster.compact(1)
    assert cluster.machine(1).log.base_index == 4
    cluster.heal()
    cluster.run(milliseconds(500))
    cluster.propose(1, b"d")
    cluster.settle()
    assert cluster.machine(3).log.snapshot.index == 4
    assert [item.payload for item in cluster.box(3).applied] == [b"", b"a", b"b", b"c", b"d"]


def test_a_snapshot_is_recovered_after_a_crash() -> None:
    """§7: the marker is durable before the state machine is replaced."""
    cluster = RaftCluster(3, trailing_entry_count=0)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.settle()
    cluster.compact(1)
    cluster.crash(1)
    cluster.restart(1)
    assert cluster.machine(1).commit_index == 2
    assert cluster.machine(1).log.configuration == FOUNDERS


def test_a_new_leader_begins_with_an_entry_of_its_own() -> None:
    """§8: each leader commits a blank no-op entry at the start of its term."""
    made = leader(term=3, terms=(1,))
    assert made.log.entries[-1] == Entry(LogIndex(2), 3, EMPTY, b"")


def test_a_read_waits_for_the_leaders_own_entry_and_for_a_quorum() -> None:
    """§8: a leader must have the latest information, and check whether it has been deposed."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.settle()
    assert cluster.read(1, 7) == ReadReady(7, LogIndex(2))
    cluster.cut([1], [2, 3])
    assert cluster.read(1, 8) is None, "nobody confirms that it still leads"


def test_a_follower_reads_through_the_leader() -> None:
    """Thesis §6.4: followers ask the leader for a current read index."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.settle()
    assert cluster.read(3, 5) == ReadReady(5, LogIndex(2))


# §6: members.


def test_a_change_of_members_goes_through_a_joint_configuration() -> None:
    """§6: the cluster first switches to a transitional configuration, then to the new one."""
    cluster = RaftCluster(3, joiners=[4, 5])
    cluster.elect(1)
    cluster.call(1, Reconfigure((NodeId(1), NodeId(4), NodeId(5)), (), 1))
    seen = [cluster.machine(1).configuration]
    cluster.run(milliseconds(1_000))
    seen.append(cluster.machine(1).configuration)
    wanted = Configuration((NodeId(1), NodeId(4), NodeId(5)))
    assert seen == [Configuration(wanted.voters, (), FOUNDERS.voters), wanted]
    for node in (1, 4, 5):
        assert cluster.outputs(node, Reconfigured)[-1] == Reconfigured(wanted)


def test_a_joint_configuration_needs_both_majorities() -> None:
    """§6: agreement requires separate majorities from both the old and new configurations."""
    cluster = RaftCluster(3, joiners=[4, 5])
    cluster.elect(1)
    cluster.cut([4, 5], [1, 2, 3])
    cluster.call(1, Reconfigure((NodeId(1), NodeId(4), NodeId(5)), (), 1))
    cluster.propose(1, b"a")
    cluster.settle()
    assert cluster.machine(1).commit_index == 1, "the old majority alone commits nothing"
    cluster.heal()
    cluster.run(milliseconds(1_000))
    assert not cluster.machine(1).configuration.is_joint


def test_a_leader_that_is_removed_leads_until_that_is_committed_and_steps_down() -> None:
    """§6: the leader steps down once it has committed the log entry of the new configuration."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.call(1, Reconfigure((NodeId(2), NodeId(3)), (), 1))
    assert isinstance(cluster.machine(1).role, Leader)
    cluster.run(milliseconds(1_500))
    assert isinstance(cluster.machine(1).role, Follower)
    assert cluster.leader is not None
    assert cluster.leader.node in {2, 3}


def test_a_node_without_a_vote_counts_for_nothing_until_it_has_one() -> None:
    """§6: new servers join as non-voting members; not considered for majorities."""
    cluster = RaftCluster(3, learners=[4])
    cluster.elect(1)
    cluster.cut([1, 4], [2, 3])
    cluster.propose(1, b"a")
    cluster.settle()
    assert cluster.machine(4).log.last_index == 2
    assert cluster.machine(1).commit_index == 1


def test_the_bug_of_2015_cannot_happen() -> None:
    """The single-server bug: a leader changes members before it has committed an entry of its own term."""
    cluster = RaftCluster(4)
    cluster.time_out(1)
    while not isinstance(cluster.machine(1).role, Leader):
        cluster.deliver(cluster.wire[0])
    cluster.call(1, Reconfigure((NodeId(1), NodeId(2), NodeId(3)), (), 9))
    assert cluster.outputs(1, Refused)[-1] == Refused(9, NodeId(1), "no entry of this term is committed yet")


def test_one_change_of_members_at_a_time() -> None:
    """§6: another change must wait until the present one is complete."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.call(1, Reconfigure((NodeId(1), NodeId(2)), (), 1))
    cluster.call(1, Reconfigure((NodeId(1),), (), 2))
    assert cluster.outputs(1, Refused)[-1] == Refused(2, NodeId(1), "another change is in progress")


def test_votes_are_refused_while_a_leader_is_heard() -> None:
    """§6, thesis §4.2.3: RequestVote within the minimum election timeout of hearing a leader changes nothing."""
    made = machine(term=1)
    receive(made, 2, AppendEntries(1, LogIndex(0), 0, (), LogIndex(0), 1))
    assert receive(made, 3, RequestVote(9, LogIndex(5), 5)) == []
    assert made.term == 1
    assert receive(made, 3, RequestVote(9, LogIndex(5), 5, transfer=True)) == [VoteResult(9, granted=True)]


# The thesis.


def test_a_pre_vote_disturbs_no_term() -> None:
    """Thesis §9.6: a candidate only increments its term if a majority would be willing to grant it votes."""
    made = machine(term=3, pre_vote=True)
    sent = time_out(made)
    assert sent == [RequestVote(4, LogIndex(0), 0, pre=True)] * 2
    assert isinstance(made.role, PreCandidate)
    assert (made.term, made.voted_for) == (3, None)
    receive(made, 2, VoteResult(4, granted=True, pre=True))
    assert isinstance(made.role, Candidate)
    assert made.term == 4


def test_a_node_that_was_cut_off_does_not_depose_the_leader_on_return() -> None:
    """Thesis §9.6: pre-vote solves the issue of a partitioned server disrupting the cluster when it rejoins."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.cut([3], [1, 2])
    cluster.run(milliseconds(5_000))
    cluster.heal()
    cluster.run(milliseconds(5_000))
    assert cluster.leader is cluster.machine(1)
    assert cluster.machine(1).term == 1


def test_a_leader_without_a_quorum_steps_down() -> None:
    """Thesis §6.2: a leader steps down if an election timeout elapses without a successful round of heartbeats."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.cut([1], [2, 3])
    cluster.run(milliseconds(1_100))
    assert not isinstance(cluster.machine(1).role, Leader)


def test_leadership_moves_to_an_up_to_date_node_on_request() -> None:
    """Thesis §3.10: the prior leader brings the target up to date, then sends TimeoutNow."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.call(1, TransferLeadership(NodeId(3), 4))
    assert cluster.letters(TimeoutNow, to=3)
    cluster.settle()
    assert isinstance(cluster.machine(3).role, Leader)
    assert cluster.machine(3).term == 2


def test_a_leader_sends_while_it_writes_and_counts_itself_when_that_is_stable() -> None:
    """Thesis §10.2.1: the leader writes to its disk in parallel with replicating to the followers."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.box(1).is_slow = True
    cluster.cut([1], [3])
    cluster.propose(1, b"a")
    assert [letter.to for letter in cluster.letters(AppendEntries)] == [2, 3]
    cluster.settle()
    assert cluster.machine(1).commit_index == 1, "one follower and an unwritten leader are no majority"
    cluster.sync(1)
    assert cluster.machine(1).commit_index == 2


def test_a_majority_of_followers_commits_without_the_leaders_disk() -> None:
    """Thesis §10.2.1: the leader may even commit an entry before it has been written to its own disk."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.box(1).is_slow = True
    cluster.propose(1, b"a")
    cluster.settle()
    assert cluster.machine(1).commit_index == 2
    assert cluster.box(1).applied_index == 1, "but nothing runs ahead of this node's own disk"
    cluster.sync(1)
    assert cluster.box(1).applied_index == 2
