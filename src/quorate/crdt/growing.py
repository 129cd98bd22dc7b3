"""Sets that only grow: one, and two of them that make a set whose removals are final.

Source      Shapiro et al. 2011 (G-Set, 2P-Set).
Complexity  O(1) to add, remove and look up; O(n) to merge.
Bounds      A removed element of a two-phase set is kept forever, and never comes back.
"""

from collections.abc import Iterable
from typing import Any, Self

from quorate.crdt.base import CRDT, Element, NotPresent, checked_element, element_from, ordered
from quorate.kernel import BadPayload, Envelope


class GSet(CRDT["GSet"]):
    """A set that only grows.

    Example:
        >>> seen = GSet()
        >>> _ = seen.add("a"), seen.add(7)
        >>> seen.value
        [7, 'a']
    """

    kind = "g-set"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._elements: dict[Element, None] = {}

    @property
    def value(self) -> list[Element]:
        """The elements: integers, text, bytes, each ascending."""
        return sorted(self._elements, key=ordered)

    def __contains__(self, element: object) -> bool:
        return element in self._elements and not isinstance(element, bool | float)

    def __len__(self) -> int:
        return len(self._elements)

    def add(self, element: Element) -> "GSet":
        """Add an element; return the delta."""
        delta = GSet()
        delta._elements[checked_element(element)] = None
        self._elements[element] = None
        return delta

    def merge(self, other: Self) -> None:
        """Take over all elements."""
        self.apply(other)

    def apply(self, delta: "GSet") -> None:
        """Take over a delta."""
        self._check(delta)
        self._elements.update(delta._elements)

    def delta(self, since: Self) -> "GSet":
        """Return the elements that the other lacks."""
        self._check(since)
        delta = GSet()
        delta._elements = {e: None for e in self._elements if e not in since._elements}
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of elements, ascending."""
        return _G.encode(self.value)

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the set in sealed bytes; raise `Undecodable` for anything else."""
        found = cls(actor=actor)
        found._elements = _elements(_G.decode(data))
        return found


class TwoPhaseSet(CRDT["TwoPhaseSet"]):
    """A set from which each element can be removed once, for good: revoked keys, closed tickets.

    Example:
        >>> keys = TwoPhaseSet()
        >>> _ = keys.add("k1"), keys.remove("k1"), keys.add("k1")
        >>> "k1" in keys
        False
    """

    kind = "2p-set"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._added: dict[Element, None] = {}
        self._removed: dict[Element, None] = {}

    @property
    def value(self) -> list[Element]:
        """The elements: integers, text, bytes, each ascending."""
        return sorted((e for e in self._added if e not in self._removed), key=ordered)

    def __contains__(self, element: object) -> bool:
        return element in self._added and element not in self._removed and not isinstance(element, bool | float)

    def __len__(self) -> int:
        return len(self._added) - sum(e in self._added for e in self._removed)

    def add(self, element: Element) -> "TwoPhaseSet":
        """Add an element, in vain when it was ever removed; return the delta."""
        delta = TwoPhaseSet()
        delta._added[checked_element(element)] = None
        self.apply(delta)
        return delta

    def remove(self, element: Element) -> "TwoPhaseSet":
        """Remove an element forever; return the delta. Raise `NotPresent` when it is not here."""
        if element not in self:
            raise NotPresent(f"{element!r} is not in the set")
        delta = TwoPhaseSet()
        # With its adding, so that whoever has the delta alone still knows of both.
        delta._added[element] = delta._removed[element] = None
        self.apply(delta)
        return delta

    def merge(self, other: Self) -> None:
        """Take over all additions and removals."""
        self.apply(other)

    def apply(self, delta: "TwoPhaseSet") -> None:
        """Take over a delta."""
        self._check(delta)
        self._added.update(delta._added)
        self._removed.update(delta._removed)

    def delta(self, since: Self) -> "TwoPhaseSet":
        """Return the additions and removals that the other lacks."""
        self._check(since)
        delta = TwoPhaseSet()
        delta._removed = {e: None for e in self._removed if e not in since._removed}
        delta._added = {e: None for e in self._added if e not in since._added or e in delta._removed}
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [live elements, removed elements], ascending."""
        return _TWO.encode((self.value, sorted(self._removed, key=ordered)))

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the set in sealed bytes; raise `Undecodable` for anything else."""
        live, removed = _TWO.decode(data)
        found = cls(actor=actor)
        found._added, found._removed = _elements(live), _elements(removed)
        if any(element in found._removed for element in found._added):
            raise BadPayload("an element is live or removed, not both")
        found._added.update(found._removed)
        return found


def _elements(items: Iterable[object]) -> dict[Element, None]:
    listed = [element_from(item) for item in items]
    found = dict.fromkeys(listed)
    if len(found) != len(listed) or sorted(found, key=ordered) != listed:
        raise BadPayload("a set has its elements ascending, each once")
    return found


_G: Envelope[list[Element]] = Envelope(GSet.kind, 1, list[Any])
_TWO: Envelope[tuple[list[Element], list[Element]]] = Envelope(TwoPhaseSet.kind, 1, tuple[list[Any], list[Any]])
