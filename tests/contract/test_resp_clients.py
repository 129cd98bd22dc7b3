"""Real clients over real sockets: redis-py in both flavours and dialects, redis-cli, redis-benchmark, raw bytes."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Address
from quorate.kernel import NodeId, seconds
from quorate.runtime import new_loop, real_env
from quorate.store import KeyValueStore, LocalBackend, MemoryBase

pytestmark = pytest.mark.real


class Door(contextlib.AbstractContextManager):
    """A door on loopback in a thread with its own loop."""

    def __init__(self, config=None):
        self._config = config
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10), "the door opens"
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the door closes"

    def _run(self):
        self.loop = new_loop()
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.close()

    async def _serve(self):
        env = real_env(NodeId(1), Path("/nonexistent"), seed=1)
        backend = LocalBackend(KeyValueStore(MemoryBase()), lambda: env.clock.wall_ns() // 1_000_000)
        self.server = RespServer(env, backend, self._config or RespConfig())
        self._ending = asyncio.Event()
        self.port = (await self.server.start(Address("127.0.0.1", 0))).port
        self._ready.set()
        await self._ending.wait()
        await self.server.stop()

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture
def door():
    with Door() as opened:
        yield opened


@pytest.fixture(params=[2, 3])
def client(door, request):
    with redis.Redis(port=door.port, protocol=request.param) as connected:
        yield connected


def tool(name):
    path = shutil.which(name)
    assert path is not None, f"{name} is missing: install the package redis-tools"
    return path


def receive(connection, byte_count):
    data = b""
    while len(data) < byte_count and (piece := connection.recv(65536)):
        data += piece
    return data


def receive_all(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_every_type_comes_back_as_redis_py_expects_it(client):
    assert client.set("s", b"\x00\xff", px=60_000) is True
    assert client.get("s") == b"\x00\xff"
    assert 0 < client.pttl("s") <= 60_000
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget("a", "nothing", "b") == [b"1", None, b"2"]
    assert client.hset("h", mapping={"f": "v", "g": "w"}) == 2
    assert client.hgetall("h") == {b"f": b"v", b"g": b"w"}
    assert client.sadd("set", "x", "y") == 2
    assert client.smembers("set") == {b"x", b"y"}
    assert client.zadd("z", {"m": 1.5, "n": float("inf")}) == 2
    assert [list(pair) for pair in client.zrange("z", 0, -1, withscores=True)] == [[b"m", 1.5], [b"n", float("inf")]]
    assert client.rpush("l", *range(5)) == 5
    assert client.lrange("l", 1, 2) == [b"1", b"2"]
    assert sorted(client.scan_iter()) == [b"a", b"b", b"h", b"l", b"s", b"set", b"z"]
    assert client.dbsize() == 7
    assert client.type("z") == b"zset"
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("s", 1)


def test_a_pipeline_of_thousands_is_answered_in_order(client):
    with client.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.set(f"k{number}", number)
            pipe.get(f"k{number}")
        assert pipe.execute() == [answer for number in range(3000) for answer in (True, b"%d" % number)]


def test_a_value_at_the_limit_passes_and_one_above_is_refused_whole(client):
    value = b"v" * (1536 * 1024)
    assert client.set("k", value) is True
    assert client.get("k") == value
    with pytest.raises(redis.ResponseError, match="TOOLARGE"):
        client.set("k", value + b"v")
    assert client.strlen("k") == len(value)


def test_an_optimistic_transaction_fails_when_a_key_changed(client):
    client.set("k", 1)
    with client.pipeline() as pipe:
        pipe.watch("k")
        client.set("k", 2)
        pipe.multi()
        pipe.incr("k")
        with pytest.raises(redis.WatchError):
            pipe.execute()
        pipe.watch("k")
        pipe.multi()
        pipe.incr("k")
        assert pipe.execute() == [3]


def test_messages_arrive_by_channel_and_pattern(client):
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("news")
        listener.psubscribe("n*")
        listener.get_message(timeout=5)
        listener.get_message(timeout=5)
        assert client.publish("news", "hi") == 2
        found = [listener.get_message(timeout=5) for _ in range(2)]
        assert [message["type"] for message in found] == ["message", "pmessage"]
        assert found[1]["data"] == b"hi"


def test_a_blocking_pop_waits_for_another_client(door, client):
    with redis.Redis(port=door.port) as other:
        pusher = threading.Timer(0.05, other.rpush, ("q", "x"))
        pusher.start()
        assert list(client.blpop(["p", "q"], timeout=5)) == [b"q", b"x"]
        pusher.join()
    assert client.blpop("q", timeout=0.01) is None


def test_the_server_tells_about_itself(client):
    assert client.ping()
    assert client.echo("x") == b"x"
    assert client.info("server")["redis_version"].startswith("7.")
    assert client.info()["quorate_role"] == "leader"
    assert client.config_get("append*")["appendonly"] == "yes"
    assert client.client_setname("me")
    assert client.client_getname() in (b"me", "me")
    assert any(line["name"] == "me" for line in client.client_list())
    assert client.command_count() > 150
    assert "get" in client.command()
    assert client.time()[0] > 1_600_000_000
    assert client.wait(0, 100) == 0


def test_a_lock_by_set_nx_holds(client):
    assert client.set("lock", "me", nx=True, px=10_000) is True
    assert client.set("lock", "you", nx=True, px=10_000) is None


def test_asyncio_clients_share_the_door(door):
    async def work(connected, number):
        for _ in range(20):
            await connected.incr("n")
        await connected.set(f"k{number}", number)
        return await connected.get(f"k{number}")

    async def run():
        async with redis.asyncio.Redis(port=door.port) as connected:
            found = await asyncio.gather(*(work(connected, number) for number in range(10)))
            assert found == [b"%d" % number for number in range(10)]
            assert await connected.get("n") == b"200"

    asyncio.run(run())


def test_a_cluster_aware_client_finds_the_leader(door):
    connected = redis.RedisCluster(host="127.0.0.1", port=door.port)
    try:
        assert connected.set("{a}1", 1)
        assert connected.mget("{a}1", "{a}2") == [b"1", None]
        assert connected.get_default_node().port == door.port
    finally:
        connected.close()


def test_passwords_are_asked_for():
    with Door(RespConfig(password="secret")) as door:
        with redis.Redis(port=door.port, password="secret") as connected:
            assert connected.ping()
        once = Retry(NoBackoff(), 0)
        for password in ("wrong", None):
            connected = redis.Redis(port=door.port, password=password, retry=once)
            with connected, pytest.raises(redis.AuthenticationError):
                connected.get("k")


def test_redis_cli_talks_in_both_dialects_and_gets_help(door):
    cli = [tool("redis-cli"), "-p", str(door.port)]

    def run(*args, text=None):
        done = subprocess.run([*cli, *args], input=text, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    assert run("set", "k", "a b") == "OK\n"
    assert run("-3", "hset", "h", "f", "v") == "1\n"
    assert run("-3", "hgetall", "h") == "f v\n"
    assert run(text="get k\nmulti\nincr n\nexec\nno such\n").splitlines()[:4] == ["a b", "OK", "QUEUED", "1"]
    assert "redis_version:7" in run("info", "server")
    assert set(run("--scan").split()) == {"h", "k", "n"}
    assert "summary" in run("command", "docs", "ping")


@pytest.mark.slow
def test_redis_benchmark_completes_its_usual_tests_without_an_error(door):
    tests = "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset"
    args = [tool("redis-benchmark"), "-p", str(door.port), "-t", tests, "-n", "2000", "-c", "20", "-P", "4", "--csv"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.splitlines()) >= 17
    assert "error" not in (done.stdout + done.stderr).lower()


def test_garbage_gets_one_sentence_and_the_door_lives_on(door):
    for garbage, sentence in [
        (b"*1\r\n+PING\r\n", b"-ERR Protocol error: expected '$', got '+'\r\n"),
        (b"*99999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*2\r\n$4\r\nECHO\r\n$999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"\x16\x03\x01" + b"\xff" * 70_000, b"-ERR Protocol error: too big inline request\r\n"),
    ]:
        with door.socket() as connection:
            connection.sendall(garbage)
            assert receive_all(connection) == sentence
    with door.socket() as connection:
        connection.sendall(b"*1\r\n$4\r\nPI")
    with redis.Redis(port=door.port) as connected:
        assert connected.ping()


def test_half_a_request_waits_for_its_rest(door):
    with door.socket() as connection:
        for byte in b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n":
            connection.sendall(bytes([byte]))
        assert receive(connection, 8) == b"$2\r\nhi\r\n"


def test_a_client_that_shuts_its_half_gets_its_answers(door):
    with door.socket() as connection:
        connection.sendall(b"SET k v\r\nGET k\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert receive_all(connection) == b"+OK\r\n$1\r\nv\r\n"


@pytest.mark.slow
def test_a_client_that_never_reads_holds_up_nobody_and_is_disconnected():
    config = RespConfig(output_pause_bytes=100_000, output_timeout=seconds(0.5))
    with Door(config) as door, redis.Redis(port=door.port) as connected, door.socket() as greedy:
        connected.set("big", b"v" * 1_000_000)
        # Half a million bytes of requests for a hundred million bytes of answers.
        with contextlib.suppress(OSError):
            greedy.settimeout(0.2)
            greedy.sendall(b"GET big\r\n" * 100)
            greedy.sendall(b"PING\r\n" * 100_000)
        assert connected.get("big")[:1] == b"v", "others are served meanwhile"
        deadline = time.monotonic() + 20
        while door.server.overrun_count == 0 and time.monotonic() < deadline:
            connected.get("big")
        assert door.server.overrun_count == 1


def test_a_subscriber_that_never_reads_is_disconnected_above_its_limit():
    config = RespConfig(push_bytes_max=1_000_000, output_pause_bytes=1000)
    with Door(config) as door, redis.Redis(port=door.port) as connected, door.socket() as lazy:
        lazy.sendall(b"SUBSCRIBE c\r\n")
        receive(lazy, 10)
        payload = b"p" * 100_000
        counts = [connected.publish("c", payload) for _ in range(200)]
        assert counts[0] == 1
        assert counts[-1] == 0, "it was disconnected"
        assert door.server.overrun_count == 1


def test_a_stopped_door_closes_its_connections():
    with Door() as door:
        connection = door.socket()
        connection.sendall(b"PING\r\n")
        assert receive(connection, 7) == b"+PONG\r\n"
    with connection:
        assert connection.recv(10) == b""


@pytest.mark.slow
def test_ten_thousand_idle_connections_are_cheap_and_the_door_answers(door):
    """Measured: about 2 KiB of Python objects and of uvloop's a connection; asserted: under 10 KiB."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 20_500
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    count = min(9_990, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500) // 2)
    assert count > 400, "the system lets a process open files"
    before = _resident_bytes()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(door.socket()) for _ in range(count)]
        with redis.Redis(port=door.port) as connected:
            assert connected.info("clients")["connected_clients"] == count + 1
            idle[-1].sendall(b"PING\r\n")
            assert receive(idle[-1], 7) == b"+PONG\r\n"
            each = (_resident_bytes() - before) / count
            print(f"{count} idle connections, {each:.0f} bytes each (with this test's own sockets)")
            assert each < 10_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _resident_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells how much memory a process has")
