"""Leaderless keyspaces of the shipped server under power cuts and partitions: nothing acknowledged is lost, copies agree.

Every client writes keys of its own, adds to a counter and to a set; nodes lose power and come back with what their disks
kept, checkpoints are taken all the time, the network is cut and healed.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from quorate.client import Database, Keyspace, RemoteExecutor
from quorate.kernel import Duration, milliseconds, seconds
from quorate.kernel.errors import DefiniteError, OperationError
from quorate.lab.simulation.cluster import SimCluster
from quorate.server import Keyspace as Declared
from quorate.server import Replication, Storage
from quorate.server.keyspaces import group_of
from quorate.sim import DiskPolicy, World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

SMALL = Storage(checkpoint_entry_count=15, trailing_entry_count=5, segment_bytes_max=8 << 10, free_bytes_min=0)
FAST = {"detector": "local", "anti_entropy_interval_s": 1, "hint_delay_ms": 100, "request_timeout_ms": 700}
DESIGNS = {
    "one": Declared(replication=Replication(by="leaderless", read=1, write=1, **FAST), conflicts="siblings"),
    "quorum": Declared(replication=Replication(by="leaderless", read=2, write=2, **FAST)),
    "sloppy": Declared(replication=Replication(by="leaderless", read=1, write=2, sloppy=True, **FAST)),
}
WORK_S = 6


@dataclass
class Book:
    """What clients know of one keyspace."""

    written: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    members: list[bytes] = field(default_factory=list)
    added_count: int = 0
    doubtful_count: int = 0


async def client(keyspace: Keyspace, process: int, book: Book, dice: random.Random, until: Any) -> None:
    number = 0
    while not until():
        number += 1
        key = f"{process}:{number}"
        try:
            match dice.randrange(5):
                case 0:
                    await keyspace.increment("count")
                    book.added_count += 1
                case 1:
                    await keyspace.add("set", key)
                    book.members.append(key.encode())
                case 2 if f"{process}:{number - 1}" in book.written:
                    gone = f"{process}:{number - 1}"
                    del book.written[gone]  # from here on it may be gone
                    await keyspace.delete(gone)
                    book.deleted.append(gone)
                case _:
                    await keyspace.put(key, "v" + key)
                    book.written[key] = "v" + key
        except DefiniteError:
            pass
        except OperationError:
            book.doubtful_count += 1
        await asyncio.sleep(dice.random() * 0.05)


async def nemesis(world: World, cluster: SimCluster, dice: random.Random, until: Any) -> None:
    while not until():
        await asyncio.sleep(0.3 + dice.random())
        victim = cluster.hosts[dice.randrange(3)]
        if dice.random() < 0.5:
            victim.power_cut()
            cluster.servers.pop(victim.node, None)
            await asyncio.sleep(dice.random() * 1.5)
            victim.start(cluster._main)
        else:
            world.partitions.isolate(victim, [host for host in cluster.hosts if host is not victim])
            await asyncio.sleep(dice.random() * 2)
            world.partitions.heal()


def copies(cluster: SimCluster, name: str) -> list[dict[bytes, bytes]]:
    found = []
    for server in cluster.live().values():
        machine = server.node.available[group_of(name)].machine
        assert machine is not None
        found.append(dict(machine.leaderless.cells))
    return found


@pytest.mark.parametrize("name", sorted(DESIGNS))
@pytest.mark.parametrize("seed", [1])
def test_nothing_acknowledged_is_lost_and_copies_agree(name: str, seed: int) -> None:
    with World(seed) as world:
        cluster = SimCluster(world, node_count=3, keyspaces={name: DESIGNS[name]}, storage=SMALL)
        cluster.start()
        env = make_env(world.lab)
        book = Book()

        def is_over() -> bool:
            return world.now > WORK_S * 10**9

        async def main() -> None:
            await asyncio.sleep(1)
            addresses = [cluster.address_of(place) for place in range(3)]
            clients = [Database(RemoteExecutor(env, addresses, timeout=seconds(3))).keyspace(name) for _ in range(4)]
            working = [
                asyncio.create_task(client(one, number, book, env.rng, is_over)) for number, one in enumerate(clients)
            ]
            await nemesis(world, cluster, env.rng, is_over)
            await asyncio.gather(*working)
            world.partitions.heal()
            while len(cluster.live()) < 3 or len({repr(sorted(one.items())) for one in copies(cluster, name)}) > 1:
                await asyncio.sleep(0.5)
                assert world.now < 120 * 10**9, "copies that can reach each other must become equal"
            keyspace = Database(RemoteExecutor(env, addresses, timeout=seconds(3))).keyspace(name)
            for key, value in book.written.items():
                assert await keyspace.get(key, level="ONE") == value.encode(), key
            for key in book.deleted:
                assert await keyspace.get(key, level="ONE") is None, key
            total = int(await keyspace.get("count") or 0)
            assert book.added_count <= total <= book.added_count + book.doubtful_count
            assert set(book.members) <= set(await keyspace.members("set"))

        world.run(main(), timeout=Duration(400 * 10**9))
        assert len(book.written) > 20, "the clients got something done"


def lost_count(*, acknowledge: bool, cut_count: int = 10) -> tuple[int, int]:
    """Return how many answered writes are gone, and how many there were, after power cuts of the node that answered.

    The node is cut off from the others meanwhile, so that its own disk is all there is, and that is slow.
    """
    declared = Declared(
        replication=Replication(by="leaderless", read=1, write=1 if acknowledge else "NONE", **FAST),
        acknowledge=acknowledge,
    )
    slow = DiskPolicy(sync_min=milliseconds(10), sync_max=milliseconds(20))
    with World(5, disk=slow) as world:
        cluster = SimCluster(world, node_count=3, keyspaces={"weak": declared})
        cluster.start()
        env = make_env(world.lab)
        host, others = cluster.hosts[0], cluster.hosts[1:]

        async def burst(number: int) -> list[str]:
            keyspace = Database(RemoteExecutor(env, [cluster.address_of(0)], timeout=seconds(1))).keyspace("weak")
            await keyspace.describe()
            world.partitions.isolate(host, others)
            answered: list[str] = []

            async def put(key: str) -> None:
                with contextlib.suppress(OperationError):
                    await keyspace.put(key, "v")
                    answered.append(key)

            writes = [asyncio.create_task(put(f"{number}:{place}")) for place in range(40)]
            while not answered:
                await asyncio.sleep(0.0001)
            host.power_cut()
            cluster.servers.pop(host.node, None)
            world.partitions.heal()
            await asyncio.gather(*writes)
            host.start(cluster._main)
            while len(cluster.live()) < 3:
                await asyncio.sleep(0.1)
            return answered

        async def main() -> tuple[int, int]:
            await asyncio.sleep(1)
            answered = [key for number in range(cut_count) for key in await burst(number)]
            addresses = [cluster.address_of(place) for place in range(3)]
            keyspace = Database(RemoteExecutor(env, addresses, timeout=seconds(5))).keyspace("weak")
            missing = [key for key in answered if await keyspace.get(key, level="ALL") is None]
            return len(missing), len(answered)

        found: tuple[int, int] = world.run(main(), timeout=Duration(400 * 10**9))
        return found


def test_fire_and_forget_loses_what_was_answered_and_one_copy_does_not() -> None:
    """The declared mode has its price, and it is this one."""
    lost, answered_count = lost_count(acknowledge=False)
    assert 0 < lost <= answered_count
    kept_lost, kept_count = lost_count(acknowledge=True)
    assert kept_count > 0
    assert kept_lost == 0
