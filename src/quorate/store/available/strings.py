"""Strings, counters and keys of leaderless keyspaces."""

from quorate.protocols.leaderless import AnyChange, Count, Delete, Put
from quorate.store.available.work import Call, Step, Work, check_kind, honoured, one_value
from quorate.store.parse import INT_MAX, INT_MIN, integer, syntax_error
from quorate.store.reply import OK, CommandError, SimpleString, wrong_arity
from quorate.store.shapes import ALL, PAIRS, clamp

_COUNT_AT_ONCE_MAX = 10_000
"""Keys of one command."""


def read_one(call: Call) -> Work:
    """Answer the value at a key."""
    key = call.args[1]
    (outcome,) = yield (Step(key),)
    return one_value(call.seen(outcome), key)


honoured("GET")(read_one)


@honoured("STRLEN")
def strlen(call: Call) -> Work:
    """Answer how many bytes a string has."""
    (outcome,) = yield (Step(call.args[1]),)
    return len(one_value(call.seen(outcome), call.args[1]) or b"")


def _range(call: Call) -> Work:
    start, end = integer(call.args[2]), integer(call.args[3])
    (outcome,) = yield (Step(call.args[1]),)
    value = one_value(call.seen(outcome), call.args[1]) or b""
    first, stop = clamp(start, end, len(value))
    return value[first:stop]


honoured("GETRANGE")(_range)
honoured("SUBSTR")(_range)


@honoured("MGET", ALL)
def mget(call: Call) -> Work:
    """Answer the values of several keys, each read for itself; None for what is absent or no string."""
    keys = _keys(call)
    outcomes = yield [Step(key) for key in keys]
    found: list[bytes | None] = []
    for key, outcome in zip(keys, outcomes, strict=True):
        seen = call.seen(outcome)
        found.append(one_value(seen, key) if seen.kind in ("string", "counter") else None)
    return list(found)


@honoured("SET", write=True)
def set_(call: Call) -> Work:
    """Set a string; options that look at the old value, or end the key, are refused."""
    for word in call.args[3:]:
        name = word.upper()
        if name in (b"NX", b"XX", b"GET"):
            raise CommandError(
                "ERR", f"SET {name.decode()} needs one order of all writes; a leaderless keyspace has none"
            )
        if name != b"KEEPTTL":
            raise CommandError(
                "ERR", "keys of a leaderless keyspace do not end by themselves: SET takes no expiry here"
            )
    yield (Step(call.args[1], Put(call.args[2], call.note)),)
    return OK


@honoured("MSET", PAIRS, write=True)
def mset(call: Call) -> Work:
    """Set several strings, each for itself: not all or none."""
    if len(call.args) % 2 == 0:
        raise CommandError(wrong_arity(b"mset").code, wrong_arity(b"mset").text)
    pairs = dict(zip(call.args[1::2], call.args[2::2], strict=True))
    if len(pairs) > _COUNT_AT_ONCE_MAX:
        raise CommandError("TOOLARGE", f"at most {_COUNT_AT_ONCE_MAX} keys at once")
    yield [Step(key, Put(value, call.note)) for key, value in pairs.items()]
    return OK


def _count(call: Call, amount: int) -> Work:
    if not INT_MIN <= amount <= INT_MAX:
        raise CommandError("ERR", "value is not an integer or out of range")
    (outcome,) = yield (Step(call.args[1], Count(amount)),)
    seen = call.seen(outcome)
    # Fire and forget answers before there is a cell.
    return int(seen.values[0]) if seen.kind == "counter" and seen.values else 0


@honoured("INCR", write=True)
def incr(call: Call) -> Work:
    """Add one to a counter; the answer is the sum as this node knows it."""
    return _count(call, 1)


@honoured("DECR", write=True)
def decr(call: Call) -> Work:
    """Take one from a counter."""
    return _count(call, -1)


@honoured("INCRBY", write=True)
def incrby(call: Call) -> Work:
    """Add to a counter."""
    return _count(call, integer(call.args[2]))


@honoured("DECRBY", write=True)
def decrby(call: Call) -> Work:
    """Take from a counter."""
    return _count(call, -integer(call.args[2]))


def _delete(call: Call) -> Work:
    keys = list(dict.fromkeys(_keys(call)))
    looks = yield [Step(key, level="ONE", is_look=True) for key in keys]
    there = [call.seen(look).kind != "none" for look in looks]
    yield [Step(key, Delete(call.note), context=call.token(look)) for key, look in zip(keys, looks, strict=True)]
    return sum(there)


honoured("DEL", ALL, write=True)(_delete)
honoured("UNLINK", ALL, write=True)(_delete)


def _exists(call: Call) -> Work:
    outcomes = yield [Step(key) for key in _keys(call)]
    return sum(call.seen(outcome).kind != "none" for outcome in outcomes)


honoured("EXISTS", ALL)(_exists)
honoured("TOUCH", ALL)(_exists)


@honoured("TYPE")
def type_(call: Call) -> Work:
    """Answer what a key holds; a counter is a string, as in Redis."""
    (outcome,) = yield (Step(call.args[1]),)
    kind = call.seen(outcome).kind
    return SimpleString("string" if kind == "counter" else kind)


def _ttl(call: Call) -> Work:
    (outcome,) = yield (Step(call.args[1]),)
    return -2 if call.seen(outcome).kind == "none" else -1


for _name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"):
    honoured(_name)(_ttl)


@honoured("QUORATE.SIBLINGS")
def siblings(call: Call) -> Work:
    """Answer [token, values]: all concurrent values of a string, and what to resolve them with."""
    (outcome,) = yield (Step(call.args[1]),)
    seen = call.seen(outcome)
    check_kind(seen, call.args[1], "string", "counter")
    return [call.token(outcome), list(seen.values)]


@honoured("QUORATE.RESOLVE", write=True)
def resolve(call: Call) -> Work:
    """Replace what a token has seen by one value, or by nothing; answer how many values there are then."""
    _, key, token, *rest = call.args
    if len(rest) > 1:
        raise syntax_error()
    change: AnyChange = Put(rest[0], call.note) if rest else Delete(call.note)
    (outcome,) = yield (Step(key, change, context=token),)
    return len(call.seen(outcome).values)


def _keys(call: Call) -> list[bytes]:
    keys = call.args[1:]
    if len(keys) > _COUNT_AT_ONCE_MAX:
        raise CommandError("TOOLARGE", f"at most {_COUNT_AT_ONCE_MAX} keys at once")
    return keys
