"""Keyspaces in the simulated world: the shipped server, Raft and leaderless side by side, under faults."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from quorate.client import Connection, Database, RemoteExecutor
from quorate.kernel import Duration, NodeId, seconds
from quorate.kernel.errors import DefiniteError, OperationError, QuorateError, UsageError
from quorate.lab.simulation.cluster import SimCluster
from quorate.server import Keyspace, Replication, Storage
from quorate.server.keyspaces import group_of
from quorate.sim import World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

WEAK = Replication(by="leaderless", read=1, write=1, detector="local", anti_entropy_interval_s=1)
KEYSPACES = {
    "carts": Keyspace(replication=Replication(by="leaderless"), database=3),
    "weak": Keyspace(replication=WEAK, prefix="w:", conflicts="siblings"),
    "ledger": Keyspace(database=2),
    "accounts": Keyspace(prefix="acc:"),
}
SMALL = Storage(checkpoint_entry_count=20, trailing_entry_count=5, segment_bytes_max=4 << 10, free_bytes_min=0)


def made(world: World, keyspaces: Mapping[str, Keyspace] = KEYSPACES, **fields: Any) -> SimCluster:
    return SimCluster(world, node_count=3, keyspaces=keyspaces, **fields)


def database(world: World, cluster: SimCluster, *places: int, timeout_s: float = 20) -> Database:
    addresses = [cluster.address_of(place) for place in places or range(3)]
    return Database(RemoteExecutor(make_env(world.lab), addresses, timeout=seconds(timeout_s)))


def run(world: World, main: Coroutine[Any, Any, Any]) -> Any:
    return world.run(main, timeout=Duration(600 * 10**9))


async def until(is_so: Callable[[], Any], span_s: float = 60.0) -> None:
    for _ in range(round(span_s / 0.1)):
        if is_so():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never became so")


class Redis:
    """A connection to the Redis door of one node; errors are replies."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, world: World, cluster: SimCluster, place: int) -> "Redis":
        return cls(await Connection.open(make_env(world.lab).streams, cluster.address_of(place)))

    async def __call__(self, line: str) -> Any:
        try:
            return await self._connection.request([word.encode() for word in line.split()])
        except QuorateError as refused:
            return f"{refused.code} {refused}"

    async def pipeline(self, *lines: str) -> list[Any]:
        return list(await asyncio.gather(*(self(line) for line in lines)))


# -- the door --------


def test_a_database_number_or_a_prefix_chooses_the_keyspace() -> None:
    with World(1) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster)
            await db.put("k", "on raft")
            redis, other = await Redis.open(world, cluster, 0), await Redis.open(world, cluster, 1)
            assert await redis("SET w:k weak") == b"OK"
            assert await redis("SELECT 3") == b"OK"
            assert await redis("SET k carts") == b"OK"
            assert await redis("DBSIZE") == 1
            assert await other("GET k") == b"on raft"
            assert await other("KEYS *") == [b"k"], "copies of leaderless keys are not on Raft"
            await until(lambda: cluster.servers[NodeId(2)].node.available[group_of("weak")].living_count)
            assert await other("GET w:k") == b"weak"
            await other("SELECT 3")
            assert await other("GET k") == b"carts"
            assert "db3:keys=1" in (await other("INFO keyspace")).decode()
            assert [one[b"name"] for one in await other("QUORATE.KEYSPACES")] == [
                b"accounts", b"carts", b"ledger", b"weak",
            ]  # fmt: skip

        run(world, main())


MEANINGLESS = (
    ("MGET k w:k", "Keys in request belong to different keyspaces"),
    ("MSET k 1 w:k 2", "Keys in request belong to different keyspaces"),
    ("DEL w:k k", "Keys in request belong to different keyspaces"),
    ("RENAME w:k w:l", "RENAME is refused in keyspace weak: it needs one order"),
    ("FLUSHALL", "FLUSHALL is refused in keyspace carts"),
    ("MOVE k 3", "MOVE is refused in keyspace carts"),
    ("COPY k l DB 3", "COPY is refused in keyspace carts"),
    ("WATCH w:k", "WATCH is refused in keyspace weak"),
    ("QUORATE.ONCE 7 1 SET w:k 1", "QUORATE.ONCE is refused in keyspace weak"),
    ("QUORATE.DO KEYSPACE nowhere SET k 1", "there is no keyspace 'nowhere'"),
    ("QUORATE.DO KEYSPACE carts LEVEL 4 SET k 1", "4"),
    ("QUORATE.DO LEVEL ONE SET k 1", "the default keyspace is on Raft"),
    ("QUORATE.DO KEYSPACE ledger TOKEN SET k 1", "keyspace ledger is on Raft"),
    ("QUORATE.ASK KEYSPACE carts SET k 1", "it goes with QUORATE.DO"),
    ("QUORATE.ASK KEYSPACE carts QUORATE.TICK", "writes"),
    ("QUORATE.ASK KEYSPACE carts NOSUCH k", "unknown command 'NOSUCH'"),
    ("QUORATE.ASK KEYSPACE accounts DBSIZE", "names no keys"),
    ("QUORATE.LEVEL READ ANY", "ANY is a level of writes"),
    ("QUORATE.LEVEL READ", "syntax error"),
    ("QUORATE.LEVEL REED ONE", "QUORATE.LEVEL [READ level]"),
    ("QUORATE.SIBLINGS k", "only keys of leaderless keyspaces have siblings"),
)


