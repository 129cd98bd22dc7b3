"""Links that can be harmed: every connection between two nodes passes through a user-space TCP proxy.

No root is needed, and nothing but the traffic between nodes is touched: clients reach every node all the time, as they
would when only the network between the servers is broken.

A *direction* is an ordered pair of nodes; its conditions hold for all bytes that flow that way, on whichever connection
and whoever dialled it. Bytes of TCP are never lost or reordered for good, so harm shows as it does above a kernel:

    cut        nothing passes; bytes wait, as they do in a sender's kernel that retransmits, and pass after `heal`.
               A connection that is dialled during a cut is accepted (the kernel does that) and stays silent.
    delay      every chunk waits, with jitter, in order.
    loss       a chunk that is "lost" waits for a retransmission: 200 ms, doubled each time; those behind it wait too.
    bandwidth  chunks leave one after the other at a rate.
    reset      both ends get a RST.

Limits: a chunk is what one read returned (up to 256 KiB); 256 KiB may wait per connection and direction, then reading
stops and the sender feels back-pressure. When the target is down, the dialler sees a connection that closes at once.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from quorate.env import Address
from quorate.kernel import NodeId

WAITING_BYTES_MAX = 256 * 1024
RETRANSMIT_S = 0.2
RETRANSMIT_COUNT_MAX = 5
DIAL_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What happens to bytes that flow one way between two nodes; the default harms nothing."""

    # Nothing passes until the conditions change.
    cut: bool = False
    # Every chunk waits at least so long, seconds.
    delay_s: float = 0.0
    # Up to so much more, drawn evenly per chunk, seconds.
    jitter_s: float = 0.0
    # The share of chunks that must be retransmitted, 0 to 1 (1 excluded).
    loss: float = 0.0
    # Bytes per second; 0 is without limit.
    bandwidth_bytes: int = 0

    @property
    def is_clear(self) -> bool:
        """Whether bytes pass at once."""
        return self == CLEAR


CLEAR = Conditions()
CUT = Conditions(cut=True)

_END = b""  # in a queue of chunks: the stream ends here


class Direction:
    """All bytes that flow from one node to another."""

    def __init__(self, rng: random.Random) -> None:
        self.conditions = CLEAR
        # Bytes that arrived at the far end since the start.
        self.passed_bytes = 0
        self._rng = rng
        self._pipes: dict[Pipe, None] = {}
        self._waiters: list[asyncio.Future[None]] = []

    def change(self, conditions: Conditions) -> None:
        """Let other conditions hold from now on, for bytes that wait as well."""
        self.conditions = conditions
        for pipe in list(self._pipes):
            pipe.refresh()
        if not conditions.cut:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def passable(self) -> None:
        """Wait until the direction is not cut."""
        while self.conditions.cut:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def wait_s(self) -> float:
        """Draw how long the next chunk is under way, seconds, bandwidth apart."""
        conditions = self.conditions
        wait = conditions.delay_s + conditions.jitter_s * self._rng.random()
        again = RETRANSMIT_S
        for _ in range(RETRANSMIT_COUNT_MAX):
            if self._rng.random() >= conditions.loss:
                break
            wait += again
            again *= 2
        return wait

    def join(self, pipe: "Pipe") -> None:
        """Tell a pipe when the conditions change."""
        self._pipes[pipe] = None

    def leave(self, pipe: "Pipe") -> None:
        """Tell it no more."""
        self._pipes.pop(pipe, None)


