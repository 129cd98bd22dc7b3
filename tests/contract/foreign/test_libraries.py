"""aiohttp, redis-py, websockets as they are, on hosts of the world."""

import asyncio
from typing import Any

import aiohttp
import grpclib.client
import grpclib.const
import grpclib.encoding.base
import grpclib.exceptions
import grpclib.server
import pytest
import redis.asyncio
import redis.exceptions
import websockets
from aiohttp import web

from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Address, Env
from quorate.kernel import milliseconds
from quorate.store import KeyValueStore, LocalBackend, MemoryBase


async def web_site() -> None:
    counts: list[int] = []

    async def count(request: web.Request) -> web.Response:
        counts.append(len(counts))
        return web.json_response({"count": len(counts), "peer": request.remote})

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=5)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response(text="late")

    app = web.Application()
    app.add_routes([web.get("/count", count), web.get("/echo", echo), web.get("/slow", slow)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 80).start()
    await asyncio.get_running_loop().create_future()


async def resp_site(env: Env) -> None:
    backend = LocalBackend(KeyValueStore(MemoryBase()), lambda: env.clock.wall_ns() // 1_000_000)
    server = RespServer(env, backend, RespConfig())
    await server.start(Address("0.0.0.0", 6379))
    await asyncio.get_running_loop().create_future()


def test_aiohttp_serves_many_hosts(stage: Any) -> None:
    """A server and three clients, each on its own host, by name."""
    stage.serve("web", web_site)

    async def client() -> Any:
        async with aiohttp.ClientSession() as session, session.get("http://web/count") as response:
            return await response.json()

    answers = [stage.call(name, client) for name in ("a", "b", "c")]

    assert [answer["count"] for answer in answers] == [1, 2, 3]
    assert [answer["peer"] for answer in answers] == [stage.world.host(name).ip for name in ("a", "b", "c")]


def test_aiohttp_websockets_talk(stage: Any) -> None:
    """Upgrade, text both ways, close."""
    stage.serve("web", web_site)

    async def client() -> Any:
        async with aiohttp.ClientSession() as session, session.ws_connect("http://web/echo") as socket:
            await socket.send_str("quorum")
            first = await socket.receive_str()
            await asyncio.sleep(4)
            await socket.send_str("again")
            return first, await socket.receive_str()

    assert stage.call("a", client) == ("QUORUM", "AGAIN")


def test_aiohttp_times_out_in_virtual_time(stage: Any) -> None:
    """Thirty seconds against a limit of five, in no time."""
    stage.serve("web", web_site)

    async def client() -> Any:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            with pytest.raises(TimeoutError):
                await session.get("http://web/slow")
        return loop.time() - begun

    assert 4.9 < stage.call("a", client) < 6.1


def test_aiohttp_meets_refusal_and_partition(stage: Any) -> None:
    """A closed port is refused; behind a cut link nothing answers until it heals."""
    stage.serve("web", web_site)
    world = stage.world

    async def refused() -> str:
        async with aiohttp.ClientSession() as session:
            try:
                await session.get("http://web:81/")
            except aiohttp.ClientConnectorError as error:
                return type(error.os_error).__name__
        return ""

    async def patient() -> Any:
        async with aiohttp.ClientSession() as session, session.get("http://web/count") as response:
            return (await response.json())["count"]

    assert stage.call("a", refused) == "ConnectionRefusedError"
    world.partitions.cut_both(world.host("a"), world.host("web"))
    world.at(world.now + milliseconds(2_500), world.partitions.heal)
    assert stage.call("a", patient) == 1
    assert world.now > milliseconds(2_500)


def test_redis_pool_pipeline_and_reconnection(stage: Any) -> None:
    """redis-py's pool, pipeline, blocking pop, and a retry after the server's restart."""
    world = stage.world
    world.host("redis").start(resp_site)
    world.run_for(milliseconds(100))

    async def client() -> Any:
        database = redis.asyncio.Redis(host="redis", decode_responses=True)
        await asyncio.gather(*(database.incr("count") for _ in range(10)))
        async with database.pipeline() as pipe:
            replies = await pipe.set("a", "1").get("a").execute()
        popped = asyncio.create_task(database.blpop("queue", timeout=10))
        await asyncio.sleep(1)
        await database.rpush("queue", "job")
        before = await database.get("count")
        world.host("redis").crash()
        world.host("redis").restart()
        await asyncio.sleep(1)
        after = await database.get("count")
        await database.aclose()
        return replies, list(await popped), before, after

    assert stage.call("a", client) == ([True, "1"], ["queue", "job"], "10", None)


def test_redis_publishes_and_subscribes(stage: Any) -> None:
    """From host to host."""
    stage.world.host("redis").start(resp_site)
    stage.world.run_for(milliseconds(100))

    async def client() -> Any:
        database = redis.asyncio.Redis(host="redis")
        async with database.pubsub() as listener:
            await listener.subscribe("news")
            assert (await listener.get_message(timeout=5))["type"] == "subscribe"
            await database.publish("news", "decided")
            message = await listener.get_message(timeout=5)
        await database.aclose()
        return message["data"]

    assert stage.call("a", client) == b"decided"


def test_websockets_keep_alive_and_notice_a_power_cut(stage: Any) -> None:
    """Echo, minutes of pings, then silence that the keep-alive turns into a closed connection."""
    world = stage.world

    async def serve() -> None:
        async def echo(socket: Any) -> None:
            async for message in socket:
                await socket.send(message[::-1])

        async with websockets.serve(echo, "0.0.0.0", 8765):
            await asyncio.get_running_loop().create_future()

    stage.serve("ws", serve)

    async def client() -> Any:
        async with websockets.connect("ws://ws:8765") as socket:
            await socket.send("quorate")
            first = await socket.recv()
            await asyncio.sleep(300)
            await socket.send("still")
            second = await socket.recv()
            world.host("ws").power_cut()
            try:
                await socket.recv()
            except websockets.ConnectionClosedError:
                return first, second, "closed"
        return first, second, "open"

    assert stage.call("a", client) == ("etarouq", "llits", "closed")


class Plain(grpclib.encoding.base.CodecBase):
    """Messages are bytes already."""

    __content_subtype__ = "bytes"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class Calls:
    """A unary and a streaming method."""

    async def upper(self, stream: Any) -> None:
        await stream.send_message((await stream.recv_message()).upper())

    async def count(self, stream: Any) -> None:
        for number in range(int(await stream.recv_message())):
            await asyncio.sleep(1)
            await stream.send_message(str(number).encode())

    def __mapping__(self) -> Any:
        kinds = grpclib.const.Cardinality
        return {
            "/calls/upper": grpclib.const.Handler(self.upper, kinds.UNARY_UNARY, bytes, bytes),
            "/calls/count": grpclib.const.Handler(self.count, kinds.UNARY_STREAM, bytes, bytes),
        }


def test_grpclib_calls_streams_and_deadlines(stage: Any) -> None:
    """One reply, many replies, and a deadline that passes in virtual time."""

    async def serve() -> None:
        server = grpclib.server.Server([Calls()], codec=Plain())
        await server.start("0.0.0.0", 50051)
        await server.wait_closed()

    stage.serve("rpc", serve)

    async def client() -> Any:
        async with grpclib.client.Channel("rpc", 50051, codec=Plain()) as channel:
            upper = grpclib.client.UnaryUnaryMethod(channel, "/calls/upper", bytes, bytes)
            count = grpclib.client.UnaryStreamMethod(channel, "/calls/count", bytes, bytes)
            replies = [await upper(b"quorum"), b"".join(await count(b"5"))]
            with pytest.raises((grpclib.exceptions.GRPCError, TimeoutError)):
                await count(b"100", timeout=10)
            return replies

    assert stage.call("a", client) == [b"QUORUM", b"01234"]
