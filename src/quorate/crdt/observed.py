"""Observed-remove types: flags, multi-value register, add-wins and remove-wins sets, the counter for maps.

Theory. Each write replaces the dots that its writer had observed, and no others: so of concurrent writes all survive
the join, and the type says who wins. Enable and add win by "some dot is here"; disable and remove win by leaving a
dot of their own, which every observed opposite replaces.

Source      Almeida, Shoker, Baquero 2018; Bieniusa et al. 2012 (OR-Set without tombstones); Riak DT (contexts).
Complexity  As the frame in `causal`: changes O(dots replaced + actors), merge O(live dots).
Bounds      A remove-wins set keeps a mark for each removed element until `collect`.
"""

from abc import abstractmethod
from typing import Self

from quorate.clocks import ACTOR_MAX, CausalContext, Dot, VersionVector
from quorate.crdt.base import BadAmount, Element, NotPresent, checked_amount, checked_element, ordered, pack, unpack
from quorate.crdt.causal import Branch, Causal, Key, Leaf, Tree, check_elements
from quorate.kernel import BadPayload

_ADDED, _REMOVED = b"", b"-"


def _check_leaf(tree: Tree | None, *, empty: bool) -> None:
    if isinstance(tree, Branch) or (empty and any(tree.values() if tree else ())):
        raise BadPayload("expected plain dots")


class EnableWinsFlag(Causal):
    """A flag that is off at first; of concurrent enable and disable, enable wins.

    Example:
        >>> here, there = EnableWinsFlag(actor=1), EnableWinsFlag(actor=2)
        >>> there.apply(here.enable())
        >>> off, on = there.disable(), here.enable()
        >>> here.apply(off)
        >>> here.value
        True
    """

    kind = "enable-wins-flag"

    @property
    def value(self) -> bool:
        """Whether the flag is on."""
        return self._tree is not None

    def enable(self) -> Self:
        """Turn it on; return the delta."""
        return self._write((), b"", replaced=self._leaf())

    def disable(self) -> Self:
        """Turn off what was observed to be on; return the delta."""
        return self._drop(())

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        _check_leaf(tree, empty=True)


class DisableWinsFlag(Causal):
    """A flag that is on at first; of concurrent enable and disable, disable wins."""

    kind = "disable-wins-flag"

    @property
    def value(self) -> bool:
        """Whether the flag is on."""
        return self._tree is None

    def disable(self) -> Self:
        """Turn it off; return the delta."""
        return self._write((), b"", replaced=self._leaf())

    def enable(self) -> Self:
        """Turn on what was observed to be off; return the delta."""
        return self._drop(())

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        _check_leaf(tree, empty=True)


class MultiValueRegister(Causal):
    """A register that keeps all concurrent writes, for the reader to decide.

    Example:
        >>> here, there = MultiValueRegister(actor=1), MultiValueRegister(actor=2)
        >>> _ = here.set("tea"), there.set("coffee")
        >>> here.merge(there)
        >>> here.values
        ['tea', 'coffee']
        >>> _ = here.set("both")
        >>> here.values
        ['both']
    """

    kind = "mv-register"

    @property
    def values(self) -> list[object]:
        """All values that no write observed and replaced, by dot; usually one, [] at first."""
        leaf = self._leaf()
        return [unpack(leaf[dot]) for dot in sorted(leaf)]

    @property
    def value(self) -> object:
        """The value, or one that all replicas choose alike where there are several; None when there is none."""
        said = self._leaf().values()
        return unpack(max(said)) if said else None

    def set(self, value: object) -> Self:
        """Replace all observed values; return the delta. Raise `BadValue` for what is not plain data."""
        return self._write((), pack(value), replaced=self._leaf())

    def clear(self) -> Self:
        """Remove all observed values; return the delta."""
        return self._drop(())

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        _check_leaf(tree, empty=False)
        for said in tree.values() if isinstance(tree, Leaf) else ():
            if pack(unpack(said)) != said:
                raise BadPayload("a value in another form than its own")


class EmbeddedCounter(Causal):
    """A counter for maps, of the size of its actors. Removing its field resets what was observed, with one anomaly.

    The anomaly (Riak's too): an actor's increments live in one dot, which each further increment replaces. When a
    field is removed while an actor that had counted before counts on, that actor's earlier counts survive, too:
    removed at 5 and concurrently increased by 1, the counter shows 6, not 1. Where that matters, use keys instead of
    removing.

    Example:
        >>> visits = EmbeddedCounter(actor=1)
        >>> _ = visits.increment(3), visits.decrement()
        >>> visits.value
        2
    """

    kind = "embedded-counter"

    @property
    def value(self) -> int:
        """The total."""
        return sum(_signed(said) for said in self._leaf().values())

    def increment(self, amount: int = 1) -> Self:
        """Add 1 or more; return the delta."""
        return self._count(checked_amount(amount))

    def decrement(self, amount: int = 1) -> Self:
        """Subtract 1 or more; return the delta."""
        return self._count(-checked_amount(amount))

    def reset(self) -> Self:
        """Remove what was observed; return the delta."""
        return self._drop(())

    def _count(self, amount: int) -> Self:
        actor, leaf = self._actor(), self._leaf()
        own = [dot for dot in leaf if dot.actor == actor]
        total = sum(_signed(leaf[dot]) for dot in own) + amount
        if not -ACTOR_MAX <= total <= ACTOR_MAX:
            raise BadAmount(f"a cell would pass 2**63-1: {total}")
        return self._write((), pack(total), replaced=own)

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        _check_leaf(tree, empty=False)
        for said in tree.values() if isinstance(tree, Leaf) else ():
            if pack(_signed(said)) != said:
                raise BadPayload("a count in another form than its own")


