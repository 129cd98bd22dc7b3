"""Claims about totality: whatever a command is, `apply` answers, and what it refuses changes nothing."""

import random

import pytest

from quorate.kernel import LogIndex, RequestKey
from quorate.store import COMMANDS, NEEDS_LOG, Command, KeyValueStore, Limits, MemoryBase, ReplyError, transaction

KEYS = [b"a", b"b", b"c", b"d", b"", b"k" * 500]
WORDS = [
    b"", b"0", b"1", b"2", b"-1", b"-9223372036854775808", b"9223372036854775807", b"9223372036854775808", b"1e400",
    b"nan", b"inf", b"-inf", b"(1", b"[a", b"(a", b"+", b"-", b"*", b"[", b"\\", b"\xff\xfe", b"\x00", b"x" * 300, b"3.0e3",
    b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"GET", b"PERSIST", b"LIMIT",
    b"COUNT", b"MATCH", b"TYPE", b"RANK", b"MAXLEN", b"LEFT", b"RIGHT", b"MIN", b"MAX", b"BYSCORE", b"BYLEX", b"REV",
    b"WITHSCORES", b"WITHVALUES", b"WEIGHTS", b"AGGREGATE", b"SUM", b"BEFORE", b"AFTER", b"DB", b"REPLACE", b"VERSION",
    b"TTL", b"BIT", b"BYTE", b"AND", b"NOT", b"XOR", b"ENCODING", b"SYNC", b"f", b"g", b"10", b"1" * 5000,
]  # fmt: skip
NAMES = sorted(COMMANDS)


def args_of(rng: random.Random) -> list[bytes]:
    """Return a call of some command with arguments of some sense."""
    name = rng.choice(NAMES)
    spec = COMMANDS[name]
    count = max(0, abs(spec.arity) - 1 + rng.choice([0, 0, 0, 1, 2, 3, -1]))
    args = [name, *(rng.choice(KEYS if place == 0 or rng.random() < 0.2 else WORDS) for place in range(count))]
    if spec.count_at and len(args) > spec.count_at:
        args[spec.count_at] = rng.choice([b"1", b"1", b"2", rng.choice(WORDS)])
        args[spec.count_at + 1 : spec.count_at + 2] = [rng.choice(KEYS)]
    return args


def content(store: KeyValueStore) -> object:
    """Return everything that an outsider can see of the keys, without touching them."""
    return [
        (
            space.db,
            space.count,
            sorted((key, entry.version, entry.expires_ms) for key, entry in space.table.items() if entry),
        )
        for space in store.spaces
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_apply_answers_every_command(seed: int) -> None:
    """No exception; a refused command leaves revision, versions and counts as they were."""
    rng = random.Random(seed)
    store = KeyValueStore(MemoryBase(), Limits(element_count_max=50, value_bytes_max=2000))
    now_ms = 1_000_000
    for index in range(1, 1500):
        now_ms += rng.choice([0, 0, 1, 1000])
        command = Command(rng.choice([0, 0, 0, 1, 99]), args_of(rng))
        if rng.random() < 0.05:
            command = transaction(0, [(0, rng.choice(KEYS), rng.randrange(5))], [command, Command(0, args_of(rng))])
        if rng.random() < 0.1:
            command = Command(command.db, command.args, RequestKey(rng.randrange(3), rng.randrange(1, 200)))
        store.apply(LogIndex(2 * index), now_ms, [])
        revision, before = store.revision, content(store)
        asked = store.query(command, now_ms + rng.choice([0, 5000]))
        assert store.revision == revision, command
        (reply,) = store.apply(LogIndex(2 * index + 1), now_ms, [command])
        if isinstance(reply, ReplyError):
            assert (store.revision, content(store)) == (revision, before), command
        assert asked is NEEDS_LOG or store.revision >= revision
        for space in store.spaces:
            assert space.count == sum(entry is not None for entry in space.table.values()), command
            ends = {key: entry.expires_ms for key, entry in space.table.items() if entry and entry.expires_ms}
            assert space.due == ends, command


def test_arguments_of_any_bytes_are_answered() -> None:
    """Random bytes for names and arguments."""
    rng = random.Random(1)
    store = KeyValueStore(MemoryBase())
    for index in range(1, 800):
        args = [rng.randbytes(rng.randrange(6)) for _ in range(rng.randrange(5))]
        if rng.random() < 0.7:
            args = [rng.choice(NAMES), *args]
        assert len(store.apply(LogIndex(index), index, [Command(rng.randrange(-2, 20), args)])) == 1
