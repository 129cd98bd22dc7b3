"""Quorums against dumb twins, and the one law that consensus stands on."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import NodeId
from quorate.protocols.quorums import JointQuorum, MajorityQuorum, Vote

voters = st.lists(st.integers(1, 7).map(NodeId), min_size=1, max_size=7, unique=True)
matches = st.dictionaries(st.integers(1, 9).map(NodeId), st.integers(0, 12), max_size=9)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(voters=voters, match_index=matches)
def test_the_commit_index_is_the_highest_that_a_majority_reached(
    voters: list[NodeId], match_index: dict[NodeId, int]
) -> None:
    def is_reached(index: int) -> bool:
        return 2 * sum(match_index.get(voter, 0) >= index for voter in voters) > len(voters)

    dumb = max(index for index in range(13) if is_reached(index))
    assert MajorityQuorum(voters).commit_index(match_index) == dumb


@settings(max_examples=100, deadline=None, derandomize=True)
@given(incoming=voters, outgoing=voters, match_index=matches, grower=st.integers(1, 7), growth=st.integers(0, 5))
def test_a_joint_commit_index_is_the_smaller_one_and_never_falls(
    incoming: list[NodeId], outgoing: list[NodeId], match_index: dict[NodeId, int], grower: int, growth: int
) -> None:
    joint = JointQuorum(incoming, outgoing)
    before = joint.commit_index(match_index)
    assert before == min(
        MajorityQuorum(incoming).commit_index(match_index), MajorityQuorum(outgoing).commit_index(match_index)
    )
    node = NodeId(grower)
    assert before <= joint.commit_index({**match_index, node: match_index.get(node, 0) + growth})


@settings(max_examples=40, deadline=None, derandomize=True)
@given(incoming=voters, outgoing=voters)
def test_any_two_quorums_of_neighbouring_configurations_meet(incoming: list[NodeId], outgoing: list[NodeId]) -> None:
    """§6: no two leaders of one term, whichever configurations their voters are in."""
    joint, old = JointQuorum(incoming, outgoing), MajorityQuorum(outgoing)
    everybody = joint.voters
    joints = [
        frozenset(group)
        for size in range(len(everybody) + 1)
        for group in combinations(everybody, size)
        if joint.has(group)
    ]
    olds = [frozenset(group) for group in combinations(old.voters, old.size)]
    assert all(one & other for one in joints for other in olds)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(voters=voters, votes=st.dictionaries(st.integers(1, 9).map(NodeId), st.booleans()))
def test_an_election_is_won_by_granted_votes_and_lost_when_they_cannot_be_enough(
    voters: list[NodeId], votes: dict[NodeId, bool]
) -> None:
    quorum = MajorityQuorum(voters)
    granted = [node for node in voters if votes.get(node) is True]
    open_ = [node for node in voters if votes.get(node) is not False]
    result = quorum.vote(votes)
    assert (result is Vote.WON) == quorum.has(granted)
    assert (result is Vote.LOST) == (not quorum.has(open_))
