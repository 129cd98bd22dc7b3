"""Claims about the store's fidelity: the same commands get the same replies from it and from Redis 7.0."""

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from quorate.kernel import LogIndex
from quorate.store import (
    Command,
    KeyValueStore,
    MemoryBase,
    NilArray,
    Pairs,
    ReplyError,
    ReplySet,
    SimpleString,
    format_double,
)

pytestmark = pytest.mark.real

KEYS = [b"a", b"b", b"c", b"d"]
FIELDS = [b"f1", b"f2", b"f3", b"1", b"22"]
VALUES = [b"", b"x", b"hello world", b"10", b"-3", b"3.5", b"0", b"\x00\xff", b"9223372036854775807", b"abcabc"]
NUMBERS = [b"0", b"1", b"2", b"-1", b"-2", b"5", b"100", b"x", b"1.5", b"", b"+1", b"01", b"9223372036854775807"]
SMALL = [b"0", b"1", b"2", b"3", b"-1", b"-2", b"-3", b"7"]
SCORES = [b"0", b"1", b"2", b"2", b"3.25", b"-1", b"inf", b"-inf", b"0.1", b"1e3", b"x", b"1e400"]
BOUNDS = [b"-inf", b"+inf", b"0", b"1", b"(1", b"(2", b"3.25", b"inf", b"(-inf", b"x"]
LEX = [b"-", b"+", b"[f1", b"(f1", b"[f3", b"(f2", b"[1", b"x", b"["]
FLOATS = [b"0.1", b"1", b"-2.5", b"3e2", b"x", b"1e-3", b"inf", b"10.5", b"", b"0.30000000000000004"]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a Redis of our own, on a unix socket, without persistence."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.fail("redis-server is not on the PATH: install the package redis-server (7.0)")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "s"
    server = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not path.exists():
            assert server.poll() is None and time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)
        yield path
    finally:
        server.terminate()
        server.wait()


class Peer:
    """A connection that keeps the types of what it reads."""

    def __init__(self, path: Path, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")
        self.call([b"HELLO", str(protocol).encode()])
        self.call([b"FLUSHALL"])

    def call(self, args: list[bytes]) -> object:
        self._socket.sendall(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args))
        return self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def _read(self) -> object:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            if rest == b"-1":
                return ("null",)
            data = self._file.read(int(rest) + 2)[:-2]
            return ("bulk", data)
        if kind in (b"*", b"~"):
            if rest == b"-1":
                return ("null array",)
            return ("array" if kind == b"*" else "set", [self._read() for _ in range(int(rest))])
        if kind == b"%":
            return ("map", [(self._read(), self._read()) for _ in range(int(rest))])
        names = {b"+": "simple", b"-": "error", b":": "int", b",": "double", b"#": "bool"}
        return ("null",) if kind == b"_" else (names[kind], rest)


def shaped(reply: object, protocol: int) -> object:
    """Return a reply as `Peer` would read it."""
    match reply:
        case bytes():
            return ("bulk", reply)
        case bool():
            return ("bool", b"t" if reply else b"f") if protocol == 3 else ("int", b"%d" % reply)
        case int():
            return ("int", b"%d" % reply)
        case float():
            return ("double" if protocol == 3 else "bulk", format_double(reply))
        case None:
            return ("null",)
        case NilArray():
            return ("null",) if protocol == 3 else ("null array",)
        case list():
            return ("array", [shaped(item, protocol) for item in reply])
        case ReplySet():
            return ("set" if protocol == 3 else "array", [shaped(item, protocol) for item in reply.items])
        case dict():
            pairs = [(shaped(key, protocol), shaped(value, protocol)) for key, value in reply.items()]
            return ("map", pairs) if protocol == 3 else ("array", [part for pair in pairs for part in pair])
        case Pairs():
            nested = [[shaped(left, protocol), shaped(right, protocol)] for left, right in reply.items]
            if protocol == 3:
                return ("array", [("array", pair) for pair in nested])
            return ("array", [part for pair in nested for part in pair])
        case SimpleString():
            return ("simple", reply.text.encode())
        case ReplyError():
            return ("error", str(reply).encode())
    raise AssertionError(reply)


