"""The branches of Raft that matter, each named by its mark and reached by the shortest way."""

from collections.abc import Callable

import pytest

from quorate.kernel import LogIndex, Message, NodeId, Received, marks, milliseconds
from quorate.protocols.raft import (
    AppendEntries,
    AppendResult,
    Compact,
    Configuration,
    Leader,
    PeerLost,
    Propose,
    Read,
    ReadFailed,
    ReadIndexRequest,
    ReadIndexResponse,
    ReadReady,
    Reconfigure,
    Refused,
    RequestVote,
    SnapshotMarker,
    SnapshotReceived,
    SnapshotRefused,
    TransferLeadership,
    Transferred,
    VoteResult,
)
from quorate.protocols.raft.testing import RaftCluster

FOUNDERS = Configuration((NodeId(1), NodeId(2), NodeId(3)))
ZERO = LogIndex(0)


def led(**config: object) -> RaftCluster:
    """Three nodes led by node 1."""
    cluster = RaftCluster(3, **config)
    cluster.elect(1)
    return cluster


def hear(cluster: RaftCluster, node: int, sender: int, message: Message) -> None:
    cluster.step(node, Received(NodeId(sender), message))


def refused(cluster: RaftCluster) -> str:
    output = cluster.outputs(1, Refused)[-1]
    assert isinstance(output, Refused)
    return output.reason


def cut_off_with(cluster: RaftCluster, *payloads: bytes) -> None:
    cluster.cut([3], [1, 2])
    cluster.propose(1, *payloads)
    cluster.settle()


def a_forwarded_read_expired() -> None:
    cluster = led()
    cluster.call(3, Read(5))
    cluster.lose(cluster.letters(ReadIndexRequest)[0])
    cluster.run(milliseconds(900))
    assert cluster.outputs(3, ReadFailed) == [ReadFailed(5)]


def a_leader_that_was_removed_steps_down() -> None:
    cluster = led()
    cluster.call(1, Reconfigure((NodeId(2), NodeId(3)), (), 1))
    cluster.settle()
    assert cluster.leader is not cluster.machine(1)


def a_peer_claims_what_was_never_sent() -> None:
    cluster = led()
    hear(cluster, 1, 2, AppendResult(1, success=True, match_index=LogIndex(99), round=1))
    assert cluster.machine(1).commit_index == 1


def a_peer_needs_a_snapshot() -> None:
    cluster = led(trailing_entry_count=0)
    cut_off_with(cluster, b"a")
    cluster.compact(1)
    cluster.heal()
    cluster.run(milliseconds(300))
    assert cluster.box(3).applied_index == 2


def snapshot_installed() -> None:
    a_peer_needs_a_snapshot()


def a_refusal_came_too_late() -> None:
    cluster = led()
    late = AppendResult(1, success=False, match_index=ZERO, round=1, refused_index=LogIndex(1))
    hear(cluster, 1, 2, late)
    assert isinstance(cluster.machine(1).role, Leader)


def a_snapshot_brings_nothing_new() -> None:
    cluster = led()
    marker = SnapshotMarker(LogIndex(1), 1, FOUNDERS)
    cluster.call(2, SnapshotReceived(NodeId(1), marker, 1))
    assert cluster.outputs(2, SnapshotRefused) == [SnapshotRefused(marker)]


def a_snapshot_only_tells_what_is_committed() -> None:
    cluster = led(notify_commit=False)
    cluster.propose(1, b"a")
    cluster.settle()
    assert cluster.machine(2).commit_index == 1
    cluster.call(2, SnapshotReceived(NodeId(1), SnapshotMarker(LogIndex(2), 1, FOUNDERS), 1))
    assert cluster.machine(2).commit_index == 2
    assert cluster.machine(2).log.snapshot.index == 0


def refused_a_snapshot_that_makes_no_sense() -> None:
    cluster = led()
    cluster.call(2, SnapshotReceived(NodeId(1), SnapshotMarker(ZERO, 0, FOUNDERS), 1))
    assert cluster.outputs(2, SnapshotRefused) == [SnapshotRefused(SnapshotMarker(ZERO, 0, FOUNDERS))]


def took_the_snapshot_of_an_old_leader() -> None:
    """It is committed whoever sends it, and the host has replaced its state by it; but the sender is not followed."""
    cluster = led()
    marker = SnapshotMarker(LogIndex(9), 0, FOUNDERS)
    cluster.box(2).staged[marker.index] = ()
    cluster.box(2).is_slow = True
    cluster.call(2, SnapshotReceived(NodeId(3), marker, 0))
    assert cluster.machine(2).log.snapshot == marker
    assert cluster.machine(2).leader == 1


def a_sole_voter_does_not_wait_for_anybody() -> None:
    cluster = RaftCluster(1)
    assert cluster.machine(1).role_name == "leader"
    assert cluster.machine(1).commit_index == 1


