"""Links do to bytes what they say, one way at a time, and heal."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from quorate.env import Address
from quorate.kernel import NodeId
from quorate.lab.proxy import CUT, Conditions, Direction, Links

pytestmark = pytest.mark.real

ONE, TWO = NodeId(1), NodeId(2)
# Long enough for loopback, short enough for a test: how long "nothing arrives" is watched.
WATCH_S = 0.08

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pair:
    """Node 1 dials node 2 through the links."""

    def __init__(self, links: Links, route: Address, accepted: "asyncio.Queue[Streams]") -> None:
        self.links = links
        self.route = route
        self.accepted = accepted

    async def dial(self) -> Streams:
        return await asyncio.open_connection(*self.route)

    async def connect(self) -> tuple[Streams, Streams]:
        """Return both ends of one connection."""
        near = await self.dial()
        return near, await asyncio.wait_for(self.accepted.get(), 2)


def with_pair(scenario: Callable[[Pair], Awaitable[None]]) -> None:
    async def run() -> None:
        accepted: asyncio.Queue[Streams] = asyncio.Queue()
        writers: list[asyncio.StreamWriter] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await accepted.put((reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        links = Links([ONE, TWO], rng=random.Random(1))
        try:
            route = await links.route(ONE, TWO, Address(*server.sockets[0].getsockname()[:2]))
            async with asyncio.timeout(10):
                await scenario(Pair(links, route, accepted))
        finally:
            await links.close()
            server.close()
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    asyncio.run(run())


async def silent(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), WATCH_S)
    except TimeoutError:
        return True
    return False


def test_a_clear_link_passes_bytes_and_ends_both_ways() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        near[1].write(b"there" * 100_000)
        assert await far[0].readexactly(500_000) == b"there" * 100_000
        far[1].write(b"back")
        far[1].write_eof()
        assert await near[0].read() == b"back"
        near[1].write(b"half-closed still carries")
        near[1].close()
        assert await far[0].read() == b"half-closed still carries"

    with_pair(scenario)


def test_a_one_way_cut_stops_one_way_and_what_waited_passes_after_heal() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        pair.links.change(CUT, source=ONE, target=TWO)
        near[1].write(b"held")
        far[1].write(b"free")
        assert await near[0].readexactly(4) == b"free"
        assert await silent(far[0])
        pair.links.heal()
        assert await far[0].readexactly(4) == b"held"
        near[1].close()

    with_pair(scenario)


def test_a_cut_hides_that_the_other_end_closed_until_it_heals() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        pair.links.partition([ONE], [TWO])
        near[1].write(b"last words")
        near[1].close()
        assert await silent(far[0])
        pair.links.heal()
        assert await far[0].read() == b"last words"

    with_pair(scenario)


def test_a_connection_dialled_during_a_cut_stays_silent_and_works_after_heal() -> None:
    async def scenario(pair: Pair) -> None:
        pair.links.change(CUT, source=TWO, target=ONE)
        near = await pair.dial()
        near[1].write(b"early")
        assert await silent(near[0])
        assert pair.accepted.empty()
        pair.links.heal()
        far = await pair.accepted.get()
        assert await far[0].readexactly(5) == b"early"
        near[1].close()

    with_pair(scenario)


def test_a_dialler_that_gave_up_during_a_cut_is_not_dialled_for() -> None:
    async def scenario(pair: Pair) -> None:
        pair.links.partition([ONE], [TWO])
        near = await pair.dial()
        near[1].close()
        await near[1].wait_closed()
        pair.links.heal()
        later, _ = await pair.connect()
        assert pair.accepted.empty()
        later[1].close()

    with_pair(scenario)


def test_a_delay_holds_every_chunk_in_order() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        pair.links.change(Conditions(delay_s=0.05, jitter_s=0.02), source=ONE, target=TWO)
        begin = time.monotonic()
        for letter in b"abcdef":
            near[1].write(bytes([letter]))
            await asyncio.sleep(0)
        assert await far[0].readexactly(6) == b"abcdef"
        assert time.monotonic() - begin >= 0.05
        near[1].close()

    with_pair(scenario)


def test_a_bandwidth_bounds_the_rate() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        pair.links.change(Conditions(bandwidth_bytes=1_000_000), source=ONE, target=TWO)
        begin = time.monotonic()
        near[1].write(bytes(200_000))
        await far[0].readexactly(200_000)
        assert time.monotonic() - begin >= 0.15
        near[1].close()

    with_pair(scenario)


def test_a_reset_breaks_both_ends() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        near[1].write(b"x")
        await far[0].readexactly(1)
        pair.links.reset()
        for reader in (near[0], far[0]):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        near[1].close()

    with_pair(scenario)


def test_a_target_that_is_down_closes_the_dialler() -> None:
    async def scenario(pair: Pair) -> None:
        route = await pair.links.route(TWO, ONE, Address("127.0.0.1", 1))
        reader, writer = await asyncio.open_connection(*route)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert pair.links.dial_failure_count == 1

    with_pair(scenario)


def test_back_pressure_reaches_the_sender_during_a_cut() -> None:
    async def scenario(pair: Pair) -> None:
        near, far = await pair.connect()
        pair.links.partition([ONE], [TWO])
        near[1].write(bytes(30_000_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near[1].drain(), WATCH_S)
        pair.links.heal()
        assert len(await far[0].readexactly(30_000_000)) == 30_000_000
        near[1].close()

    with_pair(scenario)


def test_a_shared_route_harms_only_the_node_that_dials() -> None:
    async def scenario(pair: Pair) -> None:
        pair.links.partition([ONE], [TWO])
        inner = pair.links._servers[0].sockets[0].getsockname()[1]
        assert inner == pair.route.port
        free = await pair.links.route_shared(TWO, Address("127.0.0.1", 1), source_of=lambda _: None)
        reader, writer = await asyncio.open_connection(*free)
        with pytest.raises(ConnectionResetError):  # the dial was made: no cut held it
            await reader.read(1)
        writer.close()
        cut = await pair.links.route_shared(TWO, Address("127.0.0.1", 1), source_of=lambda _: ONE)
        held = await asyncio.open_connection(*cut)
        assert await silent(held[0])
        held[1].close()

    with_pair(scenario)


def test_loss_waits_for_retransmissions_that_double() -> None:
    direction = Direction(random.Random(3))
    direction.conditions = Conditions(loss=0.5)
    waits = {round(direction.wait_s(), 1) for _ in range(2_000)}
    assert waits == {0.0, 0.2, 0.6, 1.4, 3.0, 6.2}
