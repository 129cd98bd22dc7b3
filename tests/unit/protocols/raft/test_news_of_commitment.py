"""Who is told of commitment at once."""

from quorate.kernel import NodeId
from quorate.protocols.raft import Propose
from quorate.protocols.raft.testing import RaftCluster


def applied(cluster: RaftCluster, node: int) -> list[bytes]:
    return [entry.payload for entry in cluster.box(node).applied if entry.payload]


def test_only_the_peer_that_waits_is_told_at_once() -> None:
    """Without `notify_commit`, news of a commitment goes to the node on whose behalf it was proposed, and no other."""
    cluster = RaftCluster(3, notify_commit=False)
    cluster.elect(1)
    cluster.settle()

    cluster.call(1, Propose((b"for 2",), 7, NodeId(2)))
    cluster.settle()

    assert applied(cluster, 2) == [b"for 2"]
    assert applied(cluster, 3) == []


def test_a_peer_that_was_told_is_not_told_again() -> None:
    """A later commitment that nobody waits for sends no news; the next append or beat carries it."""
    cluster = RaftCluster(3, notify_commit=False)
    cluster.elect(1)
    cluster.call(1, Propose((b"for 2",), 7, NodeId(2)))
    cluster.settle()

    cluster.propose(1, b"own")
    cluster.settle()

    assert applied(cluster, 1) == [b"for 2", b"own"]
    assert applied(cluster, 2) == [b"for 2"]
