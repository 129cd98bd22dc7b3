"""Campaign of the available side, seed 536: counts were lost by a node that started again with a newer configuration."""

from quorate.kernel import NodeId
from quorate.protocols.leaderless import Reconfigure, canonical
from quorate.protocols.leaderless.testing import LeaderlessCluster


def test_a_node_that_starts_again_remembers_the_topology_that_it_was_born_with() -> None:
    """Joint on the first and the next, it must not take the configuration's newer one for the first.

    It would settle without noticing that it gave ranges away, and stamp as the same actor when they came back.
    """
    cluster = LeaderlessCluster(4)
    first = cluster.topology
    following = first.with_nodes([], [NodeId(4)])
    cluster.cut([4], [1, 2, 3])
    cluster.call(4, Reconfigure(following))
    cluster.crash(4)
    cluster.topology = following
    cluster.restart(4, disk=canonical(cluster.box(4).disk))

    assert (cluster.machine(4).topology, cluster.machine(4).next_topology) == (first, following)
