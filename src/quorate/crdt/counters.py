"""Counters: that only grow, that go both ways, and that never pass a bound without asking anybody.

Theory. Each actor counts alone, in its own cell, which only grows; the join takes the larger of each cell. A bounded
counter splits the distance to its bound into *rights*: who holds rights may spend them without asking, and rights are
handed on by the holder alone.

Source      Shapiro et al. 2011 (G-Counter, PN-Counter); Balegas et al. 2015, "Extending eventually consistent cloud
            databases for enforcing numeric invariants" (bounded counter).
Complexity  n actors: O(1) to count, O(n) to read and merge; the bounded counter O(n²) cells at worst.
Bounds      Each cell at most 2⁶³-1 (`BadAmount` beyond).
"""

from typing import Self, TypeVar

from quorate.clocks import ACTOR_MAX, BadActor
from quorate.crdt.base import CRDT, Actor, BadAmount, Count, checked_amount
from quorate.kernel import BadPayload, Envelope, errors

K = TypeVar("K", int, tuple[int, int])


class NotEnoughRights(errors.UsageError):
    """This actor holds too few rights; others may hold more, and can transfer them."""

    code = "NORIGHTS"


def _join(mine: dict[K, int], theirs: dict[K, int]) -> None:
    for cell, count in theirs.items():
        if mine.get(cell, 0) < count:
            mine[cell] = count


def _beyond(mine: dict[K, int], theirs: dict[K, int]) -> dict[K, int]:
    return {cell: count for cell, count in mine.items() if theirs.get(cell, 0) < count}


def _grow(cells: dict[K, int], cell: K, amount: int) -> dict[K, int]:
    """Add to a cell; return the cell alone, which is the delta."""
    total = cells.get(cell, 0) + checked_amount(amount)
    if total > ACTOR_MAX:
        raise BadAmount(f"a cell would pass 2**63-1: {total}")
    cells[cell] = total
    return {cell: total}


def _cells(items: list[tuple[K, int]]) -> dict[K, int]:
    keys = [cell for cell, _ in items]
    if keys != sorted(set(keys)):
        raise BadPayload("a counter has its cells ascending, each once")
    return dict(items)


class GCounter(CRDT["GCounter"]):
    """A counter that only grows.

    Example:
        >>> here, there = GCounter(actor=1), GCounter(actor=2)
        >>> _ = here.increment(2)
        >>> there.apply(here.increment())
        >>> there.value
        3
    """

    kind = "g-counter"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._counts: dict[int, int] = {}

    @property
    def value(self) -> int:
        """The total of all actors."""
        return sum(self._counts.values())

    def increment(self, amount: int = 1) -> "GCounter":
        """Add 1 or more; return the delta."""
        delta = GCounter()
        delta._counts = _grow(self._counts, self._actor(), amount)
        return delta

    def merge(self, other: Self) -> None:
        """Take the larger count of each actor."""
        self._check(other)
        _join(self._counts, other._counts)

    def apply(self, delta: "GCounter") -> None:
        """Take over a delta."""
        self._check(delta)
        _join(self._counts, delta._counts)

    def delta(self, since: Self) -> "GCounter":
        """Return the counts that are larger here."""
        self._check(since)
        delta = GCounter()
        delta._counts = _beyond(self._counts, since._counts)
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of [actor, count], actors ascending."""
        return _G.encode(sorted(self._counts.items()))

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the counter in sealed bytes; raise `Undecodable` for anything else."""
        counter = cls(actor=actor)
        counter._counts = _cells(_G.decode(data))
        return counter


class PNCounter(CRDT["PNCounter"]):
    """A counter that goes both ways: two growing ones, subtracted.

    Example:
        >>> stock = PNCounter(actor=1)
        >>> _ = stock.increment(5), stock.decrement(7)
        >>> stock.value
        -2
    """

    kind = "pn-counter"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._up: dict[int, int] = {}
        self._down: dict[int, int] = {}

    @property
    def value(self) -> int:
        """All increments less all decrements."""
        return sum(self._up.values()) - sum(self._down.values())

    def increment(self, amount: int = 1) -> "PNCounter":
        """Add 1 or more; return the delta."""
        delta = PNCounter()
        delta._up = _grow(self._up, self._actor(), amount)
        return delta

    def decrement(self, amount: int = 1) -> "PNCounter":
        """Subtract 1 or more; return the delta."""
        delta = PNCounter()
        delta._down = _grow(self._down, self._actor(), amount)
        return delta

    def merge(self, other: Self) -> None:
        """Take the larger count of each actor, both ways."""
        self.apply(other)

    def apply(self, delta: "PNCounter") -> None:
        """Take over a delta."""
        self._check(delta)
        _join(self._up, delta._up)
        _join(self._down, delta._down)

    def delta(self, since: Self) -> "PNCounter":
        """Return the counts that are larger here."""
        self._check(since)
        delta = PNCounter()
        delta._up, delta._down = _beyond(self._up, since._up), _beyond(self._down, since._down)
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [up, down], each an array of [actor, count], actors ascending."""
        return _PN.encode((sorted(self._up.items()), sorted(self._down.items())))

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the counter in sealed bytes; raise `Undecodable` for anything else."""
        up, down = _PN.decode(data)
        counter = cls(actor=actor)
        counter._up, counter._down = _cells(up), _cells(down)
        return counter


