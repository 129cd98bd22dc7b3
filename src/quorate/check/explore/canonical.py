"""Bytes that are equal exactly when two plain values are: what tells states of machines apart.

Pickle is no such thing: it shows which equal parts happen to be one object. Here only types and contents count; maps
and sets are sorted, so their history does not show.
"""

import random
from collections import deque
from enum import Enum
from typing import Any

import msgspec


def canonical(value: Any, ignore: frozenset[str] = frozenset()) -> bytes:
    """Return the canonical bytes of plain data: scalars, containers, structs, enums, objects with attributes.

    Args:
        value: what to encode.
        ignore: names of attributes and fields that are left out, at any depth. Sound only if nothing that the machine
            will ever do depends on them.

    Raises:
        TypeError: something that is not plain data, such as a function or a generator.

    Complexity: O(size of the value), and sorting of maps and sets.
    """
    out = bytearray()
    _write(out, value, ignore)
    return bytes(out)


def _write(out: bytearray, value: Any, ignore: frozenset[str]) -> None:
    match value:
        case None:
            out += b"N"
        case bool():
            out += b"T" if value else b"F"
        case Enum():
            _write_text(out, b"E", f"{type(value).__name__}.{value.name}")
        case int():
            _write_text(out, b"i", str(value))
        case float():
            _write_text(out, b"f", repr(value))
        case str():
            _write_text(out, b"s", value)
        case bytes() | bytearray():
            out += b"b%d:" % len(value)
            out += value
        case list() | tuple() | deque():
            out += b"(" if isinstance(value, tuple) else b"["
            for item in value:
                _write(out, item, ignore)
            out += b")"
        case dict():
            pairs = sorted((canonical(key, ignore), canonical(item, ignore)) for key, item in value.items())
            out += b"{"
            for key, item in pairs:
                out += key
                out += item
            out += b"}"
        case set() | frozenset():
            out += b"<" + b"".join(sorted(canonical(item, ignore) for item in value)) + b">"
        case random.Random():
            _write(out, (type(value).__name__, value.getstate()), ignore)
        case _:
            _write_object(out, value, ignore)


def _write_object(out: bytearray, value: Any, ignore: frozenset[str]) -> None:
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        names: list[str] = sorted(kind.__struct_fields__)
    elif hasattr(value, "__dict__") and not callable(value):
        names = sorted(vars(value))
    else:
        slots = getattr(kind, "__slots__", None)
        if slots is None or callable(value):
            raise TypeError(f"a {kind.__name__} is not plain data and has no canonical bytes: {value!r}")
        names = sorted((slots,) if isinstance(slots, str) else slots)
    _write_text(out, b"O", kind.__name__)
    for name in names:
        if name not in ignore:
            _write_text(out, b".", name)
            _write(out, getattr(value, name), ignore)
    out += b";"


def _write_text(out: bytearray, tag: bytes, text: str) -> None:
    data = text.encode()
    out += tag + b"%d:" % len(data)
    out += data


class Still(random.Random):
    """A random stream that always draws the least value: where timers are choices, chance adds nothing."""

    def random(self) -> float:
        """Return 0.0."""
        return 0.0

    def getrandbits(self, k: int, /) -> int:
        """Return 0."""
        del k
        return 0

    def getstate(self) -> tuple[Any, ...]:
        """Return the one state that there is."""
        return ()

    def __reduce__(self) -> tuple[type["Still"], tuple[()]]:
        return (Still, ())
