"""States seen from afar: the outline of a machine, and the names that nodes could have instead of their own."""

from collections.abc import Hashable, Sequence
from itertools import permutations
from typing import Any, Final

import msgspec

from quorate.kernel import NodeId

# Below it a number is a part of an outline: a term, a place in the log, a count.
_SMALL_NUMBER: Final = 16


def renamings_of(nodes: Sequence[NodeId], alike: Sequence[Sequence[NodeId]]) -> list[dict[int, int]]:
    """Return all ways to rename nodes within groups of those that are alike, the one that changes nothing first."""
    found: list[dict[int, int]] = [{int(node): int(node) for node in nodes}]
    for group in alike:
        found = [
            before | {int(old): int(new) for old, new in zip(group, order, strict=True)}
            for before in found
            for order in permutations(group)
        ]
    return found


def outline(value: Any, ignore: frozenset[str], depth: int) -> Hashable:
    """Return the words, truth values, small numbers and (up to three) lengths among an object's fields."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) < _SMALL_NUMBER else "large"
        case list() | dict() | tuple():
            return min(3, len(value))
        case _ if not depth:
            return type(value).__name__
        case msgspec.Struct():
            names: Sequence[str] = type(value).__struct_fields__
        case _:
            names = list(getattr(value, "__dict__", ()))
    inside = tuple([outline(getattr(value, name), ignore, depth - 1) for name in names if name not in ignore])
    return (type(value).__name__, inside)