UNORDERED = {b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"HKEYS", b"HVALS", b"KEYS", b"SPOP", b"SRANDMEMBER"}
PAIRED = {b"HGETALL", b"HRANDFIELD", b"HSCAN", b"ZRANDMEMBER"}


def normal(args: list[bytes], shape: object) -> object:
    """Forget the order of what has none."""
    assert isinstance(shape, tuple)
    name = args[0]
    if name == b"OBJECT" and shape[1:] in (
        (b"int",),
        (b"embstr",),
        (b"raw",),
        (b"intset",),
        (b"hashtable",),
        (b"listpack",),
    ):
        # Redis remembers how a string or set came about; we go by what it is now.
        return ("bulk", b"some")
    if name in (b"SSCAN", b"HSCAN", b"ZSCAN", b"SCAN") and shape[0] == "array":
        cursor, names = shape[1]
        return (cursor, normal([b"HGETALL" if name in (b"HSCAN", b"ZSCAN") else b"KEYS"], names))
    if len(shape) < 2 or not isinstance(shape[1], list):
        return shape
    items = shape[1]
    if name in UNORDERED or shape[0] in ("map", "set"):
        return (shape[0], sorted(items, key=repr))
    if name == b"HGETALL" or (name in PAIRED and len(args) == 4 and items and items[0][0] != "array"):
        return (shape[0], sorted(zip(items[::2], items[1::2], strict=True), key=repr))
    return (shape[0], sorted(items, key=repr)) if name in PAIRED else shape


Choose = Callable[[list[bytes]], bytes]


def strings(rng: random.Random, one: Choose) -> list[bytes]:
    key, number, value = one(KEYS), one(NUMBERS), one(VALUES)
    option = rng.sample([b"NX", b"XX", b"GET", b"KEEPTTL", b"get"], rng.randrange(4))
    return rng.choice(
        [
            [b"SET", key, value, *option],
            [b"SET", key, value, one([b"EX", b"PX", b"EXAT", b"bad"]), one([b"100000000000", b"0", b"x", b"-5"])],
            [b"SET", key, one([b"5", b"12", b"1.5"])],
            [b"GET", key],
            [b"MGET", key, one(KEYS), one(KEYS)],
            [b"MSET", key, value, one(KEYS), one(VALUES)],
            [b"MSET", key, value, one(KEYS)],
            [b"MSETNX", key, value, one(KEYS), one(VALUES)],
            [b"SETNX", key, value],
            [b"SETEX", key, one([b"100000", b"0", b"x", b"-1"]), value],
            [b"PSETEX", key, one([b"100000000", b"0", b"x"]), value],
            [b"GETSET", key, value],
            [b"GETDEL", key],
            [b"GETEX", key],
            [b"GETEX", key, b"PERSIST"],
            [b"GETEX", key, b"EXAT", one([b"99999999999", b"0", b"9999999999999999999"])],
            [b"APPEND", key, value],
            [b"STRLEN", key],
            [b"GETRANGE", key, number, one(NUMBERS)],
            [b"SUBSTR", key, one(SMALL), one(SMALL)],
            [b"SETRANGE", key, one([b"0", b"3", b"-1", b"x", b"10"]), value],
            [b"INCR", key],
            [b"DECR", key],
            [b"INCRBY", key, number],
            [b"DECRBY", key, one([*NUMBERS, b"-9223372036854775808"])],
            [b"INCRBYFLOAT", key, one(FLOATS)],
            [b"SETBIT", key, one([b"0", b"7", b"9", b"30", b"-1", b"x"]), one([b"0", b"1", b"2"])],
            [b"GETBIT", key, one([b"0", b"7", b"9", b"100", b"x"])],
            [b"BITCOUNT", key],
            [b"BITCOUNT", key, one(SMALL), one(SMALL), *rng.choice([[], [b"BIT"], [b"BYTE"], [b"x"]])],
            [b"BITCOUNT", key, b"1"],
            [b"BITPOS", key, one([b"0", b"1", b"2"])],
            [b"BITPOS", key, one([b"0", b"1"]), one(SMALL)],
            [b"BITPOS", key, one([b"0", b"1"]), one(SMALL), one(SMALL), *rng.choice([[], [b"BIT"], [b"BYTE"]])],
            [b"BITOP", one([b"AND", b"OR", b"XOR", b"NOT", b"x"]), key, *rng.choices(KEYS, k=rng.randrange(1, 3))],
            [b"SADD", key, value],
        ]
    )


