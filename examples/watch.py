"""A watch: configuration that is followed instead of asked for again and again.

A watch tells what changed, not the value: read it when you are told. When changes may have been missed the watch ends
with ConnectionLost, so that nobody believes in a state that is old: read everything, then watch again.

Prints:
    put config:colour
    put config:size
    delete config:colour
"""

import asyncio
import contextlib
import sys

import quorate
from quorate.client import Database


async def follow(db: Database, started: asyncio.Event, change_count: int) -> list[str]:
    """Return the first changes of the configuration."""
    seen: list[str] = []
    async with contextlib.aclosing(db.watch("config:")) as changes:
        async for change in changes:
            if change.key == b"config:ready":
                started.set()
                continue
            seen.append(f"{change.kind} {change.key.decode()}")
            if len(seen) == change_count:
                break
    return seen


async def main(url: str | None = None) -> None:
    """Change a configuration while somebody follows it."""
    async with quorate.connect(url) if url else quorate.open(":memory:") as db:
        started = asyncio.Event()
        following = asyncio.create_task(follow(db, started, 3))
        while not started.is_set():  # the watch begins when it is first waited for: knock until it answers
            await db.put("config:ready", "yes")
        await db.put("config:colour", "green")
        await db.put("config:size", 12)
        await db.delete("config:colour")
        for line in await following:
            print(line)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
