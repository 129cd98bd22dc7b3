"""Sorted sets: members with scores; adding, removing, asking, popping."""

from math import isnan

from quorate.store.command import command
from quorate.store.draws import draw
from quorate.store.parse import integer, real, syntax_error
from quorate.store.reply import NIL_ARRAY, CommandError, Pairs, Reply, format_double
from quorate.store.shapes import ONE, ScanOptions, check_elements, number_of_keys, scan_cursor
from quorate.store.space import Space
from quorate.store.values import SortedSet

_FLAGS = (b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR")


def _sum(old: float, increment: float) -> float:
    score = old + increment
    if isnan(score):
        raise CommandError("ERR", "resulting score is not a number (NaN)")
    return score


def _zadd_flags(args: list[bytes]) -> tuple[set[bytes], list[tuple[float, bytes]]]:
    """Return the options and the pairs of ZADD."""
    flags: set[bytes] = set()
    place = 2
    while place < len(args) and args[place].upper() in _FLAGS:
        flags.add(args[place].upper())
        place += 1
    rest = args[place:]
    if not rest or len(rest) % 2:
        raise syntax_error()
    if b"NX" in flags and b"XX" in flags:
        raise CommandError("ERR", "XX and NX options at the same time are not compatible")
    if (b"GT" in flags) + (b"LT" in flags) + (b"NX" in flags) > 1:
        raise CommandError("ERR", "GT, LT, and/or NX options at the same time are not compatible")
    if b"INCR" in flags and len(rest) > 2:
        raise CommandError("ERR", "INCR option supports a single increment-element pair")
    # Adding 0 makes a negative zero positive; Redis keeps its sign or not, as the encoding has it.
    return flags, [(real(score) + 0.0, member) for score, member in zip(rest[::2], rest[1::2], strict=True)]


def _is_kept(flags: set[bytes], old: float | None, score: float) -> bool:
    """Return whether the options forbid to give a member a score."""
    if old is None:
        return b"XX" in flags
    return b"NX" in flags or (b"GT" in flags and score <= old) or (b"LT" in flags and score >= old)


@command("ZADD", -4, "write denyoom fast", ONE)
def zadd(space: Space, args: list[bytes]) -> Reply:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member …."""
    flags, pairs = _zadd_flags(args)
    entry = space.mutable(args[1], SortedSet)
    value = SortedSet() if entry is None else entry.value
    check_elements(space, (member for _, member in pairs), len(value) + len(pairs))
    if b"INCR" in flags:
        ((increment, member),) = pairs
        old = value.scores.get(member)
        score = _sum(old or 0.0, increment)
        if _is_kept(flags, old, score):
            return None
        if old != score:
            value.set(member, score)
            space.save(args[1], entry, value)
        return score
    added_count = updated_count = 0
    for score, member in pairs:
        old = value.scores.get(member)
        if _is_kept(flags, old, score) or old == score:
            continue
        value.set(member, score)
        added_count += old is None
        updated_count += old is not None
    if added_count + updated_count:
        space.save(args[1], entry, value)
    return added_count + updated_count if b"CH" in flags else added_count


@command("ZINCRBY", 4, "write denyoom fast", ONE)
def zincrby(space: Space, args: list[bytes]) -> Reply:
    """ZINCRBY key increment member."""
    return zadd(space, [b"ZADD", args[1], b"INCR", args[2], args[3]])


@command("ZREM", -3, "write fast", ONE)
def zrem(space: Space, args: list[bytes]) -> Reply:
    """ZREM key member …."""
    entry = space.mutable(args[1], SortedSet)
    if entry is None:
        return 0
    removed_count = sum(entry.value.discard(member) for member in args[2:])
    if removed_count:
        space.changed(args[1], entry)
    return removed_count


@command("ZCARD", 2, "readonly fast", ONE)
def zcard(space: Space, args: list[bytes]) -> Reply:
    """ZCARD key."""
    entry = space.find_as(args[1], SortedSet)
    return 0 if entry is None else len(entry.value)


@command("ZSCORE", 3, "readonly fast", ONE)
def zscore(space: Space, args: list[bytes]) -> Reply:
    """ZSCORE key member."""
    entry = space.find_as(args[1], SortedSet)
    return None if entry is None else entry.value.scores.get(args[2])


@command("ZMSCORE", -3, "readonly fast", ONE)
def zmscore(space: Space, args: list[bytes]) -> Reply:
    """ZMSCORE key member …."""
    entry = space.find_as(args[1], SortedSet)
    return [None if entry is None else entry.value.scores.get(member) for member in args[2:]]


def _rank(space: Space, args: list[bytes]) -> tuple[int, int] | None:
    """Return rank from the lowest score and number of members; None when the member is not there."""
    entry = space.find_as(args[1], SortedSet)
    score = None if entry is None else entry.value.scores.get(args[2])
    if entry is None or score is None:
        return None
    return entry.value.order.index((score, args[2])), len(entry.value)


@command("ZRANK", 3, "readonly fast", ONE)
def zrank(space: Space, args: list[bytes]) -> Reply:
    """ZRANK key member."""
    found = _rank(space, args)
    return None if found is None else found[0]


@command("ZREVRANK", 3, "readonly fast", ONE)
def zrevrank(space: Space, args: list[bytes]) -> Reply:
    """ZREVRANK key member."""
    found = _rank(space, args)
    return None if found is None else found[1] - 1 - found[0]


def _take(value: SortedSet, *, is_min: bool, count: int) -> list[tuple[bytes, float]]:
    """Remove up to `count` members from one end; return them with their scores."""
    taken: list[tuple[bytes, float]] = []
    for _ in range(min(count, len(value))):
        score, member = value.order[0 if is_min else -1]
        value.discard(member)
        taken.append((member, score))
    return taken


def _pop(space: Space, args: list[bytes], *, is_min: bool) -> Reply:
    if len(args) > 3:
        raise syntax_error()
    count = None
    if len(args) == 3:
        count = integer(args[2], "value is out of range, must be positive")
        if count < 0:
            raise CommandError("ERR", "value is out of range, must be positive")
    entry = space.mutable(args[1], SortedSet)
    if entry is None or count == 0:
        return []
    taken = _take(entry.value, is_min=is_min, count=1 if count is None else count)
    space.changed(args[1], entry)
    return [taken[0][0], taken[0][1]] if count is None else Pairs(list(taken))


@command("ZPOPMIN", -2, "write fast", ONE)
def zpopmin(space: Space, args: list[bytes]) -> Reply:
    """ZPOPMIN key [count]."""
    return _pop(space, args, is_min=True)


@command("ZPOPMAX", -2, "write fast", ONE)
def zpopmax(space: Space, args: list[bytes]) -> Reply:
    """ZPOPMAX key [count]."""
    return _pop(space, args, is_min=False)


@command("ZMPOP", -4, "write movablekeys", count_at=1)
def zmpop(space: Space, args: list[bytes]) -> Reply:
    """ZMPOP numkeys key … MIN | MAX [COUNT count]: the first sorted set that is there."""
    keys = number_of_keys(args, 1)
    rest = args[2 + len(keys) :]
    if not rest or rest[0].upper() not in (b"MIN", b"MAX"):
        raise syntax_error()
    count = 1
    if len(rest) > 1:
        if len(rest) != 3 or rest[1].upper() != b"COUNT":
            raise syntax_error()
        count = integer(rest[2], "count should be greater than 0")
        if count <= 0:
            raise CommandError("ERR", "count should be greater than 0")
    for key in keys:
        entry = space.mutable(key, SortedSet)
        if entry is not None:
            taken = _take(entry.value, is_min=rest[0].upper() == b"MIN", count=count)
            space.changed(key, entry)
            return [key, [[member, score] for member, score in taken]]
    return NIL_ARRAY


@command("ZRANDMEMBER", -2, "readonly", ONE)
def zrandmember(space: Space, args: list[bytes]) -> Reply:
    """ZRANDMEMBER key [count [WITHSCORES]]."""
    count = integer(args[2]) if len(args) > 2 else None
    if len(args) > 4 or (len(args) == 4 and args[3].upper() != b"WITHSCORES"):
        raise syntax_error()
    if count is not None and not -(1 << 62) <= count <= 1 << 62:
        raise CommandError("ERR", "value is out of range")
    entry = space.find_as(args[1], SortedSet)
    if entry is None:
        return None if count is None else []
    order = entry.value.order
    if count is None:
        _, member = order[space.store.stream().below(len(order))]
        return bytes(member)
    drawn = [order[place] for place in draw(space, count, len(order))]
    if len(args) == 4:
        return Pairs([(member, score) for score, member in drawn])
    return [member for _, member in drawn]


@command("ZSCAN", -3, "readonly", ONE)
def zscan(space: Space, args: list[bytes]) -> Reply:
    """ZSCAN key cursor [MATCH pattern] [COUNT count]."""
    scan_cursor(args, 2)
    entry = space.find_as(args[1], SortedSet)
    if entry is None:
        return [b"0", []]
    options = ScanOptions(args, 2)
    scores = entry.value.scores
    cursor, members = options.select((member for _, member in entry.value.order), len(scores))
    return [cursor, [part for member in members for part in (member, format_double(scores[member]))]]
