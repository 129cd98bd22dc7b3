"""TLS in the simulated world: aiohttp's https and wss, redis-py's rediss, as they are; and the same bytes every time."""

import asyncio
import hashlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio
from aiohttp import web
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Address, Env
from quorate.kernel import milliseconds
from quorate.runtime import make_certificates, server_context
from quorate.sim import Mix, Recipe, Setup, World, run_trial
from quorate.store import KeyValueStore, LocalBackend, MemoryBase


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory, ["node"], hosts=("web", "redis", "localhost"))
    return directory


def of_server(directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "node.pem", directory / "node.key")
    return context


async def secure_site(directory: Path) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"secure": request.secure, "peer": request.remote})

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.add_routes([web.get("/", hello), web.get("/echo", echo)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 443, ssl_context=of_server(directory)).start()
    await asyncio.get_running_loop().create_future()


async def visit(directory: Path) -> Any:
    trust = ssl.create_default_context(cafile=directory / "ca.pem")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        async with session.get("https://web/") as response:
            answer = await response.json()
        async with session.ws_connect("wss://web/echo") as socket:
            await socket.send_bytes(bytes(100_000))
            return answer, len(await socket.receive_bytes())


def test_aiohttp_serves_and_asks_https_and_wss(stage: Any, certificates: Path) -> None:
    """Certificates are checked, names too; a hundred kilobytes come back; a stranger's authority is not believed."""
    stage.serve("web", secure_site, certificates)

    async def distrust() -> str:
        async with aiohttp.ClientSession() as session:
            try:
                await session.get("https://web/")
            except aiohttp.ClientConnectorCertificateError as error:
                return type(error.certificate_error).__name__
        return ""

    answer, count = stage.call("a", visit, certificates)
    assert answer == {"secure": True, "peer": stage.world.host("a").ip}
    assert count == 100_000
    assert stage.call("b", distrust) == "SSLCertVerificationError"


def test_redis_py_speaks_rediss_and_comes_back_after_a_crash(stage: Any, certificates: Path) -> None:
    world = stage.world

    async def serve(env: Env) -> None:
        names = [str(certificates / name) for name in ("node.pem", "node.key", "ca.pem")]
        backend = LocalBackend(KeyValueStore(MemoryBase()), lambda: env.clock.wall_ns() // 1_000_000)
        await RespServer(env, backend, RespConfig()).start(Address("0.0.0.0", 6379), server_context(*names))
        await asyncio.get_running_loop().create_future()

    world.host("redis").start(serve)
    world.run_for(milliseconds(100))

    async def client() -> Any:
        database = redis.asyncio.from_url(
            "rediss://redis:6379",
            ssl_ca_certs=certificates / "ca.pem",
            ssl_certfile=certificates / "node.pem",
            ssl_keyfile=certificates / "node.key",
            retry=Retry(NoBackoff(), 1),
        )
        counts = await asyncio.gather(*(database.incr("count") for _ in range(5)))
        world.host("redis").crash()
        world.host("redis").restart()
        await asyncio.sleep(1)
        after = await database.incr("count")
        await database.aclose()
        return sorted(counts), after

    assert stage.call("a", client) == ([1, 2, 3, 4, 5], 1)


def harmed_run(seed: int, directory: Path) -> tuple[str, int, str]:
    """Return the hash of all encrypted bytes, their count, and that of the trace, of one run with faults."""
    digest, count = hashlib.sha256(), 0

    def see(_source: str, _target: str, data: bytes) -> None:
        nonlocal count
        digest.update(data)
        count += len(data)

    async def test(world: World) -> None:
        world.observe().on_payload = see
        world.host("web").launch(secure_site, directory)
        await asyncio.sleep(0.1)
        for name in "ab":
            world.host(name).launch(visit_often, directory)
        await asyncio.sleep(20)

    setup = Setup(faults=Mix(crash=0, tear=0), hosts=("web", "a", "b"))
    outcome = run_trial(test, setup, Recipe(seed=seed))
    assert outcome.error is None
    return digest.hexdigest(), count, str(outcome.trace_hash)


async def visit_often(directory: Path) -> None:
    for _ in range(3):
        try:
            await asyncio.wait_for(visit(directory), 5)
        except (aiohttp.ClientError, TimeoutError):
            continue


def test_one_seed_is_one_sequence_of_encrypted_bytes(certificates: Path) -> None:
    """Handshakes with elliptic curves and all: without control of libcrypto's chance even lengths would differ."""
    first = harmed_run(3, certificates)
    assert first[1] > 100_000
    assert harmed_run(3, certificates) == first
    assert harmed_run(4, certificates)[0] != first[0]


def test_outside_of_a_run_chance_is_the_real_one() -> None:
    """What a world replaced is put back: keys made after it are not a seed's."""

    def drawn() -> bytes:
        with World(1, patch=True) as world:

            async def draw() -> bytes:
                return ssl.RAND_bytes(16)

            return bytes(world.run(_on_host(world, draw)))

    inside = [drawn(), drawn()]
    assert inside[0] == inside[1]
    assert len({ssl.RAND_bytes(16), ssl.RAND_bytes(16), *inside}) == 3


async def _on_host(world: World, draw: Any) -> Any:
    return await world.result(world.host("a").launch(draw))


@pytest.mark.slow
@pytest.mark.real
def test_the_bytes_are_those_of_every_process(certificates: Path) -> None:
    """Two fresh processes with other hash seeds send what this one sends."""
    program = (
        # First of all, as under pytest: generators that libraries make at import are watched from then on.
        "import quorate.sim; import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_encrypted; "
        "print(test_encrypted.harmed_run(3, Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(certificates)]
    outputs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert eval(outputs[0])[1] > 100_000
