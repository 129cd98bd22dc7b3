"""What several commands share: places of keys, bounds, limits, cursors over collections."""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from quorate.store.glob import Glob
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import CommandError
from quorate.store.space import Space

# First key, last key, step.
ONE: Final = (1, 1, 1)
TWO: Final = (1, 2, 1)
ALL: Final = (1, -1, 1)
PAIRS: Final = (1, -1, 2)

# The most that one step of a scan looks at.
SCAN_COUNT_MAX: Final = 1_000_000
# A collection of at most so many elements is scanned in one go.
SCAN_WHOLE_COUNT: Final = 128


def check_size(space: Space, size_bytes: int) -> None:
    """Raise CommandError when a string or element is above its limit."""
    if size_bytes > space.store.limits.value_bytes_max:
        raise CommandError("TOOLARGE", f"value is larger than {space.store.limits.value_bytes_max} bytes")


def check_key(space: Space, key: bytes) -> None:
    """Raise CommandError when a key is above its limit; for commands that write more than one."""
    if len(key) > space.store.limits.key_bytes_max:
        raise CommandError("TOOLARGE", f"key is longer than {space.store.limits.key_bytes_max} bytes")


def check_elements(space: Space, elements: Iterable[bytes], count: int) -> None:
    """Raise CommandError when an element is too large, or the collection would have too many.

    Args:
        space: gives the limits.
        elements: to be added.
        count: how many the collection has at most when all are added.
    """
    size_max = space.store.limits.value_bytes_max
    for element in elements:
        if len(element) > size_max:
            check_size(space, len(element))
    if count > space.store.limits.element_count_max:
        raise CommandError(
            "TOOLARGE", f"collection would have more than {space.store.limits.element_count_max} elements"
        )


def clamp(start: int, end: int, length: int) -> tuple[int, int]:
    """Return [start, stop) for Redis' inclusive bounds, of which negative ones count from the end.

    Example:
        >>> clamp(-2, -1, 5), clamp(3, 1, 5)
        ((3, 5), (3, 3))
    """
    start = max(start + length, 0) if start < 0 else start
    end = end + length if end < 0 else end
    stop = min(end + 1, length)
    return start, max(stop, start)


def number_of_keys(args: list[bytes], place: int, error: str = "numkeys should be greater than 0") -> list[bytes]:
    """Return the keys behind their count at a place; raise CommandError when there are not so many."""
    count = integer(args[place], error)
    if count <= 0:
        raise CommandError("ERR", error)
    if count > len(args) - place - 1:
        raise syntax_error()
    return args[place + 1 : place + 1 + count]


def scan_cursor(args: list[bytes], place: int) -> int:
    """Return the cursor at a place; raise CommandError when it is none. Redis reads it before it looks at the key."""
    text = args[place]
    if not text.isdigit() or len(text) > 20 or int(text) >= 1 << 64:
        raise CommandError("ERR", "invalid cursor")
    return int(text)


class ScanOptions:
    """Cursor, MATCH, COUNT and TYPE of the SCAN family."""

    def __init__(self, args: list[bytes], place: int, *, takes_type: bool = False) -> None:
        """Read the options.

        Args:
            args: of the command.
            place: where the cursor stands.
            takes_type: whether TYPE is an option.
        """
        self.cursor = scan_cursor(args, place)
        self.count = 10
        self.glob: Glob | None = None
        self.type_name: str | None = None
        place += 1
        while place < len(args):
            word = args[place].upper()
            if place + 1 == len(args):
                raise syntax_error()
            if word == b"COUNT":
                self.count = integer(args[place + 1])
                if self.count < 1:
                    raise syntax_error()
                self.count = min(self.count, SCAN_COUNT_MAX)
            elif word == b"MATCH":
                self.glob = Glob(args[place + 1])
            elif word == b"TYPE" and takes_type:
                self.type_name = args[place + 1].decode("latin-1").lower()
            else:
                raise syntax_error()
            place += 2

    def takes(self, name: bytes) -> bool:
        """Return whether a name fits MATCH."""
        return self.glob is None or self.glob.matches(name)

    def select(self, names: Iterable[bytes], name_count: int) -> tuple[bytes, list[bytes]]:
        """Return the next cursor and the names of this step, for a collection held in memory.

        The cursor is a place in the space of 32-bit checksums, and a step covers a share of that space, so a full
        iteration meets every element that is there from begin to end, whatever else changes, on any replica.

        Complexity: O(name_count) a step.
        """
        if name_count <= SCAN_WHOLE_COUNT:
            return b"0", [name for name in names if self.takes(name)]
        width = max(1, (self.count << 32) // name_count)
        low, high = self.cursor, self.cursor + width
        found = [name for name in names if low <= crc32(name) < high and self.takes(name)]
        return (b"0" if high >= 1 << 32 else b"%d" % high), found
