"""Lists: elements in order, quick at both ends."""

from itertools import islice

from quorate.store.command import command
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import NIL_ARRAY, OK, CommandError, Reply
from quorate.store.shapes import ONE, TWO, check_elements, check_key, clamp, number_of_keys
from quorate.store.space import Space
from quorate.store.values import List


def _push(space: Space, args: list[bytes], *, is_left: bool, must_exist: bool) -> int:
    entry = space.mutable(args[1], List)
    if entry is None and must_exist:
        return 0
    value = List() if entry is None else entry.value
    check_elements(space, args[2:], len(value) + len(args) - 2)
    if is_left:
        value.extendleft(args[2:])
    else:
        value.extend(args[2:])
    space.save(args[1], entry, value)
    return len(value)


@command("LPUSH", -3, "write denyoom fast", ONE)
def lpush(space: Space, args: list[bytes]) -> Reply:
    """LPUSH key element …."""
    return _push(space, args, is_left=True, must_exist=False)


@command("RPUSH", -3, "write denyoom fast", ONE)
def rpush(space: Space, args: list[bytes]) -> Reply:
    """RPUSH key element …."""
    return _push(space, args, is_left=False, must_exist=False)


@command("LPUSHX", -3, "write denyoom fast", ONE)
def lpushx(space: Space, args: list[bytes]) -> Reply:
    """LPUSHX key element …."""
    return _push(space, args, is_left=True, must_exist=True)


@command("RPUSHX", -3, "write denyoom fast", ONE)
def rpushx(space: Space, args: list[bytes]) -> Reply:
    """RPUSHX key element …."""
    return _push(space, args, is_left=False, must_exist=True)


def _take(value: List, *, is_left: bool, count: int) -> list[bytes]:
    take = value.popleft if is_left else value.pop
    return [take() for _ in range(min(count, len(value)))]


def _pop(space: Space, args: list[bytes], *, is_left: bool) -> Reply:
    if len(args) > 3:
        name = args[0].decode("ascii").lower()
        raise CommandError("ERR", f"wrong number of arguments for '{name}' command")
    count = None
    if len(args) == 3:
        count = integer(args[2], "value is out of range, must be positive")
        if count < 0:
            raise CommandError("ERR", "value is out of range, must be positive")
    entry = space.mutable(args[1], List)
    if entry is None:
        return None if count is None else NIL_ARRAY
    if count == 0:
        return []
    taken = _take(entry.value, is_left=is_left, count=1 if count is None else count)
    space.changed(args[1], entry)
    return taken[0] if count is None else list(taken)


@command("LPOP", -2, "write fast", ONE)
def lpop(space: Space, args: list[bytes]) -> Reply:
    """LPOP key [count]."""
    return _pop(space, args, is_left=True)


@command("RPOP", -2, "write fast", ONE)
def rpop(space: Space, args: list[bytes]) -> Reply:
    """RPOP key [count]."""
    return _pop(space, args, is_left=False)


def _side(text: bytes) -> bool:
    """Return whether LEFT is meant, not RIGHT."""
    word = text.upper()
    if word not in (b"LEFT", b"RIGHT"):
        raise syntax_error()
    return word == b"LEFT"


@command("LMPOP", -4, "write movablekeys", count_at=1)
def lmpop(space: Space, args: list[bytes]) -> Reply:
    """LMPOP numkeys key … LEFT | RIGHT [COUNT count]: the first list that is there."""
    keys = number_of_keys(args, 1)
    rest = args[2 + len(keys) :]
    if not rest:
        raise syntax_error()
    is_left, count = _side(rest[0]), 1
    if len(rest) > 1:
        if len(rest) != 3 or rest[1].upper() != b"COUNT":
            raise syntax_error()
        count = integer(rest[2], "count should be greater than 0")
        if count <= 0:
            raise CommandError("ERR", "count should be greater than 0")
    for key in keys:
        entry = space.mutable(key, List)
        if entry is not None:
            taken = _take(entry.value, is_left=is_left, count=count)
            space.changed(key, entry)
            return [key, list(taken)]
    return NIL_ARRAY


@command("LLEN", 2, "readonly fast", ONE)
def llen(space: Space, args: list[bytes]) -> Reply:
    """LLEN key."""
    entry = space.find_as(args[1], List)
    return 0 if entry is None else len(entry.value)


@command("LRANGE", 4, "readonly", ONE)
def lrange(space: Space, args: list[bytes]) -> Reply:
    """LRANGE key start stop."""
    start, end = integer(args[2]), integer(args[3])
    entry = space.find_as(args[1], List)
    if entry is None:
        return []
    first, stop = clamp(start, end, len(entry.value))
    return list(islice(entry.value, first, stop))


@command("LINDEX", 3, "readonly", ONE)
def lindex(space: Space, args: list[bytes]) -> Reply:
    """LINDEX key index."""
    entry = space.find_as(args[1], List)
    if entry is None:
        return None
    place = integer(args[2])
    return entry.value[place] if -len(entry.value) <= place < len(entry.value) else None


