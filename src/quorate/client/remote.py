"""Commands over the network: any node, the next one when it fails, and never applied twice.

A write carries a `RequestKey`, so it may be sent again to another node when an answer is lost: the state machine
applies it once and returns the first result. It ends indefinitely only when time runs out.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from quorate.client.executor import Consistency, KeyChange
from quorate.client.slots import named_keys, place_of
from quorate.client.wire import Connection
from quorate.env import Address, Env
from quorate.kernel import Duration, Instant, seconds
from quorate.kernel.errors import (
    DiskFull,
    IndefiniteError,
    NotLeader,
    Overloaded,
    QuorateError,
    Stale,
    TimedOut,
    Unreachable,
    UsageError,
)
from quorate.store import Command

SESSION_COUNT_MAX = 64
"""Writes under way at the same time; more wait. Each needs a session of its own, which the cluster remembers."""

_FIRST_DELAY_S = 0.01
_DELAY_S_MAX = 0.5
_RETRY_S = 0.1


class SessionForgotten(IndefiniteError):
    """The cluster does not know the session any more; whether the request was applied cannot be told."""

    code: ClassVar[str] = "SESSION"
    # Whether an earlier attempt may have been applied; without one, nothing was.
    is_in_doubt: bool = True


@dataclass(slots=True)
class _Session:
    """Numbers the requests of one writer: one at a time, because only the latest is remembered (client table)."""

    client: int
    sequence: int = 0


class _Status(msgspec.Struct):
    leader_address: str | None
    counters: dict[str, int]


class RemoteExecutor:
    """Talks to one node at a time and moves on when it fails."""

    def __init__(
        self,
        env: Env,
        addresses: list[Address],
        *,
        password: str = "",
        timeout: Duration | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        assert addresses, "somebody must be asked"
        self.env = env
        self.timeout = timeout or seconds(10)
        # A node that is silent for so long is given up for another; repeating does no harm.
        self.attempt_timeout = Duration(self.timeout // 3)
        self._addresses = addresses
        self._password = password
        self._tls = tls
        self._next = env.rng.randrange(len(addresses))
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._group_count = 0
        # Sessions at rest, by the group that remembers them; None: those of commands that go to every group.
        self._sessions: dict[int | None, list[_Session]] = {}
        self._slots = asyncio.Semaphore(SESSION_COUNT_MAX)
        self._watchers: dict[Connection, None] = {}
        self._is_closed = False

    # -- commands --------

    async def write(self, args: list[bytes]) -> Any:
        """Run a command through the log, once."""
        async with self._slots:
            place = await self._place_of(args)
            idle = self._sessions.setdefault(place, [])
            session = idle.pop() if idle else _Session(self.env.rng.getrandbits(62))
            try:
                return await self._write_once(session, args)
            except SessionForgotten:
                session = _Session(self.env.rng.getrandbits(62))
                raise
            finally:
                idle.append(session)

    async def _write_once(self, session: _Session, args: list[bytes]) -> Any:
        session.sequence += 1
        key = [str(session.client).encode(), str(session.sequence).encode()]
        try:
            return await self._attempt([b"QUORATE.ONCE", *key, *args])
        except SessionForgotten as cause:
            if cause.is_in_doubt or session.sequence == 1:
                raise
        # Refused at its first attempt, so nothing was applied: the session was merely idle for too long.
        session.client, session.sequence = self.env.rng.getrandbits(62), 1
        return await self._attempt([b"QUORATE.ONCE", str(session.client).encode(), b"1", *args])

    async def _place_of(self, args: list[bytes]) -> int | None:
        """Return the group whose table of sessions a write meets: each group keeps its own."""
        if not self._group_count:
            status = msgspec.json.decode(await self._attempt([b"QUORATE.STATUS"]), type=_Status)
            self._group_count = status.counters.get("groups", 1)
        if self._group_count == 1:
            return 0
        keys = named_keys(Command(0, args))
        return place_of(keys[0], self._group_count) if keys else None

    async def read(self, args: list[bytes], consistency: Consistency) -> Any:
        """Run a read-only command."""
        return await self._attempt([b"QUORATE.READ", consistency.upper().encode(), *args])

    async def send(self, args: list[bytes], *, is_write: bool) -> Any:
        """Run a command of a leaderless keyspace; one that writes is not sent again when it may have been done."""
        return await self._attempt(args, is_repeatable=not is_write)

    async def _attempt(self, args: list[bytes], *, is_repeatable: bool = True) -> Any:
        """Ask one node after another until one answers; where it may not be repeated, until it may have been done."""
        deadline = Instant(self.env.clock.now() + self.timeout)
        doubt: QuorateError | None = None
        delay_s = _FIRST_DELAY_S
        while True:
            failure: QuorateError
            connection: Connection | None = None
            try:
                connection = await self._connected(deadline)
                return await self._ask(connection, args, min(deadline, self.env.clock.now() + self.attempt_timeout))
            except SessionForgotten as cause:
                cause.is_in_doubt = doubt is not None
                raise
            except (Unreachable, NotLeader, Overloaded, Stale) as cause:
                failure = cause
            except IndefiniteError as cause:
                failure = doubt = cause
                if not is_repeatable:
                    self._drop(connection)
                    raise
            except QuorateError as cause:
                # A refusal by this node (no space, no password) says nothing about an earlier attempt on another one.
                if doubt is not None and (connection is None or isinstance(cause, DiskFull)):
                    raise doubt from cause
                raise
            if not isinstance(failure, NotLeader):
                self._drop(connection)
            if self._is_closed or self.env.clock.now() + delay_s * 1e9 >= deadline:
                raise doubt or failure
            await asyncio.sleep(delay_s * (0.5 + self.env.rng.random() / 2))
            delay_s = min(delay_s * 2, _DELAY_S_MAX)

    async def _ask(self, connection: Connection, args: list[bytes], deadline: float) -> Any:
        try:
            async with asyncio.timeout(max(0.0, deadline - self.env.clock.now()) / 1e9):
                return await connection.request(args)
        except TimeoutError:
            raise TimedOut("no answer came in time; it may still happen") from None

    # -- connections --------

    async def _connected(self, deadline: Instant) -> Connection:
        """Return the connection in use, or one to the next node. Raise Unreachable, or the node's refusal."""
        async with self._connecting:
            if self._is_closed:
                raise Unreachable("this client is closed; nothing was sent")
            if self._connection is None or not self._connection.is_open:
                self._connection = await self._open(self._next_address(), deadline)
            return self._connection

    def _next_address(self) -> Address:
        self._next += 1
        return self._addresses[self._next % len(self._addresses)]

    async def _open(
        self, address: Address, deadline: Instant, on_push: Callable[[list[Any]], None] | None = None
    ) -> Connection:
        now = self.env.clock.now()
        left_ns = min(deadline, now + self.attempt_timeout) - now
        try:
            async with asyncio.timeout(max(0, left_ns) / 1e9):
                return await Connection.open(
                    self.env.streams, address, password=self._password, on_push=on_push, tls=self._tls
                )
        except (TimeoutError, IndefiniteError):  # only the greeting was sent
            raise Unreachable(f"{address} does not answer; nothing was sent") from None

    def _drop(self, connection: Connection | None) -> None:
        """Give a connection up; the next attempt goes to another node."""
        if connection is not None:
            connection.close()
            if self._connection is connection:
                self._connection = None

    # -- the rest --------

    async def admin(self, args: list[bytes]) -> Any:
        """Run an administrator's command on the leader, or on any node where that will do; sent once."""
        deadline = Instant(self.env.clock.now() + self.timeout)
        address = self._next_address()
        while True:
            failure: QuorateError
            try:
                connection = await self._open(address, deadline)
                try:
                    return await self._ask(connection, [b"QUORATE." + args[0], *args[1:]], deadline)
                finally:
                    connection.close()
            except NotLeader as cause:
                failure, address = cause, await self._leader() or self._next_address()
            except Unreachable as cause:
                failure, address = cause, self._next_address()
            if self.env.clock.now() + _RETRY_S * 1e9 >= deadline:
                raise failure
            await asyncio.sleep(_RETRY_S)

    async def _leader(self) -> Address | None:
        """Return the address of the leader's Redis door, if a node can be found that knows it."""
        status = msgspec.json.decode(await self._attempt([b"QUORATE.STATUS"]), type=_Status)
        host, _, port = (status.leader_address or "").rpartition(":")
        return Address(host, int(port)) if host and port.isdigit() else None

    async def watch(self, prefix: bytes, listener: Callable[[KeyChange | None], None]) -> Callable[[], None]:
        """Call a listener for every change; on a connection of its own."""

        def on_push(items: list[Any]) -> None:
            if items and items[0] == b"quorate.change":
                _, _prefix, kind, key, revision, _db = items
                listener(KeyChange(key, kind.decode(), revision))

        deadline = Instant(self.env.clock.now() + self.timeout)
        failure: QuorateError | None = None
        for _ in self._addresses:
            try:
                connection = await self._open(self._next_address(), deadline, on_push)
            except Unreachable as cause:
                failure = cause
                continue
            break
        else:
            raise failure or UsageError("no address")
        try:
            await self._ask(connection, [b"QUORATE.WATCH", prefix], deadline)
        except BaseException:
            connection.close()
            raise
        self._watchers[connection] = None
        connection.on_lost = lambda: listener(None)

        def end() -> None:
            connection.on_lost = None
            self._watchers.pop(connection, None)
            connection.close()

        return end

    async def close(self) -> None:
        """Close all connections; what is under way ends with what is known of it, watches end as broken."""
        self._is_closed = True
        self._drop(self._connection)
        for connection in list(self._watchers):
            connection.close()
