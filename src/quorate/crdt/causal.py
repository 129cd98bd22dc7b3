"""The frame of all types whose removals leave no tombstone: dots in a tree, and the context of all dots ever seen.

Theory. Every change has a dot. A state is a tree of the dots that still count, and a causal context. A dot that is in
the context but not in the tree was removed. So in a join a dot survives when both sides have it, or when one side has
it and the other never saw it; what is gone needs no tombstone. A delta is the same pair, with a context of the dots
that the change made and replaced.

Source      Almeida, Shoker, Baquero 2018 (dot stores); Bieniusa et al. 2012 (optimised OR-Set); deferred removals:
            Riak DT.
Complexity  n live dots: a change O(dots replaced + actors), merge and encode O(n).
Deviations  One leaf for all stores: a dot with a few bytes (empty in sets). What a dot says never changes.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Final, Self, TypeAlias

import msgspec

from quorate.clocks import CausalContext, Dot, VersionVector
from quorate.crdt.base import CRDT, Actor, Count, Element, element_from, ordered
from quorate.kernel import BadPayload, Envelope

Key: TypeAlias = Element | tuple[str, Element]
DEPTH_MAX: Final = 64


class Leaf(dict[Dot, bytes]):
    """Live dots and what each says."""


class Branch(dict[Key, "Tree"]):
    """Named subtrees, none of them empty."""


Tree: TypeAlias = Leaf | Branch


def dots_of(tree: Tree | None) -> Iterator[Dot]:
    """Yield all dots of a tree. Complexity: O(dots)."""
    if isinstance(tree, Leaf):
        yield from tree
    elif tree is not None:
        for child in tree.values():
            yield from dots_of(child)


def join(mine: Tree | None, my: CausalContext, theirs: Tree | None, their: CausalContext) -> Tree | None:
    """Return the join of two trees of one shape, None when nothing is left."""
    if isinstance(mine, Branch) or isinstance(theirs, Branch):
        left, right = _branch(mine), _branch(theirs)
        branch = Branch()
        for key in [*left, *(key for key in right if key not in left)]:
            child = join(left.get(key), my, right.get(key), their)
            if child is not None:
                branch[key] = child
        return branch or None
    a, b = mine or Leaf(), theirs or Leaf()
    # Only a faulty peer says two things with one dot; the larger is taken, so that replicas agree even then.
    leaf = Leaf({dot: max(said, b.get(dot, said)) for dot, said in a.items() if dot in b or dot not in their})
    leaf.update({dot: said for dot, said in b.items() if dot not in a and dot not in my})
    return leaf or None


def restrict(tree: Tree | None, known: CausalContext) -> Tree | None:
    """Return the part of a tree whose dots a context does not know."""
    if tree is None:
        return None
    if isinstance(tree, Leaf):
        return Leaf({dot: said for dot, said in tree.items() if dot not in known}) or None
    branch = Branch()
    for key, child in tree.items():
        part = restrict(child, known)
        if part is not None:
            branch[key] = part
    return branch or None


def without(tree: Tree | None, gone: CausalContext) -> tuple[Tree | None, list[Dot]]:
    """Return the tree less the dots of a context, and those dots."""
    return restrict(tree, gone), [dot for dot in dots_of(tree) if dot in gone]


def _branch(tree: Tree | None) -> Branch:
    assert tree is None or isinstance(tree, Branch), "trees of one type have one shape"
    return tree if tree is not None else Branch()


class Causal(CRDT["Causal"]):
    """The base of flags, multi-value registers, observed-remove sets and maps. See the module."""

    kind = "causal"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._tree: Tree | None = None
        self._context = CausalContext()
        # Removals of what has not arrived yet: (key, context in which the remover saw it).
        self._deferred: dict[tuple[Key, CausalContext], None] = {}
        # While a map edits this as a part of its own: the deltas made, else None.
        self._journal: list[Self] | None = None

    @property
    def context(self) -> CausalContext:
        """All events seen here: hand it to a client with the value, and take it back with the client's removal."""
        return self._context

    @property
    def deferred_count(self) -> int:
        """How many removals wait for what they remove."""
        return len(self._deferred)

    def _made(self, path: tuple[Key, ...], leaf: Leaf | None, dots: Iterable[Dot]) -> Self:
        """Return a delta: what one subtree is now, and the dots made and replaced."""
        delta = type(self)()
        tree: Tree | None = leaf or None
        for key in reversed(path):
            tree = None if tree is None else Branch({key: tree})
        delta._tree = tree
        delta._context = CausalContext(dots=dots)
        if self._journal is not None:
            self._journal.append(delta)
        return delta

    def _write(self, path: tuple[Key, ...], said: bytes, *, replaced: Iterable[Dot]) -> Self:
        """Put a new dot at a path (of length 0 or 1) instead of some that are there; return the delta."""
        dot = self._context.next_dot(self._actor())
        old = list(replaced)
        leaf = self._leaf(path)
        for gone in old:
            del leaf[gone]
        leaf[dot] = said
        if path:
            branch = _branch(self._tree)
            branch[path[0]] = leaf
            self._tree = branch
        else:
            self._tree = leaf
        self._context = self._context.with_dot(dot)
        return self._made(path, Leaf({dot: said}), [*old, dot])

    def _drop(self, path: tuple[Key, ...]) -> Self:
        """Remove the subtree at a path of length 0 or 1; return the delta."""
        self._actor()
        if not path:
            gone = list(dots_of(self._tree))
            self._tree = None
        else:
            branch = _branch(self._tree)
            gone = list(dots_of(branch.pop(path[0], None)))
            self._tree = branch or None
        return self._made(path, None, gone)

    def _drop_seen(self, key: Key, seen: CausalContext) -> Self:
        """Remove of a key what a context has seen, now or when it arrives; return the delta."""
        self._actor()
        branch = _branch(self._tree)
        rest, gone = without(branch.get(key), seen)
        _put(branch, key, rest)
        self._tree = branch or None
        delta = self._made((key,), None, gone)
        if not self._context.descends(seen):
            delta._deferred[key, seen] = self._deferred[key, seen] = None
        return delta

    def _leaf(self, path: tuple[Key, ...] = ()) -> Leaf:
        tree = _branch(self._tree).get(path[0]) if path else self._tree
        assert not isinstance(tree, Branch), "the path of a leaf"
        return tree if tree is not None else Leaf()

    def merge(self, other: Self) -> None:
        """Take over all that another replica knows. Complexity: O(live dots of both)."""
        self.apply(other)

    def apply(self, delta: "Causal") -> None:
        """Take over a delta."""
        self._check(delta)
        self._tree = join(self._tree, self._context, delta._tree, delta._context)
        self._context = self._context.merge(delta._context)
        self._deferred.update(delta._deferred)
        self._settle()

    def _settle(self) -> None:
        """Perform the deferred removals; forget those of which all has arrived."""
        for key, seen in list(self._deferred):
            branch = _branch(self._tree)
            rest, _ = without(branch.get(key), seen)
            _put(branch, key, rest)
            self._tree = branch or None
            if self._context.descends(seen):
                del self._deferred[key, seen]

    def delta(self, since: Self) -> Self:
        """Return what the other lacks: live dots, and the fact that others are gone."""
        self._check(since)
        live = dict.fromkeys(dots_of(self._tree))
        delta = type(self)()
        delta._tree = restrict(self._tree, since._context)
        gone = [dot for dot in dots_of(since._tree) if dot in self._context and dot not in live]
        delta._context = CausalContext(dots=[*_beyond(self._context, since._context), *gone])
        delta._deferred = {entry: None for entry in self._deferred if entry not in since._deferred}
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [tree, context, deferred removals]; see the reference page."""
        deferred = sorted(self._deferred, key=lambda entry: (_ordered(entry[0]), _parts(entry[1])))
        form = _Form(_to_form(self._tree), _parts(self._context), [(key, _parts(seen)) for key, seen in deferred])
        return Envelope[_Form](self.kind, 1, _Form).encode(form)

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the value in sealed bytes; raise `Undecodable` for anything else."""
        form = Envelope[_Form](cls.kind, 1, _Form).decode(data)
        found = cls(actor=actor)
        found._tree = _from_form(form.tree)
        found._context = _context(form.context)
        cls._check_tree(found._tree)
        dots = list(dots_of(found._tree))
        if len(dict.fromkeys(dots)) != len(dots) or any(dot not in found._context for dot in dots):
            raise BadPayload("a live dot is known to the context, and is in one place")
        if form.deferred and not cls._defers():
            raise BadPayload(f"a {cls.kind} has no deferred removals")
        for key, parts in form.deferred:
            cls._check_key(_key_from(key))
            found._deferred[_key_from(key), _context(parts)] = None
        found._settle()
        if found.to_bytes() != data:
            raise BadPayload("a causal value in another form than its own")
        return found

    @classmethod
    @abstractmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        """Raise `BadPayload` when a tree has not the shape of this type."""

    @classmethod
    def _check_key(cls, _key: Key) -> None:
        """Raise `BadPayload` when a key is none of this type's."""

    @classmethod
    def _defers(cls) -> bool:
        return False


