"""Network time over datagrams, in a small world of virtual time."""

import asyncio
import heapq
import random
from collections.abc import Callable

import pytest

from quorate.clocks import Mode, NotSynchronized, NTPPacket
from quorate.env import Address, Env
from quorate.kernel import NodeId, errors
from quorate.services import NTPClient, NTPServer


class World:
    """Virtual true time, a queue of what is to happen, and links with random delays."""

    def __init__(self, seed: int, *, delay_max: int = 5_000_000, loss: float = 0.0) -> None:
        self.true_ns = 1_790_000_000 * 10**9
        self.rng = random.Random(seed)
        self.delay_max, self.loss = delay_max, loss
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.sockets: dict[Address, Callable[[Address, bytes], None]] = {}
        self.spy: list[tuple[Address, Address, bytes]] = []

    def at(self, moment_ns: int, call: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (moment_ns, len(self.spy) + self.rng.getrandbits(40), call))

    def run(self, span_ns: int) -> None:
        end = self.true_ns + span_ns
        while self.queue and self.queue[0][0] <= end:
            self.true_ns, _, call = heapq.heappop(self.queue)
            call()
        self.true_ns = end

    def env(self, node: int, *, rate_ppm: int = 0, wall_error_ns: int = 0) -> Env:
        return Env(
            node=NodeId(node),
            clock=Clock(self, rate_ppm, wall_error_ns),
            network=Network(self),
            streams=None,
            disk=None,
            rng=random.Random(node),
            buggify=lambda _: False,
        )


class Clock:
    def __init__(self, world: World, rate_ppm: int, wall_error_ns: int) -> None:
        self.world, self.rate_ppm, self.wall_error_ns = world, rate_ppm, wall_error_ns
        self.born = world.true_ns

    def now(self) -> int:
        return (self.world.true_ns - self.born) * (10**6 + self.rate_ppm) // 10**6

    def wall_ns(self) -> int:
        return self.world.true_ns + self.wall_error_ns

    def call_after(self, after: int, callback: Callable[[], None]) -> "Timer":
        timer = Timer(callback)
        self.world.at(self.world.true_ns + after * 10**6 // (10**6 + self.rate_ppm) + 1, timer.fire)
        return timer


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def fire(self) -> None:
        if self.callback is not None:
            self.callback()


class Network:
    def __init__(self, world: World) -> None:
        self.world = world

    async def listen(self, address: Address, receiver: Callable[[Address, bytes], None]) -> "Endpoint":
        self.world.sockets[address] = receiver
        return Endpoint(self.world, address)


class Endpoint:
    def __init__(self, world: World, address: Address) -> None:
        self.world, self.address = world, address

    def send(self, to: Address, payload: bytes) -> None:
        self.world.spy.append((self.address, to, payload))
        if self.world.rng.random() >= self.world.loss:
            delay = self.world.rng.randrange(100_000, self.world.delay_max)
            self.world.at(self.world.true_ns + delay, lambda: self.arrive(to, payload))

    def arrive(self, to: Address, payload: bytes) -> None:
        if to in self.world.sockets:
            self.world.sockets[to](self.address, payload)

    def close(self) -> None:
        del self.world.sockets[self.address]


def start(world: World, *, errors_ns: list[int], rate_ppm: int = 0) -> tuple[NTPClient, list[NTPServer]]:
    """Start a server for each error of its wall clock, and one client; the servers claim 10 ms."""

    async def open_all() -> tuple[NTPClient, list[NTPServer]]:
        servers = []
        for node, error_ns in enumerate(errors_ns, start=1):
            server = NTPServer(world.env(node, wall_error_ns=error_ns), error=10_000_000)
            await server.start(Address("server", node))
            servers.append(server)
        client = NTPClient(world.env(99, rate_ppm=rate_ppm), servers=[s.address for s in servers], poll_interval=10**9)
        await client.start(Address("client", 1))
        return client, servers

    return asyncio.run(open_all())


@pytest.mark.parametrize("seed", range(5))
def test_true_time_stays_within_the_interval_despite_liars_loss_and_drift(seed: int) -> None:
    """Two of five servers are a minute off; a fifth of all datagrams is lost; the local clock runs 150 ppm fast."""
    world = World(seed, loss=0.2)
    client, _ = start(world, errors_ns=[8_000_000, -9_000_000, 0, 60 * 10**9, -60 * 10**9], rate_ppm=150)
    world.run(3 * 10**9)
    for _ in range(60):
        world.run(10**9)
        interval = client.now()
        assert interval.earliest_ns <= world.true_ns <= interval.latest_ns
        assert interval.width_ns < 60_000_000
    assert client.counts["taken"] > 100
    wait = client.commit_wait(interval.latest_ns)
    world.run(wait * 10**6 // (10**6 + 150) + 1)
    assert client.after(interval.latest_ns)
    assert interval.latest_ns < world.true_ns
    assert client.before(world.true_ns + 10**9)


def test_without_answers_nothing_is_claimed() -> None:
    world = World(1, loss=1.0)
    client, _ = start(world, errors_ns=[0])
    world.run(5 * 10**9)
    assert client.counts["asked"] >= 5
    with pytest.raises(NotSynchronized):
        client.now()


def test_answers_that_were_not_asked_for_are_ignored() -> None:
    """RFC 5905 §8: the origin timestamp guards against bogus and repeated packets."""
    world = World(1)
    client, servers = start(world, errors_ns=[0])
    world.run(10**9 // 2)
    _, _, answer = world.spy[-1]
    packet = NTPPacket.from_bytes(answer)
    receive = world.sockets[Address("client", 1)]
    for forged in (
        answer,
        packet._replace(origin=5).to_bytes(),
        b"",
        b"\xff" * 60,
        packet._replace(mode=Mode.CLIENT).to_bytes(),
    ):
        receive(servers[0].address, forged)
    assert client.counts["taken"] == 1
    assert client.counts["not asked for"] == 3
    assert client.counts["malformed"] == 2


def test_a_server_answers_requests_only() -> None:
    world = World(1)
    _, servers = start(world, errors_ns=[0])
    server = servers[0]
    receive = world.sockets[server.address]
    sent = len(world.spy)
    receive(Address("x", 1), b"short")
    receive(Address("x", 1), NTPPacket(mode=Mode.SERVER).to_bytes())
    assert len(world.spy) == sent
    assert (server.counts["malformed"], server.counts["not a request"]) == (1, 1)


def test_an_unsynchronised_server_is_not_believed() -> None:
    world = World(1)
    client, servers = start(world, errors_ns=[0])
    servers[0].stratum = 16
    world.run(10**9)
    assert client.counts["unsynchronised server"] >= 1
    assert client.counts["taken"] == 0


def test_stopping_is_harmless_when_repeated_and_ends_the_asking() -> None:
    world = World(1)
    client, servers = start(world, errors_ns=[0])
    world.run(10**9)
    asked = client.counts["asked"]
    for _ in range(2):
        client.stop()
        servers[0].stop()
    world.run(10**10)
    client.poll()
    assert client.counts["asked"] == asked
    with pytest.raises(errors.UsageError):
        _ = servers[0].address


def test_senseless_settings_are_refused() -> None:
    env = World(1).env(1)
    for make in (
        lambda: NTPServer(env, error=-1),
        lambda: NTPServer(env, stratum=16),
        lambda: NTPClient(env, servers=[]),
        lambda: NTPClient(env, servers=[Address("a", 1)], poll_interval=0),
    ):
        with pytest.raises(errors.UsageError):
            make()
