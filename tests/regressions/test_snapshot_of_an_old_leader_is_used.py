"""A snapshot whose sender leads no more is used: the host has replaced its state by it already.

Found by a campaign: the state was ahead of the machine for ever, the new leader's snapshot "brought nothing new", and
a quorum that needed this node stood still.
"""

from quorate.kernel import LogIndex, NodeId
from quorate.protocols.raft import Configuration, SnapshotMarker, SnapshotReceived
from quorate.protocols.raft.testing import RaftCluster


def test_a_node_follows_on_behind_the_snapshot_of_a_leader_of_the_past() -> None:
    """Its log begins behind the snapshot, so the entries of the present leader join it."""
    cluster = RaftCluster(3)
    cluster.elect(1)
    cluster.cut([3], [1, 2])
    cluster.propose(1, b"a")
    cluster.propose(1, b"b")
    cluster.settle()
    box = cluster.box(1)
    marker = SnapshotMarker(box.applied_index, 1, Configuration((NodeId(1), NodeId(2), NodeId(3))))
    state = tuple(box.applied)
    cluster.heal()

    cluster.box(3).staged[marker.index] = state
    cluster.call(3, SnapshotReceived(NodeId(2), marker, 0))
    cluster.propose(1, b"c")
    cluster.settle()

    assert cluster.machine(3).commit_index >= LogIndex(marker.index)
    assert [entry.payload for entry in cluster.box(3).applied if entry.payload] == [b"a", b"b", b"c"]