def _put(branch: Branch, key: Key, tree: Tree | None) -> None:
    if tree is None:
        branch.pop(key, None)
    else:
        branch[key] = tree


def _beyond(mine: CausalContext, theirs: CausalContext) -> list[Dot]:
    dots = [
        Dot(actor, counter)
        for actor, count in mine.vector.items()
        for counter in range(theirs.vector[actor] + 1, count + 1)
    ]
    return [dot for dot in [*dots, *mine.cloud] if dot not in theirs]


_Said = tuple[Actor, Count, bytes]


class _LeafForm(msgspec.Struct, tag=0, array_like=True):
    dots: list[_Said]


class _BranchForm(msgspec.Struct, tag=1, array_like=True):
    children: list[tuple[Any, "_LeafForm | _BranchForm"]]


_Parts = tuple[list[tuple[Actor, Count]], list[tuple[Actor, Count]]]


class _Form(msgspec.Struct, array_like=True):
    tree: _LeafForm | _BranchForm | None
    context: _Parts
    deferred: list[tuple[Any, _Parts]]


def _to_form(tree: Tree | None) -> _LeafForm | _BranchForm | None:
    if tree is None:
        return None
    if isinstance(tree, Leaf):
        return _LeafForm([(*dot, tree[dot]) for dot in sorted(tree)])
    children: list[tuple[Key, _LeafForm | _BranchForm]] = []
    for key in sorted(tree, key=_ordered):
        child = _to_form(tree[key])
        assert child is not None, "no subtree is empty"
        children.append((key, child))
    return _BranchForm(children)


