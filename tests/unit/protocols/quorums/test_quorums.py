"""Quorums: arithmetic by example."""

import pytest

from quorate.kernel import NodeId
from quorate.protocols.quorums import JointQuorum, MajorityQuorum, Vote


def ids(*nodes: int) -> tuple[NodeId, ...]:
    return tuple(NodeId(node) for node in nodes)


@pytest.mark.parametrize(("voter_count", "size"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_a_majority_is_more_than_half(voter_count: int, size: int) -> None:
    assert MajorityQuorum(ids(*range(1, voter_count + 1))).size == size


def test_an_empty_configuration_never_agrees() -> None:
    empty = MajorityQuorum(())
    assert empty.commit_index({NodeId(1): 9}) == 0
    assert not empty.has(ids(1, 2))
    assert empty.vote({NodeId(1): True}) is not Vote.WON


def test_absent_voters_count_as_zero_and_strangers_not_at_all() -> None:
    assert MajorityQuorum(ids(1, 2, 3)).commit_index({NodeId(1): 7, NodeId(9): 8}) == 0


def test_votes_are_pending_until_a_majority_agrees_or_cannot() -> None:
    quorum = MajorityQuorum(ids(1, 2, 3))
    assert quorum.vote({NodeId(1): True}) is Vote.PENDING
    assert quorum.vote({NodeId(1): True, NodeId(2): False}) is Vote.PENDING
    assert quorum.vote({NodeId(1): True, NodeId(3): True}) is Vote.WON
    assert quorum.vote({NodeId(1): False, NodeId(3): False}) is Vote.LOST


def test_a_joint_quorum_needs_both_halves() -> None:
    """§6."""
    joint = JointQuorum(ids(1, 2, 3), outgoing=ids(3, 4, 5))
    assert not joint.has(ids(1, 2, 3))
    assert joint.has(ids(1, 3, 4))
    assert joint.vote({NodeId(1): True, NodeId(2): True}) is Vote.PENDING
    assert joint.vote({NodeId(4): False, NodeId(5): False}) is Vote.LOST
    assert joint.voters == ids(1, 2, 3, 4, 5)


def test_quorums_are_equal_by_their_voters() -> None:
    assert MajorityQuorum(ids(2, 1)) == MajorityQuorum(ids(1, 2))
    assert JointQuorum(ids(1), ids(2)) != JointQuorum(ids(1))
    assert hash(JointQuorum(ids(1), ids(2))) == hash(JointQuorum(ids(1), ids(2)))
