"""Sets: distinct members, and the algebra over them."""

from quorate.store.command import command
from quorate.store.draws import draw
from quorate.store.parse import INT_MAX, integer, syntax_error
from quorate.store.reply import CommandError, Reply, ReplySet
from quorate.store.shapes import ALL, ONE, TWO, ScanOptions, check_elements, check_key, number_of_keys, scan_cursor
from quorate.store.space import Space
from quorate.store.values import Set


@command("SADD", -3, "write denyoom fast", ONE)
def sadd(space: Space, args: list[bytes]) -> Reply:
    """SADD key member …."""
    entry = space.mutable(args[1], Set)
    value = Set() if entry is None else entry.value
    check_elements(space, args[2:], len(value) + len(args) - 2)
    added_count = sum(value.add(member) for member in args[2:])
    if added_count:
        space.save(args[1], entry, value)
    return added_count


@command("SREM", -3, "write fast", ONE)
def srem(space: Space, args: list[bytes]) -> Reply:
    """SREM key member …."""
    entry = space.mutable(args[1], Set)
    if entry is None:
        return 0
    removed_count = sum(entry.value.discard(member) for member in args[2:])
    if removed_count:
        space.changed(args[1], entry)
    return removed_count


@command("SCARD", 2, "readonly fast", ONE)
def scard(space: Space, args: list[bytes]) -> Reply:
    """SCARD key."""
    entry = space.find_as(args[1], Set)
    return 0 if entry is None else len(entry.value)


@command("SISMEMBER", 3, "readonly fast", ONE)
def sismember(space: Space, args: list[bytes]) -> Reply:
    """SISMEMBER key member."""
    entry = space.find_as(args[1], Set)
    return int(entry is not None and args[2] in entry.value)


@command("SMISMEMBER", -3, "readonly fast", ONE)
def smismember(space: Space, args: list[bytes]) -> Reply:
    """SMISMEMBER key member …."""
    entry = space.find_as(args[1], Set)
    return [int(entry is not None and member in entry.value) for member in args[2:]]


@command("SMEMBERS", 2, "readonly", ONE)
def smembers(space: Space, args: list[bytes]) -> Reply:
    """SMEMBERS key."""
    entry = space.find_as(args[1], Set)
    return ReplySet([] if entry is None else list(entry.value))


@command("SMOVE", 4, "write fast", TWO)
def smove(space: Space, args: list[bytes]) -> Reply:
    """SMOVE source destination member."""
    source = space.mutable(args[1], Set)
    if source is None:
        return 0
    target = space.mutable(args[2], Set)
    if args[3] not in source.value:
        return 0
    if source is target:
        return 1
    value = Set() if target is None else target.value
    check_key(space, args[2])
    check_elements(space, (), len(value) + 1)
    source.value.discard(args[3])
    space.changed(args[1], source)
    if value.add(args[3]):
        space.save(args[2], target, value)
    return 1


@command("SPOP", -2, "write fast", ONE)
def spop(space: Space, args: list[bytes]) -> Reply:
    """SPOP key [count]: members drawn by the revision, so the same on every replica."""
    if len(args) > 3:
        raise syntax_error()
    count = integer(args[2], "value is out of range, must be positive") if len(args) == 3 else None
    if count is not None and count < 0:
        raise CommandError("ERR", "value is out of range, must be positive")
    entry = space.mutable(args[1], Set)
    if entry is None:
        return None if count is None else ReplySet([])
    value = entry.value
    if count == 0:
        return ReplySet([])
    stream = space.store.stream()
    drawn: list[bytes] = []
    for _ in range(min(1 if count is None else count, len(value))):
        drawn.append(value[stream.below(len(value))])
        value.discard(drawn[-1])
    space.changed(args[1], entry)
    return drawn[0] if count is None else ReplySet(drawn)


@command("SRANDMEMBER", -2, "readonly", ONE)
def srandmember(space: Space, args: list[bytes]) -> Reply:
    """SRANDMEMBER key [count]."""
    if len(args) > 3:
        raise syntax_error()
    count = integer(args[2]) if len(args) == 3 else None
    if count is not None and not count >= -INT_MAX // 2:
        raise CommandError("ERR", "value is out of range")
    entry = space.find_as(args[1], Set)
    if entry is None:
        return None if count is None else []
    if count is None:
        return entry.value[space.store.stream().below(len(entry.value))]
    return [entry.value[place] for place in draw(space, count, len(entry.value))]