def test_what_has_no_meaning_is_refused_by_name() -> None:
    with World(2) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            await database(world, cluster).put("x", 1)
            redis = await Redis.open(world, cluster, 0)
            for line, answer in MEANINGLESS:
                assert answer in await redis(line), line

        run(world, main())


def test_a_transaction_that_touches_a_leaderless_key_is_refused_whole() -> None:
    with World(3) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            await database(world, cluster).put("x", 1)
            redis = await Redis.open(world, cluster, 0)
            replies = await redis.pipeline("MULTI", "SET x 2", "SET w:k 1", "EXEC", "GET x", "GET w:k")
            assert "MULTI/EXEC is refused in keyspace weak" in replies[3]
            assert replies[4:] == [b"1", None]

        run(world, main())


def test_replies_come_in_the_order_of_the_calls_over_all_keyspaces() -> None:
    """Raft and quorums answer at their own speed; a client tells answers apart by nothing but their order."""
    with World(4) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            await database(world, cluster).put("x", 1)
            redis = await Redis.open(world, cluster, 1)
            lines = [line for n in range(50) for line in (f"SET k{n} {n}", f"SET w:{n} {n}", f"GET w:{n}", f"GET k{n}")]
            replies = await redis.pipeline(*lines)
            assert replies == [part for n in range(50) for part in (b"OK", b"OK", str(n).encode(), str(n).encode())]
            levels = await redis.pipeline(
                "QUORATE.LEVEL READ ALL WRITE ALL", "SET w:a 1", "GET w:a", "GET k1", "QUORATE.LEVEL"
            )
            assert levels == [b"OK", b"OK", b"1", b"1", [b"read", b"ALL", b"write", b"ALL"]]
            assert await redis("QUORATE.LEVEL READ default WRITE 2") == b"OK"
            assert await redis("QUORATE.LEVEL") == [b"read", b"DEFAULT", b"write", b"2"]

        run(world, main())


def test_an_answer_takes_as_long_as_the_network_and_no_longer() -> None:
    with World(11) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            redis = await Redis.open(world, cluster, 0)
            await redis("SET w:k 1")
            began = world.now
            for number in range(20):
                await redis(f"SET w:k{number} 1")
                await redis(f"QUORATE.DO KEYSPACE carts SET k{number} 1")
            assert world.now - began < seconds(1), "a second is what the next tick takes"

        run(world, main())


# -- python --------


def test_python_names_a_keyspace_whatever_keeps_it() -> None:
    with World(5) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster)
            for name in ("carts", "ledger", "accounts"):
                keyspace = db.keyspace(name)
                await keyspace.put("a", "1")
                assert await keyspace.get("a") == b"1"
                assert await keyspace.delete("a")
                assert await keyspace.get("a") is None
                assert await keyspace.increment("n", 5) == 5
                assert await keyspace.add("s", "x", "y") == 2
                assert await keyspace.remove("s", "x") == 1
                assert await keyspace.members("s") == [b"y"]
                await keyspace.set_fields("h", {"f": 1, "g": "2"})
                assert await keyspace.remove_fields("h", "f") == 1
                assert await keyspace.fields("h") == {b"g": b"2"}
            assert await db.execute("GET", "acc:n") == b"5"
            assert await db.keyspace("carts").get("n", level="ALL") == b"5"
            with pytest.raises(UsageError, match="levels and tokens are of leaderless"):
                await db.keyspace("ledger").get("n", level="ALL")
            with pytest.raises(UsageError, match="no keyspace 'cart'; known are: accounts, carts"):
                await db.keyspace("cart").get("n")
            with pytest.raises(UsageError, match="which fields"):
                await db.keyspace("carts").set_fields("h", {})

        run(world, main())


def test_siblings_are_seen_and_resolved_in_python() -> None:
    with World(6) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            weak = database(world, cluster).keyspace("weak")
            await weak.put("k", "a", level="ALL")
            await weak.put("k", "b", level="ALL")
            with pytest.raises(DefiniteError, match="2 concurrent values"):
                await weak.get("k")
            found = await weak.siblings("k", level="ALL")
            assert sorted(found.values) == [b"a", b"b"]
            assert await weak.resolve("k", found.token, "ab", level="ALL") == 1
            assert await weak.get("k", level="ALL") == b"ab"

        run(world, main())


# -- faults --------


