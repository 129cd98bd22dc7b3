"""Claims about the state machine: time, versions, sessions, limits, the change hook."""

import asyncio

from quorate.kernel import LogIndex, RequestKey, marks
from quorate.store import (
    NEEDS_LOG,
    NIL_ARRAY,
    OK,
    Change,
    Command,
    KeyValueStore,
    Limits,
    LocalBackend,
    MemoryBase,
    ReplyError,
    find,
    keys_of,
    transaction,
    transaction_keys,
)


def test_a_refused_command_changes_nothing(driven) -> None:
    """Revision and content stay as they are."""
    driven.do("SET k v")
    for line in ("NOSUCH k", "SET k", "INCR k", "LPUSH k x", "SET k v NX XX", "HSET h f", "~"):
        assert isinstance(driven.do(line), ReplyError), line
    assert driven.store.revision == 1
    assert driven.do("QUORATE.GET k") == [b"v", 1]


def test_no_arguments_and_no_such_database_are_refused(driven) -> None:
    """Also in a query."""
    assert isinstance(driven.send(Command(0, [])), ReplyError)
    assert isinstance(driven.store.query(Command(0, []), 0), ReplyError)
    assert driven.do("GET k", db=16) == ReplyError("ERR", "DB index is out of range")
    assert driven.do("GET k", db=-1) == ReplyError("ERR", "DB index is out of range")
    assert driven.ask("GET k", db=99) == ReplyError("ERR", "DB index is out of range")


def test_a_query_never_writes(driven) -> None:
    """A command that is not readonly is refused."""
    assert isinstance(driven.ask("SET k v"), ReplyError)
    assert isinstance(driven.ask("GET"), ReplyError)
    assert driven.ask("EXISTS k") == 0


def test_a_key_ends_with_log_time(driven) -> None:
    """It is gone in the first batch whose time is not before its end."""
    driven.do("SET k v PX 500")
    assert driven.store.next_expiry_ms() == driven.now_ms + 500
    driven.now_ms += 499
    assert driven.do("GET k") == b"v"
    driven.now_ms += 1
    assert driven.do("QUORATE.TICK") == 0
    assert driven.store.key_counts()[0] == 0
    assert driven.store.next_expiry_ms() is None


def test_log_time_never_moves_back(driven) -> None:
    """A leader with a slow clock lets nothing come back."""
    driven.do("SET k v PX 500")
    driven.now_ms += 500
    driven.do("QUORATE.TICK")
    driven.now_ms -= 400
    assert driven.do("GET k") is None
    assert driven.store.time_ms == 1_000_500


def test_a_read_of_a_key_due_by_the_wall_clock_only_needs_the_log(driven) -> None:
    """What a reader with a fast clock sees must not depend on that clock."""
    driven.do("SET k v PX 500")
    assert driven.ask("GET k", wall_ms=driven.now_ms + 499) == b"v"
    assert driven.ask("GET k", wall_ms=driven.now_ms + 500) is NEEDS_LOG
    assert driven.ask("KEYS *", wall_ms=driven.now_ms + 500) is NEEDS_LOG
    assert driven.ask("GET other", wall_ms=driven.now_ms + 500) is None
    driven.now_ms += 500
    driven.do("QUORATE.TICK")
    assert driven.ask("GET k") is None


def test_due_keys_go_in_the_order_of_their_ends_and_a_bounded_number_a_batch(drive) -> None:
    """The rest are invisible already."""
    driven = drive(Limits(expire_count_max=2))
    for name, span in (("c", 30), ("a", 10), ("b", 20)):
        driven.do(f"SET {name} v PX {span}")
    gone: list[bytes] = []
    driven.store.on_change = lambda change: gone.append(change.key)
    driven.now_ms += 100
    driven.do("QUORATE.TICK")
    assert gone == [b"a", b"b"]
    assert driven.ask("EXISTS c") == 0
    assert driven.ask("DBSIZE") == 1
    driven.do("QUORATE.TICK")
    assert gone == [b"a", b"b", b"c"]


def test_a_key_that_is_set_again_does_not_end_by_its_old_time(driven) -> None:
    """SET drops the end, KEEPTTL and APPEND keep it, PERSIST drops it."""
    driven.do("SET a v PX 10")
    driven.do("SET a w")
    driven.do("SET b v PX 10")
    driven.do("SET b w KEEPTTL")
    driven.do("APPEND b x")
    driven.do("SET c v PX 10")
    assert driven.do("PERSIST c") == 1
    driven.now_ms += 10
    assert driven.do("MGET a b c") == [b"w", None, b"v"]


def test_versions_are_revisions_of_the_last_change(driven) -> None:
    """0 when absent; a change of one key leaves the others' alone."""
    driven.do("SET a 1")
    driven.do("HSET h f v")
    driven.do("HSET h f w")
    assert driven.ask("QUORATE.VERSIONS a h none") == [1, 3, 0]
    driven.do("DEL a")
    assert driven.ask("QUORATE.VERSIONS a h") == [0, 3]
    assert driven.store.revision == 4


