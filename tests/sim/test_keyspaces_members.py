"""Members come and go under faults while leaderless keyspaces are served: ranges move, and nothing acknowledged is lost."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from quorate.client import Connection, Database, Keyspace, RemoteExecutor
from quorate.kernel import Duration, NodeId, seconds
from quorate.kernel.errors import OperationError, QuorateError
from quorate.lab.simulation.cluster import PEER_PORT, REDIS_PORT, SimCluster
from quorate.server import Keyspace as Declared
from quorate.server import Replication, Storage
from quorate.server.keyspaces import group_of
from quorate.sim import World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

SMALL = Storage(checkpoint_entry_count=25, trailing_entry_count=5, segment_bytes_max=16 << 10, free_bytes_min=0)
FAST = {"detector": "local", "anti_entropy_interval_s": 1, "hint_delay_ms": 100, "request_timeout_ms": 700}
DECLARED = Declared(replication=Replication(by="leaderless", replicas=2, **FAST), conflicts="siblings")
GROUP = group_of("moving")


def settled(cluster: SimCluster, nodes: tuple[int, ...]) -> bool:
    """Whether the nodes use the same newest topology alone, and it has these nodes."""
    live = cluster.live()
    replicas = [live[NodeId(node)].node.available[GROUP] for node in nodes if NodeId(node) in live]
    versions = {replica.topology.version if replica.topology else 0 for replica in replicas}
    return (
        len(replicas) == len(nodes)
        and len(versions) == 1
        and all(replica.topology is not None and replica.topology.nodes() == nodes for replica in replicas)
        and all(replica.settled_version in versions for replica in replicas)
    )


async def administer(world: World, cluster: SimCluster, *words: str) -> None:
    """Ask the leader until it says yes, whoever leads."""
    for _ in range(60):
        leader = cluster.leader()
        if leader is not None:
            try:
                connection = await Connection.open(make_env(world.lab).streams, cluster.address_of(int(leader) - 1))
                async with asyncio.timeout(20):
                    await connection.request([word.encode() for word in ("QUORATE.MEMBERS", *words)])
                return
            except (QuorateError, TimeoutError, OSError):
                pass
        await asyncio.sleep(0.5)
    raise AssertionError(f"{words} was never done")


async def client(keyspace: Keyspace, process: int, written: dict[str, str], dice: random.Random, stop: Any) -> None:
    number = 0
    while not stop():
        number += 1
        key = f"{process}:{number}"
        try:
            await keyspace.put(key, "v" + key)
        except OperationError:
            pass
        else:
            written[key] = "v" + key
        await asyncio.sleep(dice.random() * 0.04)


async def nemesis(world: World, cluster: SimCluster, dice: random.Random, stop: Callable[[], bool]) -> None:
    while not stop():
        await asyncio.sleep(0.5 + dice.random())
        running = [host for host in cluster.hosts if host.is_running]
        victim = running[dice.randrange(len(running))]
        if dice.random() < 0.5:
            victim.power_cut()
            cluster.servers.pop(victim.node, None)
            await asyncio.sleep(dice.random())
            victim.start(cluster._main)
        else:
            world.partitions.isolate(victim, [host for host in cluster.hosts if host is not victim])
            await asyncio.sleep(dice.random() * 1.5)
            world.partitions.heal()


# Of the others: 4 lost what newcomers did not take over; 110 agreed on two steps at once, which nobody could follow.
@pytest.mark.parametrize("seed", [1, 4, 110])
def test_ranges_move_under_faults_and_nothing_acknowledged_is_lost(seed: int) -> None:
    with World(seed) as world:
        cluster = SimCluster(world, node_count=5, founder_count=3, keyspaces={"moving": DECLARED}, storage=SMALL)
        cluster.start()
        env = make_env(world.lab)
        written: dict[str, str] = {}
        is_over = False

        async def main() -> None:
            nonlocal is_over
            await asyncio.sleep(1)
            addresses = [cluster.address_of(place) for place in range(3)]
            clients = [
                Database(RemoteExecutor(env, addresses, timeout=seconds(3))).keyspace("moving") for _ in range(3)
            ]
            working = [
                asyncio.create_task(client(one, number, written, env.rng, lambda: is_over))
                for number, one in enumerate(clients)
            ]
            await asyncio.sleep(2)
            harm = asyncio.create_task(nemesis(world, cluster, env.rng, lambda: is_over))
            for number in (4, 5):
                host = cluster.hosts[number - 1]
                host.start(cluster._main)
                await administer(
                    world, cluster, "ADD", str(number), f"{host.ip}:{PEER_PORT}", f"{host.ip}:{REDIS_PORT}"
                )
            await administer(world, cluster, "REMOVE", "2")
            is_over = True
            await asyncio.gather(harm, *working)
            world.partitions.heal()
            cluster.host_of(NodeId(2)).power_cut()
            while not settled(cluster, (1, 3, 4, 5)):
                await asyncio.sleep(0.5)
                assert world.now < 400 * 10**9, "movement must end when nothing harms it any more"
            left = [cluster.address_of(place) for place in (0, 2, 3, 4)]
            keyspace = Database(RemoteExecutor(env, left, timeout=seconds(5))).keyspace("moving")
            for key, value in written.items():
                assert await keyspace.get(key, level="ALL") == value.encode(), key
            owned = [len(server.node.available[GROUP].machine.leaderless.cells) for server in cluster.live().values()]  # type: ignore[union-attr]
            assert min(owned) > 0

        world.run(main(), timeout=Duration(900 * 10**9))
        assert len(written) > 50


def test_a_newcomer_that_dies_for_good_while_ranges_move_can_be_removed() -> None:
    """Its movement cannot end, so it is replaced; else nobody could ever come or go again."""
    with World(3) as world:
        cluster = SimCluster(world, node_count=5, founder_count=3, keyspaces={"moving": DECLARED}, storage=SMALL)
        cluster.start()
        env = make_env(world.lab)

        async def main() -> None:
            await asyncio.sleep(1)
            addresses = [cluster.address_of(place) for place in range(3)]
            keyspace = Database(RemoteExecutor(env, addresses, timeout=seconds(5))).keyspace("moving")
            for number in range(60):
                await keyspace.put(f"k{number}", number)
            four = cluster.hosts[3]
            four.start(cluster._main)
            adding = asyncio.create_task(
                administer(world, cluster, "ADD", "4", f"{four.ip}:{PEER_PORT}", f"{four.ip}:{REDIS_PORT}")
            )
            while not any(server.node.topologies.agreed("moving") is not None for server in cluster.live().values()):
                await asyncio.sleep(0.001)
            four.power_cut()
            cluster.servers.pop(four.node, None)
            await adding
            await administer(world, cluster, "REMOVE", "4")
            while not settled(cluster, (1, 2, 3)):
                await asyncio.sleep(0.5)
                assert world.now < 300 * 10**9
            five = cluster.hosts[4]
            five.start(cluster._main)
            await administer(world, cluster, "ADD", "5", f"{five.ip}:{PEER_PORT}", f"{five.ip}:{REDIS_PORT}")
            while not settled(cluster, (1, 2, 3, 5)):
                await asyncio.sleep(0.5)
                assert world.now < 400 * 10**9
            for number in range(60):
                assert await keyspace.get(f"k{number}", level="ALL") == str(number).encode()

        world.run(main(), timeout=Duration(900 * 10**9))
