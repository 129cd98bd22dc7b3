"""Causal context: a set of events that may have gaps, as a version vector and the few dots beyond it.

Theory. Deltas may arrive out of order, so what a replica knows is not always gap-free. The part that is gap-free is
kept as a vector, the rest as single dots; a dot that closes a gap moves into the vector.

Source      Almeida, Shoker, Baquero 2018, "Delta state replicated data types" (causal contexts).
Complexity  n actors, d dots beyond the vector: O(1) for looking up, O(n + d log d) for merge, compare and encoding.
"""

from collections.abc import Iterable

from quorate.clocks.order import Order
from quorate.clocks.vectors import ACTOR_MAX, Dot, VersionVector
from quorate.kernel import BadPayload, Envelope


class CausalContext:
    """A set of events as a value: operations return new contexts.

    Invariant: no dot in `cloud` is covered by `vector` or is the next of its actor, so equal sets are equal values.

    Example:
        >>> seen = CausalContext(dots=[Dot(1, 1), Dot(1, 3)])
        >>> seen
        CausalContext({1: 1}, [(1, 3)])
        >>> seen.with_dot(Dot(1, 2))
        CausalContext({1: 3}, [])
    """

    __slots__ = ("cloud", "vector")

    def __init__(self, vector: VersionVector | None = None, dots: Iterable[Dot] = ()) -> None:
        counters = dict((vector or VersionVector()).items())
        beyond: dict[Dot, None] = {}
        # Ascending, so that one pass closes every gap that can be closed.
        for dot in sorted(dots):
            known = counters.get(dot[0], 0)
            if dot[1] == known + 1:
                counters[dot[0]] = dot[1]
            elif dot[1] > known:
                beyond[Dot(*dot)] = None
        # The gap-free part.
        self.vector = VersionVector(counters)
        # The dots beyond a gap, ascending; a dict for looking up without losing the order.
        self.cloud = beyond

    def __contains__(self, dot: object) -> bool:
        """Return whether an event is known."""
        return dot in self.vector or dot in self.cloud

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CausalContext) and self.vector == other.vector and self.cloud == other.cloud

    def __hash__(self) -> int:
        return hash((self.vector, tuple(self.cloud)))

    def __repr__(self) -> str:
        return f"CausalContext({dict(self.vector.items())}, {[tuple(dot) for dot in self.cloud]})"

    def __reduce__(self) -> tuple[type["CausalContext"], tuple[VersionVector, list[Dot]]]:
        return CausalContext, (self.vector, list(self.cloud))

    def next_dot(self, actor: int) -> Dot:
        """Return the name of the actor's next event; only the actor itself, which has no gaps of its own, may ask."""
        return self.vector.next_dot(actor)

    def with_dot(self, dot: Dot) -> "CausalContext":
        """Return the context that also holds one event."""
        return self if dot in self else CausalContext(self.vector, [*self.cloud, dot])

    def merge(self, other: "CausalContext") -> "CausalContext":
        """Return the union of both sets."""
        return CausalContext(self.vector.merge(other.vector), [*self.cloud, *other.cloud])

    def descends(self, other: "CausalContext") -> bool:
        """Return whether the other set is part of this one (equal included)."""
        # A gap-free run can only be held by a gap-free run: the first missing dot would be its next.
        return self.vector.descends(other.vector) and all(dot in self for dot in other.cloud)

    def compare(self, other: "CausalContext") -> Order:
        """Return how this stands to another: before, after, equal or concurrent."""
        return Order.from_descents(first_descends=self.descends(other), second_descends=other.descends(self))

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of the vector's pairs and the dots, both ascending."""
        return _ENVELOPE.encode((self.vector.items(), list(self.cloud)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "CausalContext":
        """Return the context in sealed bytes; raise `Undecodable` for anything else."""
        items, dots = _ENVELOPE.decode(data)
        context = cls(VersionVector.from_items(items), [d for d in dots if 0 <= d[0] <= ACTOR_MAX >= d[1]])
        if list(context.cloud) != dots:
            raise BadPayload("a causal context has ascending dots, each beyond a gap")
        return context


_ENVELOPE: Envelope[tuple[list[tuple[int, int]], list[Dot]]] = Envelope(
    "causal-context", 1, tuple[list[tuple[int, int]], list[Dot]]
)
