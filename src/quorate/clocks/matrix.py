"""Matrix clock: what I know, and what I know that each other one knows.

Theory. One vector per member. The meet of all rows is what everybody is known to know: such events are *causally
stable*, so logs before them can be cut and tombstones dropped.

Source      Wuu & Bernstein 1984 (time tables); Sarin & Lynch 1987.
Complexity  n members: O(n²) space and encoding, O(n²) to receive, O(n) for a local event.
Bounds      The members are fixed when the clock is made; nothing becomes stable while one of them is silent.
"""

from collections.abc import Iterable, Mapping

from quorate.clocks.vectors import ACTOR_MAX, BadActor, VersionVector, checked_actor
from quorate.kernel import BadPayload, Envelope

Matrix = Mapping[int, VersionVector]


class MatrixClock:
    """One member's matrix.

    Example:
        >>> here, there = MatrixClock(actor=1, members=[1, 2]), MatrixClock(actor=2, members=[1, 2])
        >>> there.receive(here.tick(), sender=1)
        >>> there.stable()
        VersionVector({1: 1})
        >>> here.stable()
        VersionVector({})
    """

    def __init__(self, *, actor: int, members: Iterable[int]) -> None:
        rows = {checked_actor(member): VersionVector() for member in sorted(members)}
        if actor not in rows:
            raise BadActor(f"actor {actor} is not one of the members {list(rows)}")
        self.actor = actor
        self._rows = rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MatrixClock) and (self.actor, self._rows) == (other.actor, other._rows)

    __hash__ = None  # type: ignore[assignment]  # a clock changes

    @property
    def members(self) -> tuple[int, ...]:
        """The members, ascending."""
        return tuple(self._rows)

    @property
    def known(self) -> VersionVector:
        """All events known here."""
        return self._rows[self.actor]

    def row(self, member: int) -> VersionVector:
        """Return what a member is known to know; raise `BadActor` for a stranger."""
        if member not in self._rows:
            raise BadActor(f"actor {member} is not one of the members {list(self._rows)}")
        return self._rows[member]

    def tick(self) -> Matrix:
        """Count a local event, or a message about to leave; return the matrix that the message carries."""
        self._rows[self.actor] = self.known.increment(self.actor)
        return dict(self._rows)

    def receive(self, matrix: Matrix, *, sender: int) -> None:
        """Take over a message's matrix, and count its arrival.

        Raises:
            BadActor: the sender or a row belongs to a stranger; nothing changed.
        """
        strangers = [member for member in sorted([sender, *matrix]) if member not in self._rows]
        if strangers:
            raise BadActor(f"actors {strangers} are not members")
        for member, row in matrix.items():
            self._rows[member] = self._rows[member].merge(row)
        self._rows[self.actor] = self.known.merge(matrix.get(sender, VersionVector())).increment(self.actor)

    def stable(self) -> VersionVector:
        """Return the events that every member is known to know."""
        met = self.known
        for row in self._rows.values():
            met = met.meet(row)
        return met

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of the actor and [member, row] pairs, members ascending."""
        return _ENVELOPE.encode((self.actor, [(member, row.items()) for member, row in self._rows.items()]))

    @classmethod
    def from_bytes(cls, data: bytes) -> "MatrixClock":
        """Return the clock in sealed bytes; raise `Undecodable` for anything else."""
        actor, rows = _ENVELOPE.decode(data)
        members = [member for member, _ in rows]
        if members != sorted(set(members)) or actor not in members or not 0 <= members[0] <= members[-1] <= ACTOR_MAX:
            raise BadPayload("a matrix clock has ascending members, its own actor among them")
        clock = cls(actor=actor, members=members)
        clock._rows.update({member: VersionVector.from_items(items) for member, items in rows})
        return clock


_ENVELOPE: Envelope[tuple[int, list[tuple[int, list[tuple[int, int]]]]]] = Envelope(
    "matrix-clock", 1, tuple[int, list[tuple[int, list[tuple[int, int]]]]]
)
