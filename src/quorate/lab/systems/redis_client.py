"""The public redis-py client, with every error sorted into "did not happen" and "may have happened".

Two traps are closed here. redis-py repeats a command on a broken connection by default, which would apply an INCR
twice: retries are off. And its pipeline reports a connection that broke during EXEC as a `WatchError`, which reads like
a definite conflict: so the commands of a transaction are sent one by one.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from quorate.env import Address
from quorate.kernel import errors


def open_redis(
    address: Address,
    *,
    timeout_s: float,
    connect_timeout_s: float,
    user: str = "",
    password: str = "",
    database: int = 0,
) -> "redis.asyncio.Redis":
    """Return an unconnected client with one connection, without any retry."""
    return redis.asyncio.Redis(
        host=address.host,
        port=address.port,
        db=database,
        username=user or None,
        password=password or None,
        single_connection_client=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def definite_or_not(error: Exception, *, was_sent: bool) -> errors.OperationError:
    """Return what an error of redis-py says about an operation.

    Args:
        error: what was raised.
        was_sent: whether a command that changes something may have left before.

    Returns:
        A `DefiniteError` when nothing was sent or the server said no, an `IndefiniteError` otherwise.
    """
    code = str(getattr(error, "status_code", None) or str(error).partition(" ")[0])
    if isinstance(error, ResponseError) or code in {"LOADING", "ERR"}:
        known = errors.from_code(code, str(error))
        if isinstance(known, errors.StorageError):
            return errors.Stopped(str(error))  # the node stopped rather than guess; so must we
        return known if isinstance(known, errors.OperationError) else errors.Refused(str(error))
    if not was_sent:
        return errors.Unreachable(str(error))
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return errors.TimedOut(str(error))
    return errors.ConnectionLost(str(error))


class RedisClient:
    """A client of a Redis door. Reconnects before an operation when the last one broke the connection.

    Args:
        address_of: tells where to connect; asked before each operation, so that a client can follow a primary.
        timeout_s: how long an answer may take, seconds.
        connect_timeout_s: how long a connection may take, seconds.
        where: the node it talks to, in words, for the report.
        user: whom to log in as; empty for the default user.
        password: its password; empty for none.
        database: the number of the database.
    """

    def __init__(
        self,
        address_of: Callable[[], Address],
        *,
        timeout_s: float = 1.0,
        connect_timeout_s: float = 0.5,
        where: str = "",
        user: str = "",
        password: str = "",
        database: int = 0,
    ) -> None:
        self.where = where
        self._address_of = address_of
        self._open = functools.partial(
            open_redis,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            user=user,
            password=password,
            database=database,
        )
        self._address: Address | None = None
        self._redis: Any = None  # redis-py leaves its calls untyped

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        await self._connected()
        text = await self._ask("GET", key)
        return None if text is None else int(text)

    async def write(self, key: str, value: int) -> None:
        """Set a key."""
        await self._connected()
        await self._ask("SET", key, value)

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum."""
        await self._connected()
        return int(await self._ask("INCR", key))

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Set a key if it has the expected value, by WATCH, MULTI and EXEC; return whether it had.

        Raises:
            Conflict: the server gave the transaction up; that says nothing about the value.
        """
        await self._connected()
        await self._step("WATCH", key)
        current = await self._step("GET", key)
        if current is None or int(current) != expected:
            await self._step("UNWATCH")
            return False
        await self._step("MULTI")
        await self._step("SET", key, value)  # only queued
        replies = await self._step("EXEC", changes=True)
        if replies is None:
            raise errors.Conflict("the transaction was given up")
        for reply in replies:
            if isinstance(reply, Exception):
                raise definite_or_not(reply, was_sent=True)
        return True

    async def info(self, section: str) -> dict[str, Any]:
        """Return one section of INFO."""
        await self._connected()
        found: dict[str, Any] = await self._ask("INFO", section)
        return found

    async def command(self, *words: str | int) -> Any:
        """Send any command; return its answer."""
        await self._connected()
        return await self._ask(*words)

    async def close(self) -> None:
        """Close the connection."""
        opened, self._redis = self._redis, None
        if opened is not None:
            with contextlib.suppress(RedisError, OSError):
                await opened.aclose()

    async def _connected(self) -> None:
        address = self._address_of()
        if address != self._address:
            await self.close()
            self._address = address
        if self._redis is None:
            self._redis = self._open(address)
        connection: Any = self._redis.connection
        if connection is not None and connection.is_connected:
            return
        try:
            await self._redis.initialize()
            connection = self._redis.connection
            await connection.connect()
        except (RedisError, OSError) as cause:
            await self.close()
            raise definite_or_not(cause, was_sent=False) from cause

    async def _ask(self, *words: str | int) -> Any:
        assert self._redis is not None, "a command is sent on a connection"
        try:
            return await self._redis.execute_command(*words)
        except (RedisError, OSError) as cause:
            # After anything but a plain error reply an answer may still come, so the connection is never used again.
            if not isinstance(cause, ResponseError):
                await self.close()
            raise definite_or_not(cause, was_sent=True) from cause

    async def _step(self, *words: str | int, changes: bool = False) -> Any:
        """Send one command of a transaction; only EXEC changes anything, so only its loss is indefinite."""
        assert self._redis is not None, "a command is sent on a connection"
        try:
            return await self._redis.execute_command(*words)
        except (RedisError, OSError) as cause:
            await self.close()  # a WATCH or MULTI may still hold
            raise definite_or_not(cause, was_sent=changes) from cause