def keys(rng: random.Random, one: Choose) -> list[bytes]:
    key, other = one(KEYS), one(KEYS)
    at = one([b"99999999999", b"88888888888", b"1", b"x", b"9999999999999999"])
    flags = rng.sample([b"NX", b"XX", b"GT", b"LT", b"gt", b"bad"], rng.choice([0, 0, 1, 1, 2]))
    return rng.choice(
        [
            [b"SET", key, b"v"],
            [b"RPUSH", key, b"v"],
            [b"ZADD", key, b"1", b"m"],
            [b"HSET", key, b"f", b"v"],
            [b"DEL", key, other],
            [b"UNLINK", key],
            [b"EXISTS", key, other, key],
            [b"TOUCH", key, other],
            [b"TYPE", key],
            [b"RENAME", key, other],
            [b"RENAMENX", key, other],
            [b"COPY", key, other, *rng.choice([[], [b"REPLACE"], [b"DB", b"0"], [b"DB", b"99"], [b"x"], [b"DB"]])],
            [b"MOVE", key, one([b"0", b"1", b"99", b"x"])],
            [b"EXPIREAT", key, at, *flags],
            [b"PEXPIREAT", key, at, *flags],
            [b"EXPIRE", key, one([b"0", b"-1", b"x", b"9223372036854775807"]), *flags],
            [b"PEXPIRE", key, one([b"0", b"-1", b"x", b"9223372036854775807"])],
            [b"EXPIRETIME", key],
            [b"PEXPIRETIME", key],
            [b"PERSIST", key],
            [b"DBSIZE"],
            [b"KEYS", one([b"*", b"a", b"[a-c]", b"[^a]", b"?", b"b*", b"\\a", b"*a*", b"[a", b"x*"])],
            [b"SCAN", b"0", b"COUNT", b"100", *rng.choice([[], [b"MATCH", b"[ab]"], [b"TYPE", b"string"]])],
            [b"SCAN", one([b"x", b"0"]), b"COUNT", one([b"0", b"x", b"100"])],
            [b"OBJECT", b"ENCODING", key],
            [b"OBJECT", b"REFCOUNT", b"nokey"],
            [b"FLUSHDB", one([b"ASYNC", b"SYNC", b"x"])],
            [b"FLUSHALL"],
        ]
    )


def hashes(rng: random.Random, one: Choose) -> list[bytes]:
    key, field, value = one(KEYS), one(FIELDS), one(VALUES)
    return rng.choice(
        [
            [b"HSET", key, field, value, one(FIELDS), one(VALUES)],
            [b"HSET", key, field, value, one(FIELDS)],
            [b"HMSET", key, field, value],
            [b"HMSET", key, field, value, field],
            [b"HSETNX", key, field, value],
            [b"HGET", key, field],
            [b"HMGET", key, field, one(FIELDS)],
            [b"HDEL", key, field, one(FIELDS)],
            [b"HLEN", key],
            [b"HSTRLEN", key, field],
            [b"HEXISTS", key, field],
            [b"HKEYS", key],
            [b"HVALS", key],
            [b"HGETALL", key],
            [b"HINCRBY", key, field, one(NUMBERS)],
            [b"HINCRBYFLOAT", key, field, one(FLOATS)],
            [b"HRANDFIELD", key, b"100"],
            [b"HRANDFIELD", key, b"100", b"WITHVALUES"],
            [b"HRANDFIELD", key, one([b"0", b"x"]), one([b"WITHVALUES", b"bad"])],
            [b"HRANDFIELD", b"nokey"],
            [b"HSCAN", key, b"0", *rng.choice([[], [b"MATCH", b"f*"], [b"COUNT", b"x"], [b"MATCH"], [b"COUNT", b"0"]])],
            [b"OBJECT", b"ENCODING", key],
            [b"SET", b"d", value],
            [b"DEL", b"d"],
        ]
    )


