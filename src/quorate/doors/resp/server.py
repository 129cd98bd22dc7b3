"""The Redis door of a node: listens, counts its connections, and holds what they share."""

import asyncio
import ssl
from typing import Final

from quorate.doors.resp import commands
from quorate.doors.resp.blocking import Blocking, Waiter
from quorate.doors.resp.config import RespConfig
from quorate.doors.resp.connection import Connection
from quorate.doors.resp.knobs import Knobs
from quorate.doors.resp.pubsub import PubSub
from quorate.doors.resp.table import Route, build_routes
from quorate.doors.resp.watches import Watches
from quorate.env import Address, Env, Listener, Timer
from quorate.kernel import SECOND, Duration
from quorate.kernel.errors import UsageError
from quorate.store import Backend, ReplyError

_HOUSEKEEPING_INTERVAL: Final = SECOND
# The end of this turn of the loop.
_SOON: Final = Duration(0)
_TOO_MANY: Final = ReplyError("ERR", "max number of clients reached")

assert commands.__name__, "importing the package entered the door's commands"


class RespServer:
    """Serves the Redis protocol, versions 2 and 3, in front of a backend.

    Args:
        env: the world; streams and clock are used.
        backend: the node.
        config: limits and secrets.

    Example (see tests/contract/test_resp_redis_py.py for a whole one):
        server = RespServer(env, backend, RespConfig())
        address = await server.start(Address("127.0.0.1", 0))
    """

    def __init__(self, env: Env, backend: Backend, config: RespConfig | None = None) -> None:
        self.env = env
        self.clock = env.clock
        self.backend = backend
        self.config = config or RespConfig()
        self.routes: dict[bytes, Route] = build_routes()
        self.pubsub = PubSub()
        self.watches = Watches(backend)
        self.knobs = Knobs(self.config)
        self.blocking = Blocking(backend, self.clock)
        self.address: Address | None = None
        # Open connections by id, oldest first; those that do not take their answers.
        self.connections: dict[int, Connection] = {}
        self.blocked: dict[int, Connection] = {}
        # Monotonic time until which CLIENT PAUSE holds (0: it does not), and whether it holds reads too.
        self.pause_until_ns = 0
        self.pause_holds_reads = False
        self.started_ns = self.clock.now()
        # Counters since the start, or since CONFIG RESETSTAT.
        self.accepted_count = 0
        self.refused_count = 0
        self.command_count = 0
        self.error_count = 0
        self.overrun_count = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self._last_id = 0
        self._unflushed: dict[int, Connection] = {}
        self._listeners: list[Listener] = []
        self._pause_timer: Timer | None = None
        self._housekeeping_timer: Timer | None = None
        self._is_stopping = False
        self._closed: asyncio.Event | None = None

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        """Listen; return the address in use. May be called for several addresses.

        Raises:
            OSError: the address cannot be had; the sentence names it.
        """
        if self._is_stopping:
            raise UsageError("a door that was stopped does not start again")
        listener = await self.env.streams.listen(address, self._make_connection, tls=tls)
        self._listeners.append(listener)
        self.address = self.address or listener.address
        self.backend.on_publish = self.pubsub.deliver
        if self._housekeeping_timer is None:
            self._housekeeping_timer = self.clock.call_after(_HOUSEKEEPING_INTERVAL, self._keep_house)
        return listener.address

    async def stop(self) -> None:
        """Accept nobody more, answer what is under way (up to `stop_timeout`), and close every connection."""
        self._is_stopping = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for timer in (self._housekeeping_timer, self._pause_timer):
            if timer is not None:
                timer.cancel()
        self._housekeeping_timer = self._pause_timer = None
        self.pause_until_ns = 0
        for connection in list(self.connections.values()):
            connection.close_after(b"")
            connection.resume()
        if self.connections:
            self._closed = asyncio.Event()
            deadline = self.clock.call_after(self.config.stop_timeout, self._closed.set)
            await self._closed.wait()
            deadline.cancel()
        for connection in list(self.connections.values()):
            connection.abort()

    def _make_connection(self) -> Connection:
        self._last_id += 1
        return Connection(self, self._last_id)

    def admit(self, connection: Connection) -> ReplyError | None:
        """Take a new connection, or return why not."""
        if len(self.connections) >= self.config.connection_count_max or self._is_stopping:
            self.refused_count += 1
            return _TOO_MANY
        self.accepted_count += 1
        self.connections[connection.id] = connection
        if self.pause_until_ns:
            connection.update_plain()
        return None

    def forget(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self.connections.pop(connection.id, None)
        self.blocked.pop(connection.id, None)
        self._unflushed.pop(connection.id, None)
        if self._closed is not None and not self.connections:
            self._closed.set()

    # ── what connections share ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def needs_password(self) -> bool:
        """Whether a client must say who it is before anything else."""
        return self.config.password is not None

    def database_number(self, text: bytes) -> int | None:
        """Return the number of a database, None when there is no such."""
        return int(text) if text.isdigit() and len(text) < 6 and int(text) < self.knobs.database_count else None

    def output_limit(self, connection: Connection) -> int:
        """Return how many bytes may wait for a client that does not take them."""
        session = connection.session
        if session is not None and session.is_subscriber:
            return self.config.push_bytes_max
        return self.config.output_bytes_max

    def flush_soon(self, connection: Connection) -> None:
        """Write what was pushed to a connection at the end of this turn of the loop."""
        if not self._unflushed:
            self.clock.call_after(_SOON, self._flush_all)
        self._unflushed[connection.id] = connection

    def _flush_all(self) -> None:
        unflushed, self._unflushed = self._unflushed, {}
        for connection in unflushed.values():
            connection.flush()

    def wake_soon(self, waiter: Waiter) -> None:
        """Let a blocking command try again at the end of this turn of the loop, if something changed."""
        self.clock.call_after(_SOON, lambda: self.blocking.try_again(waiter))

    # ── CLIENT PAUSE ────────────────────────────────────────────────────────────────────────────────────────────────

    def is_paused(self, *, is_write: bool) -> bool:
        """Return whether a command of the store must wait now."""
        return self.pause_until_ns > 0 and (is_write or self.pause_holds_reads)

    def pause(self, span: Duration, *, holds_reads: bool) -> None:
        """Hold commands of all clients for a while; a pause under way is only ever made longer and stricter."""
        until_ns = self.clock.now() + span
        if self.pause_until_ns:
            until_ns = max(until_ns, self.pause_until_ns)
            holds_reads = holds_reads or self.pause_holds_reads
        self.pause_until_ns = until_ns
        self.pause_holds_reads = holds_reads
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._pause_timer = self.clock.call_after(Duration(until_ns - self.clock.now()), self.unpause)
        for connection in self.connections.values():
            connection.update_plain()

    def unpause(self) -> None:
        """Let commands go on."""
        self.pause_until_ns = 0
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
        for connection in list(self.connections.values()):
            connection.update_plain()
            connection.resume()

    # ── housekeeping ────────────────────────────────────────────────────────────────────────────────────────────────

    def _keep_house(self) -> None:
        """Once a second, disconnect who takes no answers for too long, and who was silent for too long."""
        self._housekeeping_timer = self.clock.call_after(_HOUSEKEEPING_INTERVAL, self._keep_house)
        now = self.clock.now()
        for connection in list(self.blocked.values()):
            if now - connection.blocked_since_ns > self.config.output_timeout:
                self.overrun_count += 1
                del self.blocked[connection.id]
                connection.abort()
        idle_timeout = self.knobs.idle_timeout
        if idle_timeout == 0:
            return
        for connection in list(self.connections.values()):
            session = connection.session
            is_subscriber = session is not None and session.is_subscriber
            if not is_subscriber and connection.in_flight_count == 0 and now - connection.heard_ns > idle_timeout:
                connection.abort()

    def numbers(self) -> dict[str, int | float]:
        """Return the counters of this door by name, for metrics."""
        return {
            "resp_connections": len(self.connections),
            "resp_slow_connections": len(self.blocked),
            "resp_blocked_connections": self.blocking.count,
            "resp_connections_total": self.accepted_count,
            "resp_connections_refused_total": self.refused_count,
            "resp_connections_overrun_total": self.overrun_count,
            "resp_commands_total": self.command_count,
            "resp_errors_total": self.error_count,
            "resp_received_bytes_total": self.received_bytes,
            "resp_sent_bytes_total": self.sent_bytes,
            "resp_messages_delivered_total": self.pubsub.delivered_count,
        }

    def reset_counters(self) -> None:
        """Begin to count anew."""
        self.accepted_count = self.refused_count = self.command_count = self.error_count = 0
        self.overrun_count = self.received_bytes = self.sent_bytes = self.pubsub.delivered_count = 0