def the_target_of_a_transfer_is_told_to_campaign() -> None:
    cluster = led()
    cluster.call(1, TransferLeadership(NodeId(2), 4))
    cluster.settle()
    assert cluster.leader is cluster.machine(2)
    assert cluster.outputs(1, Transferred) == [Transferred(4)]


def a_transfer_ended_this_leadership() -> None:
    the_target_of_a_transfer_is_told_to_campaign()


def campaigns_at_the_leaders_wish() -> None:
    the_target_of_a_transfer_is_told_to_campaign()


def transfer_given_up() -> None:
    cluster = led()
    cluster.cut([3], [1, 2])
    cluster.call(1, TransferLeadership(NodeId(3), 4))
    cluster.run(milliseconds(600))
    assert refused(cluster) == "transfer timed out"


def transfer_refused_not_to_another_voter() -> None:
    cluster = led()
    cluster.call(1, TransferLeadership(NodeId(1), 4))
    assert refused(cluster) == "not another voter"


def proposal_refused_during_a_transfer() -> None:
    cluster = led()
    cluster.call(1, TransferLeadership(NodeId(2), 4))
    cluster.propose(1, b"late")
    assert refused(cluster) == "transfer in progress"


def proposal_refused_too_much_is_uncommitted() -> None:
    cluster = led(uncommitted_bytes_max=4)
    cluster.propose(1, b"abcdef")
    cluster.call(1, Propose((b"g",), 7))
    assert refused(cluster) == "overloaded"
    cluster.settle()
    cluster.propose(1, b"g")
    cluster.settle()
    assert cluster.machine(1).commit_index == 3


def change_of_members_refused() -> None:
    cluster = led()
    cluster.call(1, Reconfigure((), (), 4))
    assert refused(cluster).startswith("a configuration needs a voter")


def leaves_the_joint_configuration() -> None:
    cluster = led()
    cluster.call(1, Reconfigure(FOUNDERS.voters, (), 4))
    cluster.settle()
    assert not cluster.machine(2).configuration.is_joint
    assert cluster.machine(2).log.configuration_index == 3


def conflicting_entries_replaced() -> None:
    cluster = RaftCluster(3, check_quorum=False)
    cluster.elect(1)
    cluster.cut([1], [2, 3])
    cluster.propose(1, b"lost")
    cluster.elect(2)
    cluster.heal()
    cluster.run(milliseconds(300))
    assert [entry.term for entry in cluster.machine(1).log.entries] == [1, 2]


def refused_entries_that_do_not_join_the_log() -> None:
    cluster = led()
    cut_off_with(cluster, b"a")
    cluster.heal()
    cluster.run(milliseconds(300))
    assert cluster.box(3).applied_index == 2


def entries_were_already_held() -> None:
    cluster = led()
    cluster.propose(1, b"a")
    letter = cluster.letters(AppendEntries, to=2)[0]
    cluster.deliver(letter, repeat=True)
    cluster.deliver(letter)
    assert cluster.machine(2).log.last_index == 2


def ignored_entries_that_make_no_sense() -> None:
    cluster = led()
    hear(cluster, 2, 1, AppendEntries(1, LogIndex(1), 7, (), ZERO, 1))
    assert cluster.machine(2).log.last_index == 1


def ignored_a_message_that_is_not_rafts() -> None:
    cluster = led()
    hear(cluster, 2, 1, Message())
    assert cluster.machine(2).leader == 1


def ignored_a_result_of_a_node_that_is_no_member() -> None:
    cluster = led()
    hear(cluster, 1, 9, AppendResult(1, success=True, match_index=LogIndex(1), round=1))
    assert cluster.machine(1).commit_index == 1


def ignored_a_second_leader_of_a_term() -> None:
    cluster = led()
    hear(cluster, 2, 3, AppendEntries(1, ZERO, 0, (), ZERO, 1))
    assert cluster.machine(2).leader == 1


def refused_an_old_leader() -> None:
    cluster = RaftCluster(3, check_quorum=False)
    cluster.elect(1)
    cluster.elect(2)
    hear(cluster, 3, 1, AppendEntries(1, ZERO, 0, (), ZERO, 1))
    assert cluster.machine(3).leader == 2


def leader_steps_down_no_quorum_heard() -> None:
    cluster = led()
    cluster.cut([1], [2, 3])
    cluster.run(milliseconds(1_100))
    assert cluster.machine(1).role_name != "leader"


def nothing_to_compact() -> None:
    cluster = led()
    cluster.call(1, Compact(LogIndex(50)))
    assert cluster.machine(1).log.snapshot.index == 0


def pre_vote_lost() -> None:
    cluster = led()
    cut_off_with(cluster, b"a")
    cluster.cut([1], [2, 3])
    cluster.now += milliseconds(2_000)
    cluster.cuts = {pair for pair in cluster.cuts if NodeId(1) in pair}
    cluster.time_out(3)
    hear(cluster, 3, 1, VoteResult(1, granted=False, pre=True))
    cluster.settle()
    assert cluster.machine(3).role_name == "follower"