def sets(rng: random.Random, one: Choose) -> list[bytes]:
    key, other, member = one(KEYS), one(KEYS), one(FIELDS)
    return rng.choice(
        [
            [b"SADD", key, *rng.choices(FIELDS, k=3)],
            [b"SADD", key, *rng.choices([b"1", b"2", b"30"], k=2)],
            [b"SREM", key, member, one(FIELDS)],
            [b"SCARD", key],
            [b"SISMEMBER", key, member],
            [b"SMISMEMBER", key, member, one(FIELDS)],
            [b"SMEMBERS", key],
            [b"SMOVE", key, other, member],
            [b"SPOP", key, one([b"100", b"0", b"-1", b"x"])],
            [b"SPOP", b"nokey"],
            [b"SPOP", key, b"1", b"2"],
            [b"SRANDMEMBER", key, one([b"100", b"0", b"x"])],
            [b"SRANDMEMBER", b"nokey"],
            [b"SINTER", key, other],
            [b"SUNION", key, other],
            [b"SDIFF", key, other, one(KEYS)],
            [b"SINTERSTORE", one(KEYS), key, other],
            [b"SUNIONSTORE", one(KEYS), key, other],
            [b"SDIFFSTORE", one(KEYS), key, other],
            [b"SINTERCARD", one([b"2", b"1", b"0", b"x", b"9"]), key, other],
            [b"SINTERCARD", b"2", key, other, b"LIMIT", one([b"1", b"0", b"-1", b"x"])],
            [b"SSCAN", key, b"0", *rng.choice([[], [b"MATCH", b"f[12]"], [b"bad"]])],
            [b"OBJECT", b"ENCODING", key],
            [b"SET", b"d", b"v"],
            [b"DEL", b"d"],
        ]
    )


def lists(rng: random.Random, one: Choose) -> list[bytes]:
    key, other, element = one(KEYS), one(KEYS), one(FIELDS)
    side, far = one([b"LEFT", b"RIGHT", b"left", b"x"]), one([b"LEFT", b"RIGHT"])
    return rng.choice(
        [
            [b"RPUSH", key, *rng.choices(FIELDS, k=3)],
            [b"LPUSH", key, *rng.choices(FIELDS, k=2)],
            [b"RPUSHX", key, element],
            [b"LPUSHX", key, element],
            [one([b"LPOP", b"RPOP"]), key],
            [one([b"LPOP", b"RPOP"]), key, one([b"2", b"0", b"-1", b"x"])],
            [b"LPOP", key, b"1", b"1"],
            [b"LMPOP", one([b"2", b"0", b"x", b"9"]), key, other, side],
            [b"LMPOP", b"1", key, far, b"COUNT", one([b"2", b"0", b"x"])],
            [b"LLEN", key],
            [b"LRANGE", key, one(NUMBERS), one(NUMBERS)],
            [b"LRANGE", key, b"0", b"-1"],
            [b"LINDEX", key, one(NUMBERS)],
            [b"LSET", key, one(SMALL), element],
            [b"LTRIM", key, one(SMALL), one(SMALL)],
            [b"LINSERT", key, one([b"BEFORE", b"AFTER", b"x"]), element, b"new"],
            [b"LREM", key, one(SMALL), element],
            [b"LPOS", key, element],
            [b"LPOS", key, element, b"RANK", one([b"1", b"-1", b"2", b"0", b"-2", b"x"]), b"COUNT", one(SMALL)],
            [b"LPOS", key, element, b"MAXLEN", one([b"0", b"2", b"-1"])],
            [b"LPOS", key, element, b"RANK"],
            [b"LMOVE", key, other, side, far],
            [b"RPOPLPUSH", key, other],
            [b"OBJECT", b"ENCODING", key],
            [b"SET", b"d", b"v"],
            [b"DEL", b"d"],
        ]
    )