class Pipe:
    """One way of one connection: bytes from a source, in order, to a sink, when the conditions allow it."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._loop = asyncio.get_running_loop()
        self._source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._busy_until = 0.0
        self._last_release = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sink_is_full = False
        self._is_reading = True
        self._source_broke = False
        direction.join(self)

    def attach(self, *, source: asyncio.Transport | None = None, sink: asyncio.Transport | None = None) -> None:
        """Learn one end or both; what has waited for the sink leaves."""
        self._source = source or self._source
        self._sink = sink or self._sink
        self.refresh()

    def feed(self, data: bytes) -> None:
        """Take what the source sent; no bytes are the end of the stream."""
        sink = self._sink
        if sink is not None and data and not self._chunks and self._direction.conditions.is_clear:
            self._direction.passed_bytes += len(data)
            sink.write(data)
            return
        self._chunks.append((self._release_time(len(data)), data))
        self._waiting_bytes += len(data)
        self.refresh()

    def break_off(self, *, broke: bool) -> None:
        """The source is gone: the sink learns of it after the bytes that still wait."""
        self._source = None
        self._source_broke = broke
        self.feed(_END)

    def sink_is_gone(self) -> None:
        """Nobody is left to tell: forget what waits."""
        self._sink = None
        self._chunks.clear()
        self._stop()

    def pause(self, *, sink_is_full: bool) -> None:
        """Follow the sink's flow control."""
        self._sink_is_full = sink_is_full
        self._read_or_not()

    def refresh(self) -> None:
        """Look at the conditions again."""
        self._pump()
        self._read_or_not()

    def _release_time(self, byte_count: int) -> float:
        now = self._loop.time()
        conditions = self._direction.conditions
        if conditions.bandwidth_bytes:
            self._busy_until = max(now, self._busy_until) + byte_count / conditions.bandwidth_bytes
        release = max(now, self._busy_until) + self._direction.wait_s()
        self._last_release = max(self._last_release, release)  # TCP keeps order: nothing overtakes
        return self._last_release

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sink is None or self._direction.conditions.cut:
            return
        now = self._loop.time()
        while self._chunks and self._chunks[0][0] <= now:
            data = self._chunks.popleft()[1]
            self._waiting_bytes -= len(data)
            self._pass_on(self._sink, data)
        if self._chunks:
            self._timer = self._loop.call_at(self._chunks[0][0], self.refresh)

    def _pass_on(self, sink: asyncio.Transport, data: bytes) -> None:
        if data:
            self._direction.passed_bytes += len(data)
            sink.write(data)
        elif self._source is None:
            _close(sink, reset=self._source_broke)
            self._stop()
        else:
            with contextlib.suppress(OSError, RuntimeError):  # the sink may be closing already
                sink.write_eof()

    def _read_or_not(self) -> None:
        # Before the sink exists we keep reading, so that a dialler that gave up is noticed and not dialled for.
        is_cut = self._sink is not None and self._direction.conditions.cut
        wanted = not is_cut and not self._sink_is_full and self._waiting_bytes < WAITING_BYTES_MAX
        if self._source is None or wanted == self._is_reading or self._source.is_closing():
            return
        self._is_reading = wanted
        if wanted:
            self._source.resume_reading()
        else:
            self._source.pause_reading()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._direction.leave(self)


class _End(asyncio.Protocol):
    """One end of a proxied connection: feeds one pipe, drains the other."""

    def __init__(self, *, outgoing: Pipe, incoming: Pipe, on_made: "Callable[[_End], None] | None" = None) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._on_made = on_made
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, so this cannot be an isinstance.
        self.transport = cast("asyncio.Transport", transport)
        self._outgoing.attach(source=self.transport)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self._outgoing.feed(data)

    def eof_received(self) -> bool:
        self._outgoing.feed(_END)
        return True  # the other way may still carry bytes

    def pause_writing(self) -> None:
        self._incoming.pause(sink_is_full=True)

    def resume_writing(self) -> None:
        self._incoming.pause(sink_is_full=False)

    def abandon(self) -> None:
        """Nobody was reached: forget what waits for this end."""
        self.is_lost = True
        self._incoming.sink_is_gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._incoming.sink_is_gone()
        self._outgoing.break_off(broke=exc is not None)


