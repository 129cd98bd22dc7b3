"""The same network time in the simulated world, with its faults, and on this machine's sockets."""

import asyncio
import time
from pathlib import Path

import pytest

from quorate.clocks import TimeInterval
from quorate.env import Address, Env
from quorate.kernel import Duration, NodeId
from quorate.runtime import new_loop, real_env
from quorate.services import NTPClient, NTPServer
from quorate.sim import LinkPolicy, World

SECOND = Duration(1_000_000_000)
# Where the wall clocks of every simulated world begin: 2026-01-01 00:00:00 UTC.
WALL_ORIGIN_NS = 1_767_225_600 * SECOND


async def serve(env: Env) -> None:
    server = NTPServer(env, error=Duration(20_000_000))
    await server.start(Address("0.0.0.0", 123))
    await asyncio.Event().wait()


@pytest.mark.parametrize("seed", range(4))
def test_a_simulated_client_brackets_true_time_through_drift_skew_loss_and_a_crash(seed: int) -> None:
    """Five servers, one a minute wrong; the client's clock drifts 150 ppm and its wall clock is jumped about."""
    with World(seed, link=LinkPolicy(lose=0.1, repeat=0.1, reorder=0.1)) as world:
        servers = [world.host(f"server{n}") for n in range(5)]
        for server in servers:
            server.start(serve)
        servers[0].jump_wall(60 * SECOND)
        servers[1].jump_wall(Duration(15_000_000))
        servers[2].jump_wall(Duration(-15_000_000))
        seen: list[tuple[int, TimeInterval]] = []

        async def ask(env: Env) -> None:
            addresses = [Address(server.ip, 123) for server in servers]
            client = NTPClient(env, servers=addresses, poll_interval=SECOND)
            await client.start(Address("0.0.0.0", 0))
            while True:
                await asyncio.sleep(0.5)
                if client.clock.is_synchronized:
                    seen.append((world.now + WALL_ORIGIN_NS, client.now()))

        host = world.host("client")
        host.set_drift(150_000)
        host.start(ask)
        world.run_for(Duration(10 * SECOND))
        host.jump_wall(Duration(-3600 * SECOND))
        servers[3].crash()
        world.run_for(Duration(10 * SECOND))
    assert len(seen) > 20
    for true_ns, interval in seen:
        assert interval.earliest_ns <= true_ns <= interval.latest_ns
        assert interval.width_ns < 500_000_000


@pytest.mark.real
def test_the_runtimes_client_and_server_agree_over_this_machines_sockets(tmp_path: Path) -> None:
    async def talk() -> None:
        env = real_env(NodeId(1), tmp_path, seed=1)
        server = NTPServer(env)
        await server.start(Address("127.0.0.1", 0))
        client = NTPClient(env, servers=[server.address], poll_interval=Duration(5_000_000))
        await client.start(Address("127.0.0.1", 0))
        async with asyncio.timeout(5):
            while client.counts["taken"] < 3:
                await asyncio.sleep(0.001)
        interval = client.now()
        assert interval.earliest_ns - SECOND <= time.time_ns() <= interval.latest_ns + SECOND
        client.stop()
        server.stop()

    loop = new_loop()
    try:
        loop.run_until_complete(talk())
    finally:
        loop.close()