def test_put_compares_versions(driven) -> None:
    """Version 0 means: only if absent."""
    assert driven.do("QUORATE.PUT k a VERSION 0") == 1
    refused = driven.do("QUORATE.PUT k b VERSION 0")
    assert isinstance(refused, ReplyError) and refused.code == "CONFLICT"
    assert driven.do("QUORATE.PUT k b VERSION 1 TTL 5") == 2
    assert driven.do("PTTL k") == 5
    refused = driven.do("QUORATE.DELETE k VERSION 1")
    assert isinstance(refused, ReplyError) and refused.code == "CONFLICT"
    assert driven.do("QUORATE.DELETE k VERSION 2") == 1
    assert driven.do("QUORATE.DELETE k") == 0


def test_a_transaction_is_applied_only_if_no_watched_key_changed(driven) -> None:
    """All or nothing; an error inside does not stop the rest, as in Redis."""
    driven.do("SET a 1")
    commands = [driven.command("INCR a"), driven.command("LPUSH a x"), driven.command("SET b 2", db=1)]
    replies = driven.send(transaction(0, [(0, b"a", 1), (1, b"b", 0)], commands))
    assert isinstance(replies, list)
    assert replies[0] == 2 and isinstance(replies[1], ReplyError) and replies[2] == OK
    revision = driven.store.revision
    assert driven.send(transaction(0, [(0, b"a", 1)], commands)) is NIL_ARRAY
    assert driven.store.revision == revision


def test_a_watch_on_a_key_that_ended_meanwhile_fails(driven) -> None:
    """Its version is 0 then."""
    driven.do("SET a 1 PX 10")
    driven.now_ms += 10
    assert driven.send(transaction(0, [(0, b"a", 1)], [driven.command("GET a")])) is NIL_ARRAY


def test_a_transaction_within_a_transaction_and_garbage_are_refused(driven) -> None:
    """Whatever the log carries is data."""
    inner = transaction(0, [], [driven.command("SET a 1")])
    assert isinstance(driven.send(transaction(0, [], [inner])), ReplyError)
    assert isinstance(driven.do("QUORATE.EXEC garbage"), ReplyError)
    assert isinstance(driven.send(transaction(0, [(77, b"a", 0)], [])), ReplyError)
    assert driven.send(transaction(0, [], [Command(0, [])])) == [
        ReplyError("ERR", "unknown command '', with args beginning with: ")
    ]


def test_a_repeated_request_is_applied_once(driven) -> None:
    """It gets the same reply; an older one, or one of an unknown session, is refused."""
    assert driven.do("INCR n", key=RequestKey(7, 1)) == 1
    with marks.expect("store: a repeated request was answered from its session"):
        assert driven.do("INCR n", key=RequestKey(7, 1)) == 1
    assert driven.do("INCR n", key=RequestKey(7, 3)) == 2
    for key in (RequestKey(7, 2), RequestKey(8, 2)):
        refused = driven.do("INCR n", key=key)
        assert isinstance(refused, ReplyError) and refused.code == "SESSION"
    assert driven.do("GET n") == b"2"


def test_the_session_used_longest_ago_is_forgotten_first(drive) -> None:
    """And a request of it is then refused, because it may have been applied."""
    driven = drive(Limits(session_count_max=2))
    driven.do("INCR n", key=RequestKey(1, 1))
    driven.do("INCR n", key=RequestKey(2, 1))
    driven.do("INCR n", key=RequestKey(1, 2))
    with marks.expect("store: the oldest session was forgotten"):
        driven.do("INCR n", key=RequestKey(3, 1))
    refused = driven.do("INCR n", key=RequestKey(2, 2))
    assert isinstance(refused, ReplyError) and refused.code == "SESSION"
    assert driven.do("INCR n", key=RequestKey(1, 2)) == 3


def test_what_is_too_large_is_refused_whole(drive) -> None:
    """Keys, values, elements, and numbers of elements."""
    driven = drive(Limits(key_bytes_max=3, value_bytes_max=5, element_count_max=2))
    lines = (
        "SET long v", "SET k 123456", "APPEND k 123456", "SETRANGE k 5 x", "MSET a 1 long 2", "RPUSH l a b c",
        "SADD s a b c", "HSET h a 1 b 2 c 3", "ZADD z 1 a 2 b 3 c", "HSET h f 123456", "RENAME k long", "SETBIT k 48 1",
        "LSET l 0 123456", "ZUNIONSTORE long 1 l2", "COPY k long",
    )  # fmt: skip
    driven.do("SET k v")
    driven.do("RPUSH l a")
    driven.do("SADD l2 m")
    for line in lines:
        refused = driven.do(line)
        assert isinstance(refused, ReplyError) and refused.code == "TOOLARGE", line
    assert driven.store.revision == 3
    assert driven.do("KEYS *") == [b"k", b"l", b"l2"]