def _signed(said: bytes) -> int:
    count = unpack(said)
    if not isinstance(count, int) or isinstance(count, bool):
        raise BadPayload("a count is an integer")
    return count


class _ElementSet(Causal):
    """What both observed-remove sets share."""

    @property
    def value(self) -> list[Element]:
        """The elements: integers, text, bytes, each ascending."""
        return sorted((key for key in self._keys() if key in self), key=ordered)

    def _keys(self) -> list[Element]:
        return [key for key in (self._tree or {}) if isinstance(key, int | str | bytes)]

    def _at(self, element: object) -> Leaf | None:
        if (
            not isinstance(element, int | str | bytes)
            or isinstance(element, bool)
            or not isinstance(self._tree, Branch)
        ):
            return None
        leaf = self._tree.get(element)
        return leaf if isinstance(leaf, Leaf) else None

    @abstractmethod
    def __contains__(self, element: object) -> bool:
        """Return whether an element is in. Complexity: O(1)."""

    def __len__(self) -> int:
        """Return how many elements are in. Complexity: O(elements)."""
        return sum(key in self for key in self._keys())


class ORSet(_ElementSet):
    """A set whose removals take only what the remover had seen: of concurrent add and remove, add wins.

    No tombstones: its size is that of the live elements, plus one count per actor.

    Example:
        >>> here, there = ORSet(actor=1), ORSet(actor=2)
        >>> there.apply(here.add("milk"))
        >>> gone, again = there.remove("milk"), here.add("milk")
        >>> here.apply(gone)
        >>> "milk" in here
        True
    """

    kind = "or-set"

    def __contains__(self, element: object) -> bool:
        return self._at(element) is not None

    def add(self, element: Element) -> Self:
        """Add an element; return the delta."""
        return self._write((checked_element(element),), _ADDED, replaced=list(self._at(element) or ()))

    def remove(self, element: Element, *, context: CausalContext | None = None) -> Self:
        """Remove an element; return the delta.

        Args:
            element: what to remove.
            context: what the remover had seen, when that was a client of this replica (its `context` when the client
                read): exactly those additions go, even ones that have not arrived here yet (the removal is deferred).
                Without it, all that this replica sees goes: perhaps additions that the client never saw.

        Raises:
            NotPresent: without a context, and the element is not here.
        """
        checked_element(element)
        if context is not None:
            return self._drop_seen(element, context)
        if element not in self:
            raise NotPresent(f"{element!r} is not in the set")
        return self._drop((element,))

    def clear(self) -> Self:
        """Remove all elements that are here; return the delta."""
        return self._drop(())

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        check_elements(tree, frozenset({_ADDED}))

    @classmethod
    def _check_key(cls, key: Key) -> None:
        if isinstance(key, tuple):
            raise BadPayload("an element is text, bytes or an integer")

    @classmethod
    def _defers(cls) -> bool:
        return True


class RWSet(_ElementSet):
    """A set in which, of concurrent add and remove, remove wins: access lists, block lists.

    Example:
        >>> here, there = RWSet(actor=1), RWSet(actor=2)
        >>> there.apply(here.add("eve"))
        >>> gone, again = there.remove("eve"), here.add("eve")
        >>> here.apply(gone)
        >>> "eve" in here
        False
    """

    kind = "rw-set"

    def __contains__(self, element: object) -> bool:
        leaf = self._at(element)
        return leaf is not None and _REMOVED not in leaf.values()

    @property
    def mark_count(self) -> int:
        """How many elements are kept only to say that they were removed."""
        return len(self._keys()) - len(self)

    def add(self, element: Element) -> Self:
        """Add an element, which undoes the removals observed here; return the delta."""
        return self._write((checked_element(element),), _ADDED, replaced=list(self._at(element) or ()))

    def remove(self, element: Element) -> Self:
        """Remove an element, present here or not (a concurrent add loses); return the delta."""
        return self._write((checked_element(element),), _REMOVED, replaced=list(self._at(element) or ()))

    def collect(self, stable: VersionVector) -> Self:
        """Forget the marks of removals that are causally stable (see `CausalBroadcast.stable`); return the delta.

        A removal is stable when every replica has it and every add that was concurrent with it has arrived here. All
        additions beside a stable mark were concurrent with it, have lost, and go too; later ones replace the mark.
        """
        gone: list[Dot] = []
        branch = self._tree if isinstance(self._tree, Branch) else Branch()
        for key in self._keys():
            leaf = self._at(key) or Leaf()
            if any(said == _REMOVED and dot in stable for dot, said in leaf.items()):
                lost = [dot for dot, said in leaf.items() if said == _ADDED or dot in stable]
                gone += lost
                for dot in lost:
                    del leaf[dot]
                if not leaf:
                    del branch[key]
        self._tree = branch or None
        return self._made((), None, gone)

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        check_elements(tree, frozenset({_ADDED, _REMOVED}))
