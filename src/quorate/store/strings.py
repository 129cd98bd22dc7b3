"""Strings: GET, SET and what reads, cuts and joins them."""

from quorate.store.command import command
from quorate.store.expire_options import due_ms
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import OK, CommandError, Reply
from quorate.store.shapes import ALL, ONE, PAIRS, check_key, check_size
from quorate.store.space import Space


def check_put(space: Space, key: bytes, value: bytes) -> None:
    """Raise CommandError when a key or value is above its limit; for commands that write several."""
    check_key(space, key)
    check_size(space, len(value))


@command("GET", 2, "readonly fast", ONE)
def get(space: Space, args: list[bytes]) -> Reply:
    """GET key."""
    entry = space.find_as(args[1], bytes)
    return None if entry is None else entry.value


@command("SET", -3, "write denyoom", ONE)
def set_(space: Space, args: list[bytes]) -> Reply:
    """SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]."""
    value = args[2]
    if len(value) > space.store.limits.value_bytes_max:
        check_size(space, len(value))
    if len(args) == 3:
        space.put(args[1], value)
        return OK
    return _set_with_options(space, args)


def _set_with_options(space: Space, args: list[bytes]) -> Reply:
    only, is_get, is_keep, span = b"", False, False, None
    place = 3
    while place < len(args):
        word = args[place].upper()
        place += 1
        if word in (b"NX", b"XX") and only in (b"", word):
            only = word
        elif word == b"GET":
            is_get = True
        elif word == b"KEEPTTL" and span is None:
            is_keep = True
        elif word in (b"EX", b"PX", b"EXAT", b"PXAT") and span is None and not is_keep and place < len(args):
            span = (word, args[place])
            place += 1
        else:
            raise syntax_error()
    expires_ms = due_ms(space, span, "set") if span else 0
    key = args[1]
    old: bytes | None = None
    if is_get:
        typed = space.find_as(key, bytes)
        old = None if typed is None else typed.value
    entry = space.find(key)
    if (only == b"NX" and entry is not None) or (only == b"XX" and entry is None):
        return old if is_get else None
    if is_keep and entry is not None:
        expires_ms = entry.expires_ms
    space.put(key, args[2], expires_ms)
    return old if is_get else OK


@command("SETNX", 3, "write denyoom fast", ONE)
def setnx(space: Space, args: list[bytes]) -> Reply:
    """SETNX key value."""
    check_size(space, len(args[2]))
    if space.find(args[1]) is not None:
        return 0
    space.put(args[1], args[2])
    return 1


@command("SETEX", 4, "write denyoom", ONE)
def setex(space: Space, args: list[bytes]) -> Reply:
    """SETEX key seconds value."""
    check_size(space, len(args[3]))
    space.put(args[1], args[3], due_ms(space, (b"EX", args[2]), "setex"))
    return OK


@command("PSETEX", 4, "write denyoom", ONE)
def psetex(space: Space, args: list[bytes]) -> Reply:
    """PSETEX key milliseconds value."""
    check_size(space, len(args[3]))
    space.put(args[1], args[3], due_ms(space, (b"PX", args[2]), "psetex"))
    return OK


@command("GETSET", 3, "write denyoom fast", ONE)
def getset(space: Space, args: list[bytes]) -> Reply:
    """GETSET key value."""
    check_size(space, len(args[2]))
    entry = space.find_as(args[1], bytes)
    space.put(args[1], args[2])
    return None if entry is None else entry.value


@command("GETDEL", 2, "write fast", ONE)
def getdel(space: Space, args: list[bytes]) -> Reply:
    """GETDEL key."""
    entry = space.find_as(args[1], bytes)
    if entry is None:
        return None
    space.remove(args[1])
    return entry.value


