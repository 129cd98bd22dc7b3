"""A leader election: candidates campaign for a key that ends unless it is renewed.

A sketch, to be read as one. A leader may not know that its lease has ended, so every act of a leader must carry the
term (the version of the key), and whatever it acts on must refuse older terms, as in `fenced_lock.py`.

Prints:
    each of 3 candidates led once, in growing terms: True
"""

import asyncio
import contextlib
import sys

import quorate
from quorate.client import Database
from quorate.kernel.errors import Conflict

KEY = "election:reports"
LEASE_S = 2.0


async def campaign(db: Database, name: str) -> int:
    """Wait until this candidate leads; return its term."""
    while True:
        try:
            return await db.put(KEY, name, if_version=0, ttl=LEASE_S)
        except Conflict:
            # A change wakes us early; one that came before we watched costs us a moment.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE_S / 10), contextlib.aclosing(db.watch(KEY)) as changes:
                    await anext(changes)


async def renew(db: Database, name: str, version: int) -> int:
    """Lead on for another lease; return the new version. Raise Conflict when somebody else leads."""
    return await db.put(KEY, name, if_version=version, ttl=LEASE_S)


async def resign(db: Database, version: int) -> None:
    """Let others lead at once instead of after the lease."""
    await db.delete(KEY, if_version=version)


async def candidate(db: Database, name: str, terms: list[tuple[int, str]]) -> None:
    """Lead once, renew once, resign."""
    term = await campaign(db, name)
    terms.append((term, name))
    version = await renew(db, name, term)
    await resign(db, version)


async def main(url: str | None = None) -> None:
    """Let three candidates lead one after the other."""
    async with quorate.connect(url) if url else quorate.open(":memory:") as db:
        terms: list[tuple[int, str]] = []
        async with asyncio.TaskGroup() as group:
            for name in ("ann", "bob", "cleo"):
                group.create_task(candidate(db, name, terms))
        once = len({name for _term, name in terms}) == len(terms)
        growing = terms == sorted(terms)
        print(f"each of {len(terms)} candidates led once, in growing terms: {once and growing}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
