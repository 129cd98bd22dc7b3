"""Three orders while the network fails: `pytest examples/simulated_redis`, with the bug `WITH_BUG=1 pytest …`."""

import asyncio
import functools
import os

import shop

from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Address, Env
from quorate.kernel import milliseconds, seconds
from quorate.sim import Mix, World, simulate
from quorate.store import KeyValueStore, LocalBackend, MemoryBase

# Only what a retry must survive: cut and slow links, and a server that stands still. Nothing is lost by a crash.
FAULTS = Mix(crash=0, tear=0, skew=0, stall=0, gap_min=milliseconds(1), gap_max=milliseconds(500), span_max=seconds(2))


async def serve_redis(env: Env) -> None:
    """Run the store of this project behind its RESP door; any server that speaks asyncio will do."""
    backend = LocalBackend(KeyValueStore(MemoryBase()), lambda: env.clock.wall_ns() // 1_000_000)
    await RespServer(env, backend, RespConfig()).start(Address("0.0.0.0", 6379))
    await asyncio.Event().wait()


@simulate(seeds=40, faults=FAULTS, hosts=["redis", "shop"], span=seconds(3))
async def test_the_customer_owes_what_was_ordered(world: World) -> None:
    """Each order counts once, however often it was sent."""
    world.host("redis").start(serve_redis)
    is_careful = not os.environ.get("WITH_BUG")
    shopping = world.host("shop").launch(functools.partial(shop.buy, "redis", is_careful=is_careful))
    assert await world.result(shopping) == 30
