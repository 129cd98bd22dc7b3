"""Commands over the network: any node, the next one when it fails, and never applied twice.

A write carries a `RequestKey`, so it may be sent again to another node when an answer is lost: the state machine
applies it once and returns the first result. It ends indefinitely only when time runs out.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from quorate.client.executor import Consistency, KeyChange
from quorate.client.wire import Connection
from quorate.env import Address, Env
from quorate.kernel import Duration, seconds
from quorate.kernel.errors import IndefiniteError, NotLeader, OperationError, Overloaded, TimedOut, Unreachable


class RemoteExecutor:
    """Talks to one node at a time and moves on when it fails.

    Writes of one executor are sent one at a time, because a session remembers only the latest request of each
    client (Liskov's client table); reads go side by side.
    """

    def __init__(
        self, env: Env, addresses: list[Address], *, password: str = "", timeout: Duration | None = None
    ) -> None:
        self.env = env
        self.timeout = timeout or seconds(10)
        self._addresses = addresses
        self._password = password
        self._next = env.rng.randrange(len(addresses))
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._client = env.rng.getrandbits(62)
        self._sequence = 0
        self._watchers: list[Connection] = []

    async def write(self, args: list[bytes]) -> Any:
        """Run a command through the log, once."""
        async with self._writing:
            self._sequence += 1
            head = [b"QUORATE.ONCE", str(self._client).encode(), str(self._sequence).encode()]
            return await self._attempt(head + args)

    async def read(self, args: list[bytes], consistency: Consistency) -> Any:
        """Run a read-only command."""
        return await self._attempt([b"QUORATE.READ", consistency.upper().encode(), *args])

    async def admin(self, args: list[bytes]) -> Any:
        """Run an administrator's command on a node that takes it."""
        return await self._attempt([b"QUORATE." + args[0], *args[1:]])

    async def _attempt(self, args: list[bytes]) -> Any:
        deadline = self.env.clock.now() + self.timeout
        may_have_happened: OperationError | None = None
        delay_s = 0.01
        while True:
            left_s = (deadline - self.env.clock.now()) / 1e9
            try:
                if left_s <= 0:
                    raise TimedOut("no answer in time")
                async with asyncio.timeout(left_s):
                    connection = await self._connected()
                    return await connection.request(args)
            except (Unreachable, NotLeader, Overloaded, IndefiniteError, TimeoutError) as cause:
                self._drop()
                if isinstance(cause, IndefiniteError | TimeoutError):
                    may_have_happened = cause if isinstance(cause, IndefiniteError) else TimedOut("no answer in time")
                if self.env.clock.now() + delay_s * 1e9 >= deadline:
                    if may_have_happened is not None:
                        raise may_have_happened from cause
                    raise
            await asyncio.sleep(delay_s * (0.5 + self.env.rng.random() / 2))
            delay_s = min(delay_s * 2, 0.5)

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                address = self._addresses[self._next % len(self._addresses)]
                self._next += 1
                self._connection = await Connection.open(self.env.streams, address, password=self._password)
            return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def watch(self, prefix: bytes, listener: Callable[[KeyChange | None], None]) -> Callable[[], None]:
        """Call a listener for every change; on a connection of its own."""

        def on_push(items: list[Any]) -> None:
            if items and items[0] == b"quorate.change":
                key, kind, revision = items[1:4]
                listener(KeyChange(key, kind.decode(), revision))

        address = self._addresses[self._next % len(self._addresses)]
        connection = await Connection.open(self.env.streams, address, password=self._password, on_push=on_push)
        connection.on_lost = lambda: listener(None)
        await connection.request([b"QUORATE.WATCH", prefix])
        self._watchers.append(connection)

        def end() -> None:
            connection.on_lost = None
            connection.close()

        return end

    async def close(self) -> None:
        """Close all connections."""
        self._drop()
        for connection in self._watchers:
            connection.on_lost = None
            connection.close()
