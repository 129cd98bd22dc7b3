"""Keyspaces on real processes: redis-py, the command line, kill -9, the side without a majority, members, garbage."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import redis

import quorate
import quorate.sync
from quorate.kernel.errors import ConfigError, OperationError

pytestmark = [pytest.mark.real, pytest.mark.slow]

Command = Callable[..., CompletedProcess[str]]

KEYSPACES = """
[storage]
checkpoint_entry_count = 200
[timing]
request_timeout_ms = 1500
[keyspaces.carts]
database = 3
replication = { by = "leaderless", read = 1, write = 1, detector = "local", anti_entropy_interval_s = 1 }
[keyspaces.strict]
prefix = "strict:"
replication = { by = "leaderless", detector = "local" }
[keyspaces.notes]
database = 4
conflicts = "siblings"
consistency = "read-your-writes"
replication = { by = "leaderless", read = 1, write = 1, detector = "local" }
"""


@pytest.fixture(scope="module")
def cluster(module_cluster: Any) -> Any:
    return module_cluster(extra=KEYSPACES)


@contextlib.contextmanager
def client(node: Any, db: int = 0, **options: Any) -> Iterator[Any]:
    host, _, port = node.redis.rpartition(":")
    with redis.Redis(host=host, port=int(port), db=db, socket_timeout=20, **options) as found:
        yield found


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_speaks_to_a_leaderless_keyspace(cluster: Any, protocol: int) -> None:
    one, two = cluster.nodes[1], cluster.nodes[2]
    name = f"p{protocol}"
    with client(one, 3, protocol=protocol) as carts, client(two, 3, protocol=protocol) as other:
        assert carts.set(name, "apples")
        assert carts.mget(name, "nothing") == [b"apples", None]
        assert (carts.incr(f"{name}n"), carts.decr(f"{name}n", 3)) == (1, -2)
        assert carts.sadd(f"{name}s", "a", "b") == 2
        assert carts.smembers(f"{name}s") == {b"a", b"b"}
        assert carts.hset(f"{name}h", mapping={"f": 1, "g": 2}) == 2
        assert carts.hgetall(f"{name}h") == {b"f": b"1", b"g": b"2"}
        assert carts.type(f"{name}h") == b"hash"
        assert set(carts.scan_iter(f"{name}*")) >= {name.encode(), f"{name}n".encode()}
        with carts.pipeline(transaction=False) as pipe:
            pipe.set("x", 1).get("x").delete("x").exists("x")
            assert pipe.execute() == [True, b"1", 1, 0]
        with carts.pipeline() as pipe, pytest.raises(redis.ResponseError, match="MULTI/EXEC is refused"):
            pipe.set("x", 1).execute()
        with pytest.raises(redis.ResponseError, match="EXPIRE is refused in keyspace carts"):
            carts.expire(name, 10)
        assert other.execute_command("QUORATE.ASK", "LEVEL", "ALL", "GET", name) == b"apples"
    with client(one, protocol=protocol) as raft:
        assert raft.get(name) is None
        assert raft.set("strict:k", name)
        assert raft.get("strict:k") == name.encode()


def test_siblings_are_settled_through_the_door(cluster: Any) -> None:
    with client(cluster.nodes[1], 4) as one, client(cluster.nodes[3], 4) as two:
        one.set("k", "a")
        two.set("k", "b")
        token, values = one.execute_command("QUORATE.ASK", "LEVEL", "ALL", "QUORATE.SIBLINGS", "k")
        assert sorted(values) == [b"a", b"b"]
        assert one.execute_command("QUORATE.DO", "LEVEL", "ALL", "QUORATE.RESOLVE", "k", token, "ab") == 1
        assert (one.get("k"), two.get("k")) == (b"ab", b"ab")


def test_sessions_and_levels_in_python_over_the_wire(cluster: Any) -> None:
    async def main() -> None:
        async with quorate.connect(cluster.url) as db:
            notes = db.keyspace("notes")
            async with notes.session(causal=True) as writer:
                await writer.put("question", "?")
                await writer.put("answer", "!")
            reader = notes.session(causal=True, resume=writer.export())
            assert await reader.get("answer", level="ONE") == b"!"
            assert await reader.get("question", level="ONE") == b"?"
            await reader.put("answer", "!!", level="ALL")
            assert await notes.get("answer", level=3) == b"!!"

    asyncio.run(main())
    with quorate.sync.connect(cluster.url) as db:
        session = db.keyspace("carts").session()
        session.put("sync", "1")
        assert session.get("sync") == b"1"
        assert db.keyspace("carts").increment("syncs", 2) == 2


def test_the_command_line_and_the_metrics_show_keyspaces(cluster: Any, quorate_command: Command) -> None:
    with client(cluster.nodes[1], 3) as carts:
        carts.set("shown", 1)
    shown = quorate_command("status", "--at", cluster.at)
    assert shown.returncode == 0
    assert "carts: leaderless N=3 R=1 W=1, conflicts: lww, eventual" in shown.stdout
    assert sum(line.startswith("carts ") for line in shown.stdout.splitlines()) == 3
    checked = quorate_command("keyspaces", "check", cluster.nodes[1].path)
    assert checked.returncode == 0, checked.stdout
    host, _, port = cluster.nodes[1].http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as door:
        door.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        page = b"".join(iter(lambda: door.recv(65_536), b""))
    assert b'quorate_keyspace_keys{keyspace="carts"}' in page


def test_repair_says_by_its_exit_status_whether_all_copies_agree(cluster: Any, quorate_command: Command) -> None:
    with client(cluster.nodes[1], 3) as carts:
        carts.set("repaired", 1)
    whole = quorate_command("repair", "carts", "--at", cluster.nodes[2].redis)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    lines = whole.stdout.splitlines()
    assert lines[0].split() == ["node", "ranges", "agreed", "differed", "repaired", "unreachable"]
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:4]] == [("1", "-"), ("2", "-"), ("3", "-")]
    assert lines[4] == "all agreed"
    cluster.nodes[3].end()
    try:
        part = quorate_command("repair", "carts", "--at", cluster.nodes[1].redis, "--timeout", 10)
        assert part.returncode == 1
        assert [line.split()[0::5] for line in part.stdout.splitlines()[1:3]] == [["1", "3"], ["2", "3"]]
        assert part.stdout.splitlines()[3] == "not all agreed"
        assert f"{cluster.nodes[3].redis}: " in part.stderr
    finally:
        cluster.nodes[3].start()
        cluster.wait(cluster.nodes[3].status, "node 3")
        cluster.wait_for_leader()
    refused = quorate_command("repair", "nowhere", "--at", cluster.nodes[1].redis, "--only")
    assert refused.returncode == 1
    assert "there is no keyspace 'nowhere'" in refused.stderr


def test_garbage_for_a_leaderless_keyspace_harms_nobody(cluster: Any) -> None:
    with client(cluster.nodes[2], 3) as carts:
        for args in (
            ("QUORATE.DO", "CONTEXT", b"\xff" * 64, "SET", "g", "1"),
            ("QUORATE.ASK", "ATLEAST", b"garbage", "TIMEOUT", "300", "GET", "g"),
            ("QUORATE.RESOLVE", "g", b"\x00\x01", "x"),
            ("QUORATE.DO", "NOTE", b"\x93\x01", "TOKEN", "SET", "g", "1"),
            ("QUORATE.DO", "LEVEL", "99", "SET", "g", "1"),
            ("QUORATE.DO", "KEYSPACE", b"\xfe\xff", "SET", "g", "1"),
            ("SET", b"k" * 70_000, "1"),
            ("SADD", "g2", *(b"\x00" * n for n in range(100))),
        ):
            with contextlib.suppress(redis.ResponseError):
                carts.execute_command(*args)
        carts.set("after", "garbage")
        assert carts.get("after") == b"garbage"


def test_the_last_node_serves_on_and_nothing_acknowledged_is_lost(make_cluster: Any, quorate_command: Command) -> None:
    """kill -9 of a majority: Raft refuses, the leaderless keyspace goes on, and all copies have it in the end."""
    cluster = make_cluster(extra=KEYSPACES)
    cluster.start()
    with client(cluster.nodes[3], 3) as carts:
        for number in range(300):
            carts.set(f"k{number}", number)
        for number in (1, 2):
            cluster.nodes[number].end(signal.SIGKILL)
        carts.set("alone", "yes")
        carts.incr("count")
        assert carts.get("alone") == b"yes"
    with client(cluster.nodes[3]) as raft, pytest.raises(redis.RedisError, match=r"UNREACHABLE|TIMEDOUT"):
        raft.set("k", "on raft")
    cluster.nodes[3].end(signal.SIGKILL)
    cluster.nodes[3].start()
    cluster.wait(lambda: cluster.nodes[3].status(), "node 3")
    with client(cluster.nodes[3], 3) as carts:
        assert carts.get("alone") == b"yes", "started alone, without a leader, after a kill"
    for number in (1, 2):
        cluster.nodes[number].start()
    cluster.wait_for_leader()
    for number in (1, 2):
        with client(cluster.nodes[number], 3) as carts:
            cluster.wait(lambda carts=carts: carts.get("alone") == b"yes" and carts.get("count") == b"1", "repair")
            assert carts.mget(*(f"k{place}" for place in range(300))) == [b"%d" % place for place in range(300)]
    with client(cluster.nodes[1]) as raft:
        assert raft.set("k", "on raft again")
    cluster.nodes[2].end()
    examined = quorate_command("doctor", cluster.nodes[2].data)
    assert examined.returncode == 0, examined.stdout + examined.stderr
    assert "(carts): checkpoint of 302 cells, 0 hints; conflicts: lww; with the log 302 keys" in examined.stdout
    cluster.stop()
    files = save_all(cluster, quorate_command)
    join_into(make_cluster(1, name="living", cluster="living", extra=KEYSPACES), files, quorate_command)
    restore_elsewhere(files, make_cluster(name="fresh", cluster="fresh", extra=KEYSPACES), quorate_command)


def save_all(cluster: Any, quorate_command: Command) -> list[Path]:
    files = [cluster.directory / f"{number}.snapshot" for number in cluster.nodes]
    for node, file in zip(cluster.nodes.values(), files, strict=True):
        saved = quorate_command("snapshot", "save", node.data, file)
        assert saved.returncode == 0, saved.stderr
        assert "302 copies of keyspace carts" in saved.stdout
    return files


def join_into(living: Any, files: list[Path], quorate_command: Command) -> None:
    """What a backup knows comes to a cluster that lives on, and takes nothing back."""
    living.start()
    with client(living.nodes[1], 3) as carts:
        assert carts.set("k0", "newer")
        assert carts.delete("k1") == 0
        joined = quorate_command("snapshot", "join", *files, "--at", living.at, "--keyspace", "carts")
        assert joined.returncode == 0, joined.stdout + joined.stderr
        assert "keyspace carts, node 1: 302 of 302 cells are its own, 300 changed" in joined.stdout
        assert carts.mget("k0", "k1", "k299", "alone") == [b"newer", None, b"299", b"yes"]
    again = quorate_command("snapshot", "join", *files, "--at", living.at)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "302 of 302 cells are its own, 0 changed" in again.stdout
    unknown = quorate_command("snapshot", "join", *files, "--at", living.at, "--keyspace", "nowhere")
    assert unknown.returncode == 1
    assert "hold no leaderless keyspace nowhere" in unknown.stderr


def restore_elsewhere(files: list[Path], fresh: Any, quorate_command: Command) -> None:
    """What all nodes held is there in a new cluster, and it goes on from there."""
    configs = [part for node in fresh.nodes.values() for part in ("--config", node.path)]
    restored = quorate_command("snapshot", "restore", *files, *configs)
    assert restored.returncode == 0, restored.stderr
    assert "keyspace carts: 302 keys, 0 tombstones, joined from 3 nodes: at least 3 of 3 copies" in restored.stdout
    fresh.start()
    with client(fresh.nodes[1], 3) as carts:
        assert (carts.get("alone"), carts.mget("k0", "k299")) == (b"yes", [b"0", b"299"])
        assert carts.incr("count") == 2
        assert carts.set("k0", "newer")
        assert carts.execute_command("QUORATE.ASK", "LEVEL", "ALL", "GET", "k0") == b"newer"
    with client(fresh.nodes[2]) as raft:
        assert raft.get("k") == b"on raft again"


def test_a_store_in_the_process_has_keyspaces_too() -> None:
    async def main() -> None:
        declared = {"carts": {"replication": {"by": "leaderless"}, "conflicts": "siblings"}, "ledger": {"database": 2}}
        async with quorate.open(":memory:", keyspaces=declared) as db:
            carts = db.keyspace("carts")
            await carts.put("k", "a")
            await carts.put("k", "b")
            found = await carts.siblings("k")
            assert sorted(found.values) == [b"a", b"b"]
            assert await carts.resolve("k", found.token, "ab") == 1
            async with carts.session() as session:
                assert await session.get("k") == b"ab"
                await session.put("k", "c")
                await session.put("k", "d")
                assert await session.get("k") == b"d", "a session replaces what it has seen and written"
            await db.keyspace("ledger").put("k", "v")
            assert await db.get("k") is None
        with pytest.raises(ConfigError, match=r"did you mean keyspaces\.carts\.replication"):
            async with quorate.open(":memory:", keyspaces={"carts": {"replicatoin": {}}}):
                pass
        with pytest.raises(ConfigError, match="2 copies need as many nodes"):
            async with quorate.open(
                ":memory:", keyspaces={"carts": {"replication": {"by": "leaderless", "replicas": 2}}}
            ):
                pass

    asyncio.run(main())
    with quorate.sync.open(":memory:", keyspaces={"carts": {"replication": {"by": "leaderless"}}}) as twin:
        assert twin.keyspace("carts").increment("n", 2) == 2


def test_a_declaration_that_cannot_be_kept_stops_the_start(make_cluster: Any) -> None:
    cluster = make_cluster(
        1,
        extra='[keyspaces.a]\nconsistency = "linearizable"\nreplication = { by = "leaderless", read = 1, write = 1 }\n',
    )
    cluster.nodes[1].start()
    assert cluster.nodes[1].process.wait(20) == 1
    assert "keyspaces.a.consistency: linearizable on leaderless" in cluster.nodes[1].text()
    with pytest.raises(OperationError):
        asyncio.run(_ping(cluster))


async def _ping(cluster: Any) -> None:
    async with quorate.connect(cluster.url, timeout=0.5) as db:
        await db.get("k")


def test_members_come_and_go_with_their_ranges(make_cluster: Any, quorate_command: Command) -> None:
    """A node that is added takes over its part, one that is removed hands it over first; reads find everything."""
    cluster = make_cluster(extra=KEYSPACES)
    cluster.start()
    at = cluster.at
    with client(cluster.nodes[1], 3) as carts:
        for number in range(200):
            carts.set(f"k{number}", number)
    node = cluster.add_node(4)
    node.start()
    cluster.wait(lambda: node.text().count("is up"), "node 4")
    with client(node, 3) as carts, pytest.raises(redis.ResponseError, match="has not been told yet"):
        carts.get("k1")
    added = quorate_command("members", "--at", at, "add", 4, node.peer, node.redis)
    assert added.returncode == 0, added.stderr

    def has_settled(version: int, *numbers: int) -> bool:
        return all(settled(cluster.nodes[number], "carts") >= version for number in numbers)

    cluster.wait(lambda: has_settled(2, 1, 2, 3, 4), "new owners")
    leader = cluster.wait_for_leader()
    gone = next(number for number in (1, 2, 3) if number != leader.number)
    removed = quorate_command("members", "--at", at, "remove", gone)
    assert removed.returncode == 0, removed.stderr
    cluster.nodes[gone].end(signal.SIGKILL)
    left = [number for number in (1, 2, 3, 4) if number != gone]
    cluster.wait(lambda: has_settled(3, *left), "owners without the removed")
    for number in left:
        with client(cluster.nodes[number], 3) as carts:
            found = [carts.execute_command("QUORATE.ASK", "LEVEL", "ALL", "GET", f"k{place}") for place in range(200)]
            assert found == [b"%d" % place for place in range(200)]
    refused = quorate_command("members", "--at", at, "remove", left[0] if left[0] != leader.number else left[1])
    assert refused.returncode == 1
    assert "3 copies need as many nodes" in refused.stderr


def settled(node: Any, name: str) -> int:
    status = node.status()
    found = next((one for one in status["keyspaces"] if one["name"] == name), None) if status else None
    return int(found["counters"]["settled_version"]) if found else 0