@command("SSCAN", -3, "readonly", ONE)
def sscan(space: Space, args: list[bytes]) -> Reply:
    """SSCAN key cursor [MATCH pattern] [COUNT count]."""
    scan_cursor(args, 2)
    entry = space.find_as(args[1], Set)
    if entry is None:
        return [b"0", []]
    options = ScanOptions(args, 2)
    cursor, members = options.select(entry.value, len(entry.value))
    return [cursor, list(members)]


def _operands(space: Space, keys: list[bytes]) -> list[Set]:
    """Return the sets of some keys, empty ones for those that are absent."""
    entries = [space.find_as(key, Set) for key in keys]
    return [Set() if entry is None else entry.value for entry in entries]


def _intersection(operands: list[Set], limit: int = 0) -> list[bytes]:
    """Return common members in the order of the smallest operand; at most `limit` of them unless that is 0."""
    ordered = sorted(operands, key=len)
    found: list[bytes] = []
    for member in ordered[0]:
        if all(member in other for other in ordered[1:]):
            found.append(member)
            if len(found) == limit:
                break
    return found


def _union(operands: list[Set]) -> list[bytes]:
    return list(dict.fromkeys(member for operand in operands for member in operand))


def _difference(operands: list[Set]) -> list[bytes]:
    first, *others = operands
    return [member for member in first if not any(member in other for other in others)]


def _store(space: Space, key: bytes, members: list[bytes]) -> int:
    """Replace a key by a set; return its size."""
    check_key(space, key)
    check_elements(space, (), len(members))
    if members:
        space.put(key, Set(members))
    else:
        space.delete(key)
    return len(members)


@command("SINTER", -2, "readonly", ALL)
def sinter(space: Space, args: list[bytes]) -> Reply:
    """SINTER key …."""
    return ReplySet(_intersection(_operands(space, args[1:])))


@command("SUNION", -2, "readonly", ALL)
def sunion(space: Space, args: list[bytes]) -> Reply:
    """SUNION key …."""
    return ReplySet(_union(_operands(space, args[1:])))


@command("SDIFF", -2, "readonly", ALL)
def sdiff(space: Space, args: list[bytes]) -> Reply:
    """SDIFF key …."""
    return ReplySet(_difference(_operands(space, args[1:])))


@command("SINTERSTORE", -3, "write denyoom", ALL)
def sinterstore(space: Space, args: list[bytes]) -> Reply:
    """SINTERSTORE destination key …."""
    return _store(space, args[1], _intersection(_operands(space, args[2:])))


@command("SUNIONSTORE", -3, "write denyoom", ALL)
def sunionstore(space: Space, args: list[bytes]) -> Reply:
    """SUNIONSTORE destination key …."""
    return _store(space, args[1], _union(_operands(space, args[2:])))


@command("SDIFFSTORE", -3, "write denyoom", ALL)
def sdiffstore(space: Space, args: list[bytes]) -> Reply:
    """SDIFFSTORE destination key …."""
    return _store(space, args[1], _difference(_operands(space, args[2:])))


@command("SINTERCARD", -3, "readonly movablekeys", count_at=1)
def sintercard(space: Space, args: list[bytes]) -> Reply:
    """SINTERCARD numkeys key … [LIMIT limit]."""
    count = integer(args[1], "numkeys should be greater than 0")
    if count > len(args) - 2:
        raise CommandError("ERR", "Number of keys can't be greater than number of args")
    keys = number_of_keys(args, 1)
    rest = args[2 + len(keys) :]
    limit = 0
    if rest:
        if len(rest) != 2 or rest[0].upper() != b"LIMIT":
            raise syntax_error()
        limit = integer(rest[1], "LIMIT can't be negative")
        if limit < 0:
            raise CommandError("ERR", "LIMIT can't be negative")
    return len(_intersection(_operands(space, keys), limit))
