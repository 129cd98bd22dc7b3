"""Observed-remove rows in few bytes: what sets and hashes keep of one key.

Theory. Every change through a node is an *event*, the next number of its actor, removals included. A row is a key with
the event that put it there. The vector says which events a cell has seen; a row whose event one side has seen and does
not have was removed there. Because whole cells are merged and every change is an event, a cell that has seen an event
contains all that its maker had seen: so the order of cells is that of their vectors, and most merges are one comparison
of vectors. What a client removes may not have arrived at the node that it asks: such a removal is *deferred*, kept with
what the client had seen until that has arrived.

An actor that is new to a cell begins at the wall time of its stamp, so that an event given before a purge is not given
again; as for strings with siblings.

Layout      length of the head (4, big endian)  head  body. Head: MessagePack [stamp, vector, rows, deferred] with the
            numbers of the last two. Body: MessagePack [rows, deferred]; of a row: key, place of the actor in the
            vector, events of that actor since, and what the row says, if rows say anything. Ascending, so equal cells
            are equal bytes. Most questions need no more than the head.
Source      Bieniusa et al. 2012 (OR-Set without tombstones); Almeida, Shoker, Baquero 2018; Riak DT (deferrals).
Complexity  n rows: decode, encode, join O(n); join of ordered cells O(actors).
Deviations  `quorate.crdt.ORSet` is the same lattice for any deltas; this one needs whole cells, and is half as large
            and several times as fast for that. A property test holds one against the other.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, NamedTuple

import msgspec

from quorate.clocks import ACTOR_MAX, LOGICAL_COUNT, HybridStamp
from quorate.kernel import Codec, Malformed

Vector = dict[int, int]
"""Actor → how many of its events are known: all up to that number."""

Event = tuple[int, int]
"""(actor, number)."""

_Number = Annotated[int, msgspec.Meta(ge=0, le=ACTOR_MAX)]
_Pairs = list[tuple[_Number, _Number]]
_Stamp = tuple[_Number, Annotated[int, msgspec.Meta(ge=0, lt=LOGICAL_COUNT)], _Number]
_Deferred = list[tuple[bytes, _Pairs]]

_HEAD: Final[Codec[tuple[_Stamp, _Pairs, _Number, _Number]]] = Codec(tuple[_Stamp, _Pairs, _Number, _Number])
_PLAIN: Final[Codec[tuple[list[tuple[bytes, _Number, _Number]], _Deferred]]] = Codec(
    tuple[list[tuple[bytes, _Number, _Number]], _Deferred]
)
_SAYING: Final[Codec[tuple[list[tuple[bytes, _Number, _Number, bytes]], _Deferred]]] = Codec(
    tuple[list[tuple[bytes, _Number, _Number, bytes]], _Deferred]
)
_LENGTH_BYTES: Final = 4


class Head(NamedTuple):
    """What a cell has seen, and how much is in it."""

    stamp: HybridStamp
    vector: Vector
    row_count: int
    deferred_count: int


def head_bytes(data: bytes | memoryview) -> memoryview:
    """Return the head within the bytes of a cell, length included; raise `Malformed` when it is cut off."""
    view = memoryview(data)
    length = int.from_bytes(view[:_LENGTH_BYTES], "big")
    if len(view) < _LENGTH_BYTES + length:
        raise Malformed("a cell is cut off")
    return view[: _LENGTH_BYTES + length]


def head_of(data: bytes | memoryview) -> Head:
    """Return the head of a cell, or of its head alone; raise `Malformed` for anything else.

    Complexity: O(actors).
    """
    stamp, pairs, row_count, deferred_count = _HEAD.decode(head_bytes(data)[_LENGTH_BYTES:])
    return Head(HybridStamp(*stamp), vector_from(pairs), row_count, deferred_count)


def descends(mine: Mapping[int, int], theirs: Mapping[int, int]) -> bool:
    """Return whether all events of one vector are in another."""
    return all(mine.get(actor, 0) >= count for actor, count in theirs.items())


def united(mine: Mapping[int, int], theirs: Mapping[int, int]) -> Vector:
    """Return the vector of all events of two."""
    return {actor: max(mine.get(actor, 0), theirs.get(actor, 0)) for actor in (*mine, *theirs)}


def vector_from(pairs: Iterable[tuple[int, int]]) -> Vector:
    """Return a vector that was encoded; raise `Malformed` unless actors ascend and counts are above 0."""
    vector = dict(pairs)
    if list(vector) != sorted(vector) or 0 in vector.values():
        raise Malformed("a vector has ascending actors with events")
    return vector


class Observed:
    """The rows of one key as one node has them.

    Invariants: every row's event is in the vector; a deferred removal names events that are not in it.
    """

    __slots__ = ("deferred", "rows", "stamp", "vector")

    def __init__(self) -> None:
        # The largest stamp of a change.
        self.stamp = HybridStamp(0, 0, 0)
        self.vector: Vector = {}
        # Key → event → what it says; no key without events.
        self.rows: dict[bytes, dict[Event, bytes]] = {}
        # Key → events of it that are removed as soon as they arrive.
        self.deferred: dict[bytes, Vector] = {}

    # Changes.

    def event(self, actor: int, stamp: HybridStamp) -> Event:
        """Count one more event of an actor, at a stamp."""
        number = self.vector.get(actor, max(1, stamp.wall_ns)) + 1
        self.vector[actor] = number
        self.stamp = max(self.stamp, stamp)
        return actor, number

    def put(self, key: bytes, event: Event, said: bytes) -> None:
        """Set a row, in place of all events of it that are seen here."""
        self.rows[key] = {event: said}

    def remove(self, key: bytes, seen: Mapping[int, int] | None) -> None:
        """Take a row out: all that is here of it, or what a client had seen, now or when it arrives."""
        if seen is None:
            self.rows.pop(key, None)
            return
        self.deferred[key] = united(self.deferred.get(key, {}), seen)
        self._settle()

    def clear(self, seen: Mapping[int, int] | None) -> None:
        """Take all rows out that are here, or that a client had seen; those never arrive again."""
        if seen is None:
            self.rows.clear()
            return
        for key in list(self.rows):
            self._drop(key, seen)
        # All that these events put there is gone, so they count as seen.
        self.vector = united(self.vector, seen)
        self._settle()

    def _drop(self, key: bytes, seen: Mapping[int, int]) -> None:
        events = self.rows.get(key)
        if events is None:
            return
        kept = {event: said for event, said in events.items() if event[1] > seen.get(event[0], 0)}
        if kept:
            self.rows[key] = kept
        else:
            del self.rows[key]

    def _settle(self) -> None:
        """Perform deferred removals; forget what of them has arrived, actor by actor, so that equal cells are alike."""
        for key, seen in list(self.deferred.items()):
            self._drop(key, seen)
            left = {actor: count for actor, count in seen.items() if count > self.vector.get(actor, 0)}
            if left:
                self.deferred[key] = left
            else:
                del self.deferred[key]

    # Joining.

    def join(self, other: "Observed") -> "Observed":
        """Return the join of two cells of one key; neither is changed."""
        if not self.deferred and not other.deferred:
            if descends(self.vector, other.vector):
                return self
            if descends(other.vector, self.vector):
                return other
        made = Observed()
        made.stamp = max(self.stamp, other.stamp)
        made.vector = united(self.vector, other.vector)
        for key in dict.fromkeys((*self.rows, *other.rows)):
            mine, theirs = self.rows.get(key, {}), other.rows.get(key, {})
            if mine == theirs:
                made.rows[key] = mine
                continue
            kept = {e: max(said, theirs.get(e, said)) for e, said in mine.items() if e in theirs or _is_new(e, other)}
            kept.update({e: said for e, said in theirs.items() if e not in mine and _is_new(e, self)})
            if kept:
                made.rows[key] = kept
        for key in dict.fromkeys((*self.deferred, *other.deferred)):
            made.deferred[key] = united(self.deferred.get(key, {}), other.deferred.get(key, {}))
        made._settle()
        return made

    # Bytes.

    def to_bytes(self, *, says: bool) -> bytes:
        """Return the bytes; equal cells give equal bytes. `says`: whether rows say anything."""
        vector = self.vector
        places = {actor: place for place, actor in enumerate(sorted(vector))}
        rows = [
            (key, places[actor], vector[actor] - number, said)
            for key, events in self.rows.items()
            for (actor, number), said in events.items()
        ]
        rows.sort()
        deferred = [(key, sorted(seen.items())) for key, seen in sorted(self.deferred.items())]
        head = _HEAD.encode((self.stamp, sorted(vector.items()), len(rows), len(deferred)))
        body = _SAYING.encode((rows, deferred)) if says else _PLAIN.encode(([row[:3] for row in rows], deferred))
        return len(head).to_bytes(_LENGTH_BYTES, "big") + head + body

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, *, says: bool) -> "Observed":
        """Return the rows in bytes; raise `Malformed` for anything else."""
        made = cls()
        made.stamp, made.vector, row_count, deferred_count = head_of(data)
        body = memoryview(data)[len(head_bytes(data)) :]
        held, pairs = made.rows, list(made.vector.items())
        if says:
            saying, deferred = _SAYING.decode(body)
            for key, place, age, said in saying:
                held.setdefault(key, {})[_event(pairs, place, age)] = said
            seen_count = len(saying)
        else:
            plain, deferred = _PLAIN.decode(body)
            for key, place, age in plain:
                held.setdefault(key, {})[_event(pairs, place, age)] = b""
            seen_count = len(plain)
        if not seen_count == row_count == sum(map(len, held.values())):
            raise Malformed("a row is there once, and counted in the head")
        made.deferred = {key: vector_from(seen) for key, seen in deferred}
        if not len(deferred) == deferred_count == len(made.deferred) or not all(made.deferred.values()):
            raise Malformed("a deferred removal of a key is there once, counted in the head, and of something")
        made._settle()
        return made


def _event(pairs: list[Event], place: int, age: int) -> Event:
    if place >= len(pairs) or age >= pairs[place][1]:
        raise Malformed("a row stands for an event of the vector")
    actor, count = pairs[place]
    return actor, count - age


def _is_new(event: Event, to: Observed) -> bool:
    return event[1] > to.vector.get(event[0], 0)
