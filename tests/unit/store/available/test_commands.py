"""What commands mean in a leaderless keyspace, on one copy: its rule says the rest."""

import pytest

from quorate.clocks import HybridStamp
from quorate.protocols.leaderless import Answered, ChangeRefused, Failed, Request, rule_named
from quorate.store import COMMANDS, OK, Reply, ReplyError, ReplySet, SimpleString
from quorate.store.available import ENTRIES, PLAIN, Jobs, Options, unwrap


class Caller:
    """Collects replies."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    def complete(self, reply: Reply) -> None:
        self.replies.append(reply)

    def flush(self) -> None:
        pass


class Copies:
    """Runs commands on one copy."""

    def __init__(self, conflicts: str = "lww", *, keeps_reads: bool = False) -> None:
        self.rule = rule_named(conflicts)
        self.cells: dict[bytes, bytes] = {}
        self.asked: list[Request] = []
        # Keys whose requests fail, and how.
        self.failures: dict[bytes, tuple[str, str]] = {}
        self.stamp_ns = self.wake_count = 0
        self.jobs = Jobs(
            "carts",
            self.rule,
            self.cells,
            keeps_contexts=conflicts == "siblings",
            keeps_reads=keeps_reads,
            flush=lambda _caller: None,
            wake=self.wake,
        )

    def wake(self) -> None:
        self.wake_count += 1

    def run(self, *args: bytes | str | int, owner: object | None = None, options: Options = PLAIN) -> Reply:
        """Return the reply of a command."""
        words = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
        if words[0] in (b"QUORATE.DO", b"QUORATE.ASK"):
            unwrapped = unwrap(words)
            if isinstance(unwrapped, ReplyError):
                return unwrapped
            options, words = unwrapped
        caller = Caller()
        self.jobs.execute(words, options, caller, owner)
        self.answer()
        assert len(caller.replies) == 1, "a command is answered exactly once"
        return caller.replies[0]

    def answer(self) -> None:
        """Answer all requests, also those that answers lead to."""
        while requests := self.jobs.take():
            for request in requests:
                self._answer(request)

    def _answer(self, request: Request) -> None:
        self.asked.append(request)
        code, happened = self.failures.get(request.key, ("", ""))
        if code:
            self.jobs.failed(Failed(request.token, code, "no copy answered", happened))  # type: ignore[arg-type]
            return
        cell = self.cells.get(request.key, b"")
        if request.change is not None:
            self.stamp_ns += 1
            stamp = HybridStamp(self.stamp_ns, 0, 1)
            try:
                cell = self.rule.change(cell, request.change, actor=1, stamp=stamp, context=request.context)
            except ChangeRefused as refused:
                self.jobs.failed(Failed(request.token, refused.word, str(refused), "no"))
                return
            self.cells[request.key] = cell
        self.jobs.answered(Answered(request.token, cell))


def test_strings_are_set_read_and_deleted() -> None:
    copies = Copies()
    assert copies.run("SET", "k", "hello") is OK
    assert copies.run("GET", "k") == b"hello"
    assert copies.run("STRLEN", "k") == 5
    assert copies.run("GETRANGE", "k", 1, -2) == b"ell"
    assert copies.run("EXISTS", "k", "k", "x") == 2
    assert copies.run("TYPE", "k") == SimpleString("string")
    assert (copies.run("TTL", "k"), copies.run("TTL", "x")) == (-1, -2)
    assert copies.run("MSET", "a", 1, "b", 2) is OK
    assert copies.run("MGET", "a", "x", "b") == [b"1", None, b"2"]
    assert copies.run("DEL", "k", "x", "k") == 1
    assert copies.run("GET", "k") is None
    assert copies.run("TYPE", "k") == SimpleString("none")
    assert copies.run("DBSIZE") == 2
    assert sorted(copies.run("KEYS", "*")) == [b"a", b"b"]  # type: ignore[arg-type]
    assert copies.run("SCAN", "0", "TYPE", "hash") == [b"0", []]
    assert copies.run("SCAN", "0", "MATCH", "a*") == [b"0", [b"a"]]


def test_counters_are_a_kind_of_their_own() -> None:
    copies = Copies("crdt")
    assert copies.run("INCR", "n") == 1
    assert copies.run("INCRBY", "n", 10) == 11
    assert copies.run("DECR", "n") == 10
    assert copies.run("DECRBY", "n", 4) == 6
    assert copies.run("GET", "n") == b"6"
    assert copies.run("TYPE", "n") == SimpleString("string")
    assert str(copies.run("SET", "n", "5")).startswith("WRONGTYPE")
    assert "not an integer" in str(copies.run("INCRBY", "n", "x"))
    assert copies.run("DEL", "n") == 1
    assert copies.run("SET", "n", "5") is OK
    assert str(copies.run("INCR", "n")).startswith("WRONGTYPE")


def test_sets_answer_what_a_look_before_showed() -> None:
    copies = Copies("crdt")
    assert copies.run("SADD", "s", "b", "a", "a") == 2
    assert copies.run("SADD", "s", "b", "c") == 1
    assert copies.run("SMEMBERS", "s") == ReplySet([b"a", b"b", b"c"])
    assert (copies.run("SCARD", "s"), copies.run("SISMEMBER", "s", "a")) == (3, 1)
    assert copies.run("SMISMEMBER", "s", "a", "x") == [1, 0]
    assert copies.run("SSCAN", "s", "0", "MATCH", "[ab]") == [b"0", [b"a", b"b"]]
    assert copies.run("SREM", "s", "a", "x") == 1
    assert copies.run("SCARD", "s") == 2
    assert str(copies.run("GET", "s")).startswith("WRONGTYPE")
    assert str(copies.run("HGET", "s", "f")).startswith("WRONGTYPE")
    assert copies.run("MGET", "s") == [None]


def test_hashes_are_kept_field_by_field() -> None:
    copies = Copies("crdt")
    assert copies.run("HSET", "h", "f", 1, "g", 2) == 2
    assert copies.run("HSET", "h", "f", 3) == 0
    assert copies.run("HMSET", "h", "i", "") is OK
    assert copies.run("HGETALL", "h") == {b"f": b"3", b"g": b"2", b"i": b""}
    assert copies.run("HMGET", "h", "f", "x") == [b"3", None]
    assert (copies.run("HLEN", "h"), copies.run("HEXISTS", "h", "f"), copies.run("HSTRLEN", "h", "f")) == (3, 1, 1)
    assert (copies.run("HKEYS", "h"), copies.run("HVALS", "h")) == ([b"f", b"g", b"i"], [b"3", b"2", b""])
    assert copies.run("HSCAN", "h", "0", "MATCH", "g") == [b"0", [b"g", b"2"]]
    assert copies.run("HDEL", "h", "f", "x") == 1
    assert copies.run("HGET", "h", "f") is None
    assert str(copies.run("HSET", "h", "f")).startswith("ERR wrong number")


def test_siblings_are_shown_and_resolved() -> None:
    copies = Copies("siblings")
    copies.run("SET", "k", "a")
    copies.run("SET", "k", "b")
    refused = copies.run("GET", "k")
    assert isinstance(refused, ReplyError)
    assert refused.code == "SIBLINGS"
    assert "2 concurrent values" in refused.text
    token, values = copies.run("QUORATE.SIBLINGS", "k")  # type: ignore[misc]
    assert sorted(values) == [b"a", b"b"]
    assert copies.run("SET", "k", "late") is OK
    assert copies.run("QUORATE.RESOLVE", "k", token, "ab") == 2
    token, values = copies.run("QUORATE.SIBLINGS", "k")  # type: ignore[misc]
    assert sorted(values) == [b"ab", b"late"]
    assert copies.run("QUORATE.RESOLVE", "k", token) == 0
    assert copies.run("GET", "k") is None


def test_a_connection_replaces_what_it_has_seen_and_nothing_else() -> None:
    """GET then SET, as Redis clients do it, must make no siblings; a value that was never shown must not vanish."""
    copies = Copies("siblings")
    copies.run("SET", "k", "a", owner="one")
    copies.run("SET", "k", "b", owner="one")
    assert copies.run("GET", "k", owner="two") == b"b"
    copies.run("SET", "k", "c", owner="two")
    assert copies.run("GET", "k", owner="one") == b"c"
    copies.run("SET", "k", "d", owner="three")
    assert str(copies.run("GET", "k", owner="one")).startswith("SIBLINGS")
    copies.run("SET", "k", "e", owner="one")
    assert sorted(copies.run("QUORATE.SIBLINGS", "k")[1]) == [b"d", b"e"]  # type: ignore[index]


def test_options_go_with_one_command() -> None:
    copies = Copies()
    copies.run("QUORATE.DO", "LEVEL", "all", "NOTE", "seen", "SET", "k", "v")
    assert copies.asked[-1].level == "ALL"
    value, token, notes = copies.run("QUORATE.ASK", "READ", 2, "TOKEN", "TIMEOUT", 50, "get", "k")  # type: ignore[misc]
    assert (value, notes) == (b"v", [b"seen"])
    assert (copies.asked[-1].level, copies.asked[-1].timeout) == ("2", 50_000_000)
    copies.run("QUORATE.ASK", "ATLEAST", token, "GET", "k")
    assert copies.asked[-1].at_least == token


def test_several_tokens_are_asked_for_until_all_are_included() -> None:
    copies = Copies()
    tokens = []
    for value in ("a", "b"):
        _, token, _ = copies.run("QUORATE.DO", "TOKEN", "SET", "k", value)  # type: ignore[misc]
        tokens.append(token)
    assert copies.run("QUORATE.ASK", "ATLEAST", tokens[0], "ATLEAST", tokens[1], "GET", "k") == b"b"
    del copies.cells[b"k"]
    stale = copies.run("QUORATE.ASK", "ATLEAST", tokens[0], "ATLEAST", tokens[1], "GET", "k")
    assert str(stale).startswith("STALE")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("QUORATE.DO", "LEVEL", "SOME", "SET", "k", "v"), "a level is a number"),
        (("QUORATE.DO", "LEVEL"), "has no value"),
        (("QUORATE.DO", "LEVEL", "ONE"), "no command behind"),
        (("QUORATE.DO", "TIMEOUT", "0", "GET", "k"), "TIMEOUT is from 1"),
        (("QUORATE.DO", "QUORATE.DO", "GET", "k"), "cannot be nested"),
        (("QUORATE.ASK", "TOKEN", "MGET", "a", "b"), "speak of one key"),
        (("SET", "k", "v", "NX"), "SET NX needs one order"),
        (("SET", "k", "v", "EX", "5"), "takes no expiry"),
        (("SETNX", "k", "v"), "SETNX is refused in keyspace carts: it needs one order of all writes"),
        (("EXPIRE", "k", "1"), "do not end by themselves"),
        (("LPUSH", "k", "1"), "holds strings, counters, sets and hashes"),
        (("ZADD", "k", "1", "m"), "holds strings, counters, sets and hashes"),
        (("SINTER", "a", "b"), "as of one moment"),
        (("FLUSHDB",), "no node holds all keys"),
        (("QUORATE.EXEC", "x"), "MULTI/EXEC is refused in keyspace carts"),
        (("QUORATE.VERSIONS", "x"), "WATCH is refused"),
        (("QUORATE.PUT", "k", "v"), "db.keyspace(name)"),
        (("GET",), "wrong number of arguments"),
        (("SCAN", "x"), "invalid cursor"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_the_reason(words: tuple[str, ...], sentence: str) -> None:
    assert sentence in str(Copies().run(*words))


def test_every_command_of_the_store_is_honoured_or_has_a_reason() -> None:
    """A user who types any command of Redis into a leaderless keyspace learns why not, by its name."""
    copies = Copies()
    for name, spec in sorted(COMMANDS.items()):
        if name not in ENTRIES and name not in (b"DBSIZE", b"KEYS", b"SCAN"):
            args = [b"0"] * (abs(spec.arity) - 1)
            assert "is refused in keyspace carts" in str(copies.run(name, *args)), name


def test_commands_of_one_connection_with_one_key_go_one_after_another() -> None:
    """DEL looks first; an EXISTS behind it in a pipeline must not overtake it."""
    copies = Copies()
    callers = [Caller() for _ in range(5)]
    lines = ([b"SET", b"x", b"1"], [b"DEL", b"y", b"x"], [b"EXISTS", b"x"], [b"SET", b"x", b"2"], [b"MGET", b"x", b"y"])
    for caller, args in zip(callers, lines, strict=True):
        copies.jobs.execute(args, Options(), caller, "one")
    other = Caller()
    copies.jobs.execute([b"GET", b"x"], Options(), other, "two")
    assert len(copies.jobs.take()) == 2, "the first of each connection"
    copies.jobs.end_all()
    assert all(len(caller.replies) == 1 for caller in (*callers, other))

    copies = Copies()
    callers = [Caller() for _ in range(5)]
    for caller, args in zip(callers, lines, strict=True):
        copies.jobs.execute(args, Options(), caller, "one")
    copies.answer()
    assert [caller.replies for caller in callers] == [[OK], [1], [0], [OK], [[b"2", None]]]
    assert not copies.jobs._under_way, "nothing is remembered of commands that have ended"


def test_the_end_of_a_turn_is_asked_for_whenever_there_is_something_to_send() -> None:
    """Else requests would wait for whatever ends the next turn."""
    copies = Copies("crdt")
    copies.run("GET", "k")
    assert copies.wake_count == 1
    copies.run("SADD", "s", "a")
    assert copies.wake_count == 3, "the look, then the write that it led to"


def test_an_error_says_truly_whether_it_happened() -> None:
    copies = Copies()
    copies.failures = {b"gone": ("UNREACHABLE", "no"), b"late": ("UNREACHABLE", "maybe"), b"slow": ("TIMEDOUT", "no")}
    assert str(copies.run("SET", "gone", "v")).startswith("UNREACHABLE ")
    assert str(copies.run("SET", "late", "v")).startswith("TIMEDOUT ")
    assert str(copies.run("SET", "slow", "v")).startswith("UNREACHABLE ")
    assert str(copies.run("MSET", "a", "1", "gone", "2")).startswith("UNKNOWN 1 of 2 keys were written")
    assert str(copies.run("MSET", "gone", "1")).startswith("UNREACHABLE ")
    assert str(copies.run("MGET", "a", "gone")).startswith("UNREACHABLE ")
    assert copies.jobs.pending_count == 0


def test_a_look_that_fails_does_not_keep_a_write_from_being_made() -> None:
    """The count in the answer is a courtesy; the write must go wherever a write can go."""
    copies = Copies("crdt")
    asked: list[bool] = []
    answer = copies._answer

    def first_fails(request: object) -> None:
        asked.append(True)
        copies.failures = {b"s": ("UNREACHABLE", "no")} if len(asked) == 1 else {}
        answer(request)  # type: ignore[arg-type]

    copies._answer = first_fails  # type: ignore[method-assign]
    assert copies.run("SADD", "s", "a") == 1
    assert copies.run("SCARD", "s") == 1


def test_a_keyspace_that_promises_sessions_keeps_them_for_a_connection() -> None:
    copies = Copies(keeps_reads=True)
    copies.run("SET", "k", "v", owner="one")
    copies.run("GET", "k", owner="one")
    assert copies.asked[-1].at_least == copies.rule.token(copies.cells[b"k"])
    copies.run("GET", "k", owner="two")
    assert copies.asked[-1].at_least == b""
    copies.run("GET", "k", owner="one", options=Options(keyspace="carts"))
    assert copies.asked[-1].at_least == b"", "whoever names the keyspace keeps its session itself"


def test_the_end_of_a_node_says_of_each_request_whether_it_may_have_happened() -> None:
    copies = Copies()
    sent, unsent, read = Caller(), Caller(), Caller()
    copies.jobs.execute([b"SET", b"a", b"1"], Options(), sent)
    copies.jobs.execute([b"GET", b"a"], Options(), read)
    copies.jobs.take()
    copies.jobs.execute([b"SET", b"b", b"1"], Options(), unsent)
    copies.jobs.end_all()
    assert [str(one.replies[0]).split()[0] for one in (sent, unsent, read)] == ["STOPPED", "UNREACHABLE", "UNREACHABLE"]
    assert copies.jobs.pending_count == 0
