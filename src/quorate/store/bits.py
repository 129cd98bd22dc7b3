"""Strings as bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP."""

from functools import reduce

from quorate.store.command import command
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import CommandError, Reply
from quorate.store.shapes import ONE, check_key, check_size
from quorate.store.space import Space


def _offset(text: bytes) -> int:
    offset = integer(text, "bit offset is not an integer or out of range")
    if not 0 <= offset < 1 << 32:
        raise CommandError("ERR", "bit offset is not an integer or out of range")
    return offset


@command("SETBIT", 4, "write denyoom", ONE)
def setbit(space: Space, args: list[bytes]) -> Reply:
    """SETBIT key offset bit: the old bit."""
    offset = _offset(args[2])
    if args[3] not in (b"0", b"1"):
        raise CommandError("ERR", "bit is not an integer or out of range")
    check_size(space, offset // 8 + 1)
    entry = space.find_as(args[1], bytes)
    data = bytearray(b"" if entry is None else entry.value)
    data.extend(bytes(max(0, offset // 8 + 1 - len(data))))
    mask = 0x80 >> offset % 8
    old = int(bool(data[offset // 8] & mask))
    data[offset // 8] = data[offset // 8] | mask if args[3] == b"1" else data[offset // 8] & ~mask
    space.put(args[1], bytes(data), 0 if entry is None else entry.expires_ms)
    return old


@command("GETBIT", 3, "readonly fast", ONE)
def getbit(space: Space, args: list[bytes]) -> Reply:
    """GETBIT key offset."""
    offset = _offset(args[2])
    entry = space.find_as(args[1], bytes)
    if entry is None or offset // 8 >= len(entry.value):
        return 0
    return entry.value[offset // 8] >> (7 - offset % 8) & 1


def _bounds(start: int, end: int, length: int) -> tuple[int, int]:
    """Return inclusive bounds within [0, length); the first is greater when there is nothing between."""
    start = max(start + length, 0) if start < 0 else start
    end = max(end + length, 0) if end < 0 else end
    return start, min(end, length - 1)


def _unit(text: bytes) -> bool:
    """Return whether BIT is meant, not BYTE."""
    word = text.upper()
    if word not in (b"BIT", b"BYTE"):
        raise syntax_error()
    return word == b"BIT"


@command("BITCOUNT", -2, "readonly", ONE)
def bitcount(space: Space, args: list[bytes]) -> Reply:
    """BITCOUNT key [start end [BYTE | BIT]]."""
    entry = space.find_as(args[1], bytes)
    if entry is None:
        return 0
    if len(args) not in (2, 4, 5):
        raise syntax_error()
    if len(args) == 2:
        return int.from_bytes(entry.value, "big").bit_count()
    start, end = integer(args[2]), integer(args[3])
    if start < 0 and end < 0 and start > end:
        return 0
    is_bit = len(args) == 5 and _unit(args[4])
    unit_count = len(entry.value) * (8 if is_bit else 1)
    first, last = _bounds(start, end, unit_count)
    if first > last:
        return 0
    if not is_bit:
        return int.from_bytes(entry.value[first : last + 1], "big").bit_count()
    number = int.from_bytes(entry.value[first // 8 : last // 8 + 1], "big") >> (7 - last % 8)
    return (number & ((1 << (last - first + 1)) - 1)).bit_count()


@command("BITPOS", -3, "readonly", ONE)
def bitpos(space: Space, args: list[bytes]) -> Reply:
    """BITPOS key bit [start [end [BYTE | BIT]]]: the first such bit, or -1."""
    wanted = integer(args[2])
    if wanted not in (0, 1):
        raise CommandError("ERR", "The bit argument must be 1 or 0.")
    if len(args) > 6:
        raise syntax_error()
    start = integer(args[3]) if len(args) > 3 else 0
    end = integer(args[4]) if len(args) > 4 else -1
    is_bit = len(args) == 6 and _unit(args[5])
    entry = space.find_as(args[1], bytes)
    if entry is None:
        return -1 if wanted else 0
    data = entry.value
    first, last = _bounds(start, end, len(data) * (8 if is_bit else 1))
    if first > last:
        return -1
    if not is_bit:
        first, last = first * 8, last * 8 + 7
    width = last - first + 1
    number = int.from_bytes(data[first // 8 : last // 8 + 1], "big") >> (7 - last % 8)
    number &= (1 << width) - 1
    if not wanted:
        number ^= (1 << width) - 1
    if number:
        return first + width - number.bit_length()
    # A string of ones is followed by zeros, unless the caller said where it ends.
    return len(data) * 8 if not wanted and len(args) < 5 else -1


@command("BITOP", -4, "write denyoom", (2, -1, 1))
def bitop(space: Space, args: list[bytes]) -> Reply:
    """BITOP AND | OR | XOR | NOT destination key …: the length of the result."""
    word = args[1].upper()
    if word not in (b"AND", b"OR", b"XOR", b"NOT"):
        raise syntax_error()
    if word == b"NOT" and len(args) != 4:
        raise CommandError("ERR", "BITOP NOT must be called with a single source key.")
    entries = [space.find_as(key, bytes) for key in args[3:]]
    values = [b"" if entry is None else entry.value for entry in entries]
    width = max(len(value) for value in values)
    check_key(space, args[2])
    numbers = [int.from_bytes(value.ljust(width, b"\0"), "big") for value in values]
    match word:
        case b"AND":
            number = reduce(lambda left, right: left & right, numbers)
        case b"OR":
            number = reduce(lambda left, right: left | right, numbers)
        case b"XOR":
            number = reduce(lambda left, right: left ^ right, numbers)
        case _:
            number = numbers[0] ^ ((1 << 8 * width) - 1)
    if width:
        space.put(args[2], number.to_bytes(width, "big"))
    else:
        space.delete(args[2])
    return width
