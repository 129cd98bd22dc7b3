"""Claims about checkpoints: what lies at rest, what goes on meanwhile, what a failure leaves."""

import asyncio
from collections.abc import Mapping

import pytest

from quorate.kernel import LogIndex, RequestKey
from quorate.kernel.errors import DiskFull, ForeignData
from quorate.store import KeyValueStore, Limits, MemoryBase

FILL = [
    "SET s v", "SET e v PX 500", "HSET h f v g w", "RPUSH l a b c", "SADD m x y z", "ZADD z 1 a 2 b", "INCR n",
]  # fmt: skip
LOOK = [
    "GET s", "PEXPIRETIME e", "HGETALL h", "LRANGE l 0 -1", "SMEMBERS m", "ZRANGE z 0 -1 WITHSCORES", "GET n", "DBSIZE",
    "KEYS *", "QUORATE.SCAN ~ ~ 100", "QUORATE.VERSIONS s e h l m z n",
]  # fmt: skip


def looks(driven) -> list[object]:
    return [driven.ask(line) for line in LOOK]


def test_a_restart_finds_everything(driven) -> None:
    """Values, versions, ends, counts, sessions, index, and the host's bytes."""
    for line in FILL:
        driven.do(line)
    driven.do("INCR n", key=RequestKey(1, 1))
    driven.store.host_bytes, driven.store.applied_term = b"members", 3
    before = looks(driven)
    assert asyncio.run(driven.store.checkpoint()) == len(FILL) + 1
    assert looks(driven) == before and driven.store.dirty_count == 0
    driven.restart()
    assert looks(driven) == before
    assert driven.store.applied_index == len(FILL) + 1
    assert (driven.store.host_bytes, driven.store.applied_term) == (b"members", 3)
    assert driven.do("INCR n", key=RequestKey(1, 1)) == 2
    driven.now_ms += 500
    assert driven.do("EXISTS e") == 0


def test_a_key_that_ended_or_moved_its_end_leaves_nothing_at_rest(driven) -> None:
    """Neither value nor a cell of the expiry index."""
    driven.do("SET a v PX 10")
    driven.do("SET b v PX 20")
    driven.do("SET c v PX 30")
    asyncio.run(driven.store.checkpoint())
    driven.do("PEXPIRE b 1000")
    driven.do("PERSIST c")
    driven.now_ms += 10
    driven.do("QUORATE.TICK")
    asyncio.run(driven.store.checkpoint())
    cells = [key for key, _ in driven.base.scan(b"", None)]
    assert [cell[1:] for cell in cells if cell[0] == 0] == [b"b", b"c"]
    assert len([cell for cell in cells if cell[0] == 0xFF]) == 1


class Slow(MemoryBase):
    """Lets others run in the middle of a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile = lambda: None
        self.fails = False

    async def checkpoint(self, changes: Mapping[bytes, bytes | None], meta: bytes) -> None:
        self.meanwhile()
        if self.fails:
            raise DiskFull("no space")
        await super().checkpoint(changes, meta)


def slow(driven) -> Slow:
    base = Slow()
    driven.base = base
    driven.restart()
    for line in FILL:
        driven.do(line)
    return base


CHANGES = [
    "SET s w", "DEL e", "HSET h f changed", "RPUSH l d", "SREM m x", "ZADD z 9 a", "INCR n", "SET new v", "RENAME l l2",
]  # fmt: skip


def test_changes_during_a_checkpoint_are_not_in_it_and_not_lost(driven) -> None:
    """The checkpoint is the state of its beginning; the next one has the rest."""
    base = slow(driven)
    before = looks(driven)
    base.meanwhile = lambda: [driven.do(line) for line in CHANGES]
    asyncio.run(driven.store.checkpoint())
    base.meanwhile = lambda: None
    after = looks(driven)
    now = driven.store
    driven.restart()
    assert looks(driven) == before
    driven.store = now
    assert looks(driven) == after
    asyncio.run(driven.store.checkpoint())
    driven.restart()
    assert looks(driven) == after


def test_values_changed_between_slices_are_written_as_they_were(driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen value is encoded before it changes."""
    monkeypatch.setattr("quorate.store.checkpoint.SLICE_KEY_COUNT", 1)
    slow(driven)
    before = looks(driven)

    async def both() -> None:
        task = asyncio.ensure_future(driven.store.checkpoint())
        await asyncio.sleep(0)
        for line in CHANGES:
            driven.do(line)
        await task

    asyncio.run(both())
    after = looks(driven)
    now = driven.store
    driven.restart()
    assert looks(driven) == before
    driven.store = now
    asyncio.run(driven.store.checkpoint())
    driven.restart()
    assert looks(driven) == after


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_flush_empties_what_lies_at_rest(driven, when: str) -> None:
    """Whenever it comes; keys set afterwards stay, with their ends."""
    base = slow(driven)
    asyncio.run(driven.store.checkpoint())
    lines = ["FLUSHDB", "SET s again", "SET e v PX 70"]

    def flush() -> None:
        for line in lines:
            driven.do(line)

    if when == "before":
        flush()
    driven.do("SET more v")
    base.meanwhile = flush if when == "during" else base.meanwhile
    asyncio.run(driven.store.checkpoint())
    base.meanwhile = lambda: None
    if when == "after":
        flush()
    expected = looks(driven)
    assert driven.ask("GET h") is None
    asyncio.run(driven.store.checkpoint())
    assert looks(driven) == expected
    driven.restart()
    assert looks(driven) == expected
    assert len(driven.store.spaces[0].due) == 1


