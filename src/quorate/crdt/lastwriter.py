"""Last writer wins: a register and a map whose entries carry hybrid stamps.

Theory. Stamps of a hybrid clock are unique and respect causality, so "the largest stamp wins" never undoes what the
writer had seen; of concurrent writes one is lost, and which one depends on clocks. Where that hurts, take the
multi-value register.

Source      Shapiro et al. 2011 (LWW-Register); Kulkarni et al. 2014 (stamps).
Complexity  O(1) to read and write; the map O(keys) to merge.
Bounds      The map keeps a stamp for each removed key until `collect` is told that everybody has it.
Deviations  Should two writes ever carry one stamp, the value that is larger as bytes wins: replicas never differ.
"""

from typing import Any, Self

from quorate.clocks import HybridStamp
from quorate.crdt.base import CRDT, Actor, Element, checked_element, element_from, ordered, pack, unpack
from quorate.kernel import BadPayload, Envelope

# (stamp, whether removed, value bytes): compared as a whole, the larger wins; at one stamp a removal beats a value.
_Cell = tuple[HybridStamp, bool, bytes]


class LWWRegister(CRDT["LWWRegister"]):
    """One value; the write with the largest stamp wins.

    Example:
        >>> title = LWWRegister()
        >>> _ = title.set("draft", HybridStamp(10, 0, 1)), title.set("older", HybridStamp(9, 0, 2))
        >>> title.value
        'draft'
    """

    kind = "lww-register"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._cell: _Cell | None = None

    @property
    def value(self) -> object:
        """The value, None when never written."""
        return None if self._cell is None else unpack(self._cell[2])

    @property
    def stamp(self) -> HybridStamp | None:
        """The stamp of the value."""
        return None if self._cell is None else self._cell[0]

    def set(self, value: object, stamp: HybridStamp) -> "LWWRegister":
        """Write with a stamp of a `HybridClock`; return the delta. Raise `BadValue` for what is not plain data."""
        delta = LWWRegister()
        delta._cell = (stamp, False, pack(value))
        self.apply(delta)
        return delta

    def merge(self, other: Self) -> None:
        """Keep the value with the larger stamp."""
        self.apply(other)

    def apply(self, delta: "LWWRegister") -> None:
        """Take over a delta."""
        self._check(delta)
        if delta._cell is not None and (self._cell is None or self._cell < delta._cell):
            self._cell = delta._cell

    def delta(self, since: Self) -> "LWWRegister":
        """Return the value when it is newer here, else an empty register."""
        self._check(since)
        delta = LWWRegister()
        if self._cell is not None and (since._cell is None or since._cell < self._cell):
            delta._cell = self._cell
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack [] or [[wall, logical, actor], value as MessagePack bytes]."""
        return _REGISTER.encode([] if self._cell is None else [(self._cell[0], self._cell[2])])

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the register in sealed bytes; raise `Undecodable` for anything else."""
        items = _REGISTER.decode(data)
        if len(items) > 1:
            raise BadPayload("a register has one value at most")
        register = cls(actor=actor)
        for stamp, value in items:
            register._cell = (_stamp(stamp), False, _value(value))
        return register


class LWWMap(CRDT["LWWMap"]):
    """Keys with values; for each key the write or removal with the largest stamp wins.

    Example:
        >>> settings = LWWMap()
        >>> _ = settings.set("theme", "dark", HybridStamp(1, 0, 1)), settings.remove("theme", HybridStamp(2, 0, 1))
        >>> settings.value
        {}
    """

    kind = "lww-map"

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._cells: dict[Element, _Cell] = {}

    @property
    def value(self) -> dict[Element, object]:
        """The live keys with their values, keys ascending."""
        return {k: unpack(self._cells[k][2]) for k in sorted(self._cells, key=ordered) if not self._cells[k][1]}

    def __contains__(self, key: object) -> bool:
        return key in self._cells and not self._cells[key][1]

    def __getitem__(self, key: Element) -> object:
        """Return a key's value; raise KeyError when it has none."""
        if key not in self:
            raise KeyError(key)
        return unpack(self._cells[key][2])

    def __len__(self) -> int:
        """Return how many keys are live."""
        return sum(not removed for _, removed, _ in self._cells.values())

    def set(self, key: Element, value: object, stamp: HybridStamp) -> "LWWMap":
        """Write a key; return the delta."""
        return self._write(key, (stamp, False, pack(value)))

    def remove(self, key: Element, stamp: HybridStamp) -> "LWWMap":
        """Remove a key, present here or not; return the delta. The stamp is kept: see `collect`."""
        return self._write(key, (stamp, True, b""))

    def collect(self, stable: HybridStamp) -> int:
        """Forget removals up to a stamp that every replica has passed and nobody can still send; return how many."""
        gone = [key for key, (stamp, removed, _) in self._cells.items() if removed and stamp <= stable]
        for key in gone:
            del self._cells[key]
        return len(gone)

    def _write(self, key: Element, cell: _Cell) -> "LWWMap":
        delta = LWWMap()
        delta._cells = {checked_element(key): cell}
        self.apply(delta)
        return delta

    def merge(self, other: Self) -> None:
        """Keep, for each key, what has the larger stamp."""
        self.apply(other)

    def apply(self, delta: "LWWMap") -> None:
        """Take over a delta."""
        self._check(delta)
        for key, cell in delta._cells.items():
            if key not in self._cells or self._cells[key] < cell:
                self._cells[key] = cell

    def delta(self, since: Self) -> "LWWMap":
        """Return the keys that are newer here."""
        self._check(since)
        delta, known = LWWMap(), since._cells
        delta._cells = {k: cell for k, cell in self._cells.items() if k not in known or known[k] < cell}
        return delta

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of [key, [wall, logical, actor], removed, value], ascending."""
        return _MAP.encode([(key, *self._cells[key]) for key in sorted(self._cells, key=ordered)])

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the map in sealed bytes; raise `Undecodable` for anything else."""
        items = _MAP.decode(data)
        found = cls(actor=actor)
        for key, stamp, removed, value in items:
            if removed and value:
                raise BadPayload("a removed key has no value")
            found._cells[element_from(key)] = (_stamp(stamp), removed, b"" if removed else _value(value))
        if list(found._cells) != [item[0] for item in items] or sorted(found._cells, key=ordered) != list(found._cells):
            raise BadPayload("a map has its keys ascending, each once")
        return found


def _stamp(parts: tuple[int, int, int]) -> HybridStamp:
    return HybridStamp(*parts)


def _value(data: bytes) -> bytes:
    # Packed anew, so that one value has one form.
    return pack(unpack(data))


_Stamp = tuple[Actor, Actor, Actor]
_REGISTER: Envelope[list[tuple[tuple[int, int, int], bytes]]] = Envelope(
    LWWRegister.kind, 1, list[tuple[_Stamp, bytes]]
)
_MAP: Envelope[list[tuple[Element, tuple[int, int, int], bool, bytes]]] = Envelope(
    LWWMap.kind, 1, list[tuple[Any, _Stamp, bool, bytes]]
)
