"""Links between nodes: framed messages over one connection per pair.

The node with the smaller id dials; a connection begins with a greeting that names cluster, protocol version and
node, and a peer of another cluster or version is refused with one clear sentence. Messages are best effort: what
cannot be sent is dropped and counted, since every protocol above repeats what matters. Everything that is sent in
one turn leaves in one write. A link on which nothing arrives for `silence_timeout` is closed and dialled anew, so a
partition that heals is noticed at once instead of after the kernel's retransmission back-off.
"""

import asyncio
import logging
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec

from quorate.env import Address, Env, Listener, Timer
from quorate.kernel import Codec, Duration, Instant, Malformed, NodeId, milliseconds, seconds
from quorate.replication.frames import PROTOCOL_VERSION, FrameReader, Kind, frame
from quorate.replication.turn import Turn

log = logging.getLogger("quorate.links")


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first frame on a connection, from both sides."""

    version: int
    cluster: str
    node: NodeId


_HELLO: Codec[Hello] = Codec(Hello)
_PING_FRAME = frame(Kind.PING, b"")
_COMPLAINT_INTERVAL = seconds(60)
_COMPLAINT_COUNT_MAX = 100


@dataclass(frozen=True, kw_only=True)
class LinksConfig:
    """Bounds of the links."""

    # First and longest pause between attempts to dial; doubles, with jitter in [0.5, 1).
    retry_delay_min: Duration = milliseconds(30)
    retry_delay_max: Duration = milliseconds(500)
    # A ping is sent this often; greater: slower to notice a dead link, less idle traffic.
    ping_interval: Duration = milliseconds(300)
    # Silence after which a link is given up; at least three ping intervals.
    silence_timeout: Duration = milliseconds(1_500)
    # How long dialling and greeting may take.
    dial_timeout: Duration = milliseconds(1_000)
    # Bytes waiting in one link's socket buffer above which further messages are dropped.
    buffer_bytes_max: int = 64 << 20
    # Connections that were accepted and have not greeted; more are closed at once.
    stranger_count_max: int = 256
    # A greeting is short: who sends more before it is not a node.
    greeting_bytes_max: int = 4_096


class Links:
    """All links of one node. `send` is cheap and never waits; `on_frame` callbacks run on the loop."""

    def __init__(
        self,
        env: Env,
        turn: Turn,
        *,
        cluster: str,
        config: LinksConfig | None = None,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.env = env
        self.config = config or LinksConfig()
        self.cluster = cluster
        self._turn = turn
        self._server_tls = server_tls
        self._client_tls = client_tls
        self._addresses: dict[NodeId, Address] = {}
        self._connections: dict[NodeId, _Connection] = {}
        # Accepted and not greeted yet, oldest first.
        self._strangers: dict[_Connection, None] = {}
        # What was complained about, and when: a peer that keeps coming back is not worth a line each time.
        self._complaints: dict[str, Instant] = {}
        self._dialers: dict[NodeId, asyncio.Task[None]] = {}
        self._handlers: dict[int, Callable[[NodeId, bytes], None]] = {}
        self._on_lost: list[Callable[[NodeId], None]] = []
        self._on_found: list[Callable[[NodeId], None]] = []
        self._outgoing: dict[NodeId, list[bytes]] = {}
        self._listener: Listener | None = None
        self._timer: Timer | None = None
        self._is_stopped = False
        # Frames that were not sent because the peer was away or too slow; greetings that were refused.
        self.dropped_count = 0
        self.refused_count = 0
        self.sent_bytes = 0
        self.received_bytes = 0

    # -- wiring --------

    def on_frame(self, kind: Kind, handler: Callable[[NodeId, bytes], None]) -> None:
        """Give the handler of one kind of frame: (sender, payload)."""
        self._handlers[kind] = handler

    def on_lost(self, handler: Callable[[NodeId], None]) -> None:
        """Be told when a link to a peer breaks."""
        self._on_lost.append(handler)

    def on_found(self, handler: Callable[[NodeId], None]) -> None:
        """Be told when a link to a peer can be used."""
        self._on_found.append(handler)

    async def start(self, listen: Address) -> Address:
        """Listen for peers; return the address in use. Raise OSError when it cannot be had."""
        self._listener = await self.env.streams.listen(listen, self._accept, tls=self._server_tls)
        self._tick()
        return self._listener.address

    def _accept(self) -> "_Connection":
        connection = _Connection(self)
        self._strangers[connection] = None
        return connection

    def set_peers(self, addresses: dict[NodeId, Address]) -> None:
        """Say which peers exist now and where; links to others are closed."""
        wanted = {node: address for node, address in addresses.items() if node != self.env.node}
        for node in sorted(set(self._addresses) - set(wanted)):
            self._forget(node)
        for node in sorted(wanted):
            if self._addresses.get(node) != wanted[node]:
                self._forget(node)
                self._addresses[node] = wanted[node]
                if self.env.node < node and not self._is_stopped:
                    self._dialers[node] = asyncio.get_running_loop().create_task(self._dial(node), name=f"dial {node}")

    def _forget(self, node: NodeId) -> None:
        self._addresses.pop(node, None)
        dialer = self._dialers.pop(node, None)
        if dialer is not None:
            dialer.cancel()
        connection = self._connections.get(node)
        if connection is not None:
            connection.close()

    async def stop(self) -> None:
        """Close everything."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.close()
        for dialer in list(self._dialers.values()):
            dialer.cancel()
        for connection in (*self._connections.values(), *self._strangers):
            connection.close()
        await asyncio.gather(*self._dialers.values(), return_exceptions=True)

    # -- sending --------

    def is_up(self, node: NodeId) -> bool:
        """Return whether a greeted connection to a peer exists."""
        return node in self._connections

    def send(self, to: NodeId, kind: Kind, payload: bytes) -> bool:
        """Queue a frame for the end of the turn; return False when it was dropped."""
        connection = self._connections.get(to)
        if connection is None or connection.is_full:
            self.dropped_count += 1
            return False
        frames = self._outgoing.get(to)
        if frames is None:
            frames = self._outgoing[to] = []
            self._turn.ask()
        frames.append(frame(kind, payload))
        return True

    def flush(self) -> None:
        """Write what was queued: one write per peer. A stage of the turn."""
        if not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, {}
        for node, frames in outgoing.items():
            connection = self._connections.get(node)
            if connection is None:
                self.dropped_count += len(frames)
                continue
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self.sent_bytes += len(data)
            connection.write(data)

    async def drain(self, to: NodeId) -> bool:
        """Wait until a peer's link takes more; return False when there is no link."""
        connection = self._connections.get(to)
        if connection is None:
            return False
        await connection.writable.wait()
        return self._connections.get(to) is connection

    # -- connections --------

    async def _dial(self, node: NodeId) -> None:
        delay_ns = float(self.config.retry_delay_min)
        while not self._is_stopped:
            connection = _Connection(self, expected=node)
            try:
                async with asyncio.timeout(self.config.dial_timeout / 1e9):
                    await self.env.streams.connect(self._addresses[node], _always(connection), tls=self._client_tls)
                    await connection.greeted.wait()
            except (OSError, TimeoutError) as cause:
                log.debug("node %d cannot be reached: %s", node, cause)
                if isinstance(cause, ssl.SSLError):
                    self.complain(f"node {node} cannot be trusted: {cause}")
                connection.close()
            except asyncio.CancelledError:
                connection.close()
                raise
            if connection.is_greeted:
                begin = self.env.clock.now()
                await connection.closed.wait()
                # A peer that greets and then refuses is not asked again at once.
                if self.env.clock.now() - begin > self.config.retry_delay_max:
                    delay_ns = float(self.config.retry_delay_min)
            await asyncio.sleep(delay_ns / 1e9 * (0.5 + self.env.rng.random() / 2))
            delay_ns = min(delay_ns * 2, self.config.retry_delay_max)

    def _tick(self) -> None:
        """Ping every peer; give up links that were silent for too long."""
        now = self.env.clock.now()
        for connection in list(self._connections.values()):
            if now - connection.heard_at > self.config.silence_timeout:
                log.info("node %d: the link to node %d is silent and is closed", self.env.node, connection.node)
                connection.close()
            else:
                connection.write(_PING_FRAME)
        for connection in list(self._strangers):
            if now - connection.heard_at > self.config.dial_timeout:
                self._strangers.pop(connection)  # one that fails its TLS handshake never tells
                connection.close()
        self._timer = self.env.clock.call_after(self.config.ping_interval, self._tick)

    def hello(self) -> bytes:
        """Return this node's greeting as a frame."""
        return frame(Kind.HELLO, _HELLO.encode(Hello(PROTOCOL_VERSION, self.cluster, self.env.node)))

    def greet(self, connection: "_Connection", payload: bytes) -> str | None:
        """Judge a greeting; return the reason for refusing it, or None and take the connection into use."""
        hello = _HELLO.decode(payload)
        if hello.version != PROTOCOL_VERSION:
            return f"protocol version {hello.version} is not {PROTOCOL_VERSION}"
        if hello.cluster != self.cluster:
            return f"cluster {hello.cluster!r} is not {self.cluster!r}"
        if hello.node == self.env.node:
            return f"node {hello.node} is this node itself: two nodes have one id, or an address points home"
        if connection.expected is not None and hello.node != connection.expected:
            return f"node {hello.node} answered at the address of node {connection.expected}"
        if hello.node not in self._addresses:
            return f"node {hello.node} is not a member"
        connection.node = hello.node
        old = self._connections.get(hello.node)
        self._connections[hello.node] = connection
        if old is not None:  # what was in flight on it is lost
            old.close()
            self._tell_lost(hello.node)
        for handler in self._on_found:
            handler(hello.node)
        return None

    def complain(self, reason: str, where: str = "") -> None:
        """Log why a connection was refused, at most once a minute for each reason."""
        now = self.env.clock.now()
        if now - self._complaints.get(reason, Instant(now - _COMPLAINT_INTERVAL)) >= _COMPLAINT_INTERVAL:
            if len(self._complaints) >= _COMPLAINT_COUNT_MAX:
                self._complaints.clear()
            self._complaints[reason] = now
            log.error("node %d: %s%s", self.env.node, reason, where)

    def is_too_many(self) -> bool:
        """Return whether more strangers wait than are allowed."""
        return len(self._strangers) > self.config.stranger_count_max

    def known(self, connection: "_Connection") -> None:
        """Take a connection from among the strangers: it was greeted, refused, or it ended."""
        self._strangers.pop(connection, None)

    def received(self, node: NodeId, frames: list[tuple[int, bytes]]) -> None:
        """Hand frames to their handlers; a kind that nobody handles is ignored."""
        for kind, payload in frames:
            handler = self._handlers.get(kind)
            if handler is not None:
                handler(node, payload)
            elif kind == Kind.REFUSAL and node in self._connections:
                self._connections[node].refused(payload)

    def lost(self, connection: "_Connection") -> None:
        """Forget a connection that ended."""
        self._strangers.pop(connection, None)
        if self._connections.get(connection.node) is connection:
            del self._connections[connection.node]
            self._outgoing.pop(connection.node, None)
            self._tell_lost(connection.node)

    def _tell_lost(self, node: NodeId) -> None:
        if not self._is_stopped:
            for handler in self._on_lost:
                handler(node)