def test_the_system_database_is_out_of_reach(drive) -> None:
    """FLUSHALL leaves it alone; COPY and MOVE say that it does not exist."""
    driven = drive(Limits(database_count=3, system_database=2))
    driven.do("SET members v", db=2)
    driven.do("SET k v", db=1)
    for line in ("COPY k other DB 2", "MOVE k 2"):
        assert driven.do(line, db=1) == ReplyError("ERR", "DB index is out of range")
    driven.do("FLUSHALL")
    assert driven.store.key_counts() == [0, 0, 1]


def test_a_transaction_tells_its_keys(driven) -> None:
    """Those it watches and those it touches; none when it cannot be read."""
    command = transaction(0, [(0, b"w", 1)], [driven.command("MSET a 1 b 2"), driven.command("NOSUCH x")])
    assert transaction_keys(command) == [b"w", b"a", b"b"]
    assert transaction_keys(Command(0, [b"QUORATE.EXEC", b"garbage"])) == transaction_keys(Command(0, [])) == []


def test_the_hook_hears_of_every_change(driven) -> None:
    """With the revision that the command will have."""
    heard: list[Change] = []
    driven.store.on_change = heard.append
    driven.do("SET a 1")
    driven.do("GET a")
    driven.do("RENAME a b", db=0)
    driven.do("LPUSH l x")
    driven.do("LPOP l")
    seen = [(change.revision, change.key, change.kind) for change in heard]
    assert seen == [
        (1, b"a", "put"),
        (2, b"a", "delete"),
        (2, b"b", "put"),
        (3, b"l", "put"),
        (4, b"l", "delete"),
    ]


def test_the_hook_hears_of_a_flush(driven) -> None:
    """Of every key, those that lie at rest only too."""
    driven.do("SET a 1")
    asyncio.run(driven.store.checkpoint())
    driven.restart()
    driven.do("SET b 1")
    heard: list[Change] = []
    driven.store.on_change = heard.append
    driven.do("FLUSHALL")
    assert [(change.revision, change.key, change.kind) for change in heard] == [
        (3, b"a", "delete"),
        (3, b"b", "delete"),
    ]


def test_random_members_are_the_same_on_every_replica(drive) -> None:
    """They follow from the log."""
    one, two = drive(), drive()
    lines = ["SADD s a b c d e f g h", "SPOP s", "SPOP s 3", "SADD s x y z", "SPOP s", "RANDOMKEY", "SRANDMEMBER s 2"]
    assert [one.do(line) for line in lines] == [two.do(line) for line in lines]
    two.ask("SRANDMEMBER s")
    assert one.do("SPOP s") == two.do("SPOP s")


def test_random_members_differ_between_queries(driven) -> None:
    """A reader that asks again in a quiet store is not told the same for ever."""
    driven.do("SADD s a b c d e f g h")
    assert len({driven.ask("SRANDMEMBER s") for _ in range(50)}) > 4


def test_random_keys_reach_every_key(driven) -> None:
    """Among few and among many keys, numbered ones about evenly."""
    for count in (5, 300):
        for number in range(count):
            driven.do(f"SET key:{number:03d} v")
        seen = {driven.ask("RANDOMKEY") for _ in range(count * 12)}
        assert len(seen) > count * 0.98


def test_commands_are_found_in_any_case_and_tell_their_keys() -> None:
    """Numbered keys included."""
    spec = find(b"zunionstore")
    assert spec is not None and spec is find(b"ZUNIONSTORE") is find(b"ZUnionStore")
    assert keys_of(spec, b"ZUNIONSTORE out 2 a b WEIGHTS 1 2".split()) == [b"out", b"a", b"b"]
    assert keys_of(spec, b"ZUNIONSTORE out 9 a b".split()) == [b"out"]
    mset = find(b"MSET")
    assert mset is not None and keys_of(mset, b"MSET a 1 b 2".split()) == [b"a", b"b"]
    assert find(b"nosuch") is None and mset.accepts(3) and not mset.accepts(2)


def test_the_local_backend_answers_at_once() -> None:
    """Reads that need the log are sent through it."""

    class Taker:
        def __init__(self) -> None:
            self.replies: list[object] = []

        def complete(self, reply: object) -> None:
            self.replies.append(reply)

        def flush(self) -> None:
            self.replies.append("flush")

    now = [1000]
    backend = LocalBackend(KeyValueStore(MemoryBase()), lambda: now[0])
    taker = Taker()
    backend.write(Command(0, [b"SET", b"k", b"v", b"PX", b"5"]), taker)
    now[0] = 1005
    backend.read(Command(0, [b"GET", b"k"]), taker)
    assert taker.replies == [OK, "flush", None, "flush"]
    assert backend.info().applied_index == LogIndex(2)
    assert backend.publish(b"c", b"m") == 0