def _from_form(form: _LeafForm | _BranchForm | None, depth: int = 0) -> Tree | None:
    if form is None:
        return None
    if depth > DEPTH_MAX:
        raise BadPayload(f"maps within maps, more than {DEPTH_MAX} deep")
    if isinstance(form, _LeafForm):
        return Leaf({Dot(actor, counter): said for actor, counter, said in form.dots})
    branch = Branch()
    for key, child in form.children:
        tree = _from_form(child, depth + 1)
        if not tree:
            raise BadPayload("an empty subtree")
        branch[_key_from(key)] = tree
    return branch


def _key_from(wire: object) -> Key:
    if isinstance(wire, list | tuple):
        kind, name = wire if len(wire) == 2 else (None, None)
        if not isinstance(kind, str):
            raise BadPayload("a field has a kind and a name")
        return kind, element_from(name)
    return element_from(wire)


def _parts(context: CausalContext) -> _Parts:
    return context.vector.items(), [(dot.actor, dot.counter) for dot in context.cloud]


def _context(parts: _Parts) -> CausalContext:
    return CausalContext(VersionVector.from_items(parts[0]), [Dot(*dot) for dot in parts[1]])


def _ordered(key: Key) -> tuple[str, tuple[int, Element]]:
    return (key[0], ordered(key[1])) if isinstance(key, tuple) else ("", ordered(key))


def check_elements(tree: Tree | None, said: frozenset[bytes]) -> None:
    """Raise `BadPayload` unless a tree maps elements to dots that say one of a few things."""
    if isinstance(tree, Leaf):
        raise BadPayload("a set maps elements to dots")
    for key, leaf in (tree or {}).items():
        if isinstance(key, tuple) or not isinstance(leaf, Leaf) or any(value not in said for value in leaf.values()):
            raise BadPayload("a set maps elements to dots")
