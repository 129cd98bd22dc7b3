"""A lock with a fencing token: a holder that slept too long cannot do harm.

The version of a key only ever grows, so the version with which the lock was taken is the token. Whoever owns the
protected thing remembers the highest token that it has seen and refuses lower ones. Without the token no lock that
expires is safe: a holder may be paused between "I hold it" and "I write".

Prints:
    ann holds the lock
    bob has to wait
    ann is paused beyond her lease, and bob takes over
    bob wrote: True
    ann wakes and writes: False

Source: Gray & Cheriton 1989 (leases); Burrows 2006 (Chubby's sequencers).
"""

import asyncio
import contextlib
import sys

import quorate
from quorate.client import Database
from quorate.kernel.errors import Conflict

LEASE_S = 1.0


class Printer:
    """The protected thing: it keeps the highest token it has seen."""

    def __init__(self) -> None:
        self.highest_token = 0
        self.lines: list[str] = []

    def write(self, line: str, *, fencing_token: int) -> bool:
        """Accept a line from the present holder, refuse one from a former holder."""
        if fencing_token < self.highest_token:
            return False
        self.highest_token = fencing_token
        self.lines.append(line)
        return True


async def try_acquire(db: Database, name: str, holder: str) -> int | None:
    """Take the lock if it is free; return the fencing token, or None."""
    try:
        return await db.put(f"lock:{name}", holder, if_version=0, ttl=LEASE_S)
    except Conflict:
        return None


async def acquire(db: Database, name: str, holder: str) -> int:
    """Wait until the lock is free and take it; return the fencing token."""
    while True:
        token = await try_acquire(db, name, holder)
        if token is not None:
            return token
        # A change wakes us early; without one we look again after a lease.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEASE_S), contextlib.aclosing(db.watch(f"lock:{name}")) as changes:
                await anext(changes)


async def release(db: Database, name: str, token: int) -> None:
    """Give the lock back, if it is still ours."""
    with contextlib.suppress(Conflict):
        await db.delete(f"lock:{name}", if_version=token)


async def main(url: str | None = None) -> None:
    """Play the scene that fencing exists for."""
    async with quorate.connect(url) if url else quorate.open(":memory:") as db:
        printer = Printer()
        ann = await acquire(db, "printer", "ann")
        print("ann holds the lock")
        if await try_acquire(db, "printer", "bob") is None:
            print("bob has to wait")
        bob = await acquire(db, "printer", "bob")
        print("ann is paused beyond her lease, and bob takes over")
        print("bob wrote:", printer.write("bob's page", fencing_token=bob))
        print("ann wakes and writes:", printer.write("ann's page", fencing_token=ann))
        await release(db, "printer", bob)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
