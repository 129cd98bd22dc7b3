"""The way to the Redis client, so that the rest of the laboratory works where the redis package is not installed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.env import Address
from quorate.kernel import errors

if TYPE_CHECKING:
    from quorate.lab.systems.redis_client import RedisClient

# Nodes are asked for their state often, and a node that is paused never answers, seconds.
ASK_TIMEOUT_S = 0.4


def client_of(
    address_of: Callable[[], Address],
    *,
    timeout_s: float,
    where: str = "",
    user: str = "",
    password: str = "",
    database: int = 0,
) -> "RedisClient":
    """Return an unconnected client of a Redis door.

    Raises:
        UsageError: the redis package is not installed.
    """
    try:
        from quorate.lab.systems.redis_client import RedisClient
    except ImportError as cause:
        raise errors.UsageError("clients of a Redis door need the redis package: pip install 'redis>=8'") from cause
    return RedisClient(
        address_of, timeout_s=timeout_s, where=where, user=user, password=password, database=database
    )  # fmt: skip


def asker_of(address: Address) -> "RedisClient":
    """Return a client for INFO, with short time-outs. Raise UsageError as `client_of` does."""
    return client_of(lambda: address, timeout_s=ASK_TIMEOUT_S)
