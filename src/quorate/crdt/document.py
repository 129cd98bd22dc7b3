"""A replicated JSON document: objects, lists and plain values, changed by path.

Theory. Each container has an id, the dot that made it. Each place in a container (a key of an object, an item of a
list) is a multi-value register that holds plain values or the id of a container; all registers share one causal
context. A list adds an order of its items, which outlives them. A place is there while its register holds something:
so an assignment that is concurrent with a deletion of the same place survives it.

Source      Kleppmann, Beresford 2017, "A conflict-free replicated JSON datatype" (the model); Almeida, Shoker, Baquero
            2018 (one context for all); Weidner, Kleppmann 2023 (order of lists).
Complexity  A change O(depth + size of what it replaces + items of the list); merge and reading O(size).
Bounds      Graves of list items stay, without content. 64 levels.
Deviations  Deleting a container wins over concurrent changes inside it: those stay, unreachable. Text values are
            replaced whole; concurrent writes of containers to one place do not merge, one shows (`conflicts`).
"""

from typing import Any, Final, Self, TypeAlias

from quorate.clocks import Dot
from quorate.crdt.base import CRDT, BadValue, NotPresent, pack, unpack
from quorate.crdt.causal import Branch, Causal, Key, Leaf, Tree
from quorate.crdt.sequence import BadPosition, ReplicatedList
from quorate.kernel import BadPayload, Envelope

Path: TypeAlias = tuple[str | int, ...]
_ROOT: Final = ""
_PLAIN, _OBJECT, _LIST = 0, 1, 2
_DEPTH_MAX: Final = 64


class _Registers(Causal):
    """(container, key) → multi-value register."""

    kind = "document-registers"

    def at(self, key: Key) -> Leaf:
        return self._leaf((key,))

    def put(self, key: Key, said: bytes) -> Dot:
        dot = self._context.next_dot(self._actor())
        self._write((key,), said, replaced=list(self.at(key)))
        return dot

    def drop(self, key: Key) -> None:
        self._drop((key,))

    def keys_of(self, container: str) -> list[Key]:
        tree = self._tree if isinstance(self._tree, Branch) else Branch()
        return sorted(key for key in tree if isinstance(key, tuple) and key[0] == container)

    @classmethod
    def _check_tree(cls, tree: Tree | None) -> None:
        if isinstance(tree, Leaf):
            raise BadPayload("a document has named registers")
        for key, leaf in (tree or {}).items():
            if not isinstance(key, tuple) or not isinstance(key[1], str) or not isinstance(leaf, Leaf):
                raise BadPayload("a register is named by container and key")
            for said in leaf.values():
                form = unpack(said)
                if not isinstance(form, list) or len(form) != 2 or form[0] not in {_PLAIN, _OBJECT, _LIST}:
                    raise BadPayload("a register holds a value or a container")
                if isinstance(form[0], bool) or pack(form) != said:
                    raise BadPayload("a value in another form than its own")