def sorted_sets(rng: random.Random, one: Choose) -> list[bytes]:
    key, other, member = one(KEYS), one(KEYS), one(FIELDS)
    flags = rng.sample([b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR", b"ch"], rng.choice([0, 0, 1, 1, 2]))
    low, high = one(BOUNDS), one(BOUNDS)
    limit = rng.choice([[], [b"LIMIT", one(SMALL), one(SMALL)], [b"LIMIT", b"1"]])
    extra = rng.choice([[], [b"WITHSCORES"], [b"bad"]])
    weights = rng.choice([[], [b"WEIGHTS", b"2", b"0.5"], [b"WEIGHTS", b"x", b"1"], [b"WEIGHTS", b"1"]])
    fold = rng.choice([[], [b"AGGREGATE", one([b"MIN", b"MAX", b"sum", b"x"])]])
    return rng.choice(
        [
            [b"ZADD", key, *flags, one(SCORES), member],
            [b"ZADD", key, *flags, one(SCORES), member, one(SCORES), one(FIELDS)],
            [b"ZADD", key, b"1", member, b"2"],
            [b"ZADD", key, b"1", b"f1", b"2", b"f2", b"3", b"f3"],
            [b"ZINCRBY", key, one(SCORES), member],
            [b"ZREM", key, member, one(FIELDS)],
            [b"ZCARD", key],
            [b"ZSCORE", key, member],
            [b"ZMSCORE", key, member, one(FIELDS)],
            [one([b"ZRANK", b"ZREVRANK"]), key, member],
            [one([b"ZPOPMIN", b"ZPOPMAX"]), key],
            [one([b"ZPOPMIN", b"ZPOPMAX"]), key, one([b"2", b"0", b"-1", b"x"])],
            [b"ZMPOP", one([b"2", b"0", b"9"]), key, other, one([b"MIN", b"MAX", b"x"])],
            [b"ZMPOP", b"1", key, b"MIN", b"COUNT", one([b"2", b"0"])],
            [b"ZRANDMEMBER", key, b"100"],
            [b"ZRANDMEMBER", key, b"100", b"WITHSCORES"],
            [b"ZRANDMEMBER", b"nokey", b"1"],
            [b"ZRANDMEMBER", b"nokey"],
            [b"ZSCAN", key, b"0"],
            [one([b"ZRANGE", b"ZREVRANGE"]), key, one(SMALL), one(SMALL), *extra],
            [b"ZRANGE", key, one(SMALL), one(SMALL), *rng.choice([[b"REV"], limit, [b"rev", b"WITHSCORES"]])],
            [b"ZRANGE", key, low, high, b"BYSCORE", *rng.choice([[], [b"REV"]]), *limit, *extra],
            [b"ZRANGE", key, b"-inf", b"+inf", b"BYSCORE", *limit, b"WITHSCORES"],
            [one([b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE"]), key, low, high, *extra, *limit],
            [b"ZRANGE", b"lex", one(LEX), one(LEX), b"BYLEX", *rng.choice([[], [b"REV"], [b"WITHSCORES"]]), *limit],
            [one([b"ZRANGEBYLEX", b"ZREVRANGEBYLEX"]), b"lex", one(LEX), one(LEX), *limit],
            [b"ZADD", b"lex", b"0", b"f1", b"0", b"f2", b"0", b"f3", b"0", b"1"],
            [b"ZRANGESTORE", other, key, low, high, b"BYSCORE", *limit],
            [b"ZRANGESTORE", other, key, one(SMALL), one(SMALL), *rng.choice([[], [b"REV"], [b"WITHSCORES"]])],
            [b"ZCOUNT", key, low, high],
            [b"ZLEXCOUNT", b"lex", one(LEX), one(LEX)],
            [b"ZREMRANGEBYRANK", key, one(SMALL), one(SMALL)],
            [b"ZREMRANGEBYSCORE", key, low, high],
            [b"ZREMRANGEBYLEX", b"lex", one(LEX), one(LEX)],
            [one([b"ZUNION", b"ZINTER"]), b"2", key, other, *weights, *fold, *extra],
            [b"ZDIFF", b"2", key, other, *rng.choice([[], [b"WITHSCORES"], [b"AGGREGATE", b"MIN"]])],
            [one([b"ZUNIONSTORE", b"ZINTERSTORE"]), one(KEYS), b"2", key, other, *weights, *fold],
            [b"ZDIFFSTORE", one(KEYS), one([b"1", b"2", b"0", b"x", b"9"]), key, other],
            [b"ZINTERCARD", b"2", key, other, *rng.choice([[], [b"LIMIT", one([b"1", b"0", b"-1"])]])],
            [b"SADD", b"d", member],
            [b"OBJECT", b"ENCODING", key],
            [b"SET", b"c", b"v"],
            [b"DEL", b"c"],
        ]
    )


def sorting(rng: random.Random, one: Choose) -> list[bytes]:
    key, other = one(KEYS), one(KEYS)
    options = rng.choice(
        [
            [], [b"DESC"], [b"ALPHA"], [b"ALPHA", b"DESC"], [b"LIMIT", one(SMALL), one(SMALL)], [b"BY", b"w_*"],
            [b"BY", b"w_*", b"DESC"], [b"BY", b"h_*->f"], [b"GET", b"w_*"], [b"GET", b"#", b"GET", b"h_*->f"],
            [b"STORE", other], [b"GET", b"w_*", b"STORE", other], [b"LIMIT", b"1"], [b"bad"], [b"GET", b"fixed"],
        ]
    )  # fmt: skip
    return rng.choice(
        [
            [b"SORT", key, *options],
            [b"SORT", key, *options, *rng.choice([[b"LIMIT", b"0", b"2"], [b"ASC"]])],
            [b"SORT_RO", key, *options],
            [b"RPUSH", b"a", *rng.choices([b"3", b"1", b"2", b"10"], k=2)],
            [b"RPUSH", b"c", *rng.choices([b"3", b"1", b"x"], k=2)],
            [b"SADD", b"b", *rng.choices([b"3", b"1", b"2", b"10"], k=2)],
            [b"ZADD", b"d", b"1", b"3", b"2", b"1", b"3", one([b"2", b"x"])],
            [b"MSET", b"w_1", b"5", b"w_2", b"4", b"w_3", one([b"3", b"z"])],
            [b"HSET", b"h_1", b"f", one([b"7", b"0"])],
            [b"SORT", one([b"a", b"d"]), b"BY", b"nosort", *rng.choice([[], [b"LIMIT", b"1", b"2"], [b"GET", b"#"]])],
            [b"SORT", b"d", b"BY", b"nosort", b"DESC"],
            [b"LRANGE", key, b"0", b"-1"],
            [b"DEL", key],
        ]
    )


def mixed(rng: random.Random, one: Choose) -> list[bytes]:
    made = rng.choice([strings, keys, hashes, sets, lists, sorted_sets])(rng, one)
    if rng.random() < 0.05:
        return made[: rng.randrange(1, len(made) + 1)]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    "make", [strings, keys, hashes, sets, lists, sorted_sets, sorting, mixed], ids=lambda make: make.__name__
)
def test_the_same_commands_get_the_same_replies(
    redis: Path, make: Callable[[random.Random, Choose], list[bytes]], protocol: int
) -> None:
    """Random commands over few keys, of one type and of all, errors included word for word."""
    with Peer(redis, protocol) as peer:
        for seed in range(8):
            run(peer, make, seed, protocol)


def run(peer: Peer, make: Callable[[random.Random, Choose], list[bytes]], seed: int, protocol: int) -> None:
    """Give both sides one sequence; stop at the first difference."""
    rng = random.Random(seed)
    store = KeyValueStore(MemoryBase())
    peer.call([b"FLUSHALL"])
    history: list[list[bytes]] = []
    for index in range(1, 250):
        args = make(rng, rng.choice)
        history.append(args)
        theirs = normal(args, peer.call(args))
        wall_ms = time.time_ns() // 1_000_000
        (reply,) = store.apply(LogIndex(index), wall_ms, [Command(0, args)])
        ours = normal(args, shaped(reply, protocol))
        assert ours == theirs, f"seed {seed}: " + "\n".join(map(repr, history[-8:]))
