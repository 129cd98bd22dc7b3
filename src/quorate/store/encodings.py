"""What OBJECT ENCODING says: the name that Redis 7.0 would give the form of such a value with its default settings.

Our own form does not depend on it; clients and test suites ask.
"""

from typing import Final

from quorate.store.parse import INT_MAX, INT_MIN, is_integer
from quorate.store.values import Hash, List, Set, SortedSet, Value

_EMBEDDED_BYTES_MAX: Final = 44
_PACKED_COUNT_MAX: Final = 128
_PACKED_BYTES_MAX: Final = 64
_INTSET_COUNT_MAX: Final = 512


def _is_number(text: bytes) -> bool:
    return is_integer(text) and INT_MIN <= int(text) <= INT_MAX


def encoding_of(value: Value) -> bytes:
    """Return the name of a value's encoding.

    Complexity: O(elements), at most 512 of them.
    """
    match value:
        case bytes():
            if _is_number(value):
                return b"int"
            return b"embstr" if len(value) <= _EMBEDDED_BYTES_MAX else b"raw"
        case List():
            return b"quicklist"
        case Set():
            is_small = len(value) <= _INTSET_COUNT_MAX and all(_is_number(member) for member in value)
            return b"intset" if is_small else b"hashtable"
        case Hash():
            parts = [part for pair in value.items() for part in pair] if len(value) <= _PACKED_COUNT_MAX else None
            large = b"hashtable"
        case SortedSet():
            parts = list(value.scores) if len(value) <= _PACKED_COUNT_MAX else None
            large = b"skiplist"
    is_packed = parts is not None and all(len(part) <= _PACKED_BYTES_MAX for part in parts)
    return b"listpack" if is_packed else large
