"""Which topology a node works with, and whom it serves."""

from quorate.kernel import NodeId, Received, marks
from quorate.protocols.leaderless import Answered, Ask, Bundle, Told, Write, Written
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def test_a_node_two_phases_away_is_not_served() -> None:
    """Their quorums need not cross: one writes to owners that the other does not ask any more."""
    cluster = LeaderlessCluster(3)
    for phase in (0, 4):
        with marks.expect("leaderless: a node two phases away, or with another plan, is not served"):
            cluster.step(1, Received(NodeId(2), Bundle(phase, 1, (Ask(1, KEY, False),))))
    assert not any(isinstance(part, Told) for _, _, part in cluster.parts())
    cluster.wire.clear()
    for phase in (1, 2, 3):
        cluster.step(1, Received(NodeId(2), Bundle(phase, 1, (Ask(1, KEY, False),))))
    assert sum(isinstance(part, Told) for _, _, part in cluster.parts()) == 3


def test_a_cell_that_moved_away_is_not_taken() -> None:
    """It is acknowledged: the sender still counts this node among the old owners, and the new ones are enough."""
    cluster = LeaderlessCluster(6)
    owners = cluster.machine(1).router.route(KEY).nodes
    outsider = next(node for node in cluster.boxes if node not in owners)
    answer = cluster.put(1, KEY, b"v")
    assert isinstance(answer, Answered)

    def told(phase: int) -> list[type]:
        cluster.wire.clear()
        cluster.step(outsider, Received(NodeId(owners[0]), Bundle(phase, 1, (Write(1, KEY, answer.cell),))))
        return [type(part) for _, _, part in cluster.parts()]

    with marks.expect("leaderless: a cell that moved away is not taken"):
        assert Written in told(1)
    with marks.expect("leaderless: a cell for another owner is not taken"):
        assert Written not in told(2), "of the same phase: one of both is mistaken"
    assert cluster.cell(outsider, KEY) == b""
    assert told(3) == [Written]
    assert cluster.cell(outsider, KEY) == answer.cell, "the sender knows a newer topology, in which it may own the key"
