"""Who works on a simulated cluster: judged workers, clients that try again under their session, chores, an operator."""

import asyncio
import random
from typing import Any

from quorate.client import Connection
from quorate.env import Address, Env
from quorate.kernel import MICROSECOND, SECOND, errors
from quorate.lab.simulation.cluster import SimClient, SimCluster


class SessionClient(SimClient):
    """A client that repeats a request of unknown outcome under the same session, at the next node.

    Exactly-once sessions make that safe: an increment counts once, however often it was sent.
    """

    def __init__(self, env: Env, addresses: list[Address], *, client: int, timeout_s: float) -> None:
        super().__init__(env, addresses[0])
        self._addresses = addresses
        self._place = 0
        self._client = client
        self._sequence = 0
        self._timeout_s = timeout_s

    async def _ask(self, *args: bytes) -> Any:
        if args[0] not in {b"SET", b"INCR"}:
            return await super()._ask(*args)
        self._sequence += 1
        call = (b"QUORATE.ONCE", b"%d" % self._client, b"%d" % self._sequence, *args)
        doubt: errors.IndefiniteError | None = None
        for _ in range(4):
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await super()._ask(*call)
            except (errors.IndefiniteError, OSError) as cause:
                doubt = cause if isinstance(cause, errors.IndefiniteError) else errors.TimedOut("no answer in time")
            except (errors.NotLeader, errors.Unreachable) as cause:
                if doubt is None:
                    # Nothing of it ever happened, so the number may be used again.
                    self._sequence -= 1
                    raise
                doubt = errors.TimedOut(f"an earlier attempt is in doubt: {cause}")
            await self._move_on()
        assert doubt is not None, "an attempt that did not return left a doubt"
        raise doubt

    async def _move_on(self) -> None:
        await self.close()
        self._place = (self._place + 1) % len(self._addresses)
        self._address = self._addresses[self._place]


_CHORES = (
    (b"SET", b"v", b"PX"),
    (b"GET",),
    (b"INCR",),
    (b"PEXPIRE",),
    (b"PERSIST",),
    (b"SADD",),
    (b"SPOP",),
    (b"HSET",),
    (b"RPUSH",),
    (b"ZADD",),
    (b"DEL",),
    (b"PTTL",),
    (b"FLUSHDB",),
)


def draw_chore(rng: random.Random, *, large_values: bool = False) -> list[bytes]:
    """Draw a command that nobody judges: other types, keys that end, chance; large values are of several pages."""
    if large_values and rng.random() < 0.4:
        return [b"SET", b"chore-large-%d" % rng.randrange(4), rng.randbytes(rng.randrange(1_000, 14_000))]
    name, *rest = _CHORES[rng.randrange(len(_CHORES) if rng.random() < 0.03 else len(_CHORES) - 1)]
    key = b"chore-%d" % rng.randrange(12)
    element = b"e%d" % rng.randrange(40)
    match name:
        case b"SET":
            return [name, key, *rest, b"%d" % rng.randrange(20, 1_500)]
        case b"PEXPIRE":
            return [name, key, b"%d" % rng.randrange(20, 1_500)]
        case b"SADD":
            return [name, key + b"-set", *(b"e%d" % rng.randrange(40) for _ in range(rng.randrange(1, 9)))]
        case b"SPOP":
            return [name, key + b"-set"]
        case b"HSET":
            return [name, key + b"-hash", element, element]
        case b"RPUSH":
            return [name, key + b"-list", element]
        case b"ZADD":
            return [name, key + b"-sorted", b"%d" % rng.randrange(100), element]
        case b"FLUSHDB":
            return [name]
        case b"INCR":
            return [name, key + b"-count"]
        case _:
            return [name, key]


async def do_chores(env: Env, cluster: SimCluster, rng: random.Random, stop_at_ns: int, *, large_values: bool) -> None:
    """Send unjudged commands to database 1, through one node after another, until the time comes."""
    now = cluster.world
    while now.now < stop_at_ns:
        address = cluster.address_of(rng.randrange(len(cluster.hosts)))
        connection: Connection | None = None
        try:
            async with asyncio.timeout(2.0):
                connection = await Connection.open(env.streams, address)
                await connection.request([b"SELECT", b"1"])
            for _ in range(rng.randrange(5, 40)):
                if now.now >= stop_at_ns:
                    break
                async with asyncio.timeout(1.0):
                    try:
                        await connection.request(draw_chore(rng, large_values=large_values))
                    except (errors.DefiniteError, errors.UsageError):
                        await asyncio.sleep(0.02)
                await asyncio.sleep(rng.randrange(5_000, 60_000) * MICROSECOND / SECOND)
        except (errors.QuorateError, OSError):
            await asyncio.sleep(0.1)
        finally:
            if connection is not None:
                connection.close()


async def operate(cluster: SimCluster, rng: random.Random, stop_at_ns: int) -> None:
    """Ask leaders to hand over now and then."""
    while cluster.world.now < stop_at_ns:
        await asyncio.sleep(rng.randrange(400, 2_500) / 1_000)
        leader = cluster.leader()
        if leader is None or cluster.world.now >= stop_at_ns:
            continue
        to = rng.randrange(1, len(cluster.hosts) + 1)
        cluster.administer(leader, b"TRANSFER", [b"%d" % to])