class Document(CRDT["Document"]):
    """A JSON object that replicas change independently.

    Example:
        >>> here = Document(actor=1)
        >>> _ = here.set(("todo",), ["wash"])
        >>> there = here.copy(actor=2)
        >>> one, other = here.insert(("todo", 0), {"do": "cook"}), there.insert(("todo", 1), "dry")
        >>> here.apply(other)
        >>> there.apply(one)
        >>> here.value == there.value, here.value
        (True, {'todo': [{'do': 'cook'}, 'wash', 'dry']})
    """

    kind = "document"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._registers = _Registers(actor=actor)
        # List container → the keys of its items, in order, those without a value included.
        self._orders: dict[str, ReplicatedList] = {}

    @property
    def value(self) -> dict[str, Any]:
        """The document as plain data."""
        found = self._read(_OBJECT, _ROOT, 0)
        assert isinstance(found, dict), "the root is an object"
        return found

    def get(self, path: Path) -> object:
        """Return what is at a path; raise `NotPresent`."""
        shown = self._shown(self._locate(path))
        return self._open(*shown, 0)

    def conflicts(self, path: Path) -> list[object]:
        """Return all values that concurrent writers left at a path; the one shown is the first."""
        leaf = self._registers.at(self._locate(path))
        return [self._open(*_parse(dot, leaf[dot]), 0) for dot in sorted(leaf, key=_rank, reverse=True)]

    def set(self, path: Path, value: object) -> "Document":
        """Set a key of an object or replace an item of a list; return the delta.

        Raises:
            NotPresent: the path leads nowhere.
            BadValue: not plain data.
        """
        pack(value)
        return self._change(lambda delta: self._set(self._locate(path, is_new=True), value, delta))

    def insert(self, path: Path, value: object) -> "Document":
        """Insert an item into a list, before the index that ends the path; return the delta.

        Raises:
            NotPresent: the path leads to no list.
            BadPosition: the index is beyond the end.
        """
        pack(value)
        code, container = self._container(path[:-1])
        index = path[-1] if path else None
        if code != _LIST or not isinstance(index, int) or isinstance(index, bool):
            raise NotPresent(f"no list at {path[:-1]}")
        return self._change(lambda delta: self._insert_item(container, index, value, delta))

    def delete(self, path: Path) -> "Document":
        """Delete a key or an item with all below it; return the delta. Raise `NotPresent`."""
        key = self._locate(path)
        self._shown(key)
        return self._change(lambda _: self._clear(key))

    def _change(self, change: Any) -> "Document":
        self._actor()
        delta = Document()
        journal: list[_Registers] = []
        self._registers._journal = journal
        try:
            change(delta)
        finally:
            self._registers._journal = None
            for part in journal:
                delta._registers.apply(part)
        return delta

    def _set(self, key: tuple[str, str], value: object, delta: "Document") -> None:
        self._clear_below(key)
        if isinstance(value, dict):
            container = _name(self._registers.put(key, pack([_OBJECT, None])))
            for name in sorted(value):
                self._set((container, name), value[name], delta)
        elif isinstance(value, list):
            container = _name(self._registers.put(key, pack([_LIST, None])))
            for index, item in enumerate(value):
                self._insert_item(container, index, item, delta)
        else:
            self._registers.put(key, pack([_PLAIN, value]))

    def _insert_item(self, container: str, index: int, value: object, delta: "Document") -> None:
        order = self._orders.get(container)
        if order is None:
            order = self._orders[container] = ReplicatedList(actor=self._actor())
        places = [place for place, item in enumerate(order.value) if self._registers.at((container, str(item)))]
        if not 0 <= index <= len(places):
            raise BadPosition(f"index {index} of {len(places)}")
        place = 0 if index == 0 else places[index - 1] + 1
        # The name of the dot that its first value will have: nobody else can give it.
        item = _name(self._registers.context.next_dot(self._actor()))
        made = order.insert(place, [item])
        delta._orders.setdefault(container, ReplicatedList()).apply(made)
        self._set((container, item), value, delta)

    def _clear(self, key: tuple[str, str]) -> None:
        self._clear_below(key)
        self._registers.drop(key)

    def _clear_below(self, key: tuple[str, str]) -> None:
        leaf = self._registers.at(key)
        for dot in sorted(leaf):
            code, content = _parse(dot, leaf[dot])
            for inner in self._registers.keys_of(str(content)) if code != _PLAIN else ():
                assert isinstance(inner, tuple) and isinstance(inner[1], str), "registers are named by text"
                self._clear((inner[0], inner[1]))

    def _locate(self, path: Path, *, is_new: bool = False) -> tuple[str, str]:
        """Return the register of a path; a key that `is_new` need not be there."""
        if not path:
            raise NotPresent("the document itself has no path")
        code, container = self._container(path[:-1])
        last = path[-1]
        if code == _OBJECT and isinstance(last, str):
            if not is_new:
                self._shown((container, last))
            return container, last
        if code == _LIST and isinstance(last, int):
            items = self._items(container)
            if 0 <= last < len(items):
                return container, items[last]
        raise NotPresent(f"nothing at {path}")

    def _container(self, path: Path) -> tuple[int, str]:
        if not path:
            return _OBJECT, _ROOT
        code, content = self._shown(self._locate(path))
        if code == _PLAIN:
            raise NotPresent(f"{path} is no container")
        return code, str(content)

    def _shown(self, key: tuple[str, str]) -> tuple[int, object]:
        leaf = self._registers.at(key)
        if not leaf:
            raise NotPresent(f"nothing at {key[1]!r}")
        dot = max(leaf, key=_rank)
        return _parse(dot, leaf[dot])

    def _items(self, container: str) -> list[str]:
        order = self._orders.get(container)
        # An item is in the order once; a faulty peer's second one is not shown.
        items = dict.fromkeys(str(item) for item in order.value) if order else {}
        return [item for item in items if self._registers.at((container, item))]

    def _open(self, code: int, content: object, depth: int) -> object:
        return content if code == _PLAIN else self._read(code, str(content), depth)

    def _read(self, code: int, container: str, depth: int) -> object:
        if depth > _DEPTH_MAX:
            raise BadValue(f"more than {_DEPTH_MAX} levels")
        if code == _LIST:
            return [self._open(*self._shown((container, item)), depth + 1) for item in self._items(container)]
        return {
            str(key[1]): self._open(*self._shown((container, str(key[1]))), depth + 1)
            for key in self._registers.keys_of(container)
            if isinstance(key, tuple)
        }

    def merge(self, other: Self) -> None:
        """Take over all that another replica knows."""
        self.apply(other)

    def apply(self, delta: "Document") -> None:
        """Take over a delta."""
        self._check(delta)
        self._registers.apply(delta._registers)
        for container in sorted(delta._orders):
            if container not in self._orders:
                self._orders[container] = ReplicatedList(actor=self.actor)
            self._orders[container].merge(delta._orders[container])

    def delta(self, since: Self) -> "Document":
        """Return what the other lacks."""
        self._check(since)
        delta, empty = Document(), ReplicatedList()
        delta._registers = self._registers.delta(since._registers)
        for container in sorted(self._orders):
            made = self._orders[container].delta(since._orders.get(container, empty))
            if made.runs or made.deleted:
                delta._orders[container] = ReplicatedList()
                delta._orders[container].apply(made)
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [registers, [[list id, order]...]], both as sealed bytes."""
        orders = [(container, self._orders[container].to_bytes()) for container in sorted(self._orders)]
        return _ENVELOPE.encode((self._registers.to_bytes(), orders))

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the document in sealed bytes; raise `Undecodable` for anything else."""
        registers, orders = _ENVELOPE.decode(data)
        found = cls(actor=actor)
        found._registers = _Registers.from_bytes(registers, actor=actor)
        found._orders = {name: ReplicatedList.from_bytes(order, actor=actor) for name, order in orders}
        if found.to_bytes() != data:
            raise BadPayload("a document in another form than its own")
        try:
            _ = found.value
        except BadValue as cause:
            raise BadPayload(str(cause)) from cause
        return found


_ENVELOPE: Envelope[tuple[bytes, list[tuple[str, bytes]]]] = Envelope(
    Document.kind, 1, tuple[bytes, list[tuple[str, bytes]]]
)


def _name(dot: Dot) -> str:
    return f"{dot.actor}.{dot.counter}"


def _rank(dot: Dot) -> tuple[int, int]:
    return (dot.counter, dot.actor)


def _parse(dot: Dot, said: bytes) -> tuple[int, object]:
    """Return what a register's dot says: a plain value, or a container, whose id is the dot."""
    form = unpack(said)
    assert isinstance(form, list), "registers are checked when decoded"
    return form[0], form[1] if form[0] == _PLAIN else _name(dot)