class Links:
    """All links of a cluster: a proxy for each ordered pair of nodes, and the conditions of each direction.

    Complexity: `cut`, `heal` and `reset` touch every pair, O(nodes² + connections).
    """

    def __init__(self, nodes: Sequence[NodeId], *, rng: random.Random) -> None:
        self.nodes = tuple(sorted(nodes))
        self._directions = {(a, b): Direction(rng) for a in self.nodes for b in self.nodes if a != b}
        self._servers: list[asyncio.Server] = []
        self._ends: dict[_End, None] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.dial_failure_count = 0

    def direction(self, source: NodeId, target: NodeId) -> Direction:
        """Return what carries bytes from one node to another."""
        return self._directions[source, target]

    async def route(
        self, source: NodeId, target: NodeId, address: Address, *, listen: Address | None = None
    ) -> Address:
        """Open the proxy by which `source` reaches `target`, which listens at `address`; return the proxy's address.

        `listen` asks for an address of the proxy's own, for systems that want one port on several hosts.
        """
        return await self._listen(address, lambda _: source, target, listen=listen)

    async def route_shared(
        self, target: NodeId, address: Address, *, source_of: Callable[[Address], NodeId | None]
    ) -> Address:
        """Open one proxy for all who dial `target`, for systems that can state only one address per node.

        Args:
            target: the node behind the proxy.
            address: where it listens.
            source_of: tells which node owns the dialling socket; None lets the connection pass unharmed.
        """
        return await self._listen(address, source_of, target)

    async def _listen(
        self,
        address: Address,
        source_of: Callable[[Address], NodeId | None],
        target: NodeId,
        *,
        listen: Address | None = None,
    ) -> Address:
        def accept() -> asyncio.Protocol:
            # Which node dials is known only once the connection is there, so the pipes come with the first callback.
            return _Accepting(lambda transport: self._accepted(transport, address, source_of, target))

        server = await asyncio.get_running_loop().create_server(
            accept, listen.host if listen else "127.0.0.1", listen.port if listen else 0, backlog=256
        )
        self._servers.append(server)
        host, port = server.sockets[0].getsockname()[:2]
        return Address(host, port)

    def _accepted(
        self,
        transport: asyncio.Transport,
        address: Address,
        source_of: Callable[[Address], NodeId | None],
        target: NodeId,
    ) -> asyncio.Protocol:
        source = source_of(Address(*transport.get_extra_info("peername")[:2]))
        free = Direction(random.Random(0))
        forward = self._directions.get((source, target), free) if source is not None else free
        backward = self._directions.get((target, source), free) if source is not None else free
        there, back = Pipe(forward), Pipe(backward)
        near = _End(outgoing=there, incoming=back)
        near.connection_made(transport)
        back.attach(sink=transport)
        far = _End(outgoing=back, incoming=there, on_made=lambda end: there.attach(sink=end.transport))
        task = asyncio.get_running_loop().create_task(self._dial(address, (forward, backward), near, far))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        self._ends = {end: None for end in self._ends if not end.is_lost}
        self._ends[near] = self._ends[far] = None
        return near

    async def _dial(self, address: Address, directions: tuple[Direction, Direction], near: _End, far: _End) -> None:
        for direction in directions:  # a handshake needs both ways
            await direction.passable()
        delay_s = sum(direction.wait_s() for direction in directions)
        if delay_s:
            await asyncio.sleep(delay_s)
        if near.is_lost:
            far.abandon()
            return
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(lambda: far, address.host, address.port)
        except OSError:  # TimeoutError is one
            self.dial_failure_count += 1
            far.abandon()
            if near.transport is not None:
                _close(near.transport, reset=True)

    def change(self, conditions: Conditions, *, source: NodeId, target: NodeId) -> None:
        """Let conditions hold one way between two nodes."""
        self._directions[source, target].change(conditions)

    def change_all(self, conditions: Conditions) -> None:
        """Let conditions hold on every link, both ways."""
        for direction in self._directions.values():
            direction.change(conditions)

    def partition(self, side: Sequence[NodeId], other: Sequence[NodeId], *, is_one_way: bool = False) -> None:
        """Cut everything from one side to the other, and back unless it is one-way."""
        for a in side:
            for b in other:
                self._directions[a, b].change(CUT)
                if not is_one_way:
                    self._directions[b, a].change(CUT)

    def heal(self) -> None:
        """Let all bytes pass again, those that waited first."""
        self.change_all(CLEAR)

    def reset(self) -> None:
        """Break every connection with a RST to both ends."""
        for end in list(self._ends):
            if end.transport is not None and not end.is_lost:
                _close(end.transport, reset=True)

    async def close(self) -> None:
        """Close every proxy and connection."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in list(self._ends):
            if end.transport is not None:
                end.transport.abort()
        await asyncio.sleep(0)
        for server in self._servers:
            await server.wait_closed()


class _Accepting(asyncio.Protocol):
    """Waits for a connection and hands all further callbacks to the end that it turns out to be."""

    def __init__(self, accepted: Callable[[asyncio.Transport], asyncio.Protocol]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        stream.set_protocol(self._accepted(stream))


def _close(transport: asyncio.Transport, *, reset: bool) -> None:
    if not reset:
        transport.close()
        return
    opened = transport.get_extra_info("socket")
    if opened is not None:
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
