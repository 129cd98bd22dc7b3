"""The observed-remove map: named fields that are replicated values themselves, maps included.

Theory. All nested values share the map's context, so removing a field is removing the dots below it that were
observed: *reset-remove*. Concurrent changes inside the field survive, alone, and with them the field.

Source      Almeida, Shoker, Baquero 2018 (ORMap); Riak DT map (fields named by name and type; contexts).
Complexity  As `causal`; a change inside d maps O(d) more.
Bounds      Maps nest 64 deep at most when decoded.
Deviations  Deferred removals are kept for fields; inside a field they are refused, because a removal of the field
            would lose them (a known fault of Riak's map).
"""

from collections.abc import Callable
from typing import Final, Self, TypeVar

from quorate.clocks import CausalContext
from quorate.crdt.base import Element, NotPresent, checked_element, ordered
from quorate.crdt.causal import Branch, Causal, Key, Leaf, Tree
from quorate.crdt.observed import (
    DisableWinsFlag,
    EmbeddedCounter,
    EnableWinsFlag,
    MultiValueRegister,
    ORSet,
    RWSet,
)
from quorate.kernel import BadPayload, errors

C = TypeVar("C", bound=Causal)


class NotNestable(errors.UsageError):
    """A type cannot be the field of a map, or an operation cannot be done inside one."""

    code = "NOTNESTABLE"


class ORMap(Causal):
    """A map of replicated values. Fields of one name and different types live side by side.

    Example:
        >>> user = ORMap(actor=1)
        >>> _ = user.edit("name", MultiValueRegister, lambda name: name.set("Ada"))
        >>> _ = user.edit("visits", EmbeddedCounter, lambda visits: visits.increment(2))
        >>> _ = user.edit("home", ORMap, lambda home: home.edit("tags", ORSet, lambda tags: tags.add("x")))
        >>> user.get("visits", EmbeddedCounter).value, user.fields
        (2, [('visits', 'embedded-counter'), ('name', 'mv-register'), ('home', 'or-map')])
    """

    kind = "or-map"

    @property
    def fields(self) -> list[tuple[Element, str]]:
        """(name, kind) of each field, by kind, then name."""
        keys = [key for key in (self._tree or {}) if isinstance(key, tuple) and isinstance(key[0], str)]
        return [(name, kind) for kind, name in sorted(keys, key=lambda key: (key[0], ordered(key[1])))]

    def __contains__(self, field: object) -> bool:
        return isinstance(field, tuple) and field in self.fields

    def __len__(self) -> int:
        return len(self.fields)

    def get(self, name: Element, kind: type[C]) -> C:
        """Return a field to read; an empty value when it is not there. Changes to it do not reach the map."""
        return self._child(name, kind, actor=None)

    def edit(self, name: Element, kind: type[C], change: Callable[[C], object]) -> Self:
        """Change a field, which begins empty; return the map's delta.

        Args:
            name: the field.
            kind: its type: a flag, `MultiValueRegister`, `EmbeddedCounter`, `ORSet`, `RWSet` or `ORMap`.
            change: called once with the field; whatever it does to it becomes one delta.

        Raises:
            NotNestable: another type, or the change deferred a removal.
        """
        child = self._child(name, kind, actor=self._actor())
        deltas: list[C] = []
        child._journal = deltas
        change(child)
        if child._deferred:
            raise NotNestable("inside a map a removal may only name what this replica has seen")
        key = (kind.kind, name)
        delta = type(self)()
        inner: Causal = kind()
        for part in deltas:
            inner.apply(part)
        delta._context = inner._context
        if inner._tree is not None:
            delta._tree = Branch({key: inner._tree})
        branch = self._tree if isinstance(self._tree, Branch) else Branch()
        branch.pop(key, None)
        if child._tree is not None:
            branch[key] = child._tree
        self._tree = branch or None
        self._context = child._context
        if self._journal is not None:
            self._journal.append(delta)
        return delta

    def remove(self, name: Element, kind: type[Causal], *, context: CausalContext | None = None) -> Self:
        """Remove a field: what this replica sees of it, or what a client saw (`context`); return the delta.

        Raises:
            NotPresent: without a context, and the field is not here.
        """
        key = (_nestable(kind), checked_element(name))
        if context is not None:
            return self._drop_seen(key, context)
        if not isinstance(self._tree, Branch) or key not in self._tree:
            raise NotPresent(f"no {kind.kind} named {name!r}")
        return self._drop((key,))

    def _child(self, name: Element, kind: type[C], *, actor: int | None) -> C:
        key = (_nestable(kind), checked_element(name))
        child = kind(actor=actor)
        tree = self._tree.get(key) if isinstance(self._tree, Branch) else None
        # A copy, so that a change that fails half-way leaves the map as it was.
        child._tree = _copied(tree)
        child._context = self._context
        return child

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        if isinstance(tree, Leaf):
            raise BadPayload("a map has named fields")
        for key, child in (tree or {}).items():
            cls._check_key(key)
            _KINDS[key[0]]._check_tree(child)  # type: ignore[index]

    @classmethod
    def _check_key(cls, key: Key) -> None:
        if not isinstance(key, tuple) or key[0] not in _KINDS:
            raise BadPayload("a field has the kind of a value that can be in a map, and a name")

    @classmethod
    def _defers(cls) -> bool:
        return True


def _copied(tree: Tree | None) -> Tree | None:
    if tree is None:
        return None
    if isinstance(tree, Leaf):
        return Leaf(tree)
    branch = Branch()
    for key, child in tree.items():
        copied = _copied(child)
        assert copied is not None, "no subtree is empty"
        branch[key] = copied
    return branch


def _nestable(kind: type[Causal]) -> str:
    if _KINDS.get(kind.kind) is not kind:
        raise NotNestable(f"a {kind.kind} cannot be the field of a map")
    return kind.kind


_KINDS: Final[dict[str, type[Causal]]] = {
    kind.kind: kind
    for kind in (EnableWinsFlag, DisableWinsFlag, MultiValueRegister, EmbeddedCounter, ORSet, RWSet, ORMap)
}
