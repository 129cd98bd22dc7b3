"""Cells of a backup joined into a cluster that lives on: each node takes those of its keys, and nothing newer is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from quorate.client import Connection
from quorate.clocks import HybridStamp
from quorate.kernel import Duration, NodeId
from quorate.kernel.errors import QuorateError
from quorate.lab.simulation.cluster import SimCluster
from quorate.protocols.leaderless import Put, rule_named
from quorate.server import Keyspace, Replication
from quorate.server.keyspaces import group_of
from quorate.sim import World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

PAIRS = Replication(by="leaderless", replicas=2, detector="local", anti_entropy_interval_s=3_600)
KEYSPACES = {
    "carts": Keyspace(replication=PAIRS, prefix="c:"),
    "notes": Keyspace(replication=PAIRS, prefix="n:", conflicts="siblings"),
    "ledger": Keyspace(prefix="l:"),
}
CARTS = group_of("carts")
RULE = rule_named("lww")
EARLY = HybridStamp(5, 0, NodeId(1))


def cell(value: bytes) -> bytes:

    return RULE.change(b"", Put(value), actor=7, stamp=EARLY, context=b"")


def run(seed: int, main: Callable[[World, SimCluster], Coroutine[Any, Any, None]]) -> None:
    with World(seed) as world:
        cluster = SimCluster(world, node_count=3, keyspaces=KEYSPACES)
        cluster.start()
        world.run(main(world, cluster), timeout=Duration(600 * 10**9))


async def ask(world: World, cluster: SimCluster, place: int, *words: bytes | str) -> Any:
    connection = await Connection.open(make_env(world.lab).streams, cluster.address_of(place))
    try:
        return await connection.request([word if isinstance(word, bytes) else word.encode() for word in words])
    finally:
        connection.close()


def test_each_node_takes_the_cells_of_its_keys_and_they_survive_a_crash_of_all() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        # Keys lie in their keyspace without its prefix; cells come in pieces.
        cells = [word for number in range(30) for word in (str(number), "2", cell(b"old")[:9], cell(b"old")[9:])]
        await ask(world, cluster, 0, "SET", "c:3", "newer")
        await ask(world, cluster, 0, "DEL", "c:4")
        replies = [await ask(world, cluster, place, "QUORATE.ABSORB", "carts", "lww", *cells) for place in range(3)]
        assert [reply[b"node"] for reply in replies] == [1, 2, 3]
        assert sum(reply[b"held"] for reply in replies) == 60, "two copies of each key"
        assert sum(reply[b"changed"] for reply in replies) == 56, "of two keys something newer was there"
        again = await ask(world, cluster, 1, "QUORATE.ABSORB", "carts", "lww", *cells)
        assert again[b"changed"] == 0
        for host in cluster.hosts:
            host.power_cut()
            cluster.servers.pop(host.node, None)
        for host in cluster.hosts:
            host.start(cluster._main)
        await asyncio.sleep(5)
        found = [await ask(world, cluster, 2, "GET", f"c:{number}") for number in range(6)]
        assert found == [b"old", b"old", b"old", b"newer", None, b"old"]

    run(1, main)


REFUSED = (
    (("nowhere", "lww"), "there is no keyspace 'nowhere'"),
    (("ledger", "lww"), "keyspace ledger is on Raft"),
    (("carts", "siblings"), "has conflicts = 'lww', and the cells have 'siblings'"),
    (("carts", "lww", "c:1", "1", b"\x01rot"), "a cell is none of 'lww'"),
    (("carts", "lww", "c:1"), "known are"),
    (("carts", "lww", "c:1", "0"), "known are"),
    (("carts", "lww", "c:1", "-3", "x"), "known are"),
    (("carts", "lww", "c:1", "2", "x"), "known are"),
    (("carts", "lww", "c:1", "many", "x"), "known are"),
    (("carts", b"\xff"), "known are"),
    (("carts",), "wrong number of arguments"),
)


def test_what_is_no_backup_is_refused_whole() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        for words, sentence in REFUSED:
            with pytest.raises(QuorateError, match=sentence):
                await ask(world, cluster, 0, "QUORATE.ABSORB", *words)
        assert all(not server.node.available[CARTS].living_count for server in cluster.servers.values())

    run(2, main)
