"""The plain synchronous twin, for scripts: the same methods, run on a loop in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from quorate.api.asynchronous import connect, join, open_
from quorate.api.keyspaces import SyncKeyspace
from quorate.client import Consistency, Database, Item, KeyChange, Transaction, Versioned
from quorate.kernel.errors import Conflict, UsageError

T = TypeVar("T")
Key = str | bytes


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="quorate", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for its result; an interrupt of the caller ends it there too."""
        if self._loop.is_closed():
            work.close()
            raise UsageError("this database is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._loop.is_closed()


class SyncTransaction:
    """See `Transaction`."""

    def __init__(self, loop: _Loop, inner: Transaction) -> None:
        self._loop = loop
        self._inner = inner

    def get(self, key: Key) -> bytes | None:
        """Return the value of a key as this transaction sees it."""
        return self._loop.run(self._inner.get(key))

    def put(self, key: Key, value: Key | int) -> None:
        """Set a key when the transaction is applied."""
        self._inner.put(key, value)

    def delete(self, key: Key) -> None:
        """Remove a key when the transaction is applied."""
        self._inner.delete(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._inner.__aexit__(kind, error, trace))


class SyncDatabase:
    """See `Database`."""

    def __init__(self, context: Callable[[], contextlib.AbstractAsyncContextManager[Database]]) -> None:
        self._loop = _Loop()
        self._context = context()
        try:
            self._inner = self._loop.run(self._enter())
        except BaseException:
            self._loop.close()
            raise

    async def _enter(self) -> Database:
        return await self._context.__aenter__()

    def get(self, key: Key, *, consistency: Consistency = "linearizable") -> bytes | None:
        """Return the value of a key, None when absent."""
        return self._loop.run(self._inner.get(key, consistency=consistency))

    def get_versioned(self, key: Key, *, consistency: Consistency = "linearizable") -> Versioned:
        """Return value and version of a key."""
        return self._loop.run(self._inner.get_versioned(key, consistency=consistency))

    def put(self, key: Key, value: Key | int, *, if_version: int | None = None, ttl: float | None = None) -> int:
        """Set a key; return its new version."""
        return self._loop.run(self._inner.put(key, value, if_version=if_version, ttl=ttl))

    def delete(self, key: Key, *, if_version: int | None = None) -> bool:
        """Remove a key; return whether it was there."""
        return self._loop.run(self._inner.delete(key, if_version=if_version))

    def increment(self, key: Key, by: int = 1) -> int:
        """Add to a whole number; return the sum."""
        return self._loop.run(self._inner.increment(key, by))

    def execute(self, *args: Key | int) -> Any:
        """Run any Redis command through the log."""
        return self._loop.run(self._inner.execute(*args))

    def scan(self, prefix: Key = b"", *, start: Key | None = None, end: Key | None = None) -> Iterator[Item]:
        """Yield keys in order."""
        yield from self._iterate(self._inner.scan(prefix, start=start, end=end))

    def watch(self, prefix: Key = b"") -> Iterator[KeyChange]:
        """Yield every change of the keys with a prefix, from now on."""
        yield from self._iterate(self._inner.watch(prefix))

    def _iterate(self, source: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self._loop.run(source.__anext__())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if not self._loop.is_closed:
                self._loop.run(source.aclose())

    def keyspace(self, name: str) -> SyncKeyspace:
        """Return one of the keyspaces that the cluster declares."""
        return SyncKeyspace(self._loop.run, self._inner.keyspace(name))

    def transaction(self) -> SyncTransaction:
        """Return a transaction for a `with` block."""
        return SyncTransaction(self._loop, self._inner.transaction())

    def run(self, body: Callable[[SyncTransaction], T], *, attempt_count_max: int = 20) -> T:
        """Run a transaction body until it commits without conflict."""
        for _ in range(attempt_count_max - 1):
            try:
                with self.transaction() as attempt:
                    result = body(attempt)
            except Conflict:
                continue
            return result
        with self.transaction() as attempt:
            return body(attempt)

    def close(self) -> None:
        """Let go of everything; harmless when that was done."""
        if not self._loop.is_closed:
            try:
                self._loop.run(self._leave())
            finally:
                self._loop.close()

    async def _leave(self) -> None:
        await self._context.__aexit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_sync(directory: str | Path, *, keyspaces: Mapping[str, Any] | None = None) -> SyncDatabase:
    """Open an embedded store; see `quorate.open`."""
    return SyncDatabase(lambda: open_(directory, keyspaces=keyspaces))


def connect_sync(
    url: str,
    *,
    password: str = "",
    timeout: float = 10.0,
    certificate: str = "",
    key: str = "",
    authority: str = "",
) -> SyncDatabase:
    """Connect to a cluster; see `quorate.connect`."""
    return SyncDatabase(
        lambda: connect(url, password=password, timeout=timeout, certificate=certificate, key=key, authority=authority)
    )


def join_sync(
    directory: str | Path,
    *,
    name: str,
    node: int,
    peers: Mapping[int, str],
    redis: str = "",
    http: str = "",
    is_new: bool = False,
    ready_timeout: float = 10.0,
    keyspaces: Mapping[str, Any] | None = None,
) -> SyncDatabase:
    """Make the calling process one member of a cluster; see `quorate.join`. Its node runs in a thread of its own."""
    return SyncDatabase(
        lambda: join(
            directory,
            name=name,
            node=node,
            peers=peers,
            redis=redis,
            http=http,
            is_new=is_new,
            ready_timeout=ready_timeout,
            keyspaces=keyspaces,
        )
    )