def test_the_minority_side_serves_leaderless_keys_while_raft_refuses() -> None:
    with World(7) as world:
        cluster = made(world)
        cluster.start()

        async def main() -> None:
            await database(world, cluster).put("k", "before")
            leader = cluster.leader()
            assert leader is not None
            place = leader - 1
            alone = database(world, cluster, place, timeout_s=8)
            world.partitions.isolate(cluster.hosts[place], [host for host in cluster.hosts if host.node != leader])
            with pytest.raises(OperationError):
                await alone.put("k", "on the minority side")
            with pytest.raises(OperationError):
                await alone.keyspace("carts").get("k")
            await alone.keyspace("weak").put("k", "minority")
            assert await alone.keyspace("weak").get("k") == b"minority"
            others = database(world, cluster, *(other for other in range(3) if other != place))
            await others.keyspace("weak").put("k", "majority")
            await others.keyspace("carts").put("c", "majority")
            world.partitions.heal()
            weak = database(world, cluster).keyspace("weak")
            found = await weak.siblings("k", level="ALL")
            assert sorted(found.values) == [b"majority", b"minority"], "both were acknowledged, and neither is lost"

        run(world, main())


def test_a_node_that_starts_alone_serves_what_its_levels_allow() -> None:
    """No leader can be elected, and nothing leaderless waits for one."""
    with World(8) as world:
        cluster = made(world)
        cluster.hosts[1].start(cluster._main)

        async def main() -> None:
            await asyncio.sleep(1)
            weak = database(world, cluster, 1).keyspace("weak")
            await weak.put("k", "alone")
            assert await weak.get("k") == b"alone"

        run(world, main())


def test_what_was_acknowledged_is_there_after_all_nodes_lost_power() -> None:
    with World(9) as world:
        cluster = made(world, storage=SMALL)
        cluster.start()

        async def main() -> None:
            carts = database(world, cluster).keyspace("carts")
            for number in range(60):
                await carts.put(f"k{number:02}", number)
            await carts.delete("k07")
            replicas = [server.node.available[group_of("carts")] for server in cluster.servers.values()]
            await until(lambda: all(replica.checkpoint_count for replica in replicas))
            for host in cluster.hosts:
                host.power_cut()
            await asyncio.sleep(1)
            cluster.servers.clear()
            cluster.start()
            await until(lambda: len(cluster.live()) == 3)
            carts = database(world, cluster).keyspace("carts")
            found = await asyncio.gather(*(carts.get(f"k{number:02}") for number in range(60)))
            assert found == [None if number == 7 else str(number).encode() for number in range(60)]

        run(world, main())


def test_the_log_does_not_grow_for_the_sake_of_a_keyspace() -> None:
    """An idle keyspace, or one that is written over and over, must let go of the log like any Raft group."""
    with World(10) as world:
        cluster = made(world, storage=SMALL)
        cluster.start()

        async def main() -> None:
            carts, weak = (database(world, cluster).keyspace(name) for name in ("carts", "weak"))
            await weak.put("once", "1")
            for number in range(300):
                await carts.put(f"k{number % 7}", "x" * 100)
            await asyncio.sleep(3)
            assert max(server.node.wal.segment_count for server in cluster.live().values()) <= 6

        run(world, main())


def test_a_keyspace_that_is_not_declared_any_more_rests_and_comes_back() -> None:
    """Its records must not hold the log back for ever, and its data is there when it is declared again."""
    with World(12) as world:
        cluster = made(world, storage=SMALL)
        cluster.start()

        async def restarted_with(keyspaces: Mapping[str, Keyspace]) -> Database:
            for host in cluster.hosts:
                host.power_cut()
            cluster.servers.clear()
            cluster._keyspaces = dict(keyspaces)
            await asyncio.sleep(0.5)
            cluster.start()
            await until(lambda: len(cluster.live()) == 3)
            return database(world, cluster)

        async def main() -> None:
            await database(world, cluster).keyspace("carts").put("k", "kept", level="ALL")
            db = await restarted_with({"ledger": KEYSPACES["ledger"]})
            with pytest.raises(UsageError, match="no keyspace 'carts'"):
                await db.keyspace("carts").get("k")
            for number in range(200):
                await db.put(f"k{number % 5}", "x" * 100)
            await until(lambda: max(one.node.wal.segment_count for one in cluster.live().values()) <= 4)
            db = await restarted_with(KEYSPACES)
            assert await db.keyspace("carts").get("k", level="ALL") == b"kept"

        run(world, main())


def test_a_broken_link_is_a_peer_that_is_down_whatever_the_failure_detector_believes() -> None:
    """SWIM over a wide network takes half a minute or more; the link is closed after a second and a half of silence."""
    slow = Keyspace(replication=Replication(by="leaderless", detector="wan"), database=3)
    with World(7) as world:
        cluster = made(world, {"slow": slow})

        async def main() -> None:
            cluster.start()
            machine = lambda: cluster.servers[NodeId(1)].node.available[group_of("slow")].machine  # noqa: E731
            await until(lambda: NodeId(1) in cluster.servers and machine() is not None)
            await asyncio.sleep(3)
            assert not machine().leaderless.down
            world.partitions.isolate(cluster.hosts[2], cluster.hosts[:2])
            await asyncio.sleep(4)
            assert list(machine().leaderless.down) == [NodeId(3)]
            world.partitions.heal()
            await until(lambda: not machine().leaderless.down, 10)

        run(world, main())
