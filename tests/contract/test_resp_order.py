"""The door in front of a backend that answers in later turns, as a node does: order, waiting and transactions hold."""

import asyncio
from pathlib import Path

import pytest
import redis
import redis.asyncio

from quorate.doors.resp import RespServer
from quorate.env import Address
from quorate.kernel import NodeId, Seeds, milliseconds
from quorate.runtime import new_loop, real_env
from quorate.store import KeyValueStore, LocalBackend, MemoryBase

pytestmark = pytest.mark.real


class TurnBackend(LocalBackend):
    """Gathers calls and answers them together: reads after 1 ms, writes after 2 ms."""

    def __init__(self, store, clock):
        super().__init__(store, lambda: clock.wall_ns() // 1_000_000)
        self._clock = clock
        self._writes, self._reads = [], []

    def write(self, command, caller):
        if not self._writes:
            self._clock.call_after(milliseconds(2), lambda: self._answer(self._writes, super(TurnBackend, self).write))
        self._writes.append((command, caller))

    def read(self, command, caller):
        if not self._reads:
            self._clock.call_after(milliseconds(1), lambda: self._answer(self._reads, super(TurnBackend, self).read))
        self._reads.append((command, caller))

    def _answer(self, gathered, act):
        batch = gathered[:]
        gathered.clear()
        callers = {}
        for command, caller in batch:
            act(command, WithoutFlush(caller))
            callers[caller] = None
        for caller in callers:
            caller.flush()


class WithoutFlush:
    def __init__(self, caller):
        self.complete = caller.complete

    def flush(self):
        pass


def run(work):
    async def serve():
        env = real_env(NodeId(1), Path("/nonexistent"), seed=1)
        server = RespServer(env, TurnBackend(KeyValueStore(MemoryBase()), env.clock))
        address = await server.start(Address("127.0.0.1", 0))
        async with redis.asyncio.Redis(port=address.port) as client:
            await work(client)
        await server.stop()

    loop = new_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(serve(), 30))
    finally:
        loop.close()


def test_mixed_pipelines_are_answered_in_order():
    """Reads, writes and the door's own answers, against a dictionary; thirty pipelines of sixty."""

    async def work(client):
        rng = Seeds(1).stream("pipelines")
        for number in range(30):
            values, expected = {}, []
            pipe = client.pipeline(transaction=rng.random() < 0.5)
            for _ in range(60):
                key, kind = f"{number}:{rng.randrange(3)}", rng.random()
                if kind < 0.4:
                    pipe.get(key)
                    expected.append(values.get(key))
                elif kind < 0.8:
                    values[key] = b"%d" % rng.getrandbits(30)
                    pipe.set(key, values[key])
                    expected.append(True)
                else:
                    pipe.echo(key)
                    expected.append(key.encode())
            assert await pipe.execute() == expected

    run(work)


def test_every_element_goes_to_exactly_one_of_those_who_wait():
    async def work(client):
        async def take():
            return [await client.blpop("q", timeout=5) for _ in range(10)]

        async def give():
            for number in range(50):
                await client.rpush("q", number)

        *taken, _ = await asyncio.gather(*(take() for _ in range(5)), give())
        assert sorted(int(pair[1]) for pairs in taken for pair in pairs) == list(range(50))

    run(work)


def test_concurrent_optimistic_increments_lose_nothing():
    async def work(client):
        async def increment():
            async with client.pipeline() as pipe:
                while True:
                    try:
                        await pipe.watch("n")
                        value = int(await pipe.get("n") or 0)
                        pipe.multi()
                        pipe.set("n", value + 1)
                        await pipe.execute()
                        return
                    except redis.WatchError:
                        continue

        await asyncio.gather(*(increment() for _ in range(10)))
        assert await client.get("n") == b"10"

    run(work)
