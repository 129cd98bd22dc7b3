"""Set reconciliation: find the few keys in which two large sets differ, by sending as much as the difference.

Theory. Every key is added to four of the table's cells (count, xor of keys, xor of their checks). Subtract one side's
table from the other's: what both hold vanishes. A cell with one key left names it; taking that key out of its other
cells lays others bare. With 1.5 times as many cells as differences and some to spare this nearly always empties the
table.

Source      Goodrich & Mitzenmacher 2011 (invertible Bloom lookup tables); Eppstein et al. 2011 (differences).
Deviations  Keys are handled by their 64-bit hashes: look up afterwards which key each one is.
Complexity  O(1) to add and remove; O(cells) to subtract and decode. Batches add in about 60 ns a key (NumPy).
Bounds      24 bytes a cell on the wire before compression. A table that is too small says so, and a larger one is
            tried.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from quorate.kernel import BadPayload, Envelope, Key, hash_array, hash_key, hash_list, mix64, mix_array
from quorate.sketches.common import BadCapacity, Incompatible, has_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HASH_COUNT: Final = 4
CELLS_MAX: Final = 1 << 24
_CHECK: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


class Difference(NamedTuple):
    """What one set has and the other has not."""

    # Hashes of keys, ascending.
    only_here: list[int]
    only_there: list[int]
    # False when some differences could not be told apart: the lists are right, and not all.
    is_complete: bool


class InvertibleTable:
    """A table of a set that can be subtracted from another's.

    Example:
        >>> here, there = (InvertibleTable.for_differences(10) for _ in range(2))
        >>> here.add_many(range(1000)); there.add_many(range(1, 1001))
        >>> difference = here.subtract(there).decode()
        >>> difference.only_here == [hash_key(0)], difference.only_there == [hash_key(1000)]
        (True, True)
    """

    def __init__(self, cell_count: int) -> None:
        """Make an empty table of so many cells, rounded up to a multiple of four."""
        if not isinstance(cell_count, int) or not 1 <= cell_count <= CELLS_MAX:
            raise BadCapacity(f"a table has 1 to 2**24 cells, not {cell_count!r}")
        # Each quarter is for one of the four hashes, so that a key's cells are different ones.
        self.part = -(-cell_count // _HASH_COUNT)
        self.cell_count = _HASH_COUNT * self.part
        self._counts = [0] * self.cell_count
        self._keys = [0] * self.cell_count
        self._checks = [0] * self.cell_count

    @classmethod
    def for_differences(cls, difference_count: int) -> "InvertibleTable":
        """Return an empty table that nearly always decodes so many differences (fails less than once in a hundred)."""
        if difference_count < 1:
            raise BadCapacity(f"a table is for 1 difference or more, not {difference_count}")
        return cls(36 + 3 * difference_count // 2)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InvertibleTable) and self._rows() == other._rows()

    __hash__ = None  # type: ignore[assignment]  # a table changes

    def add(self, key: Key) -> None:
        """Put a key in; never the same one twice."""
        self._toggle(hash_key(key), 1)

    def remove(self, key: Key) -> None:
        """Take a key out; it may come before its adding."""
        self._toggle(hash_key(key), -1)

    def add_many(self, keys: "Iterable[Key] | NDArray[Any]") -> None:
        """Put all keys in; the same outcome as one by one."""
        if not has_numpy():
            for key_hash in hash_list(keys):
                self._toggle(key_hash, 1)
            return
        import numpy as np

        hashes = hash_array(keys)
        checks = mix_array(hashes ^ np.uint64(_CHECK))
        counts = np.array(self._counts, dtype=np.int64)
        key_xors, check_xors = np.array(self._keys, dtype=np.uint64), np.array(self._checks, dtype=np.uint64)
        mixed = hashes
        for number in range(_HASH_COUNT):
            mixed = mix_array(mixed + np.uint64(_CHECK))
            places = ((mixed >> np.uint64(32)) * np.uint64(self.part) >> np.uint64(32)).view(np.int64)
            places += number * self.part
            counts += np.bincount(places, minlength=self.cell_count)
            np.bitwise_xor.at(key_xors, places, hashes)
            np.bitwise_xor.at(check_xors, places, checks)
        self._counts, self._keys, self._checks = counts.tolist(), key_xors.tolist(), check_xors.tolist()

    def subtract(self, other: "InvertibleTable") -> "InvertibleTable":
        """Return the table of the difference; raise `Incompatible` for another size."""
        if self.cell_count != other.cell_count:
            raise Incompatible(f"tables of {self.cell_count} and {other.cell_count} cells cannot be subtracted")
        made = InvertibleTable(self.cell_count)
        made._counts = [a - b for a, b in zip(self._counts, other._counts, strict=True)]
        made._keys = [a ^ b for a, b in zip(self._keys, other._keys, strict=True)]
        made._checks = [a ^ b for a, b in zip(self._checks, other._checks, strict=True)]
        return made

    def decode(self) -> Difference:
        """Return the keys that a subtracted table holds; the table itself is left alone."""
        table = InvertibleTable(self.cell_count)
        table._counts, table._keys, table._checks = list(self._counts), list(self._keys), list(self._checks)
        found: tuple[list[int], list[int]] = ([], [])
        waiting = [cell for cell in range(self.cell_count) if table._is_pure(cell)]
        # A pure cell yields one key each; a forged table could go round for ever.
        steps_left = 2 * self.cell_count
        while waiting and steps_left:
            cell = waiting.pop()
            if not table._is_pure(cell):
                continue
            steps_left -= 1
            key_hash, sign = table._keys[cell], table._counts[cell]
            found[sign < 0].append(key_hash)
            table._toggle(key_hash, -sign)
            waiting += [place for place in table._places(key_hash) if table._is_pure(place)]
        is_complete = not any(table._counts) and not any(table._keys) and not any(table._checks)
        return Difference(sorted(found[0]), sorted(found[1]), is_complete)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of [count, keys, checks], empty cells as nil."""
        return _ENVELOPE.encode([row if any(row) else None for row in self._rows()])

    @classmethod
    def from_bytes(cls, data: bytes) -> "InvertibleTable":
        """Return the table in sealed bytes; raise `Undecodable` for anything else."""
        rows = [row or (0, 0, 0) for row in _ENVELOPE.decode(data)]
        if not rows or len(rows) % _HASH_COUNT or len(rows) > CELLS_MAX:
            raise BadPayload("an invertible table has a multiple of four cells")
        if any(
            abs(count) >= 1 << 62 or not 0 <= keys <= _MASK or not 0 <= checks <= _MASK for count, keys, checks in rows
        ):
            raise BadPayload("an invertible table has a cell out of range")
        made = cls(len(rows))
        made._counts, made._keys, made._checks = (list(column) for column in zip(*rows, strict=True))
        return made

    def _rows(self) -> list[tuple[int, int, int]]:
        return list(zip(self._counts, self._keys, self._checks, strict=True))

    def _places(self, key_hash: int) -> list[int]:
        places = []
        for number in range(_HASH_COUNT):
            key_hash = mix64(key_hash + _CHECK & _MASK)
            places.append(number * self.part + ((key_hash >> 32) * self.part >> 32))
        return places

    def _toggle(self, key_hash: int, by: int) -> None:
        check = mix64(key_hash ^ _CHECK)
        for place in self._places(key_hash):
            self._counts[place] += by
            self._keys[place] ^= key_hash
            self._checks[place] ^= check

    def _is_pure(self, cell: int) -> bool:
        return self._counts[cell] in (1, -1) and self._checks[cell] == mix64(self._keys[cell] ^ _CHECK)


_ENVELOPE: Envelope[list[tuple[int, int, int] | None]] = Envelope(
    "invertible-table", 1, list[tuple[int, int, int] | None]
)
