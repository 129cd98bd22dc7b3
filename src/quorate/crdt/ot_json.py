"""Operational transformation of JSON documents: objects by key, lists by index, values replaced whole.

Theory. An operation is a list of steps, done in order; each names a path. Transforming a step moves the indexes of its
path by what was inserted and deleted beside it, and drops it when what it speaks of is gone. Where both write one
place, the side that is `FIRST` wins. TP1 holds for all pairs of steps (checked by exhaustion in the tests); TP2 does
not hold where three sides write one place or insert at one place: use a server's order.

Source      The list and object types of ShareDB's json0 in purpose, written anew from TP1.
Complexity  O(steps of one · steps of the other) for transform, O(size of the containers on the path) for apply.
Deviations  Values are never merged: text inside JSON is replaced whole (use `TextOperation` for text).
"""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias, assert_never

from quorate.crdt.base import pack, unpack
from quorate.crdt.ot_text import Mismatch, Side
from quorate.kernel import BadPayload, Envelope

Path: TypeAlias = tuple[str | int, ...]


class Put(NamedTuple):
    """Set a key of an object, or replace an item of a list."""

    path: Path
    value: object


class Drop(NamedTuple):
    """Remove a key of an object; nothing when it is not there."""

    path: Path


class InsertAt(NamedTuple):
    """Insert an item into a list before an index, the last part of the path."""

    path: Path
    value: object


class DeleteAt(NamedTuple):
    """Delete an item of a list."""

    path: Path


Step: TypeAlias = Put | Drop | InsertAt | DeleteAt


