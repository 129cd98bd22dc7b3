"""When keys end: the EXPIRE and TTL families."""

from quorate.store.command import command
from quorate.store.parse import INT_MAX, INT_MIN, integer
from quorate.store.reply import CommandError, Reply
from quorate.store.shapes import ONE
from quorate.store.space import Space


def _expire(space: Space, args: list[bytes], *, is_seconds: bool, is_absolute: bool) -> Reply:
    """Set when a key ends, under the conditions that the options name."""
    words = _expire_options(args[3:])
    number = integer(args[2])
    if is_seconds:
        number *= 1000
    if not is_absolute:
        number += space.store.horizon_ms
    if not INT_MIN <= number <= INT_MAX:
        name = args[0].decode("ascii").lower()
        raise CommandError("ERR", f"invalid expire time in '{name}' command")
    entry = space.find(args[1])
    if entry is None:
        return 0
    old = entry.expires_ms
    if (
        ("NX" in words and old)
        or ("XX" in words and not old)
        or ("GT" in words and (not old or number <= old))
        or ("LT" in words and old and number >= old)
    ):
        return 0
    if number <= space.store.horizon_ms:
        space.remove(args[1])
    else:
        space.set_expiry(args[1], number)
    return 1


def _expire_options(texts: list[bytes]) -> set[str]:
    words: set[str] = set()
    for text in texts:
        word = text.decode("latin-1").upper()
        if word not in ("NX", "XX", "GT", "LT"):
            raise CommandError("ERR", f"Unsupported option {text[:128].decode('utf-8', 'replace')}")
        words.add(word)
    if "NX" in words and len(words) > 1:
        raise CommandError("ERR", "NX and XX, GT or LT options at the same time are not compatible")
    if {"GT", "LT"} <= words:
        raise CommandError("ERR", "GT and LT options at the same time are not compatible")
    return words


@command("EXPIRE", -3, "write fast", ONE)
def expire(space: Space, args: list[bytes]) -> Reply:
    """EXPIRE key seconds [NX | XX | GT | LT]."""
    return _expire(space, args, is_seconds=True, is_absolute=False)


@command("PEXPIRE", -3, "write fast", ONE)
def pexpire(space: Space, args: list[bytes]) -> Reply:
    """PEXPIRE key milliseconds [NX | XX | GT | LT]."""
    return _expire(space, args, is_seconds=False, is_absolute=False)


@command("EXPIREAT", -3, "write fast", ONE)
def expireat(space: Space, args: list[bytes]) -> Reply:
    """EXPIREAT key unix-time-seconds [NX | XX | GT | LT]."""
    return _expire(space, args, is_seconds=True, is_absolute=True)


@command("PEXPIREAT", -3, "write fast", ONE)
def pexpireat(space: Space, args: list[bytes]) -> Reply:
    """PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]."""
    return _expire(space, args, is_seconds=False, is_absolute=True)


def _ttl_ms(space: Space, key: bytes, *, is_absolute: bool) -> int:
    """Return the rest of a key's life or its end in ms; -1: it has none, -2: no such key."""
    entry = space.find(key)
    if entry is None:
        return -2
    if not entry.expires_ms:
        return -1
    return entry.expires_ms - (0 if is_absolute else space.store.horizon_ms)


def _to_seconds(span_ms: int) -> int:
    return span_ms if span_ms < 0 else (span_ms + 500) // 1000


@command("TTL", 2, "readonly fast", ONE)
def ttl(space: Space, args: list[bytes]) -> Reply:
    """TTL key."""
    return _to_seconds(_ttl_ms(space, args[1], is_absolute=False))


@command("PTTL", 2, "readonly fast", ONE)
def pttl(space: Space, args: list[bytes]) -> Reply:
    """PTTL key."""
    return _ttl_ms(space, args[1], is_absolute=False)


@command("EXPIRETIME", 2, "readonly fast", ONE)
def expiretime(space: Space, args: list[bytes]) -> Reply:
    """EXPIRETIME key."""
    return _to_seconds(_ttl_ms(space, args[1], is_absolute=True))


@command("PEXPIRETIME", 2, "readonly fast", ONE)
def pexpiretime(space: Space, args: list[bytes]) -> Reply:
    """PEXPIRETIME key."""
    return _ttl_ms(space, args[1], is_absolute=True)


@command("PERSIST", 2, "write fast", ONE)
def persist(space: Space, args: list[bytes]) -> Reply:
    """PERSIST key."""
    entry = space.find(args[1])
    if entry is None or not entry.expires_ms:
        return 0
    space.set_expiry(args[1], 0)
    return 1
