"""Dotted version vectors, and sets of them: siblings that cannot explode.

Theory. A server that stamps a write with its whole vector says "this write replaces everything I knew", although the
client had seen less; or, with the client's vector plus one, cannot tell two concurrent writes through the same server
apart. Keeping the write's own event (its dot) beside the client's past tells exactly what it replaces.

A set of such versions compresses well: per server, the count of its events and the values of the latest of them that
are still alive, newest first.

Source      Preguiça et al. 2010 (dotted version vectors); Almeida et al. 2014, "Scalable and accurate causality
            tracking for eventually consistent stores" (the set form; update, sync and less as in its section 5).
Deviations  Values are bytes, and there are no values without a dot.
Complexity  n servers, s siblings: `DottedVersion.compare` O(1); sync and update O(n + s).
"""

from collections.abc import Mapping
from typing import NamedTuple

from quorate.clocks.order import Order
from quorate.clocks.vectors import ACTOR_MAX, Dot, VersionVector, checked_actor
from quorate.kernel import BadPayload, Envelope


class DottedVersion(NamedTuple):
    """One version of a value: its own event and the past that its writer had seen.

    Example:
        >>> first = DottedVersion(Dot(1, 1), VersionVector())
        >>> DottedVersion(Dot(1, 2), VersionVector()).compare(first)
        <Order.CONCURRENT: 'concurrent'>
        >>> DottedVersion(Dot(1, 2), VersionVector({1: 1})).compare(first)
        <Order.AFTER: 'after'>
    """

    dot: Dot
    past: VersionVector

    def compare(self, other: "DottedVersion") -> Order:
        """Return how this version stands to another. Complexity: O(1), by looking for one dot in the other's past."""
        if self.dot == other.dot:
            return Order.EQUAL
        if self.dot in other.past:
            return Order.BEFORE
        return Order.AFTER if other.dot in self.past else Order.CONCURRENT

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of dot and past."""
        return _VERSION.encode((self.dot, self.past.items()))

    @classmethod
    def from_bytes(cls, data: bytes) -> "DottedVersion":
        """Return the version in sealed bytes; raise `Undecodable` for anything else."""
        dot, items = _VERSION.decode(data)
        if not 0 <= dot.actor <= ACTOR_MAX or not 1 <= dot.counter <= ACTOR_MAX:
            raise BadPayload("a dotted version has an actor of 0 or more and a counter of 1 or more")
        return cls(dot, VersionVector.from_items(items))


_VERSION: Envelope[tuple[Dot, list[tuple[int, int]]]] = Envelope("dotted-version", 1, tuple[Dot, list[tuple[int, int]]])


class _Entry(NamedTuple):
    # Events of the server so far.
    counter: int
    # Values of its latest events that are still alive, newest first; the first belongs to event `counter`.
    values: tuple[bytes, ...]

    @property
    def replaced_count(self) -> int:
        """How many of the server's events, the oldest ones, have no living value."""
        return self.counter - len(self.values)


