"""A shop on redis-py that knows nothing of Quorate.

`charge` has the bug: it adds to a counter, and redis-py is told to retry. When the reply is late, redis-py gives the
connection up and sends the command again on a new one, while the first may still arrive: charged twice. `charge_once`
writes under the order's own name, so that it does not matter how often it arrives.
"""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as Late


def connect(host: str) -> redis.asyncio.Redis:
    """Return a client that waits half a second and tries thirty times more."""
    return redis.asyncio.Redis(
        host=host,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry=Retry(ConstantBackoff(0.2), 30),
        retry_on_error=[Disconnected, Late],
    )


async def charge(database: redis.asyncio.Redis, order: str, amount: int) -> None:
    """Add an order's amount to what the customer owes, as it was shipped."""
    await database.incrby("owed", amount)


async def owed(database: redis.asyncio.Redis) -> int:
    """Return what the customer owes."""
    return int(await database.get("owed") or 0)


async def charge_once(database: redis.asyncio.Redis, order: str, amount: int) -> None:
    """Note an order's amount under its name: mended."""
    await database.hsetnx("orders", order, str(amount))


async def owed_once(database: redis.asyncio.Redis) -> int:
    """Return what the customer owes."""
    return sum(int(amount) for amount in await database.hvals("orders"))


async def buy(host: str, *, is_careful: bool) -> int:
    """Place three orders of 10; return what the customer is told to owe."""
    database = connect(host)
    for order in ("tea", "milk", "sugar"):
        await (charge_once if is_careful else charge)(database, order, 10)
    total = await (owed_once if is_careful else owed)(database)
    await database.aclose()
    return total
