"""Ways to carry changes: deltas in intervals with acknowledgements, and operations in causal order.

Theory. A join forgives loss, repetition and disorder, so deltas may be sent any way; the buffer here sends each peer
only what it has not acknowledged, and the whole state when it has forgotten too much. Operations need one delivery
each, causes first: a broadcast with version vectors gives that, and knows which operations are *causally stable*
(delivered everywhere, and everything concurrent with them delivered here), so that what they keep can be collected.

Source      Almeida, Shoker, Baquero 2018, algorithm 2 (delta intervals); Birman, Schiper, Stephenson 1991 (causal
            broadcast); Baquero, Almeida, Shoker 2014 (stability).
Complexity  n members, b waiting operations: O(n) a send, O(n·b) a receive.
Bounds      `delta_count_max` deltas, then full state; `waiting_count_max` operations, then `Overloaded`.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from quorate.clocks import Dot, VersionVector
from quorate.crdt.base import CRDT, Actor, Count
from quorate.kernel import BadPayload, Envelope, errors

S = TypeVar("S", bound=CRDT)  # type: ignore[type-arg]  # the type of its deltas is its own affair


class Interval(NamedTuple, Generic[S]):
    """What to send to one peer; when it has merged it, it acknowledges `next_sequence`."""

    content: S
    next_sequence: int
    is_full: bool


class DeltaBuffer(Generic[S]):
    """Keeps the deltas of one replica until its peers have them.

    Example:
        >>> from quorate.crdt import ORSet
        >>> here, there = ORSet(actor=1), ORSet(actor=2)
        >>> buffer = DeltaBuffer(here, peers=[2])
        >>> buffer.record(here.add("a"))
        >>> interval = buffer.interval_for(2)
        >>> there.merge(interval.content)
        >>> buffer.acknowledge(2, interval.next_sequence)
        >>> there.value, buffer.interval_for(2)
        (['a'], None)
    """

    def __init__(self, state: S, *, peers: Iterable[int], delta_count_max: int = 1000) -> None:
        self._state = state
        self._acknowledged = dict.fromkeys(sorted(peers), 0)
        self._deltas: dict[int, S] = {}
        self._next = 0
        self._max = delta_count_max

    @property
    def delta_count(self) -> int:
        """How many deltas are kept."""
        return len(self._deltas)

    def record(self, delta: S) -> None:
        """Keep a delta to send on: of an own change, or one received that told something new."""
        self._deltas[self._next] = delta
        self._next += 1
        if len(self._deltas) > self._max:
            del self._deltas[next(iter(self._deltas))]

    def interval_for(self, peer: int) -> Interval[S] | None:
        """Return what a peer has not acknowledged as one joined delta, the full state when that is no longer kept.

        None when it has everything.
        """
        since = self._acknowledged[peer]
        if since == self._next:
            return None
        if since not in self._deltas:
            return Interval(self._state.copy(), self._next, is_full=True)
        joined = self._deltas[since].copy()
        for sequence in range(since + 1, self._next):
            joined.merge(self._deltas[sequence])
        return Interval(joined, self._next, is_full=False)

    def acknowledge(self, peer: int, next_sequence: int) -> None:
        """Note that a peer has all before a sequence number; forget what all peers have. Old ones are harmless."""
        if peer in self._acknowledged and self._acknowledged[peer] < next_sequence <= self._next:
            self._acknowledged[peer] = next_sequence
            everywhere = min(self._acknowledged.values())
            self._deltas = {s: delta for s, delta in self._deltas.items() if s >= everywhere}


class Operation(NamedTuple):
    """One change on its way: its name, what its sender had delivered before, and the encoded delta."""

    dot: Dot
    depends: VersionVector
    payload: bytes

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [[actor, counter], [[actor, count]...], payload]."""
        return _ENVELOPE.encode((self.dot, self.depends.items(), self.payload))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Operation":
        """Return the operation in sealed bytes; raise `Undecodable` for anything else."""
        dot, depends, payload = _ENVELOPE.decode(data)
        vector = VersionVector.from_items(depends)
        if vector[dot[0]] != dot[1] - 1:
            raise BadPayload("an operation depends on the one before it")
        return cls(Dot(*dot), vector, payload)


_ENVELOPE: Envelope[tuple[tuple[int, int], list[tuple[int, int]], bytes]] = Envelope(
    "operation", 1, tuple[tuple[Actor, Count], list[tuple[Actor, Count]], bytes]
)


class CausalBroadcast:
    """One member's end of a broadcast that delivers each operation once, causes first.

    Example:
        >>> here, there = CausalBroadcast(actor=1, members=[1, 2]), CausalBroadcast(actor=2, members=[1, 2])
        >>> first, second = here.send(b"a"), here.send(b"b")
        >>> there.receive(second)
        []
        >>> [operation.payload for operation in there.receive(first)]
        [b'a', b'b']
    """

    def __init__(self, *, actor: int, members: Iterable[int], waiting_count_max: int = 10_000) -> None:
        self.actor = actor
        # What each member is known to have delivered, by its own operations or `hear`.
        self._known = {member: VersionVector() for member in sorted(members)}
        if actor not in self._known:
            raise errors.UsageError(f"actor {actor} is not among the members")
        self._waiting: dict[Dot, Operation] = {}
        self._max = waiting_count_max

    @property
    def delivered(self) -> VersionVector:
        """What was delivered here; send it to the others now and then (`hear`), so that stability advances."""
        return self._known[self.actor]

    @property
    def waiting_count(self) -> int:
        """How many operations wait for their causes."""
        return len(self._waiting)

    def send(self, payload: bytes) -> Operation:
        """Return an operation for all others, after the change was made here."""
        depends = self.delivered
        dot = depends.next_dot(self.actor)
        self._known[self.actor] = depends.with_dot(dot)
        return Operation(dot, depends, payload)

    def receive(self, operation: Operation) -> list[Operation]:
        """Return what can be delivered now, in order; nothing for a repetition or a stranger's.

        Raises:
            Overloaded: too many wait; this one was not taken and must be sent again.
        """
        if operation.dot in self.delivered or operation.dot.actor not in self._known:
            return []
        # What can be delivered at once is always taken: it may be what the others wait for.
        must_wait = not self.delivered.descends(operation.depends) and operation.dot not in self._waiting
        if must_wait and len(self._waiting) >= self._max:
            raise errors.Overloaded(f"{self._max} operations wait for their causes")
        self._waiting[operation.dot] = operation
        ready: list[Operation] = []
        while True:
            found = [o for o in self._waiting.values() if self.delivered.descends(o.depends)]
            if not found:
                return ready
            for each in found:
                del self._waiting[each.dot]
                self._known[self.actor] = self.delivered.with_dot(each.dot)
                self.hear(each.dot.actor, each.depends.with_dot(each.dot))
                ready.append(each)

    def hear(self, member: int, delivered: VersionVector) -> None:
        """Note what a member says that it has delivered; a stranger's word is ignored."""
        if member in self._known and member != self.actor:
            self._known[member] = self._known[member].merge(delivered)

    def stable(self) -> VersionVector:
        """Return what every member has delivered and nobody can still send anything concurrent with.

        What a member sent before it delivered an operation has come before its word of that, when channels keep the
        order of each sender; `receive` sees to it for operations, and `hear` must come behind them.
        """
        lowest = self.delivered
        for known in self._known.values():
            lowest = lowest.meet(known)
        return lowest