class DottedVersionSet:
    """The siblings of one key as one server holds them. A value: operations return new sets.

    A client reads values and context, and sends the context back with its write.

    Example:
        >>> at_server = DottedVersionSet().put(b"milk", actor=1, context=VersionVector())
        >>> seen = at_server.context()
        >>> at_server = at_server.put(b"eggs", actor=1, context=VersionVector())
        >>> at_server.values()
        [b'eggs', b'milk']
        >>> at_server.put(b"both", actor=1, context=at_server.context()).values()
        [b'both']
        >>> at_server.put(b"bread", actor=1, context=seen).values()
        [b'bread', b'eggs']
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[int, tuple[int, tuple[bytes, ...]]] | None = None) -> None:
        self._entries: dict[int, _Entry] = {}
        for actor, (counter, values) in sorted((entries or {}).items()):
            if not 1 <= counter <= ACTOR_MAX or not len(values) <= counter:
                raise BadPayload(f"server {actor} has {len(values)} values of {counter} events")
            self._entries[checked_actor(actor)] = _Entry(counter, tuple(values))

    @classmethod
    def _of(cls, entries: dict[int, _Entry]) -> "DottedVersionSet":
        made = object.__new__(cls)
        made._entries = entries
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DottedVersionSet) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._entries.items())))

    def __repr__(self) -> str:
        return f"DottedVersionSet({ {a: tuple(e) for a, e in sorted(self._entries.items())} })"

    def __len__(self) -> int:
        """Return how many siblings are alive."""
        return sum(len(entry.values) for entry in self._entries.values())

    def values(self) -> list[bytes]:
        """Return the siblings: servers ascending, of each the newest first."""
        return [value for _, entry in sorted(self._entries.items()) for value in entry.values]

    def context(self) -> VersionVector:
        """Return all events that were seen: what a client sends back with its next write."""
        return VersionVector({actor: entry.counter for actor, entry in self._entries.items()})

    def put(self, value: bytes, *, actor: int, context: VersionVector) -> "DottedVersionSet":
        """Return the set after a write through a server: what the writer had seen is replaced, all else stays.

        Args:
            value: what is written.
            actor: the server that takes the write; it must hold this very set (its own latest one).
            context: what the writer had read before.
        """
        kept = self.discard(context)
        counter, values = kept._entries.get(checked_actor(actor), _Entry(0, ()))
        return DottedVersionSet._of({**kept._entries, actor: _Entry(counter + 1, (value, *values))})

    def discard(self, context: VersionVector) -> "DottedVersionSet":
        """Return the set without the values that a context has seen; a delete, when the context is the whole one."""
        return self.sync(DottedVersionSet._of({actor: _Entry(n, ()) for actor, n in context.items()}))

    def sync(self, other: "DottedVersionSet") -> "DottedVersionSet":
        """Return the merge of two servers' sets: a value lives unless one side has seen and replaced it."""
        merged = dict(self._entries)
        for actor, theirs in other._entries.items():
            mine = merged.get(actor)
            merged[actor] = theirs if mine is None else _newest(mine, theirs)
        return DottedVersionSet._of(merged)

    def compare(self, other: "DottedVersionSet") -> Order:
        """Return how the seen events of this set stand to another's."""
        return self.context().compare(other.context())

    def items(self) -> list[tuple[int, int, tuple[bytes, ...]]]:
        """Return (server, count of its events, living values of the latest, newest first), servers ascending."""
        return [(actor, entry.counter, entry.values) for actor, entry in sorted(self._entries.items())]

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of [server, count, values], servers ascending."""
        return _SET.encode(self.items())

    @classmethod
    def from_bytes(cls, data: bytes) -> "DottedVersionSet":
        """Return the set in sealed bytes; raise `Undecodable` for anything else."""
        return cls.from_items(_SET.decode(data))

    @classmethod
    def from_items(cls, rows: list[tuple[int, int, tuple[bytes, ...]]]) -> "DottedVersionSet":
        """Return the set of rows as `items` gives them; raise `BadPayload` when they are not in that form."""
        actors = [actor for actor, _, _ in rows]
        if actors != sorted(set(actors)) or any(not 0 <= actor <= ACTOR_MAX for actor in actors):
            raise BadPayload("a dotted version set has ascending servers")
        return cls({actor: (counter, values) for actor, counter, values in rows})


_SET: Envelope[list[tuple[int, int, tuple[bytes, ...]]]] = Envelope(
    "dotted-version-set", 1, list[tuple[int, int, tuple[bytes, ...]]]
)


def _newest(left: _Entry, right: _Entry) -> _Entry:
    """Merge what two sides know of one server: the longer count, and values that neither has replaced."""
    longer, shorter = (left, right) if left.counter >= right.counter else (right, left)
    # Values are newest first, so those that the shorter side has replaced are at the end.
    alive_count = max(0, longer.counter - max(longer.replaced_count, shorter.replaced_count))
    return _Entry(longer.counter, longer.values[:alive_count])
