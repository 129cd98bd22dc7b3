"""Claims about the store over every base there is: it finds again what it wrote, and snapshots carry all of it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quorate.kernel import LogIndex
from quorate.storage import Base, DiskBase, LMDBBase, MemoryDisk
from quorate.store import Command, KeyValueStore, MemoryBase

LINES = [
    "SET s v", "SET e v PXAT 5000", "HSET h f v", "RPUSH l a b", "SADD m x y", "ZADD z 1 a", "SET gone v", "DEL gone",
]  # fmt: skip
LOOK = ["GET s", "PEXPIRETIME e", "HGETALL h", "LRANGE l 0 -1", "SMEMBERS m", "ZRANGE z 0 -1", "KEYS *", "DBSIZE"]


def command(line: str) -> Command:
    return Command(0, [word.encode() for word in line.split()])


@pytest.fixture(params=["memory", "disk", pytest.param("lmdb", marks=pytest.mark.real)])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Base]:
    """Every base in turn."""
    match request.param:
        case "memory":
            yield MemoryBase()
        case "disk":
            yield DiskBase(MemoryDisk(), "state")
        case _:
            opened = LMDBBase(tmp_path, ThreadPoolExecutor(1))
            yield opened
            opened.close()


def test_a_store_finds_again_what_it_wrote(base: Base) -> None:
    """In two checkpoints, with a flush of another database between."""

    async def run() -> None:
        store = KeyValueStore(base)
        for index, line in enumerate(LINES, start=1):
            store.apply(LogIndex(index), 1000, [command(line), Command(1, [b"SET", b"k%d" % index, b"v"])])
            if index == 4:
                await store.checkpoint()
        store.apply(LogIndex(20), 1000, [Command(1, [b"FLUSHDB"]), Command(0, [b"SET", b"k" * 480, b"long"])])
        await store.checkpoint()
        again = KeyValueStore(base)
        assert [again.query(command(line), 1000) for line in LOOK] == [
            store.query(command(line), 1000) for line in LOOK
        ]
        assert again.key_counts()[:2] == [7, 0]
        assert again.query(Command(1, [b"KEYS", b"*"]), 1000) == []
        assert again.next_expiry_ms() == 5000
        again.apply(LogIndex(21), 6000, [])
        await again.checkpoint()
        assert KeyValueStore(base).query(command("EXISTS e"), 6000) == 0

    asyncio.run(run())


def test_a_snapshot_carries_a_store_to_another_base(base: Base) -> None:
    """Chunk by chunk."""

    async def run() -> None:
        store = KeyValueStore(base)
        for index, line in enumerate(LINES, start=1):
            store.apply(LogIndex(index), 1000, [command(line)])
        await store.checkpoint()
        target = KeyValueStore(MemoryBase())
        restorer = target.base.restore()
        snapshot = base.snapshot()
        for chunk in snapshot.chunks(64):
            restorer.write(chunk)
        snapshot.close()
        await restorer.finish()
        target.reload()
        assert [target.query(command(line), 1000) for line in LOOK] == [
            store.query(command(line), 1000) for line in LOOK
        ]
        assert target.applied_index == len(LINES)

    asyncio.run(run())
