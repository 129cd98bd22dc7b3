"""Laws of the store: the log alone decides; a restart, a small cache and a checkpoint at any moment change nothing."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import LogIndex, RequestKey
from quorate.store import COMMANDS, Command, KeyValueStore, Limits, MemoryBase

KEYS = [b"a", b"b", b"c", b"d", b"e"]
WORDS = [b"f", b"g", b"h", b"1", b"2", b"-1", b"0", b"3.5", b"10"]
SHAPES = [
    b"SET k w", b"SET k w PX 700", b"SET k w XX GET", b"APPEND k w", b"INCR k", b"INCRBYFLOAT k w", b"MSET k w k w",
    b"DEL k", b"PEXPIRE k 300", b"PERSIST k", b"RENAME k k", b"COPY k k REPLACE", b"MOVE k 1", b"GETDEL k", b"SETRANGE k 3 w",
    b"HSET k w w w w", b"HDEL k w", b"HINCRBY k w 1", b"HGETALL k", b"HRANDFIELD k 2",
    b"RPUSH k w w", b"LPUSH k w", b"LPOP k", b"RPOP k 2", b"LMOVE k k LEFT RIGHT", b"LREM k 0 w", b"LTRIM k 0 3",
    b"LINSERT k AFTER w w", b"LSET k 0 w", b"LRANGE k 0 -1",
    b"SADD k w w w", b"SREM k w", b"SPOP k", b"SPOP k 2", b"SMOVE k k w", b"SUNIONSTORE k k k", b"SINTERSTORE k k k",
    b"SMEMBERS k", b"SRANDMEMBER k 2",
    b"ZADD k 1 w 2 w", b"ZADD k GT CH 5 w", b"ZINCRBY k 1.5 w", b"ZREM k w", b"ZPOPMIN k", b"ZUNIONSTORE k 2 k k",
    b"ZRANGESTORE k k 0 1", b"ZREMRANGEBYRANK k 0 0", b"ZRANGE k 0 -1 WITHSCORES",
    b"FLUSHDB", b"RANDOMKEY", b"SCAN 0", b"KEYS *", b"DBSIZE", b"EXISTS k k", b"QUORATE.PUT k w TTL 400",
]  # fmt: skip


def log_of(seed: int, count: int) -> list[tuple[int, list[Command]]]:
    """Return a log: (time, commands) of every entry."""
    rng = random.Random(seed)
    now_ms, log = 1_000_000, []
    sequences = {1: 0, 2: 0}
    for _ in range(count):
        now_ms += rng.choice([0, 1, 50, 400])
        commands = []
        for _ in range(rng.randrange(1, 4)):
            shape = rng.choice(SHAPES)
            if shape == b"FLUSHDB" and rng.random() < 0.7:
                continue
            args = [
                rng.choice(KEYS) if part == b"k" else rng.choice(WORDS) if part == b"w" else part
                for part in shape.split()
            ]
            key = None
            if rng.random() < 0.2:
                client = rng.choice([1, 2])
                sequences[client] += rng.choice([0, 1])
                key = RequestKey(client, max(1, sequences[client]))
            commands.append(Command(rng.choice([0, 0, 0, 1]), args, key))
        log.append((now_ms, commands))
    return log


def rested(store: KeyValueStore, base: MemoryBase) -> tuple[bytes | None, list[tuple[bytes, bytes]]]:
    """Return everything at rest after a checkpoint."""
    asyncio.run(store.checkpoint())
    return base.meta, list(base.scan(b"", None))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32),
    cuts=st.sets(st.integers(0, 59), max_size=6),
    restarts=st.booleans(),
    cache_bytes_max=st.sampled_from([1, 700, 1 << 20]),
)
def test_recovery_equals_never_having_stopped(
    seed: int, cuts: set[int], *, restarts: bool, cache_bytes_max: int
) -> None:
    """Replies and content are those of a store that never wrote anything down."""
    limits = Limits(cache_bytes_max=cache_bytes_max, expire_count_max=2)
    plain = KeyValueStore(MemoryBase(), Limits(expire_count_max=2))
    base = MemoryBase()
    store = KeyValueStore(base, limits)
    for index, (now_ms, commands) in enumerate(log_of(seed, 60), start=1):
        assert store.apply(LogIndex(index), now_ms, commands) == plain.apply(LogIndex(index), now_ms, commands)
        assert store.next_expiry_ms() == plain.next_expiry_ms()
        if index in cuts:
            asyncio.run(store.checkpoint())
            if restarts:
                store = KeyValueStore(base, limits)
    assert store.key_counts() == plain.key_counts()
    assert rested(store, base) == rested(plain, plain.base)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32),
    starts=st.sets(st.integers(1, 40), min_size=1, max_size=3),
    cache_bytes_max=st.sampled_from([1, 700, 1 << 20]),
)
def test_a_checkpoint_holds_the_state_of_its_beginning(seed: int, starts: set[int], cache_bytes_max: int) -> None:
    """Entries are applied between any two slices of it; replaying the rest of the log gives the same as ever."""
    log = log_of(seed, 40)
    plain = KeyValueStore(MemoryBase())
    for index, (now_ms, commands) in enumerate(log, start=1):
        plain.apply(LogIndex(index), now_ms, commands)
    base = MemoryBase()
    store = KeyValueStore(base, Limits(cache_bytes_max=cache_bytes_max))

    async def run() -> None:
        task: asyncio.Task[LogIndex] | None = None
        for index, (now_ms, commands) in enumerate(log, start=1):
            store.apply(LogIndex(index), now_ms, commands)
            if index in starts and (task is None or task.done()):
                task = asyncio.ensure_future(store.checkpoint())
                await asyncio.sleep(0)
            if index % 3 == 0:
                await asyncio.sleep(0)
        if task is not None:
            await task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quorate.store.checkpoint.SLICE_KEY_COUNT", 1)
        asyncio.run(run())
    again = KeyValueStore(base)
    for index, (now_ms, commands) in enumerate(log, start=1):
        if index > again.applied_index:
            again.apply(LogIndex(index), now_ms, commands)
    expected = rested(plain, plain.base)
    assert rested(again, base) == expected
    assert rested(store, base) == expected


@pytest.mark.slow
@pytest.mark.real
def test_two_hash_seeds_give_the_same_bytes() -> None:
    """Meta and content at rest, in fresh processes."""
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1 and digests.pop()


def test_every_command_says_what_it_is() -> None:
    """Each either writes or reads; keys stand where the table says."""
    for name, spec in COMMANDS.items():
        assert spec.is_write != spec.is_readonly, name
        assert spec.handler.__doc__ and name.decode() in spec.handler.__doc__.upper(), name


if __name__ == "__main__":
    digest = hashlib.sha256()
    for seed in range(6):
        base = MemoryBase()
        store = KeyValueStore(base)
        for index, (now_ms, commands) in enumerate(log_of(seed, 300), start=1):
            digest.update(repr(store.apply(LogIndex(index), now_ms, commands)).encode())
        digest.update(repr(rested(store, base)).encode())
    print(digest.hexdigest())
