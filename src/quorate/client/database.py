"""The Python API of a store: the same for an embedded one, a member and a remote cluster."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from quorate.client.executor import Consistency, Executor, KeyChange
from quorate.client.keyspace import Keyspace, to_bytes
from quorate.kernel.errors import Conflict, ConnectionLost, UsageError
from quorate.store import Command, NilArray, transaction

Key = str | bytes
T = TypeVar("T")
SCAN_PAGE_COUNT = 256
TTL_S_MAX = 10_000_000_000
WATCH_BACKLOG_COUNT_MAX = 100_000
"""Changes that wait for a slow watcher; with more the watch ends."""


class Versioned(NamedTuple):
    """A value and the revision of its last change; (None, 0) when the key is absent."""

    value: bytes | None
    version: int


class Item(NamedTuple):
    """One key of a scan; the value is None where the key holds no string (a hash, a list …)."""

    key: bytes
    value: bytes | None
    version: int


class Database:
    """Keys and values of a cluster.

    Every method may raise DefiniteError (it did not happen) or IndefiniteError (it may have). Writes are applied once
    even when the connection breaks and they are sent again.

    Example:
        >>> import asyncio, quorate
        >>> async def main() -> None:
        ...     async with quorate.open(":memory:") as db:
        ...         await db.put("greeting", "hello")
        ...         print(await db.get("greeting"))
        >>> asyncio.run(main())
        b'hello'
    """

    def __init__(self, executor: Executor, on_close: Callable[[], Awaitable[None]] | None = None) -> None:
        self.executor = executor
        self._on_close = on_close

    async def get(self, key: Key, *, consistency: Consistency = "linearizable") -> bytes | None:
        """Return the value of a key, None when absent."""
        return (await self.get_versioned(key, consistency=consistency)).value

    async def get_versioned(self, key: Key, *, consistency: Consistency = "linearizable") -> Versioned:
        """Return value and version of a key."""
        value, version = await self.executor.read([b"QUORATE.GET", to_bytes(key)], consistency)
        return Versioned(value, version)

    async def put(self, key: Key, value: Key | int, *, if_version: int | None = None, ttl: float | None = None) -> int:
        """Set a key; return its new version.

        Args:
            key: text or bytes.
            value: text, bytes or a whole number.
            if_version: only if the key has this version (0: is absent); otherwise raise Conflict.
            ttl: seconds until the key ends; None: never.
        """
        args = [b"QUORATE.PUT", to_bytes(key), to_bytes(value)]
        if if_version is not None:
            args += [b"VERSION", str(if_version).encode()]
        if ttl is not None:
            if not 0 < ttl < TTL_S_MAX:
                raise UsageError(f"ttl: seconds above 0 and below {TTL_S_MAX:,}")
            args += [b"TTL", str(max(1, round(ttl * 1000))).encode()]
        version: int = await self.executor.write(args)
        return version

    async def delete(self, key: Key, *, if_version: int | None = None) -> bool:
        """Remove a key; return whether it was there. Raise Conflict when it has another version."""
        args = [b"QUORATE.DELETE", to_bytes(key)]
        if if_version is not None:
            args += [b"VERSION", str(if_version).encode()]
        return bool(await self.executor.write(args))

    async def increment(self, key: Key, by: int = 1) -> int:
        """Add to a whole number (absent counts as 0); return the sum."""
        total: int = await self.executor.write([b"INCRBY", to_bytes(key), str(by).encode()])
        return total

    async def scan(self, prefix: Key = b"", *, start: Key | None = None, end: Key | None = None) -> AsyncIterator[Item]:
        """Yield keys in order, start <= key < end, in pages; each page is linearizable, the whole is not.

        Args:
            prefix: only keys that begin with it.
            start: of those, the first key; None: the first of all.
            end: of those, the first key that is left out; None or empty: none is, up to the last of all.
        """
        first = max(to_bytes(prefix), to_bytes(start) if start is not None else b"")
        ends = [bound for bound in (end_of_prefix(to_bytes(prefix)), to_bytes(end or b"")) if bound]
        last = min(ends, default=b"")
        while True:
            args = [b"QUORATE.SCAN", first, last, str(SCAN_PAGE_COUNT).encode()]
            page = await self.executor.read(args, "linearizable")
            for key, value, version in page:
                yield Item(key, value, version)
            if len(page) < SCAN_PAGE_COUNT:
                return
            first = page[-1][0] + b"\x00"

    async def watch(self, prefix: Key = b"") -> AsyncIterator[KeyChange]:
        """Yield every change of the keys with a prefix, from the first step of the iteration on.

        Raises:
            ConnectionLost: changes may have been missed: the connection broke, the node took over a snapshot, or more
                than `WATCH_BACKLOG_COUNT_MAX` changes wait because the caller is too slow.
        """
        changes: deque[KeyChange | None] = deque()
        arrived = asyncio.Event()

        def listener(change: KeyChange | None) -> None:
            if len(changes) >= WATCH_BACKLOG_COUNT_MAX:
                changes.clear()
                change = None
            changes.append(change)
            arrived.set()

        end = await self.executor.watch(to_bytes(prefix), listener)
        try:
            while True:
                while changes:
                    change = changes.popleft()
                    if change is None:
                        raise ConnectionLost("changes may have been missed; read what matters, then watch again")
                    yield change
                arrived.clear()
                await arrived.wait()
        finally:
            end()

    def keyspace(self, name: str) -> Keyspace:
        """Return one of the keyspaces that the cluster declares; whether there is one shows at the first call."""
        return Keyspace(self.executor, name)

    def transaction(self) -> "Transaction":
        """Return a transaction: reads remember versions, and leaving the block applies all writes or none."""
        return Transaction(self.executor)

    async def run(self, body: "Callable[[Transaction], Awaitable[T]]", *, attempt_count_max: int = 20) -> T:
        """Run a transaction body until it commits without conflict; the body may run several times.

        Raises:
            Conflict: every attempt met a change by somebody else.
        """
        for _ in range(attempt_count_max - 1):
            try:
                async with self.transaction() as attempt:
                    result = await body(attempt)
            except Conflict:
                continue
            return result
        async with self.transaction() as attempt:
            return await body(attempt)

    async def execute(self, *args: Key | int) -> Any:
        """Run any Redis command through the log and return its reply as plain values."""
        if not args:
            raise UsageError("execute: which command?")
        return await self.executor.write([to_bytes(args[0]).upper(), *(to_bytes(arg) for arg in args[1:])])

    async def close(self) -> None:
        """Let go of everything."""
        await self.executor.close()
        if self._on_close is not None:
            await self._on_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Transaction:
    """Optimistic: applied at the end of the block if nothing that was read has changed, else Conflict.

    An exception inside the block drops it. Keys must lie in one group (they do, unless `group_count` is set).
    """

    def __init__(self, executor: Executor) -> None:
        self.replies: list[Any] = []
        self._executor = executor
        self._watches: dict[bytes, int] = {}
        self._values: dict[bytes, bytes | None] = {}
        self._commands: list[Command] = []

    async def get(self, key: Key) -> bytes | None:
        """Return the value of a key as this transaction sees it, its own writes included."""
        name = to_bytes(key)
        if name not in self._values:
            value, version = await self._executor.read([b"QUORATE.GET", name], "linearizable")
            self._watches[name] = version
            self._values[name] = value
        return self._values[name]

    def put(self, key: Key, value: Key | int) -> None:
        """Set a key when the transaction is applied."""
        name, data = to_bytes(key), to_bytes(value)
        self._values[name] = data
        self._commands.append(Command(0, [b"SET", name, data]))

    def delete(self, key: Key) -> None:
        """Remove a key when the transaction is applied."""
        name = to_bytes(key)
        self._values[name] = None
        self._commands.append(Command(0, [b"DEL", name]))

    async def commit(self) -> list[Any]:
        """Apply; return the replies. Raise Conflict when something that was read has changed."""
        watches = [(0, key, version) for key, version in self._watches.items()]
        command = transaction(0, watches, self._commands)
        replies = await self._executor.write(command.args)
        if replies is None or isinstance(replies, NilArray):
            raise Conflict("a key that was read has changed; nothing was applied")
        self.replies = list(replies)
        return self.replies

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and (self._commands or self._watches):
            await self.commit()


def end_of_prefix(prefix: bytes) -> bytes:
    """Return the smallest key above all keys with a prefix; empty when there is none (scan to the end)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b""
