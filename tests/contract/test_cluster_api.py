"""The Python API means the same for an embedded store, a member and a remote cluster, and for its synchronous twin."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import quorate
import quorate.sync
from quorate.api import SyncDatabase, serve_real
from quorate.client import Database, KeyChange
from quorate.kernel import NodeId
from quorate.kernel.errors import (
    ConfigError,
    Conflict,
    ConnectionLost,
    ForeignData,
    Refused,
    TooLarge,
    Unreachable,
    UsageError,
    WrongType,
)
from quorate.protocols.raft import TransferLeadership
from quorate.runtime import new_loop
from quorate.server import Config, Listen

pytestmark = [pytest.mark.real, pytest.mark.slow]

KINDS = ("open", "join", "connect")


@contextlib.asynccontextmanager
async def database_of(kind: str, directory: Path, *, group_count: int = 1) -> AsyncIterator[Database]:
    if kind == "open":
        async with quorate.open(directory) as opened:
            yield opened
    elif kind == "join":
        async with quorate.join(directory, name="api", node=1, peers={1: "127.0.0.1:0"}) as member:
            yield member
    else:
        listen = Listen(peer="127.0.0.1:0", redis="127.0.0.1:0", http="")
        config = Config(node=1, data=str(directory), peers={1: "127.0.0.1:1"}, listen=listen, group_count=group_count)
        server = await serve_real(config)
        try:
            async with quorate.connect(f"quorate://{server.redis_address}", timeout=5) as connected:
                yield connected
        finally:
            await server.stop()


async def use_values(db: Database) -> None:
    assert await db.get("a") is None
    first = await db.put("a", "1")
    assert await db.get("a") == b"1"
    assert await db.get_versioned("a") == (b"1", first)
    assert await db.get("a", consistency="local") == b"1"
    second = await db.put(b"a", b"\x00\xff", if_version=first)
    assert second > first
    with pytest.raises(Conflict, match=str(second)):
        await db.put("a", "late", if_version=first)
    with pytest.raises(Conflict):
        await db.put("a", "new", if_version=0)
    with pytest.raises(Conflict):
        await db.delete("a", if_version=first)
    assert await db.get("a") == b"\x00\xff"
    assert await db.delete("a", if_version=second)
    assert not await db.delete("a")
    assert [await db.increment("n"), await db.increment("n", 5), await db.increment("n", -7)] == [1, 6, -1]
    await db.put("t", "short", ttl=0.05)
    await db.put("t2", "long", ttl=100.0)
    await asyncio.sleep(0.12)
    assert await db.get("t") is None
    assert await db.get("t2") == b"long"


async def use_scans(db: Database) -> None:
    for place in range(600):
        await db.put(f"s/{place:03}", place)
    await db.execute("hset", "s/h", "f", "v")
    rows = [item async for item in db.scan("s/")]
    assert [row.key for row in rows] == [b"s/%03d" % place for place in range(600)] + [b"s/h"]
    assert rows[7].value == b"7"
    assert rows[7].version > 0
    assert rows[-1].value is None
    assert [row.key async for row in db.scan(start="s/598", end="s/h")] == [b"s/598", b"s/599"]
    assert [row.key async for row in db.scan("s/", start="s/599")] == [b"s/599", b"s/h"]
    assert [row.key async for row in db.scan(start="s/599", end=b"")] == [b"s/599", b"s/h", b"t2"]
    assert [row.key async for row in db.scan("nothing")] == []


async def use_transactions(db: Database) -> None:
    await db.put("x", 1)
    async with db.transaction() as t:
        value = int(await t.get("x") or 0)
        t.put("x", value + 1)
        assert await t.get("x") == b"2"
        t.put("y", "new")
        t.delete("n")
        assert await t.get("n") is None
    assert [await db.get(key) for key in "xyn"] == [b"2", b"new", None]
    with pytest.raises(Conflict):
        async with db.transaction() as t:
            await t.get("x")
            await db.put("x", "meanwhile")
            t.put("y", "lost")
    assert await db.get("y") == b"new"
    with pytest.raises(RuntimeError, match="dropped"):
        async with db.transaction() as t:
            t.put("y", "dropped")
            raise RuntimeError("dropped")
    assert await db.get("y") == b"new"
    await db.put("c", 0)

    async def body(t: quorate.client.Transaction) -> int:
        value = int(await t.get("c") or 0)
        t.put("c", value + 1)
        return value

    assert sorted(await asyncio.gather(*(db.run(body) for _ in range(6)))) == list(range(6))
    assert await db.get("c") == b"6"


async def use_commands(db: Database) -> None:
    assert await db.execute("set", "k", "v") == b"OK"
    assert await db.execute("hset", "h", "f", 1) == 1
    assert await db.execute("hgetall", "h") == {b"f": b"1"}
    assert await db.execute("sadd", "set", "a") == 1
    assert await db.execute("smembers", "set") == [b"a"]
    assert await db.execute("zadd", "z", "1.5", "m") == 1
    assert await db.execute("zscore", "z", "m") == 1.5
    assert await db.execute("zrange", "z", 0, -1, "withscores") == [[b"m", 1.5]]
    assert await db.execute("get", "absent") is None
    with pytest.raises(WrongType, match="wrong kind of value"):
        await db.execute("lpush", "h", "x")
    with pytest.raises(Refused, match="unknown command"):
        await db.execute("nonsense", "x")
    with pytest.raises(Refused, match="wrong number of arguments"):
        await db.execute("get")
    with pytest.raises(Refused, match="not an integer"):
        await db.increment("k")
    with pytest.raises(TooLarge):
        await db.put("big", b"x" * (1_572_864 + 1))
    with pytest.raises(UsageError, match="ttl"):
        await db.put("k", "v", ttl=0)
    with pytest.raises(UsageError, match="not float"):
        await db.put("k", 1.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="which command"):
        await db.execute()


async def use_watch(db: Database) -> None:
    async def first_changes(count: int) -> list[KeyChange]:
        found = []
        async for change in db.watch("w/"):
            found.append(change)
            if len(found) == count:
                break
        return found

    watching = asyncio.create_task(first_changes(3))
    await asyncio.sleep(0.1)
    await db.put("elsewhere", 1)
    await db.put("w/1", 1)
    await db.put("w/2", 2, ttl=0.05)
    await db.delete("w/1")
    changes = await asyncio.wait_for(watching, 5)
    assert {(change.key, change.kind) for change in changes} <= {
        (b"w/1", "put"),
        (b"w/2", "put"),
        (b"w/1", "delete"),
        (b"w/2", "expire"),
    }
    assert [(change.key, change.kind) for change in changes[:2]] == [(b"w/1", "put"), (b"w/2", "put")]
    assert changes[0].revision < changes[1].revision < changes[2].revision


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_is_the_same_for_all(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with database_of(kind, tmp_path / "data") as db:
            await use_values(db)
            await use_scans(db)
            await use_transactions(db)
            await use_commands(db)
            await use_watch(db)

    asyncio.run(main())


def test_sessions_are_kept_for_each_group(tmp_path: Path) -> None:
    """With several groups a client's request numbers are counted by each of them, and nothing is refused."""

    async def main() -> None:
        async with database_of("connect", tmp_path / "data", group_count=4) as db:
            await asyncio.gather(*(db.put(f"k{place}", place) for place in range(100)))
            assert sorted([int(item.value or b"") async for item in db.scan("k")]) == list(range(100))
            assert await db.execute("dbsize") == 100
            async with db.transaction() as t:
                t.put("{a}1", "x")
                t.put("{a}2", "y")
            with pytest.raises(Refused, match="same slot"):
                async with db.transaction() as t:
                    t.put("a", "x")
                    t.put("b", "y")
            await db.execute("flushall")
            await db.execute("flushall")
            assert await db.execute("dbsize") == 0

    asyncio.run(main())


