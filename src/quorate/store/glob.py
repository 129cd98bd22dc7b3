"""Patterns of KEYS, SCAN, PSUBSCRIBE and CONFIG GET."""

import re
from typing import Final

_SPECIAL: Final = re.compile(rb"[*?\[\\]")


class Glob:
    r"""A pattern of `*`, `?`, `[ab-c]`, `[^a]` and `\x`, as Redis reads it.

    Segments between stars have a fixed length, so the leftmost place of each is as good as any other: matching never
    backtracks over a star, and costs O(length of the name) times the length of the longest segment.

    Example:
        >>> Glob(b"user:*:[0-9]").matches(b"user:anna:7")
        True
    """

    def __init__(self, pattern: bytes) -> None:
        special = _SPECIAL.search(pattern)
        # What every match begins with.
        self.prefix = pattern if special is None else pattern[: special.start()]
        self._is_exact = special is None
        self._is_prefix = special is not None and pattern[special.start() :] == b"*"
        self._pattern: re.Pattern[bytes] | None = None
        if not self._is_exact and not self._is_prefix:
            self._pattern = re.compile(_translate(pattern), re.DOTALL)

    def matches(self, name: bytes) -> bool:
        """Return whether a whole name fits."""
        if self._is_exact:
            return name == self.prefix
        if self._is_prefix:
            return name.startswith(self.prefix)
        return self._pattern is not None and self._pattern.match(name) is not None


def _translate(pattern: bytes) -> bytes:
    """Return the regular expression of a pattern."""
    segments: list[list[bytes]] = [[]]
    place = 0
    while place < len(pattern):
        byte = pattern[place : place + 1]
        if byte == b"*":
            segments.append([])
        elif byte == b"?":
            segments[-1].append(b".")
        elif byte == b"[":
            place, piece = _translate_class(pattern, place + 1)
            segments[-1].append(piece)
        else:
            if byte == b"\\" and place + 1 < len(pattern):
                place += 1
                byte = pattern[place : place + 1]
            segments[-1].append(re.escape(byte))
        place += 1
    texts = [b"".join(segment) for segment in segments]
    if len(texts) == 1:
        return texts[0] + rb"\Z"
    inner = b"".join(b"(?>.*?" + text + b")" for text in texts[1:-1] if text)
    return texts[0] + inner + b".*" + texts[-1] + rb"\Z"


def _translate_class(pattern: bytes, place: int) -> tuple[int, bytes]:
    """Return the place of the closing bracket and the expression of a class that begins at `place`."""
    is_negated = pattern[place : place + 1] == b"^"
    place += is_negated
    taken = bytearray(256)
    while place < len(pattern) and pattern[place] != 0x5D:
        if pattern[place] == 0x5C and place + 1 < len(pattern):
            place += 1
            taken[pattern[place]] = 1
        elif pattern[place + 1 : place + 2] == b"-" and place + 2 < len(pattern):
            low, high = sorted((pattern[place], pattern[place + 2]))
            taken[low : high + 1] = b"\1" * (high + 1 - low)
            place += 2
        else:
            taken[pattern[place]] = 1
        place += 1
    chosen = [value for value in range(256) if bool(taken[value]) is not is_negated]
    if not chosen:
        return place, b"(?!)"
    return place, b"[" + b"".join(rb"\x%02x" % value for value in chosen) + b"]"
