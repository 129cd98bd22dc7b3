"""Counters: strings that are numbers."""

from quorate.store.command import command
from quorate.store.extended import add, extended, printed
from quorate.store.parse import INT_MAX, INT_MIN, integer
from quorate.store.reply import CommandError, Reply
from quorate.store.shapes import ONE
from quorate.store.space import Space


def _add(space: Space, key: bytes, delta: int) -> int:
    entry = space.find_as(key, bytes)
    if entry is None:
        value, expires_ms = delta, 0
    else:
        value, expires_ms = integer(entry.value) + delta, entry.expires_ms
    if not INT_MIN <= value <= INT_MAX:
        raise CommandError("ERR", "increment or decrement would overflow")
    space.put(key, b"%d" % value, expires_ms)
    return value


@command("INCR", 2, "write denyoom fast", ONE)
def incr(space: Space, args: list[bytes]) -> Reply:
    """INCR key."""
    return _add(space, args[1], 1)


@command("DECR", 2, "write denyoom fast", ONE)
def decr(space: Space, args: list[bytes]) -> Reply:
    """DECR key."""
    return _add(space, args[1], -1)


@command("INCRBY", 3, "write denyoom fast", ONE)
def incrby(space: Space, args: list[bytes]) -> Reply:
    """INCRBY key increment."""
    return _add(space, args[1], integer(args[2]))


@command("DECRBY", 3, "write denyoom fast", ONE)
def decrby(space: Space, args: list[bytes]) -> Reply:
    """DECRBY key decrement."""
    delta = integer(args[2])
    if delta == INT_MIN:
        raise CommandError("ERR", "decrement would overflow")
    return _add(space, args[1], -delta)


@command("INCRBYFLOAT", 3, "write denyoom fast", ONE)
def incrbyfloat(space: Space, args: list[bytes]) -> Reply:
    """INCRBYFLOAT key increment: the new value as a string."""
    entry = space.find_as(args[1], bytes)
    old = extended(b"0" if entry is None else entry.value)
    value = printed(add(old, extended(args[2])))
    space.put(args[1], value, 0 if entry is None else entry.expires_ms)
    return value