@command("GETEX", -2, "write fast", ONE)
def getex(space: Space, args: list[bytes]) -> Reply:
    """GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]."""
    is_persist = len(args) == 3 and args[2].upper() == b"PERSIST"
    is_span = len(args) == 4 and args[2].upper() in (b"EX", b"PX", b"EXAT", b"PXAT")
    if not is_persist and not is_span and len(args) != 2:
        raise syntax_error()
    entry = space.find_as(args[1], bytes)
    if entry is None:
        return None
    expires_ms = entry.expires_ms
    if is_persist:
        expires_ms = 0
    elif is_span:
        expires_ms = due_ms(space, (args[2].upper(), args[3]), "getex")
    if expires_ms != entry.expires_ms:
        space.put(args[1], entry.value, expires_ms)
    return entry.value


@command("MGET", -2, "readonly fast", ALL)
def mget(space: Space, args: list[bytes]) -> Reply:
    """MGET key …; a key of another type counts as absent."""
    found = [space.find(key) for key in args[1:]]
    return [entry.value if entry is not None and isinstance(entry.value, bytes) else None for entry in found]


@command("MSET", -3, "write denyoom", PAIRS)
def mset(space: Space, args: list[bytes]) -> Reply:
    """MSET key value …."""
    if len(args) % 2 == 0:
        raise CommandError("ERR", "wrong number of arguments for 'mset' command")
    for key, value in zip(args[1::2], args[2::2], strict=True):
        check_put(space, key, value)
    for key, value in zip(args[1::2], args[2::2], strict=True):
        space.put(key, value)
    return OK


@command("MSETNX", -3, "write denyoom", PAIRS)
def msetnx(space: Space, args: list[bytes]) -> Reply:
    """MSETNX key value …: all or none."""
    if len(args) % 2 == 0:
        raise CommandError("ERR", "wrong number of arguments for 'msetnx' command")
    for key, value in zip(args[1::2], args[2::2], strict=True):
        check_put(space, key, value)
    if any(space.find(key) is not None for key in args[1::2]):
        return 0
    mset(space, args)
    return 1


@command("APPEND", 3, "write denyoom fast", ONE)
def append(space: Space, args: list[bytes]) -> Reply:
    """APPEND key value."""
    entry = space.find_as(args[1], bytes)
    value = args[2] if entry is None else entry.value + args[2]
    check_size(space, len(value))
    space.put(args[1], value, 0 if entry is None else entry.expires_ms)
    return len(value)


@command("STRLEN", 2, "readonly fast", ONE)
def strlen(space: Space, args: list[bytes]) -> Reply:
    """STRLEN key."""
    entry = space.find_as(args[1], bytes)
    return 0 if entry is None else len(entry.value)


@command("GETRANGE", 4, "readonly", ONE)
def getrange(space: Space, args: list[bytes]) -> Reply:
    """GETRANGE key start end."""
    start, end = integer(args[2]), integer(args[3])
    entry = space.find_as(args[1], bytes)
    if entry is None or (start < 0 and end < 0 and start > end):
        return b""
    length = len(entry.value)
    start = max(start + length, 0) if start < 0 else start
    # Unlike LRANGE, an end before the first byte counts as the first byte.
    end = max(end + length, 0) if end < 0 else end
    return entry.value[start : end + 1]


@command("SUBSTR", 4, "readonly", ONE)
def substr(space: Space, args: list[bytes]) -> Reply:
    """SUBSTR key start end: the old name of GETRANGE."""
    return getrange(space, args)


@command("SETRANGE", 4, "write denyoom", ONE)
def setrange(space: Space, args: list[bytes]) -> Reply:
    """SETRANGE key offset value."""
    offset = integer(args[2])
    if offset < 0:
        raise CommandError("ERR", "offset is out of range")
    entry = space.find_as(args[1], bytes)
    old = b"" if entry is None else entry.value
    part = args[3]
    if not part:
        return len(old)
    check_size(space, offset + len(part))
    value = old[:offset].ljust(offset, b"\0") + part + old[offset + len(part) :]
    space.put(args[1], value, 0 if entry is None else entry.expires_ms)
    return len(value)