def election_lost() -> None:
    cluster = RaftCluster(3, pre_vote=False)
    cluster.time_out(1)
    hear(cluster, 1, 2, VoteResult(1, granted=False))
    hear(cluster, 1, 3, VoteResult(1, granted=False))
    assert cluster.machine(1).role_name == "follower"


def vote_refused() -> None:
    cluster = RaftCluster(3)
    hear(cluster, 1, 2, RequestVote(1, ZERO, 0))
    hear(cluster, 1, 3, RequestVote(1, ZERO, 0))
    assert cluster.machine(1).voted_for == 2


def vote_refused_the_log_is_not_up_to_date() -> None:
    cluster = led()
    hear(cluster, 3, 2, RequestVote(5, ZERO, 0, transfer=True))
    assert cluster.letters(VoteResult, sender=3)[0].content == VoteResult(5, granted=False)


def a_leader_was_deposed() -> None:
    cluster = led()
    hear(cluster, 1, 2, AppendResult(9, success=False, match_index=ZERO, round=1))
    assert cluster.machine(1).role_name == "follower"
    assert cluster.machine(1).term == 9


def vote_refused_old_term() -> None:
    cluster = led()
    hear(cluster, 2, 3, RequestVote(0, ZERO, 0))
    assert cluster.letters(VoteResult, to=3)


def vote_request_ignored_a_leader_was_heard_just_now() -> None:
    cluster = led()
    hear(cluster, 2, 3, RequestVote(9, LogIndex(9), 9))
    assert cluster.machine(2).term == 1


def read_failed_no_leader_is_known() -> None:
    cluster = RaftCluster(3)
    assert cluster.read(1, 5) == ReadFailed(5)


def read_refused_too_many_wait() -> None:
    cluster = led(read_count_max=1)
    cluster.call(1, Read(5))
    cluster.call(1, Read(6))
    assert cluster.outputs(1, ReadFailed) == [ReadFailed(6)]


def read_waits_for_the_first_commit_of_the_term() -> None:
    cluster = RaftCluster(3)
    cluster.time_out(1)
    while cluster.machine(1).role_name != "leader":
        cluster.deliver(cluster.wire[0])
    assert cluster.read(1, 5) == ReadReady(5, LogIndex(1))


def read_served_to_a_follower() -> None:
    cluster = led()
    assert cluster.read(2, 5) == ReadReady(5, LogIndex(1))


def read_within_the_lease() -> None:
    cluster = led(lease_reads=True)
    cluster.run(milliseconds(300))
    cluster.call(1, Read(5))
    assert cluster.outputs(1, ReadReady) == [ReadReady(5, LogIndex(1))], "at once, without a round"


def refused_a_forwarded_read() -> None:
    cluster = led()
    hear(cluster, 2, 3, ReadIndexRequest(1, 77))
    assert cluster.letters(ReadIndexResponse, to=3)[0].content == ReadIndexResponse(1, 77, ZERO)


def an_answer_to_a_read_that_nobody_waits_for() -> None:
    cluster = led()
    hear(cluster, 2, 1, ReadIndexResponse(1, 77, LogIndex(1)))
    assert cluster.outputs(2, ReadReady) == []


def the_link_to_a_peer_broke() -> None:
    cluster = led()
    cut_off_with(cluster, b"a")
    cluster.heal()
    cluster.call(1, PeerLost(NodeId(3)))
    cluster.run(milliseconds(200))
    assert cluster.box(3).applied_index == 2


def the_window_to_a_peer_is_full() -> None:
    cluster = led(inflight_count_max=1)
    cluster.propose(1, b"a")
    cluster.propose(1, b"b")
    assert len(cluster.letters(AppendEntries, to=2)) == 1
    cluster.settle()
    assert cluster.box(2).applied_index == 3


SCENARIOS: dict[str, Callable[[], None]] = {
    name: value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and name not in {"led", "hear", "refused", "cut_off_with"}
}


def _claim(mark: str) -> str:
    words = mark.removeprefix("raft: ").replace("'", "").replace(",", "").replace("-", "_")
    return words.replace(" ", "_").lower()


def _marks() -> list[str]:
    import re
    from pathlib import Path

    import quorate.protocols.raft

    folder = Path(quorate.protocols.raft.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    return sorted(set(re.findall(r'marks\.hit\("([^"]+)"\)', text)))


@pytest.mark.parametrize("mark", _marks())
def test_the_branch_is_reached(mark: str) -> None:
    """Each mark has a scenario of its name, which reaches it and checks what follows."""
    with marks.expect(mark):
        SCENARIOS[_claim(mark)]()


def test_no_scenario_is_left_over() -> None:
    assert sorted(SCENARIOS) == sorted(_claim(mark) for mark in _marks())