class BoundedCounter(CRDT["BoundedCounter"]):
    """A counter that never falls below 0, at any replica, without coordination: tickets, stock, quotas.

    Whoever increments gains rights; decrementing spends one's own; `transfer` hands them to another actor.

    Example:
        >>> shop = BoundedCounter(actor=1)
        >>> _ = shop.increment(10), shop.transfer(4, to=2), shop.decrement(6)
        >>> shop.value, shop.rights(1), shop.rights(2)
        (4, 0, 4)
    """

    kind = "bounded-counter"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        # (from, to) → rights handed on; (actor, actor) → rights gained by incrementing.
        self._moved: dict[tuple[int, int], int] = {}
        self._spent: dict[int, int] = {}

    @property
    def value(self) -> int:
        """The count, as known here: 0 or more when every replica keeps to its rights."""
        return sum(n for (giver, taker), n in self._moved.items() if giver == taker) - sum(self._spent.values())

    def rights(self, actor: int) -> int:
        """Return how much an actor may decrement, as known here; exact for one's own. Complexity: O(cells)."""
        gained = sum(n for (_, taker), n in self._moved.items() if taker == actor)
        given = sum(n for (giver, taker), n in self._moved.items() if giver == actor != taker)
        return gained - given - self._spent.get(actor, 0)

    def increment(self, amount: int = 1) -> "BoundedCounter":
        """Add 1 or more and gain as many rights; return the delta."""
        delta, actor = BoundedCounter(), self._actor()
        delta._moved = _grow(self._moved, (actor, actor), amount)
        return delta

    def decrement(self, amount: int = 1) -> "BoundedCounter":
        """Subtract, spending rights; return the delta.

        Raises:
            NotEnoughRights: this actor holds fewer; nothing was changed.
        """
        delta, actor = BoundedCounter(), self._actor()
        self._need(actor, checked_amount(amount))
        delta._spent = _grow(self._spent, actor, amount)
        # The delta carries what entitles this actor, so that no replica sees the spending without the right.
        delta._moved = {(giver, taker): n for (giver, taker), n in self._moved.items() if taker == actor}
        return delta

    def transfer(self, amount: int, *, to: int) -> "BoundedCounter":
        """Hand rights to another actor; return the delta.

        Raises:
            NotEnoughRights: this actor holds fewer; nothing was changed.
            BadActor: the taker is this actor, or no actor.
        """
        delta, actor = BoundedCounter(), self._actor()
        BoundedCounter(actor=to)  # refuses what is no actor
        if to == actor:
            raise BadActor("rights are handed to another actor")
        self._need(actor, checked_amount(amount))
        delta._moved = _grow(self._moved, (actor, to), amount)
        delta._moved.update({cell: n for cell, n in self._moved.items() if cell[1] == actor})
        return delta

    def _need(self, actor: int, amount: int) -> None:
        if self.rights(actor) < amount:
            raise NotEnoughRights(f"actor {actor} holds {self.rights(actor)} rights, {amount} are needed")

    def merge(self, other: Self) -> None:
        """Take the larger of each cell."""
        self.apply(other)

    def apply(self, delta: "BoundedCounter") -> None:
        """Take over a delta."""
        self._check(delta)
        _join(self._moved, delta._moved)
        _join(self._spent, delta._spent)

    def delta(self, since: Self) -> "BoundedCounter":
        """Return the cells that are larger here."""
        self._check(since)
        delta = BoundedCounter()
        delta._moved, delta._spent = _beyond(self._moved, since._moved), _beyond(self._spent, since._spent)
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [[[giver, taker], rights]..., [[actor, spent]...]], ascending."""
        return _BOUNDED.encode((sorted(self._moved.items()), sorted(self._spent.items())))

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the counter in sealed bytes; raise `Undecodable` for anything else."""
        moved, spent = _BOUNDED.decode(data)
        counter = cls(actor=actor)
        counter._moved, counter._spent = _cells(moved), _cells(spent)
        return counter


_Items = list[tuple[Actor, Count]]
_G: Envelope[list[tuple[int, int]]] = Envelope(GCounter.kind, 1, _Items)
_PN: Envelope[tuple[list[tuple[int, int]], list[tuple[int, int]]]] = Envelope(PNCounter.kind, 1, tuple[_Items, _Items])
_BOUNDED: Envelope[tuple[list[tuple[tuple[int, int], int]], list[tuple[int, int]]]] = Envelope(
    BoundedCounter.kind, 1, tuple[list[tuple[tuple[Actor, Actor], Count]], _Items]
)