def _always(connection: "_Connection") -> Callable[[], "_Connection"]:
    return lambda: connection


class _Connection(asyncio.Protocol):
    """One connection to a peer: greeting first, frames then."""

    def __init__(self, links: Links, *, expected: NodeId | None = None) -> None:
        self.links = links
        self.expected = expected
        self.node = NodeId(0)
        self.is_greeted = False
        self.greeted = asyncio.Event()
        self.closed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.heard_at = links.env.clock.now()
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    @property
    def is_full(self) -> bool:
        """Whether the socket has so much unsent that more is dropped."""
        return (
            not self.writable.is_set()
            and self._transport is not None
            and self._transport.get_write_buffer_size() > self.links.config.buffer_bytes_max
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not asyncio's by inheritance
        self._transport.set_write_buffer_limits(high=4 << 20)
        if self.links.is_too_many():
            self._transport.abort()
            return
        self._transport.write(self.links.hello())

    def data_received(self, data: bytes) -> None:
        self.links.received_bytes += len(data)
        self.heard_at = self.links.env.clock.now()
        try:
            frames = self._reader.feed(data)
            if not self.is_greeted and not self._greet(frames):
                return
            self.links.received(self.node, frames)
        except (Malformed, struct.error) as cause:  # struct.error: a payload that is too short for what it claims to be
            who = f"node {self.node}" if self.is_greeted else f"a stranger at {self._peer()}"
            log.warning("node %d: garbage from %s: %s", self.links.env.node, who, cause)
            self.close()

    def _peer(self) -> str:
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return f"{name[0]}:{name[1]}" if name else "?"

    def _greet(self, frames: list[tuple[int, bytes]]) -> bool:
        """Take the greeting off the frames; return whether what follows may be handled."""
        if not frames:
            if self._reader.waiting_bytes > self.links.config.greeting_bytes_max:
                raise Malformed("a greeting is shorter")
            return False
        kind, payload = frames.pop(0)
        if kind == Kind.REFUSAL:
            self.refused(payload)
            return False
        if kind != Kind.HELLO:
            raise Malformed("a connection begins with a greeting")
        reason = self.links.greet(self, payload)
        self.is_greeted = reason is None
        self.links.known(self)
        if reason is not None:
            self.links.refused_count += 1
            self.links.complain(f"refused a peer: {reason}", f" (it called from {self._peer()})")
            self.write(frame(Kind.REFUSAL, reason.encode()))
            self.close()
            return False
        self.greeted.set()
        return True

    def refused(self, payload: bytes) -> None:
        """Hear that the peer does not want this node."""
        self.links.complain(f"was refused: {payload.decode(errors='replace')[:200]}", f" (by {self._peer()})")
        self.close()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort() if self.is_greeted else self._transport.close()
        self.writable.set()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self.closed.set()
        self.greeted.set()  # whoever waits sees that is_greeted is still False
        self.links.lost(self)
