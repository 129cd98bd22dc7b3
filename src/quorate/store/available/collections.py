"""Sets and hashes of leaderless keyspaces.

Counts in answers to writes (how many were new) compare with a look at the nearest copy just before.
"""

from collections.abc import Iterator

from quorate.protocols.leaderless import Add, Remove, RemoveFields, Seen, SetFields
from quorate.store.available.work import Call, Outcome, Step, Work, check_kind, honoured
from quorate.store.reply import OK, CommandError, Reply, ReplySet, wrong_arity
from quorate.store.shapes import ScanOptions


def _members(call: Call, outcome: Outcome) -> tuple[bytes, ...]:
    seen = call.seen(outcome)
    check_kind(seen, call.args[1], "set")
    return seen.values


def _fields(call: Call, outcome: Outcome) -> dict[bytes, bytes]:
    seen = call.seen(outcome)
    check_kind(seen, call.args[1], "hash")
    return dict(pairs(seen))


def pairs(seen: Seen) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a hash with their values."""
    return zip(seen.values[::2], seen.values[1::2], strict=True)


def _look(call: Call) -> Step:
    return Step(call.args[1], level="ONE", is_look=True)


# ── sets ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@honoured("SADD", write=True)
def sadd(call: Call) -> Work:
    """Add members; answer how many were not there."""
    members = tuple(dict.fromkeys(call.args[2:]))
    (look,) = yield (_look(call),)
    held = dict.fromkeys(_members(call, look))
    yield (Step(call.args[1], Add(members)),)
    return sum(member not in held for member in members)


@honoured("SREM", write=True)
def srem(call: Call) -> Work:
    """Remove members; answer how many were there."""
    members = tuple(dict.fromkeys(call.args[2:]))
    (look,) = yield (_look(call),)
    held = dict.fromkeys(_members(call, look))
    yield (Step(call.args[1], Remove(members)),)
    return sum(member in held for member in members)


@honoured("SMEMBERS")
def smembers(call: Call) -> Work:
    """Answer all members."""
    (outcome,) = yield (Step(call.args[1]),)
    return ReplySet(list(_members(call, outcome)))


@honoured("SCARD")
def scard(call: Call) -> Work:
    """Answer how many members there are."""
    (outcome,) = yield (Step(call.args[1]),)
    return len(_members(call, outcome))


@honoured("SISMEMBER")
def sismember(call: Call) -> Work:
    """Answer whether something is a member."""
    (outcome,) = yield (Step(call.args[1]),)
    return int(call.args[2] in _members(call, outcome))


@honoured("SMISMEMBER")
def smismember(call: Call) -> Work:
    """Answer which of several are members."""
    (outcome,) = yield (Step(call.args[1]),)
    held = dict.fromkeys(_members(call, outcome))
    return [int(member in held) for member in call.args[2:]]


@honoured("SSCAN")
def sscan(call: Call) -> Work:
    """Answer members, step by step; each step is a read of its own."""
    options = ScanOptions(call.args, 2)
    (outcome,) = yield (Step(call.args[1]),)
    members = _members(call, outcome)
    cursor, found = options.select(members, len(members))
    return [cursor, list(found)]


# ── hashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _set_fields(call: Call) -> Work:
    name = call.args[0].decode().lower()
    if len(call.args) % 2:
        raise CommandError(wrong_arity(name.encode()).code, wrong_arity(name.encode()).text)
    wanted = dict(zip(call.args[2::2], call.args[3::2], strict=True))
    (look,) = yield (_look(call),)
    held = _fields(call, look)
    yield (Step(call.args[1], SetFields(tuple(wanted.items()))),)
    return sum(field not in held for field in wanted)


honoured("HSET", write=True)(_set_fields)


@honoured("HMSET", write=True)
def hmset(call: Call) -> Work:
    """Set fields; answer OK."""
    yield from _set_fields(call)
    return OK


@honoured("HDEL", write=True)
def hdel(call: Call) -> Work:
    """Remove fields; answer how many were there."""
    fields = tuple(dict.fromkeys(call.args[2:]))
    (look,) = yield (_look(call),)
    held = _fields(call, look)
    yield (Step(call.args[1], RemoveFields(fields)),)
    return sum(field in held for field in fields)


@honoured("HGET")
def hget(call: Call) -> Work:
    """Answer the value of a field."""
    (outcome,) = yield (Step(call.args[1]),)
    return _fields(call, outcome).get(call.args[2])


@honoured("HMGET")
def hmget(call: Call) -> Work:
    """Answer the values of several fields."""
    (outcome,) = yield (Step(call.args[1]),)
    fields = _fields(call, outcome)
    return [fields.get(field) for field in call.args[2:]]


@honoured("HGETALL")
def hgetall(call: Call) -> Work:
    """Answer all fields and values."""
    (outcome,) = yield (Step(call.args[1]),)
    fields: dict[Reply, Reply] = dict(_fields(call, outcome).items())
    return fields


@honoured("HLEN")
def hlen(call: Call) -> Work:
    """Answer how many fields there are."""
    (outcome,) = yield (Step(call.args[1]),)
    return len(_fields(call, outcome))


@honoured("HEXISTS")
def hexists(call: Call) -> Work:
    """Answer whether there is a field."""
    (outcome,) = yield (Step(call.args[1]),)
    return int(call.args[2] in _fields(call, outcome))


@honoured("HSTRLEN")
def hstrlen(call: Call) -> Work:
    """Answer how many bytes the value of a field has."""
    (outcome,) = yield (Step(call.args[1]),)
    return len(_fields(call, outcome).get(call.args[2], b""))


@honoured("HKEYS")
def hkeys(call: Call) -> Work:
    """Answer all fields."""
    (outcome,) = yield (Step(call.args[1]),)
    return list(_fields(call, outcome))


@honoured("HVALS")
def hvals(call: Call) -> Work:
    """Answer all values."""
    (outcome,) = yield (Step(call.args[1]),)
    return list(_fields(call, outcome).values())


@honoured("HSCAN")
def hscan(call: Call) -> Work:
    """Answer fields and values, step by step; each step is a read of its own."""
    options = ScanOptions(call.args, 2)
    (outcome,) = yield (Step(call.args[1]),)
    fields = _fields(call, outcome)
    cursor, found = options.select(fields, len(fields))
    return [cursor, [part for field in found for part in (field, fields[field])]]