def test_what_was_acknowledged_is_there_when_a_store_is_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        for turn in range(3):
            async with quorate.open(tmp_path) as db:
                assert await db.increment("turns") == turn + 1

    asyncio.run(main())


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    async def main() -> None:
        async with quorate.open(tmp_path):
            with pytest.raises(ForeignData, match="in use"):
                async with quorate.open(tmp_path):
                    pass
        with pytest.raises(ForeignData, match="belongs to node 1"):
            async with quorate.join(tmp_path, name="other", node=2, peers={2: "127.0.0.1:0"}):
                pass

    asyncio.run(main())


def test_a_member_that_finds_no_majority_says_so_and_lets_go(tmp_path: Path) -> None:
    async def main() -> None:
        peers = {1: "127.0.0.1:0", 2: "127.0.0.1:1"}
        with pytest.raises(Unreachable, match="majority"):
            async with quorate.join(tmp_path, name="lonely", node=1, peers=peers, ready_timeout=0.3):
                pass
        with pytest.raises(ConfigError, match="itself must be listed"):
            async with quorate.join(tmp_path, name="lonely", node=3, peers=peers):
                pass

    asyncio.run(main())


def test_a_node_that_cannot_open_its_door_gives_everything_back(tmp_path: Path) -> None:
    async def main() -> None:
        blocker = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        host, port = blocker.sockets[0].getsockname()
        async with blocker:
            for _ in range(2):
                with pytest.raises(OSError, match=str(port)):
                    async with quorate.join(
                        tmp_path, name="api", node=1, peers={1: "127.0.0.1:0"}, redis=f"{host}:{port}"
                    ):
                        pass

    asyncio.run(main())


def test_nobody_at_the_address_is_a_definite_error() -> None:
    async def main() -> None:
        async with quorate.connect("quorate://127.0.0.1:1", timeout=0.3) as db:
            with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
                await db.put("a", 1)
            with pytest.raises(Unreachable):
                async for _ in db.watch():
                    pass
        for url in ("redis://x:1", "quorate://", "quorate://x", "quorate://x:port"):
            with pytest.raises(UsageError):
                async with quorate.connect(url):
                    pass

    asyncio.run(main())


