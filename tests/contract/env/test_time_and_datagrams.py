"""Clocks and datagrams in every world."""

import asyncio
from typing import Any

from quorate.env import Address, Env
from quorate.kernel import milliseconds


def test_timers_fire_in_order_and_never_early(lab: Any) -> None:
    """A cancelled one does not fire at all."""

    async def program(env: Env) -> Any:
        fired: list[str] = []
        done = asyncio.Event()
        begun = env.clock.now()
        early: list[bool] = []

        def fire(name: str, after: int) -> None:
            fired.append(name)
            early.append(env.clock.now() - begun < after)

        for name, after in (("c", 30), ("a", 5), ("b", 15)):
            span = milliseconds(after)
            env.clock.call_after(span, lambda name=name, span=span: fire(name, span))
        env.clock.call_after(milliseconds(20), lambda: fire("never", 0)).cancel()
        env.clock.call_after(milliseconds(40), done.set)
        await done.wait()
        return fired, any(early)

    assert lab.run(a=program)["a"] == (["a", "b", "c"], False)


def test_monotonic_time_never_moves_back(lab: Any) -> None:
    """And wall time is that of our days."""

    async def program(env: Env) -> Any:
        readings = [env.clock.now()]
        for _ in range(100):
            await asyncio.sleep(0)
            readings.append(env.clock.now())
        return readings == sorted(readings), env.clock.wall_ns() > 1_700_000_000 * 10**9

    assert lab.run(a=program)["a"] == (True, True)


def test_a_datagram_is_echoed_whole(lab: Any) -> None:
    """Even the largest (asyncio does not send empty ones); to the address that it came from."""

    async def server(env: Env) -> None:
        endpoint = await env.network.listen(lab.any_port("a"), lambda sender, data: endpoint.send(sender, data))
        lab.put("address", endpoint.address)
        await lab.get("done")
        endpoint.close()

    async def client(env: Env) -> Any:
        address = await lab.get("address")
        got: list[bytes] = []
        endpoint = await env.network.listen(lab.any_port("b"), lambda _, data: got.append(data))
        sizes = []
        for size in (1, 1_400, 65_507):
            got.clear()
            endpoint.send(address, bytes(size))
            while not got:
                await asyncio.sleep(0.001)
            sizes.append(len(got[0]))
        endpoint.close()
        lab.put("done", value=True)
        return sizes

    assert lab.run(a=server, b=client)["b"] == [1, 1_400, 65_507]


def test_a_datagram_to_nobody_is_lost(lab: Any) -> None:
    """Sending never raises for what the network does."""

    async def program(env: Env) -> str:
        closed = await env.network.listen(lab.any_port("a"), lambda *_: None)
        address = closed.address
        closed.close()
        await asyncio.sleep(0.01)
        endpoint = await env.network.listen(lab.any_port("a"), lambda *_: None)
        for _ in range(3):
            endpoint.send(address, b"anybody?")
            await asyncio.sleep(0.005)
        endpoint.close()
        endpoint.send(Address(lab.host("a"), 9), b"after close")
        return "alive"

    assert lab.run(a=program)["a"] == "alive"
