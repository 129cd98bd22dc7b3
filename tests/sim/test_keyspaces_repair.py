"""An operator's repair on the shipped server: copies that differ are found and mended at once, and it says who did not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from quorate.client import Connection
from quorate.kernel import Duration, NodeId
from quorate.kernel.errors import QuorateError
from quorate.lab.simulation.cluster import SimCluster
from quorate.server import Keyspace, Replication
from quorate.server.keyspaces import group_of
from quorate.sim import World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

# Nothing but a repair mends anything: no hints in time, no read repair, one comparison an hour.
QUIET = Replication(
    by="leaderless", read=1, write=1, read_repair="none", hint_delay_ms=1_900, detector="local",
    anti_entropy_interval_s=3_600,
)  # fmt: skip
KEYSPACES = {
    "carts": Keyspace(replication=QUIET, prefix="c:"),
    "alone": Keyspace(replication=msgspec.structs.replace(QUIET, replicas=1), prefix="a:"),
    "pairs": Keyspace(replication=msgspec.structs.replace(QUIET, replicas=2), prefix="p:"),
    "never": Keyspace(replication=msgspec.structs.replace(QUIET, anti_entropy=False), prefix="n:"),
    "ledger": Keyspace(prefix="l:"),
}
CARTS = group_of("carts")


def run(seed: int, main: Callable[[World, SimCluster], Coroutine[Any, Any, None]], **fields: Any) -> None:
    with World(seed) as world:
        cluster = SimCluster(world, node_count=3, keyspaces=KEYSPACES, **fields)
        cluster.start()
        world.run(main(world, cluster), timeout=Duration(600 * 10**9))


async def ask(world: World, cluster: SimCluster, place: int, *words: object) -> Any:
    connection = await Connection.open(make_env(world.lab).streams, cluster.address_of(place))
    try:
        return await connection.request([str(word).encode() for word in words])
    finally:
        connection.close()


def cells(cluster: SimCluster, number: int) -> dict[bytes, bytes]:
    machine = cluster.servers[NodeId(number)].node.available[CARTS].machine
    assert machine is not None
    return dict(machine.leaderless.cells)


async def write_past(world: World, cluster: SimCluster, deaf: int, count: int) -> None:
    """Write to a node while another one hears nothing about it, and has no hint of it for longer than this takes."""
    replica = cluster.servers[NodeId(deaf)].node.available[CARTS]
    hears = replica.receive
    replica.receive = lambda _sender, _payload: None  # type: ignore[method-assign]
    for number in range(count):
        await ask(world, cluster, 0, "SET", f"c:{number}", number)
    replica.receive = hears  # type: ignore[method-assign]


def test_a_repair_finds_and_mends_what_differs_at_once() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        await write_past(world, cluster, 3, 40)
        assert cells(cluster, 3) != cells(cluster, 1)
        before = world.now
        report = await ask(world, cluster, 0, "QUORATE.REPAIR", "carts")
        assert report == {
            b"node": 1, b"ranges": 1, b"agreed": 1, b"differed": 40, b"repaired": 40, b"unreachable": [], b"is_done": 1,
        }  # fmt: skip
        assert world.now - before < 1_500_000_000, "by intervals it takes longer, by cycles an hour"
        assert cells(cluster, 3) == cells(cluster, 1) == cells(cluster, 2)
        again = await ask(world, cluster, 2, "QUORATE.REPAIR", "carts", 5_000)
        assert (again[b"differed"], again[b"is_done"]) == (0, 1)

    run(1, main)


def test_a_peer_that_is_away_is_named_and_nothing_is_called_done() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        await write_past(world, cluster, 2, 20)
        cluster.host_of(NodeId(3)).crash()
        report = await ask(world, cluster, 0, "QUORATE.REPAIR", "carts", 20_000)
        assert report[b"unreachable"] == [3]
        assert (report[b"agreed"], report[b"is_done"]) == (0, 0), "each range has an owner that did not answer"
        assert cells(cluster, 2) == cells(cluster, 1), "the others are mended all the same"

    run(2, main)


def test_a_repair_ends_with_its_time_and_says_how_far_it_came() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        # As good as dead, but nobody has noticed yet.
        cluster.servers[NodeId(2)].node.available[CARTS].receive = lambda *_: None  # type: ignore[method-assign]
        report = await ask(world, cluster, 0, "QUORATE.REPAIR", "carts", 300)
        assert (report[b"unreachable"], report[b"is_done"]) == ([2], 0)

    run(3, main)


def test_what_is_written_meanwhile_holds_no_repair_up() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        is_over = False

        async def write() -> None:
            number = 0
            while not is_over:
                await ask(world, cluster, number % 3, "SET", f"c:{number % 7}", number)
                number += 1

        writing = [asyncio.create_task(write()) for _ in range(4)]
        report = await ask(world, cluster, 1, "QUORATE.REPAIR", "carts", 30_000)
        is_over = True
        await asyncio.gather(*writing)
        assert report[b"is_done"] == 1

    run(4, main)


REFUSED = (
    (("nowhere",), "there is no keyspace 'nowhere'"),
    (("ledger",), "keyspace ledger is on Raft"),
    (("never",), "anti_entropy = false"),
    (("carts", 0), "QUORATE.REPAIR keyspace"),
    (("carts", 10**9), "a time-out has from 1 to"),
    (("carts", 5, 6), "QUORATE.REPAIR keyspace"),
    ((b"\xff",), "there is no keyspace"),
)


def test_what_cannot_be_repaired_is_refused_by_name() -> None:
    async def main(world: World, cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        for words, sentence in REFUSED:
            with pytest.raises(QuorateError, match=sentence):
                await ask(world, cluster, 0, "QUORATE.REPAIR", *words)
        alone = await ask(world, cluster, 0, "QUORATE.REPAIR", "alone")
        assert (alone[b"ranges"], alone[b"is_done"]) == (0, 1), "a single copy agrees with itself"
        pairs = await ask(world, cluster, 0, "QUORATE.REPAIR", "pairs")
        assert (pairs[b"ranges"] > 9, pairs[b"is_done"]) == (True, 1)
        first = asyncio.create_task(ask(world, cluster, 0, "QUORATE.REPAIR", "carts"))
        second = asyncio.create_task(ask(world, cluster, 0, "QUORATE.REPAIR", "carts"))
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert sum("is under way" in str(outcome) for outcome in outcomes) == 1

    run(5, main)
