"""Bytes that are equal exactly when two plain values are: what tells states of machines apart.

Pickle is no such thing: it shows which equal parts happen to be one object. Here only types and contents count; maps
and sets are sorted, so their history does not show.
"""

import random
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec


def canonical(
    value: Any,
    ignore: frozenset[str] = frozenset(),
    *,
    relative: frozenset[str] = frozenset(),
    ordered: frozenset[str] = frozenset(),
    unordered: frozenset[str] = frozenset(),
    now: int = 0,
    names: Mapping[int, int] | None = None,
) -> bytes:
    """Return the canonical bytes of plain data: scalars, containers, structs, enums, objects with attributes.

    Args:
        value: what to encode.
        ignore: names of attributes and fields that are left out, at any depth. Sound only if nothing that the machine
            will ever do depends on them.
        relative: names of attributes and fields whose whole numbers are instants, in containers too (not as keys): they
            are written as what has passed since.
        ordered: names of attributes and fields with maps, in containers too, whose order counts.
        unordered: names of attributes and fields with sequences whose order does not count.
        now: the moment to which instants are relative.
        names: other names for some `Name`s; no other number is one.

    Raises:
        TypeError: something that is not plain data, such as a function or a generator.

    Complexity: O(size of the value), and sorting of maps and sets.
    """
    return _Writer(_Rules(ignore, relative, ordered, unordered), now, names or {}).apart(value)


class Name(int):
    """The id of a node whose part another node could play: what symmetry reduction may rename."""

    __slots__ = ()


class _Rules(msgspec.Struct, frozen=True):
    ignore: frozenset[str]
    relative: frozenset[str]
    ordered: frozenset[str]
    unordered: frozenset[str]


class _Writer:
    def __init__(self, rules: _Rules, now: int, names: Mapping[int, int]) -> None:
        self.rules = rules
        self.now = now
        self.names = names
        self.out = bytearray()

    def apart(self, value: Any) -> bytes:
        writer = _Writer(self.rules, self.now, self.names)
        writer.write(value)
        return bytes(writer.out)

    def write(self, value: Any) -> None:
        out = self.out
        match value:
            case None:
                out += b"N"
            case bool():
                out += b"T" if value else b"F"
            case Enum():
                self._text(b"E", f"{type(value).__name__}.{value.name}")
            case int():
                if type(value) is Name:
                    value = self.names.get(value, value)
                self._text(b"i", str(int(value)))
            case float():
                self._text(b"f", repr(value))
            case str():
                self._text(b"s", value)
            case bytes() | bytearray():
                out += b"b%d:" % len(value)
                out += value
            case list() | tuple() | deque():
                out += b"(" if isinstance(value, tuple) else b"["
                for item in value:
                    self.write(item)
                out += b")"
            case dict():
                out += b"{"
                for key, item in sorted([(self.apart(key), self.apart(item)) for key, item in value.items()]):
                    out += key
                    out += item
                out += b"}"
            case set() | frozenset():
                out += b"<" + b"".join(sorted(self.apart(item) for item in value)) + b">"
            case random.Random():
                self.write((type(value).__name__, value.getstate()))
            case _:
                self._object(value)

    def _object(self, value: Any) -> None:
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
        self._text(b"O", kind.__name__)
        for name in names:
            if name in self.rules.ignore:
                continue
            self._text(b".", name)
            held = getattr(value, name)
            if name in self.rules.relative:
                held = self._since(held)
            if name in self.rules.ordered:
                held = _in_order(held)
            if name in self.rules.unordered and isinstance(held, list | tuple):
                self.out += b"<" + b"".join(sorted(self.apart(item) for item in held)) + b">"
                continue
            self.write(held)
        self.out += b";"

    def _since(self, value: Any) -> Any:
        """Return a value with all its instants as what has passed since."""
        match value:
            case bool():
                return value
            case int():
                return self.now - value
            case list() | tuple() | deque():
                return [self._since(item) for item in value]
            case dict():
                return {key: self._since(item) for key, item in value.items()}
            case _:
                return value

    def _text(self, tag: bytes, text: str) -> None:
        data = text.encode()
        self.out += tag + b"%d:" % len(data)
        self.out += data


def _in_order(value: Any) -> Any:
    """Return a value with all its maps as lists of their pairs."""
    match value:
        case dict():
            return ["map", *[(key, _in_order(item)) for key, item in value.items()]]
        case list() | tuple() | deque():
            return [_in_order(item) for item in value]
        case _:
            return value


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