def test_a_slow_watcher_is_told_that_it_missed_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.client.database.WATCH_BACKLOG_COUNT_MAX", 3)

    async def main() -> None:
        async with quorate.open(tmp_path) as db:
            changes = db.watch()
            first = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.05)
            await db.put("k", 0)
            assert (await first).key == b"k"
            for place in range(5):
                await db.put("k", place)
            with pytest.raises(ConnectionLost, match="missed"):
                async for _ in changes:
                    pass

    asyncio.run(main())


# -- the synchronous twin --------


def use_twin(db: SyncDatabase) -> None:
    version = db.put("x", "y")
    assert db.get("x") == b"y"
    assert db.get("x", consistency="local") == b"y"
    assert db.get_versioned("x") == (b"y", version)
    with pytest.raises(Conflict):
        db.put("x", "z", if_version=0)
    assert db.increment("n", 3) == 3
    assert [(item.key, item.value) for item in db.scan()] == [(b"n", b"3"), (b"x", b"y")]
    with db.transaction() as t:
        t.put("z", (t.get("x") or b"") + b"!")
        t.delete("n")
    assert [db.get("z"), db.get("n")] == [b"y!", None]
    assert db.run(lambda t: t.get("z")) == b"y!"
    assert db.execute("hset", "h", "f", "v") == 1
    with pytest.raises(WrongType):
        db.execute("lpush", "h", "x")
    timer = threading.Timer(0.1, lambda: db.put("w", 1))
    timer.start()
    assert next(iter(db.watch("w"))).kind == "put"
    timer.join()
    assert db.delete("x")
    db.close()
    db.close()
    with pytest.raises(UsageError, match="closed"):
        db.get("x")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A server of one node on a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    listen = Listen(peer="127.0.0.1:0", redis="127.0.0.1:0", http="")
    server = run(serve_real(Config(node=1, data=str(tmp_path / "s"), peers={1: "127.0.0.1:1"}, listen=listen)))
    yield f"quorate://{server.redis_address}"
    run(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_the_twin_has_every_method_and_they_mean_the_same(tmp_path: Path, served: str) -> None:
    use_twin(quorate.sync.open(":memory:"))
    use_twin(quorate.sync.join(tmp_path / "member", name="twin", node=1, peers={1: "127.0.0.1:0"}))
    use_twin(quorate.sync.connect(served))
    public = {name for name in vars(Database) if not name.startswith("_")}
    assert public <= {name for name in vars(SyncDatabase) if not name.startswith("_")}


def test_the_number_of_groups_cannot_be_changed_later(tmp_path: Path) -> None:
    async def main() -> None:
        listen = Listen(peer="", redis="", http="")
        server = await serve_real(Config(node=1, data=str(tmp_path), peers={1: "127.0.0.1:1"}, listen=listen))
        await server.stop()
        with pytest.raises(ConfigError, match="has 1, not 2"):
            await serve_real(Config(node=1, data=str(tmp_path), peers={1: "127.0.0.1:1"}, listen=listen, group_count=2))

    asyncio.run(main())


def test_the_heartbeats_of_all_groups_leave_in_one_write_per_peer(tmp_path: Path, free_port: int) -> None:
    """Idle traffic is bought by writes, and these do not grow with the number of groups."""

    async def idle_writes(group_count: int) -> int:
        peers = {node: f"127.0.0.1:{free_port + node - 1}" for node in (1, 2, 3)}
        servers = []
        for node in peers:
            config = Config(
                node=node,
                data=str(tmp_path / f"{group_count}-{node}"),
                peers=peers,
                group_count=group_count,
                listen=Listen(peer=peers[node], redis="", http=""),
            )
            servers.append(await serve_real(config))
        groups = [[replica.group for replica in server.node.replicas.values()] for server in servers]
        first = groups[0]
        for _ in range(600):
            if all(group.is_leader for group in first):
                break
            for others in groups[1:]:
                for group in others:
                    if group.is_leader:
                        group.host.call(TransferLeadership(NodeId(1), 1 << 61))
            await asyncio.sleep(0.1)
        assert all(group.is_leader for group in first)
        count = 0
        for connection in servers[0].node.links._connections.values():
            write = connection.write

            def counted(data: bytes, write: Any = write) -> None:
                nonlocal count
                count += 1
                write(data)

            connection.write = counted  # type: ignore[method-assign]
        await asyncio.sleep(2)
        for server in servers:
            await server.stop()
        return count

    with asyncio.Runner(loop_factory=new_loop) as runner:
        one = runner.run(idle_writes(1))
        four = runner.run(idle_writes(4))
    # A group beats at every other interval unless it is idle, so there may be two rhythms; apart there would be four.
    assert four <= one * 2.2, (one, four)