def test_what_was_flushed_is_not_read_from_the_base_while_its_deletion_is_under_way(driven) -> None:
    """The base still has it then."""
    base = slow(driven)
    asyncio.run(driven.store.checkpoint())
    driven.do("FLUSHDB")
    seen: list[object] = []
    base.meanwhile = lambda: seen.extend([driven.ask("GET s"), driven.ask("KEYS *"), driven.ask("DBSIZE")])
    asyncio.run(driven.store.checkpoint())
    assert seen == [None, [], 0]


def test_nothing_is_kept_of_keys_that_are_gone(driven) -> None:
    """A table does not grow with what was deleted."""
    slow(driven)
    driven.do("DEL s h l m z n e")
    asyncio.run(driven.store.checkpoint())
    assert driven.store.spaces[0].table == {}


def test_a_failed_checkpoint_loses_nothing(driven) -> None:
    """All changes wait for the next one, those made meanwhile too."""
    base = slow(driven)
    asyncio.run(driven.store.checkpoint())
    driven.do("FLUSHDB")
    for line in FILL[:4]:
        driven.do(line)
    base.fails = True
    base.meanwhile = lambda: [driven.do("SET s later"), driven.do("DEL h")]
    with pytest.raises(DiskFull):
        asyncio.run(driven.store.checkpoint())
    expected = looks(driven)
    assert driven.ask("MGET s n") == [b"later", None] and driven.ask("DBSIZE") == 3
    base.fails, base.meanwhile = False, lambda: None
    asyncio.run(driven.store.checkpoint())
    driven.restart()
    assert looks(driven) == expected


def test_clean_values_are_forgotten_when_memory_is_short_and_read_again(drive) -> None:
    """The table stays small; nothing that is not at rest goes."""
    driven = drive(Limits(cache_bytes_max=2000))
    for number in range(100):
        driven.do(f"SET k{number} v{number}")
    assert len(driven.store.spaces[0].table) == 100
    asyncio.run(driven.store.checkpoint())
    assert len(driven.store.spaces[0].table) < 10
    assert all(driven.ask(f"GET k{number}") == f"v{number}".encode() for number in range(100))
    assert len(driven.store.spaces[0].table) < 10
    assert driven.ask("DBSIZE") == 100
    driven.do("APPEND k5 x")
    driven.do("DEL k6")
    assert driven.ask("MGET k5 k6 k7") == [b"v5x", None, b"v7"]
    assert len(driven.ask("KEYS *")) == 99


def test_a_value_that_a_checkpoint_is_writing_is_not_forgotten(drive) -> None:
    """However short memory is: until the commit the base has the old one."""
    driven = drive(Limits(cache_bytes_max=600))
    base = Slow()
    driven.base = base
    driven.restart()
    for number in range(20):
        driven.do(f"SET k{number} old")
    asyncio.run(driven.store.checkpoint())
    driven.do("APPEND k5 er")
    seen: list[object] = []
    base.meanwhile = lambda: seen.extend(driven.ask(f"GET k{number % 20}") for number in range(6, 26))
    asyncio.run(driven.store.checkpoint())
    assert seen == [b"old"] * 19 + [b"older"]


def test_a_scan_meets_every_key_that_stays(drive) -> None:
    """While others come and go, over table and base, and after the cursor's node was lost."""
    driven = drive(Limits(cache_bytes_max=2000))
    for number in range(200):
        driven.do(f"SET stay:{number:03d} v")
        driven.do(f"SET go:{number:03d} v")
        if number == 100:
            asyncio.run(driven.store.checkpoint())
    seen: set[bytes] = set()
    cursor, step = b"0", 0
    while True:
        cursor, names = driven.ask(f"SCAN {cursor.decode()} COUNT 7")
        seen.update(names)
        if cursor == b"0":
            break
        driven.do(f"DEL go:{(step * 37) % 200:03d}")
        driven.do(f"SET new:{step} v")
        step += 1
        if step == 20:
            asyncio.run(driven.store.checkpoint())
            driven.restart()
    assert {name for name in seen if name.startswith(b"stay")} == {b"stay:%03d" % number for number in range(200)}


def test_a_scan_of_a_large_collection_meets_every_element() -> None:
    """In steps, each about as large as asked for."""
    from quorate.store import Command

    store = KeyValueStore(MemoryBase())
    members = [b"m%d" % number for number in range(1000)]
    store.apply(LogIndex(1), 1, [Command(0, [b"SADD", b"s", *members])])
    cursor, seen, steps = b"0", [], 0
    while True:
        cursor, found = store.query(Command(0, [b"SSCAN", b"s", cursor, b"COUNT", b"50"]), 1)
        seen += found
        steps += 1
        if cursor == b"0":
            break
    assert sorted(seen) == sorted(members) and 15 <= steps <= 25


def test_fewer_databases_than_at_rest_are_refused() -> None:
    """Otherwise keys would silently be gone."""
    base = MemoryBase()
    asyncio.run(KeyValueStore(base).checkpoint())
    with pytest.raises(ForeignData):
        KeyValueStore(base, Limits(database_count=4))


def test_a_store_can_take_over_a_snapshot(driven, drive) -> None:
    """Everything it had is forgotten."""
    other = drive()
    other.do("SET k other")
    asyncio.run(other.store.checkpoint())
    driven.do("SET mine v")
    driven.store.reload(other.base)
    assert driven.ask("KEYS *") == [b"k"] and driven.store.applied_index == 1