class JSONOperation:
    """A change of a JSON document, as a value.

    Example:
        >>> left, right = JSONOperation([InsertAt(("tags", 0), "new")]), JSONOperation([DeleteAt(("tags", 1))])
        >>> document = {"tags": ["a", "b"]}
        >>> right.transform(left, Side.SECOND).apply(left.apply(document))
        {'tags': ['new', 'a']}
        >>> left.transform(right, Side.FIRST).apply(right.apply(document))
        {'tags': ['new', 'a']}
    """

    __slots__ = ("steps",)

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = tuple(steps)
        if any(not step.path for step in self.steps):
            raise Mismatch("the document itself cannot be replaced: a path has a key or an index")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JSONOperation) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"JSONOperation({list(self.steps)})"

    def apply(self, document: Any) -> Any:
        """Return the changed document; raise `Mismatch` when a path does not lead anywhere."""
        found = copy.deepcopy(document)
        for step in self.steps:
            _do(found, step)
        return found

    def invert(self, document: Any) -> "JSONOperation":
        """Return what takes this back, given the document before it."""
        found, steps = copy.deepcopy(document), []
        for step in self.steps:
            steps.append(_undo(found, step))
            _do(found, step)
        return JSONOperation(reversed(steps))

    def compose(self, then: "JSONOperation") -> "JSONOperation":
        """Return one operation that does this and then another."""
        return JSONOperation((*self.steps, *then.steps))

    def transform(self, other: "JSONOperation", side: Side) -> "JSONOperation":
        """Return this operation for the document after another one that was made for the same document."""
        rest = list(other.steps)
        found: list[Step] = []
        for step in self.steps:
            mine: Step | None = step
            after: list[Step] = []
            for theirs in rest:
                # Each passes the other, so that the next step meets them as they are after this one.
                moved = None if mine is None else _transform(theirs, mine, side.other())
                if mine is None:
                    moved = theirs
                else:
                    mine = _transform(mine, theirs, side)
                if moved is not None:
                    after.append(moved)
            rest = after
            if mine is not None:
                found.append(mine)
        return JSONOperation(found)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of [kind, path, value as bytes]."""
        return _ENVELOPE.encode(
            [
                (
                    _KINDS.index(type(step)),
                    list(step.path),
                    pack(step.value) if isinstance(step, Put | InsertAt) else b"",
                )
                for step in self.steps
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "JSONOperation":
        """Return the operation in sealed bytes; raise `Undecodable` for anything else."""
        return cls(_step(*form) for form in _ENVELOPE.decode(data))


_KINDS: list[type[Step]] = [Put, Drop, InsertAt, DeleteAt]
_ENVELOPE: Envelope[list[tuple[int, list[str | int], bytes]]] = Envelope(
    "json-operation", 1, list[tuple[int, list[str | int], bytes]]
)


def _step(kind: int, path: list[str | int], value: bytes) -> Step:
    if not path or any(isinstance(part, int) and part < 0 for part in path):
        raise BadPayload("a path has a key or an index, none below 0")
    match kind:
        case 0:
            return Put(tuple(path), unpack(value))
        case 1:
            return Drop(tuple(path))
        case 2:
            return InsertAt(tuple(path), unpack(value))
        case 3:
            return DeleteAt(tuple(path))
        case _:
            raise BadPayload(f"no step has the number {kind}")


def _holder(document: Any, path: Path) -> Any:
    for part in path[:-1]:
        document = _item(document, part)
    return document


def _item(holder: Any, part: str | int) -> Any:
    try:
        if isinstance(holder, dict) is isinstance(part, str):
            return holder[part]
    except (LookupError, TypeError) as cause:
        raise Mismatch(f"nothing at {part!r}") from cause
    raise Mismatch(f"nothing at {part!r}")


def _do(document: Any, step: Step) -> None:
    holder, last = _holder(document, step.path), step.path[-1]
    is_list = isinstance(holder, list) and isinstance(last, int)
    match step:
        case Put(_, value) if is_list and 0 <= last < len(holder):  # type: ignore[operator]
            holder[last] = copy.deepcopy(value)
        case Put(_, value) if isinstance(holder, dict) and isinstance(last, str):
            holder[last] = copy.deepcopy(value)
        case Drop() if isinstance(holder, dict):
            holder.pop(last, None)
        case InsertAt(_, value) if is_list and 0 <= last <= len(holder):  # type: ignore[operator]
            holder.insert(last, copy.deepcopy(value))
        case DeleteAt() if is_list and 0 <= last < len(holder):  # type: ignore[operator]
            del holder[last]
        case _:
            raise Mismatch(f"{step} does not fit the document")


def _undo(document: Any, step: Step) -> Step:
    holder, last = _holder(document, step.path), step.path[-1]
    match step:
        case InsertAt(path):
            return DeleteAt(path)
        case DeleteAt(path):
            return InsertAt(path, copy.deepcopy(_item(holder, last)))
        case Put(path) | Drop(path):
            if isinstance(holder, dict) and last not in holder:
                return Drop(path)
            return Put(path, copy.deepcopy(_item(holder, last)))
        case _:
            assert_never(step)


def _transform(mine: Step, other: Step, side: Side) -> Step | None:
    """Return a step for the document after another one, None when nothing of it is left."""
    there, here = other.path, mine.path
    depth = len(there) - 1
    if len(here) <= depth or here[:depth] != there[:depth]:
        return mine
    part, last, is_same = here[depth], there[-1], len(here) == len(there)
    match other:
        case Put() | Drop():
            if part != last:
                return mine
            if is_same and isinstance(mine, Put | Drop):
                return mine if side is Side.FIRST else None
            # Inserting before and deleting the item do not touch its value; below it everything is new.
            return mine if is_same else None
        case InsertAt():
            if not isinstance(part, int) or not isinstance(last, int):
                return mine
            meets = is_same and isinstance(mine, InsertAt) and part == last
            if part < last or (meets and side is Side.FIRST):
                return mine
            return _moved(mine, depth, part + 1)
        case DeleteAt():
            if not isinstance(part, int) or not isinstance(last, int) or part < last:
                return mine
            if part > last:
                return _moved(mine, depth, part - 1)
            return mine if is_same and isinstance(mine, InsertAt) else None
        case _:
            assert_never(other)


def _moved(step: Step, depth: int, index: int) -> Step:
    return step._replace(path=(*step.path[:depth], index, *step.path[depth + 1 :]))