@command("LSET", 4, "write denyoom", ONE)
def lset(space: Space, args: list[bytes]) -> Reply:
    """LSET key index element."""
    entry = space.mutable(args[1], List)
    if entry is None:
        raise CommandError("ERR", "no such key")
    place = integer(args[2])
    if not -len(entry.value) <= place < len(entry.value):
        raise CommandError("ERR", "index out of range")
    check_elements(space, args[3:], 0)
    entry.value[place] = args[3]
    space.changed(args[1], entry)
    return OK


@command("LTRIM", 4, "write", ONE)
def ltrim(space: Space, args: list[bytes]) -> Reply:
    """LTRIM key start stop."""
    start, end = integer(args[2]), integer(args[3])
    entry = space.mutable(args[1], List)
    if entry is None:
        return OK
    first, stop = clamp(start, end, len(entry.value))
    for _ in range(len(entry.value) - max(stop, 0)):
        entry.value.pop()
    for _ in range(min(first, len(entry.value))):
        entry.value.popleft()
    space.changed(args[1], entry)
    return OK


@command("LINSERT", 5, "write denyoom", ONE)
def linsert(space: Space, args: list[bytes]) -> Reply:
    """LINSERT key BEFORE | AFTER pivot element."""
    word = args[2].upper()
    if word not in (b"BEFORE", b"AFTER"):
        raise syntax_error()
    entry = space.mutable(args[1], List)
    if entry is None:
        return 0
    check_elements(space, args[4:], len(entry.value) + 1)
    try:
        place = entry.value.index(args[3])
    except ValueError:
        return -1
    entry.value.insert(place + (word == b"AFTER"), args[4])
    space.changed(args[1], entry)
    return len(entry.value)


@command("LREM", 4, "write", ONE)
def lrem(space: Space, args: list[bytes]) -> Reply:
    """LREM key count element."""
    count = integer(args[2])
    entry = space.mutable(args[1], List)
    if entry is None:
        return 0
    left = abs(count) or len(entry.value)
    kept: list[bytes] = []
    for element in reversed(entry.value) if count < 0 else entry.value:
        if left and element == args[3]:
            left -= 1
        else:
            kept.append(element)
    removed_count = len(entry.value) - len(kept)
    if removed_count:
        entry.value.clear()
        entry.value.extend(reversed(kept) if count < 0 else kept)
        space.changed(args[1], entry)
    return removed_count


@command("LPOS", -3, "readonly", ONE)
def lpos(space: Space, args: list[bytes]) -> Reply:
    """LPOS key element [RANK rank] [COUNT count] [MAXLEN length]."""
    rank, count, length_max = _lpos_options(args)
    entry = space.find_as(args[1], List)
    if entry is None:
        return None if count is None else []
    value = entry.value
    wanted = 1 if count is None else count or len(value)
    found: list[Reply] = []
    skip = abs(rank) - 1
    elements = enumerate(value) if rank > 0 else zip(range(len(value) - 1, -1, -1), reversed(value), strict=True)
    for place, element in islice(elements, length_max or len(value)):
        if element != args[2]:
            continue
        if skip:
            skip -= 1
            continue
        found.append(place)
        if len(found) == wanted:
            break
    if count is None:
        return found[0] if found else None
    return found


def _lpos_options(args: list[bytes]) -> tuple[int, int | None, int]:
    """Return rank, count and greatest length (0: none)."""
    rank, count, length_max = 1, None, 0
    if len(args) % 2 == 0:
        raise syntax_error()
    for word, text in zip(args[3::2], args[4::2], strict=True):
        match word.upper():
            case b"RANK":
                rank = integer(text)
                if rank == 0:
                    raise CommandError(
                        "ERR",
                        "RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
                        "or use negative to start from the end of the list",
                    )
            case b"COUNT":
                count = integer(text, "COUNT can't be negative")
                if count < 0:
                    raise CommandError("ERR", "COUNT can't be negative")
            case b"MAXLEN":
                length_max = integer(text, "MAXLEN can't be negative")
                if length_max < 0:
                    raise CommandError("ERR", "MAXLEN can't be negative")
            case _:
                raise syntax_error()
    return rank, count, length_max


def _move(space: Space, source_key: bytes, target_key: bytes, *, from_left: bool, to_left: bool) -> Reply:
    source = space.mutable(source_key, List)
    if source is None:
        return None
    target = space.mutable(target_key, List)
    check_key(space, target_key)
    value = List() if target is None else target.value
    if value is not source.value:
        check_elements(space, (), len(value) + 1)
    (element,) = _take(source.value, is_left=from_left, count=1)
    if to_left:
        value.appendleft(element)
    else:
        value.append(element)
    # The target first: when both are one list it must not be seen empty.
    space.save(target_key, target, value)
    if target is not source:
        space.changed(source_key, source)
    return element


@command("LMOVE", 5, "write denyoom", TWO)
def lmove(space: Space, args: list[bytes]) -> Reply:
    """LMOVE source destination LEFT | RIGHT LEFT | RIGHT."""
    from_left, to_left = _side(args[3]), _side(args[4])
    return _move(space, args[1], args[2], from_left=from_left, to_left=to_left)


@command("RPOPLPUSH", 3, "write denyoom", TWO)
def rpoplpush(space: Space, args: list[bytes]) -> Reply:
    """RPOPLPUSH source destination."""
    return _move(space, args[1], args[2], from_left=False, to_left=True)
