"""A transaction: money moves between accounts, and none is made or lost.

Reads remember versions. At the end of the block everything is applied as one entry of the log if nothing that was read
has changed, or nothing is, and `run` tries again.

Prints:
    40 transfers later there are still 100 coins
"""

import asyncio
import sys

import quorate
from quorate.client import Database, Transaction

ACCOUNTS = ("{bank}ann", "{bank}bob")


async def transfer(db: Database, source: str, target: str, amount: int) -> None:
    """Move an amount if the source has it."""

    async def body(tx: Transaction) -> None:
        have = int(await tx.get(source) or b"0")
        other = int(await tx.get(target) or b"0")
        if have >= amount:
            tx.put(source, have - amount)
            tx.put(target, other + amount)

    await db.run(body, attempt_count_max=1_000)


async def main(url: str | None = None) -> None:
    """Let transfers in both directions collide."""
    async with quorate.connect(url) if url else quorate.open(":memory:") as db:
        for account in ACCOUNTS:
            await db.put(account, 50)
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(transfer(db, *ACCOUNTS, amount=number))
                group.create_task(transfer(db, *reversed(ACCOUNTS), amount=number))
        total = sum([int(await db.get(account) or b"0") for account in ACCOUNTS])
        print(f"40 transfers later there are still {total} coins")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
