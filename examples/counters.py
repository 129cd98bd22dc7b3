"""Counters: many writers, nothing lost, nothing counted twice.

A remote client numbers its writes, so a write that is sent again after a broken connection is applied once.

Prints:
    200 increments by 10 writers make 200
"""

import asyncio
import sys

import quorate
from quorate.client import Database

WRITER_COUNT = 10
INCREMENT_COUNT = 20


async def writer(db: Database) -> None:
    """Count a few visits."""
    for _ in range(INCREMENT_COUNT):
        await db.increment("visits")


async def main(url: str | None = None) -> None:
    """Let all writers count at once."""
    async with quorate.connect(url) if url else quorate.open(":memory:") as db:
        await db.put("visits", 0)
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITER_COUNT):
                group.create_task(writer(db))
        total = int(await db.get("visits") or b"0")
        print(f"{WRITER_COUNT * INCREMENT_COUNT} increments by {WRITER_COUNT} writers make {total}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
