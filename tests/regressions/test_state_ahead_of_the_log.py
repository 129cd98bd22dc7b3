"""A node whose state is ahead of its log, because power failed while a snapshot was taken, finds back.

Found by a campaign (seed 21 of its time): the log was told of the snapshot with a term of zero and refused it.
"""

import asyncio

import pytest

from quorate.kernel import LogIndex, NodeId, seconds
from quorate.lab.simulation import SimClient, SimCluster
from quorate.sim import World
from quorate.sim.env import make_env


@pytest.mark.slow
def test_a_power_cut_between_state_and_marker_leaves_a_node_that_serves() -> None:
    """Its log begins where its state ends; a quorum that needs it makes progress."""
    world = World(5)
    cluster = SimCluster(world, node_count=3)
    cluster.start()
    world.run_for(seconds(2))
    client = SimClient(make_env(world.lab), cluster.address_of(0))

    async def write(count: int) -> None:
        for value in range(count):
            await client.write("k", value)

    world.run(write(5))
    third = cluster.host_of(NodeId(3))
    third.crash()
    world.run(write(200))
    leader = cluster.live()[cluster.leader() or NodeId(1)]

    # What a crash between the two steps of an installation leaves: the leader's checkpoint beside node 3's old log.
    image = leader.env.disk.open("state/group-1")
    content = image.read(0, image.size_bytes())
    third.restart()
    world.run_for(seconds(0.001))
    third.crash()
    third.boot()
    disk = make_env(third.incarnation).disk
    file = disk.open("state/group-1", create=True)
    file.truncate(0)
    file.write(0, content)
    file.sync_now()
    disk.sync_names()
    third.crash()
    third.restart()
    other = next(host for host in cluster.hosts if host.node not in {leader.env.node, NodeId(3)})
    other.crash()
    address = cluster.address_of(leader.env.node - 1)
    second = SimClient(make_env(world.lab), address)
    world.run(asyncio.wait_for(second.write("k", 999), 10.0))

    machine = cluster.live()[NodeId(3)].node.first.machine
    assert machine.commit_index > LogIndex(200)
