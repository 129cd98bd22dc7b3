"""How many aiohttp requests a second: simulated, and over this machine's loopback. `python tests/perf/sim_aiohttp.py`."""

import asyncio
import gc
import time

import aiohttp
from aiohttp import web

from quorate.sim import World

COUNT, CLIENTS = 4_000, 8


async def serve(host: str, port: int) -> int:
    """Answer a small JSON; return the port in use."""

    async def hello(_: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner.addresses[0][1]


async def ask(url: str, count: int) -> None:
    """Request one after the other over one session."""
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            async with session.get(url) as response:
                await response.json()


async def ask_all(url: str) -> None:
    """Let several clients ask at once."""
    await asyncio.gather(*(ask(url, COUNT // CLIENTS) for _ in range(CLIENTS)))


async def real() -> float:
    """Return seconds over loopback."""
    port = await serve("127.0.0.1", 0)
    began = time.process_time()
    await ask_all(f"http://127.0.0.1:{port}/")
    return time.process_time() - began


def simulated() -> float:
    """Return seconds under simulation."""
    world = World(1, patch=True)

    async def program() -> None:
        await serve("0.0.0.0", 80)
        await asyncio.Event().wait()

    async def lab() -> None:
        world.host("web").launch(program)
        await asyncio.sleep(1)
        await world.result(world.host("client").launch(ask_all, "http://web/"))

    began = time.process_time()
    world.run(lab())
    spent = time.process_time() - began
    world.close()
    return spent


if __name__ == "__main__":
    for _ in range(3):
        gc.collect()
        print(
            f"simulated {COUNT / simulated():8.0f} requests/s, loopback {COUNT / asyncio.run(real()):8.0f} requests/s"
        )
