"""Version vectors: per actor, how many of its events are known; and the vector clock that keeps one.

Theory. An actor's events are numbered 1, 2, 3 … without gaps. A set of events that is closed under "what came before at
the same actor" is then one number per actor, and inclusion of such sets is exactly causality: two vectors that do not
include each other are concurrent. One event is a `Dot`.

Source      Parker et al. 1983 (version vectors); Fidge 1988, Mattern 1989 (vector clocks); Dot: Almeida et al. 2014.
Deviations  Actors are integers from 0 to 2⁶³-1, so that order and encoding are the same everywhere; an absent actor
            counts 0 and is never stored.
Complexity  n actors: O(n) for compare, merge and encoding; O(1) for looking up.
Bounds      Grows with the number of actors that ever wrote; `without` prunes, and what that costs is said there.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from quorate.clocks.order import Order
from quorate.kernel import BadPayload, Envelope, errors

ACTOR_MAX: Final = 2**63 - 1


class BadActor(errors.UsageError):
    """An actor is not an integer from 0 to 2⁶³-1."""

    code = "BADACTOR"


class BadCounter(errors.UsageError):
    """A count of events is not an integer from 1 (or, where nothing is known, 0) to 2⁶³-1."""

    code = "BADCOUNTER"


def checked_actor(actor: int) -> int:
    """Return the actor, or raise `BadActor`."""
    # A bool is an int to Python, and never meant as an actor.
    if not isinstance(actor, int) or isinstance(actor, bool) or not 0 <= actor <= ACTOR_MAX:
        raise BadActor(f"an actor is an integer from 0 to 2**63-1, not {actor!r}")
    return actor


class Dot(NamedTuple):
    """One event: the `counter`-th of an actor, counted from 1."""

    actor: int
    counter: int


class VersionVector:
    """A set of events without gaps, as one count per actor. A value: operations return new vectors.

    Example:
        >>> left, right = VersionVector({1: 2}), VersionVector({1: 1, 2: 1})
        >>> left.compare(right)
        <Order.CONCURRENT: 'concurrent'>
        >>> left.merge(right)
        VersionVector({1: 2, 2: 1})
    """

    __slots__ = ("_counters",)

    def __init__(self, counters: Mapping[int, int] | None = None) -> None:
        kept: dict[int, int] = {}
        for actor, counter in sorted((counters or {}).items()):
            checked_actor(actor)
            if not isinstance(counter, int) or not 0 <= counter <= ACTOR_MAX:
                raise BadCounter(f"actor {actor} has {counter!r} events; expected an integer of 0 or more")
            if counter:
                kept[actor] = counter
        self._counters = kept

    @classmethod
    def _of(cls, counters: dict[int, int]) -> "VersionVector":
        """Wrap counters that are known to be good."""
        vector = object.__new__(cls)
        vector._counters = counters
        return vector

    @classmethod
    def from_dots(cls, dots: Iterable[Dot]) -> "VersionVector":
        """Return the smallest vector that covers all the dots (and so every earlier event of their actors)."""
        counters: dict[int, int] = {}
        for actor, counter in dots:
            if counters.get(actor, 0) < counter:
                counters[actor] = counter
        return cls(counters)

    def __getitem__(self, actor: int) -> int:
        """Return how many of an actor's events are known; 0 for a stranger."""
        return self._counters.get(actor, 0)

    def __contains__(self, dot: object) -> bool:
        """Return whether an event is known."""
        return isinstance(dot, tuple) and len(dot) == 2 and 1 <= dot[1] <= self._counters.get(dot[0], 0)

    def __iter__(self) -> Iterator[int]:
        """Yield the actors, ascending."""
        return iter(sorted(self._counters))

    def __len__(self) -> int:
        """Return how many actors have events."""
        return len(self._counters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionVector) and self._counters == other._counters

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return f"VersionVector({dict(self.items())})"

    def __reduce__(self) -> tuple[type["VersionVector"], tuple[dict[int, int]]]:
        return VersionVector, (dict(self.items()),)

    def items(self) -> list[tuple[int, int]]:
        """Return (actor, count) pairs, actors ascending."""
        return sorted(self._counters.items())

    def event_count(self) -> int:
        """Return how many events are known in all."""
        return sum(self._counters.values())

    def next_dot(self, actor: int) -> Dot:
        """Return the name of the next event of an actor."""
        return Dot(checked_actor(actor), self._counters.get(actor, 0) + 1)

    def with_dot(self, dot: Dot) -> "VersionVector":
        """Return the vector that also covers an event, and with it every earlier one of its actor."""
        if self._counters.get(dot.actor, 0) >= dot.counter:
            return self
        return VersionVector._of({**self._counters, checked_actor(dot.actor): dot.counter})

    def increment(self, actor: int) -> "VersionVector":
        """Return the vector with one more event of an actor."""
        return self.with_dot(self.next_dot(actor))

    def merge(self, other: "VersionVector") -> "VersionVector":
        """Return the union: all that either knows (least upper bound)."""
        merged = dict(self._counters)
        for actor, counter in other._counters.items():
            if merged.get(actor, 0) < counter:
                merged[actor] = counter
        return VersionVector._of(merged)

    def meet(self, other: "VersionVector") -> "VersionVector":
        """Return the intersection: what both know (greatest lower bound)."""
        theirs = other._counters
        return VersionVector._of({a: min(c, theirs[a]) for a, c in self._counters.items() if a in theirs})

    def without(self, actors: Iterable[int]) -> "VersionVector":
        """Return the vector without some actors.

        Safe only for actors that will never write again and whose events everybody has. Otherwise descent is lost: an
        old version can look concurrent with the one that replaced it (Dynamo's pruning has exactly that flaw).
        """
        gone = frozenset(actors)
        return VersionVector._of({a: c for a, c in self._counters.items() if a not in gone})

    def descends(self, other: "VersionVector") -> bool:
        """Return whether all that the other knows is known here too (equal included)."""
        mine = self._counters
        return all(mine.get(actor, 0) >= counter for actor, counter in other._counters.items())

    def compare(self, other: "VersionVector") -> Order:
        """Return how this stands to another: before, after, equal or concurrent."""
        return Order.from_descents(first_descends=self.descends(other), second_descends=other.descends(self))

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of [actor, count], actors ascending."""
        return _ENVELOPE.encode(self.items())

    @classmethod
    def from_bytes(cls, data: bytes) -> "VersionVector":
        """Return the vector in sealed bytes; raise `Undecodable` for anything else."""
        return cls.from_items(_ENVELOPE.decode(data))

    @classmethod
    def from_items(cls, items: list[tuple[int, int]]) -> "VersionVector":
        """Return the vector of pairs as `items` gives them; raise `BadPayload` when they are not in that form."""
        actors = [actor for actor, _ in items]
        if any(not 0 <= a <= ACTOR_MAX or not 1 <= c <= ACTOR_MAX for a, c in items) or actors != sorted(set(actors)):
            raise BadPayload("a version vector has ascending actors, each with 1 event or more")
        return cls._of(dict(items))


_ENVELOPE: Envelope[list[tuple[int, int]]] = Envelope("version-vector", 1, list[tuple[int, int]])


class VectorClock:
    """One actor's view of everybody's events: tick for what happens here, receive for what arrives.

    Example:
        >>> here, there = VectorClock(actor=1), VectorClock(actor=2)
        >>> there.receive(here.tick())
        VersionVector({1: 1, 2: 1})
    """

    def __init__(self, *, actor: int, known: VersionVector | None = None) -> None:
        self.actor = checked_actor(actor)
        # All events known here, this actor's own included; persist it to stay monotonic through a restart.
        self.known = known if known is not None else VersionVector()

    def tick(self) -> VersionVector:
        """Return the stamp of a local event or of a message about to leave."""
        self.known = self.known.increment(self.actor)
        return self.known

    def receive(self, stamp: VersionVector) -> VersionVector:
        """Return the stamp of the arrival of a message that carried a stamp."""
        self.known = self.known.merge(stamp)
        return self.tick()
