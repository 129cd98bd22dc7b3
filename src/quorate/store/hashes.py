"""Hashes: fields and values under one key."""

from typing import cast

from quorate.store.command import command
from quorate.store.draws import draw
from quorate.store.extended import add, extended, printed
from quorate.store.parse import INT_MAX, INT_MIN, integer, syntax_error
from quorate.store.reply import OK, CommandError, Pairs, Reply
from quorate.store.shapes import ONE, ScanOptions, check_elements, scan_cursor
from quorate.store.space import Space
from quorate.store.values import Hash


def _fill(space: Space, args: list[bytes]) -> int:
    """Set the fields of HSET and HMSET; return how many are new."""
    key = args[1]
    if len(args) % 2:
        raise CommandError("ERR", f"wrong number of arguments for '{args[0].decode('ascii').lower()}' command")
    entry = space.mutable(key, Hash)
    value = Hash() if entry is None else entry.value
    old_count = len(value)
    check_elements(space, args[2:], old_count + len(args) // 2 - 1)
    for place in range(2, len(args), 2):
        value[args[place]] = args[place + 1]
    added_count = len(value) - old_count
    space.save(key, entry, value)
    return added_count


@command("HSET", -4, "write denyoom fast", ONE)
def hset(space: Space, args: list[bytes]) -> Reply:
    """HSET key field value …."""
    return _fill(space, args)


@command("HMSET", -4, "write denyoom fast", ONE)
def hmset(space: Space, args: list[bytes]) -> Reply:
    """HMSET key field value …."""
    _fill(space, args)
    return OK


@command("HSETNX", 4, "write denyoom fast", ONE)
def hsetnx(space: Space, args: list[bytes]) -> Reply:
    """HSETNX key field value."""
    entry = space.find_as(args[1], Hash)
    if entry is not None and args[2] in entry.value:
        return 0
    return _fill(space, args)


@command("HGET", 3, "readonly fast", ONE)
def hget(space: Space, args: list[bytes]) -> Reply:
    """HGET key field."""
    entry = space.find_as(args[1], Hash)
    return None if entry is None else entry.value.get(args[2])


@command("HMGET", -3, "readonly fast", ONE)
def hmget(space: Space, args: list[bytes]) -> Reply:
    """HMGET key field …."""
    entry = space.find_as(args[1], Hash)
    value = Hash() if entry is None else entry.value
    return [value.get(field) for field in args[2:]]


@command("HDEL", -3, "write fast", ONE)
def hdel(space: Space, args: list[bytes]) -> Reply:
    """HDEL key field …."""
    entry = space.mutable(args[1], Hash)
    if entry is None:
        return 0
    old_count = len(entry.value)
    for field in args[2:]:
        entry.value.pop(field, None)
    removed_count = old_count - len(entry.value)
    if removed_count:
        space.changed(args[1], entry)
    return removed_count


@command("HLEN", 2, "readonly fast", ONE)
def hlen(space: Space, args: list[bytes]) -> Reply:
    """HLEN key."""
    entry = space.find_as(args[1], Hash)
    return 0 if entry is None else len(entry.value)


@command("HSTRLEN", 3, "readonly fast", ONE)
def hstrlen(space: Space, args: list[bytes]) -> Reply:
    """HSTRLEN key field."""
    entry = space.find_as(args[1], Hash)
    return 0 if entry is None else len(entry.value.get(args[2], b""))


@command("HEXISTS", 3, "readonly fast", ONE)
def hexists(space: Space, args: list[bytes]) -> Reply:
    """HEXISTS key field."""
    entry = space.find_as(args[1], Hash)
    return int(entry is not None and args[2] in entry.value)


@command("HKEYS", 2, "readonly", ONE)
def hkeys(space: Space, args: list[bytes]) -> Reply:
    """HKEYS key."""
    entry = space.find_as(args[1], Hash)
    return [] if entry is None else list(entry.value)


@command("HVALS", 2, "readonly", ONE)
def hvals(space: Space, args: list[bytes]) -> Reply:
    """HVALS key."""
    entry = space.find_as(args[1], Hash)
    return [] if entry is None else list(entry.value.values())


@command("HGETALL", 2, "readonly", ONE)
def hgetall(space: Space, args: list[bytes]) -> Reply:
    """HGETALL key: a map."""
    entry = space.find_as(args[1], Hash)
    return {} if entry is None else cast("dict[Reply, Reply]", dict(entry.value))


@command("HINCRBY", 4, "write denyoom fast", ONE)
def hincrby(space: Space, args: list[bytes]) -> Reply:
    """HINCRBY key field increment."""
    delta = integer(args[3])
    entry = space.find_as(args[1], Hash)
    old = None if entry is None else entry.value.get(args[2])
    value = delta if old is None else integer(old, "hash value is not an integer") + delta
    if not INT_MIN <= value <= INT_MAX:
        raise CommandError("ERR", "increment or decrement would overflow")
    _fill(space, [*args[:3], b"%d" % value])
    return value


@command("HINCRBYFLOAT", 4, "write denyoom fast", ONE)
def hincrbyfloat(space: Space, args: list[bytes]) -> Reply:
    """HINCRBYFLOAT key field increment: the new value as a string."""
    delta = extended(args[3], infinite="value is NaN or Infinity")
    entry = space.find_as(args[1], Hash)
    old = None if entry is None else entry.value.get(args[2])
    value = printed(add(extended(b"0" if old is None else old, "hash value is not a float"), delta))
    _fill(space, [*args[:3], value])
    return value


@command("HRANDFIELD", -2, "readonly", ONE)
def hrandfield(space: Space, args: list[bytes]) -> Reply:
    """HRANDFIELD key [count [WITHVALUES]]."""
    count = integer(args[2]) if len(args) > 2 else None
    if len(args) > 4 or (len(args) == 4 and args[3].upper() != b"WITHVALUES"):
        raise syntax_error()
    if count is not None and not -(1 << 62) <= count <= 1 << 62:
        raise CommandError("ERR", "value is out of range")
    entry = space.find_as(args[1], Hash)
    if entry is None:
        return None if count is None else (Pairs([]) if len(args) == 4 else [])
    fields = list(entry.value)
    if count is None:
        return fields[space.store.stream().below(len(fields))]
    places = draw(space, count, len(fields))
    if len(args) == 4:
        return Pairs([(fields[place], entry.value[fields[place]]) for place in places])
    return [fields[place] for place in places]


@command("HSCAN", -3, "readonly", ONE)
def hscan(space: Space, args: list[bytes]) -> Reply:
    """HSCAN key cursor [MATCH pattern] [COUNT count]."""
    scan_cursor(args, 2)
    entry = space.find_as(args[1], Hash)
    if entry is None:
        return [b"0", []]
    options = ScanOptions(args, 2)
    cursor, fields = options.select(entry.value, len(entry.value))
    return [cursor, [part for field in fields for part in (field, entry.value[field])]]
