"""One seed is one run, in fresh processes under any hash seed; and the plugin as its users meet it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, random, uuid
import aiohttp, redis.asyncio
from aiohttp import web
from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Address
from quorate.sim import Mix, Recipe, Setup, run_trial
from quorate.store import KeyValueStore, LocalBackend, MemoryBase

async def serve_redis(env):
    backend = LocalBackend(KeyValueStore(MemoryBase()), lambda: env.clock.wall_ns() // 1_000_000)
    await RespServer(env, backend, RespConfig()).start(Address("0.0.0.0", 6379))
    await asyncio.Event().wait()

async def serve_web():
    database = redis.asyncio.Redis(host="redis")
    async def visit(request):
        count, _ = await asyncio.gather(database.incr("visits"), database.set(str(uuid.uuid4()), request.remote))
        return web.json_response({"count": count, "token": uuid.uuid4().hex})
    async def talk(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data + str(random.random()))
        return socket
    app = web.Application()
    app.add_routes([web.get("/", visit), web.get("/talk", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 80).start()
    await asyncio.Event().wait()

async def visit_often(seen):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
        for _ in range(5):
            try:
                answers = await asyncio.gather(*(session.get("http://web/") for _ in range(4)))
                seen += [await answer.text() for answer in answers]
                async with session.ws_connect("http://web/talk") as socket:
                    await socket.send_str("hello")
                    seen.append(await socket.receive_str())
            except (aiohttp.ClientError, TimeoutError, TypeError) as error:
                seen.append(type(error).__name__)
            await asyncio.sleep(random.random())

async def main(world):
    world.host("redis").start(serve_redis)
    world.host("web").launch(serve_web)
    await asyncio.sleep(0.1)
    seen = []
    for name in "abc":
        world.host(name).launch(visit_often, seen)
    await asyncio.sleep(30)
    print(len(seen), seen[0], seen[-1])

mix = Mix(crash=0, tear=0, skew=0)
outcome = run_trial(main, Setup(faults=mix, hosts=("redis", "web", "a", "b", "c")), Recipe(seed=5))
print(outcome.trace_hash, outcome.now, outcome.observer.count, len(outcome.faults), repr(outcome.error))
"""


def started(*command: str, directory: Path = ROOT, **environment: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "QUORATE"))}
    return subprocess.Popen(
        command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory
    )


def test_aiohttp_and_redis_run_the_same_under_every_hash_seed(tmp_path: Path) -> None:
    """Requests, WebSockets, a pool, faults: one trace, one set of answers."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    processes = [started(sys.executable, str(path), PYTHONHASHSEED=seed) for seed in ("0", "0", "1", "2", "random")]
    outputs = [process.communicate(timeout=120)[0] for process in processes]

    assert "None" in outputs[0], outputs[0]
    assert outputs == [outputs[0]] * 5


@pytest.mark.parametrize(
    ("example", "symptom"), [("aiohttp", "POST"), ("redis", "INCRBY")], ids=["lost-update", "repeated-charge"]
)
def test_an_example_is_found_shrunk_replayed_and_mended(example: str, symptom: str) -> None:
    """With the bug: the seed, a shrunk word that fails again, and the diagram. Without: every seed passes."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"examples/simulated_{example}"]
    broken, mended = started(*command, WITH_BUG="1"), started(*command, WITH_BUG="")
    output = broken.communicate(timeout=120)[0]

    assert broken.returncode == 1
    line = next(line for line in output.splitlines() if "shrunk in" in line)
    word = line.split("--seed ")[1].split()[0]
    assert symptom in output
    assert "─▶" in output
    assert mended.communicate(timeout=120)[0].count("passed") == 1
    again = started(*command, "--seed", word, WITH_BUG="1")
    assert "assert" in again.communicate(timeout=120)[0]
    assert again.returncode == 1


def test_the_audit_names_the_callback_and_the_set(tmp_path: Path) -> None:
    """A program that iterates over a set of text differs from hash seed to hash seed."""
    (tmp_path / "test_order.py").write_text(
        "import asyncio\n"
        "from quorate.sim import simulate\n"
        "async def visit(names):\n"
        "    for name in set(names):\n"
        "        await asyncio.sleep(len(name) / 1000)\n"
        "@simulate(seeds=3)\n"
        "async def test_order(world):\n"
        "    await world.result(world.host('a').launch(visit, ['x' * n for n in range(1, 20)]))\n"
        "@simulate(seeds=3)\n"
        "async def test_fine(world):\n"
        "    await asyncio.sleep(1)\n"
    )
    process = started(
        sys.executable, "-m", "pytest", "-q", "-n", "2", "--audit", f"--rootdir={tmp_path}", str(tmp_path)
    )
    output = process.communicate(timeout=240)[0]

    assert "test_order.py:4 makes a set, whose order is that of hashes: set(names)" in output
    assert "1 failed, 1 passed" in output


SPREAD = """
import asyncio, os, pytest
from quorate.sim import simulate

@pytest.mark.parametrize("limit", [0, 100])
@simulate(seeds=40)
async def test_draw(world, limit):
    async def draw():
        import random
        return random.randrange(100)
    await asyncio.sleep(1)
    with open(f"worker-{os.environ.get('PYTEST_XDIST_WORKER')}", "a") as file:
        file.write("x")
    assert await world.result(world.host("a").launch(draw)) >= limit
"""


def test_workers_share_the_seeds_of_one_test_and_show_one_failure(tmp_path: Path) -> None:
    """Each of two workers runs seeds of the same test; of the parts that fail one is shown, and its command replays it."""
    (tmp_path / "test_spread.py").write_text(SPREAD)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", f"--rootdir={tmp_path}", "--basetemp", str(tmp_path / "t")]
    file = str(tmp_path / "test_spread.py")
    spread = started(*command, "-n", "2", file, directory=tmp_path)
    output = spread.communicate(timeout=120)[0]

    assert spread.returncode == 1
    assert output.count("E       seed ") == 1, output
    assert "1 failed, 4 passed, 3 skipped" in output
    assert "fails already, in another part" in output
    assert {path.name for path in tmp_path.glob("worker-*")} == {"worker-gw0", "worker-gw1"}
    line = next(line for line in output.splitlines() if "replay: " in line)
    assert "test_draw[100]' --seed " in line
    replayed = started(*command, "-n", "0", file + "::test_draw[100]", "--seed", line.split()[-1], directory=tmp_path)
    assert "assert" in replayed.communicate(timeout=120)[0]
    assert replayed.returncode == 1


def test_seeds_stay_together_where_that_is_asked(tmp_path: Path) -> None:
    """One item for each test, with all its seeds."""
    (tmp_path / "test_spread.py").write_text(SPREAD)
    process = started(
        sys.executable, "-m", "pytest", "-q", "-n", "2", "--no-spread", f"--rootdir={tmp_path}", str(tmp_path),
        directory=tmp_path,
    )  # fmt: skip
    assert "1 failed, 1 passed" in process.communicate(timeout=120)[0]
