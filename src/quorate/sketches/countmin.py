"""Count-Min: how often each key came, never too little, and rarely much too often.

Theory. Each of d rows has w counters, and a key raises one in every row. Others share them, so each is too high by the
share of others; the smallest of the d is too high by more than ε of the total only with probability δ, for w = e/ε and
d = ln 1/δ.

Source      Cormode & Muthukrishnan 2005.
Complexity  O(d) for one key; in batches about 12 ns a row (NumPy); merge O(w · d).
Bounds      Counts below 2⁶³ in all.
"""

import math
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from quorate.kernel import BadPayload, Envelope, Key, errors, hash_array, hash_key, hash_list
from quorate.sketches.common import BadCapacity, BadErrorRate, Incompatible, checked_error_rate, has_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

_CELLS_MAX: Final = 1 << 28


class CountMin:
    """Counts of many keys in little space.

    Example:
        >>> counts = CountMin()
        >>> counts.add("apple", 3)
        >>> counts.count("apple"), counts.count("pear")
        (3, 0)
    """

    def __init__(self, *, error: float = 0.001, chance: float = 0.01) -> None:
        """Make empty counts.

        Args:
            error: how much too high, as a share of the total of all counts.
            chance: probability that one answer is worse than that.
        """
        try:
            self.error, self.chance = checked_error_rate(error), checked_error_rate(chance)
        except BadErrorRate as cause:
            raise BadErrorRate(f"error and chance are above 0 and below 1, not {error!r} and {chance!r}") from cause
        self.width = math.ceil(math.e / error)
        self.depth = math.ceil(math.log(1 / chance))
        if self.width * self.depth > _CELLS_MAX:
            raise BadCapacity(f"{self.width} times {self.depth} counters are too many; at most 2**28")
        self.total = 0
        self._cells = array("q", bytes(8 * self.width * self.depth))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CountMin) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # counts change

    def add(self, key: Key, count: int = 1) -> None:
        """Count a key so many times more."""
        if count < 0:
            raise errors.UsageError(f"a count is 0 or more, not {count}")
        self._add_hash(hash_key(key), count)

    def add_many(self, keys: "Iterable[Key] | NDArray[Any]") -> None:
        """Count each key once more; the same outcome as one by one."""
        if not has_numpy():
            for key_hash in hash_list(keys):
                self._add_hash(key_hash, 1)
            return
        import numpy as np

        hashes = hash_array(keys)
        cells = np.frombuffer(self._cells, dtype=np.int64).reshape(self.depth, self.width)
        for row, places in enumerate(_position_arrays(hashes, self.width, self.depth)):
            cells[row] += np.bincount(places, minlength=self.width)
        self.total += len(hashes)

    def count(self, key: Key) -> int:
        """Return how often a key was counted, or more."""
        rows = enumerate(_positions(hash_key(key), self.width, self.depth))
        return min(self._cells[row * self.width + place] for row, place in rows)

    def count_many(self, keys: "Iterable[Key] | NDArray[Any]") -> "list[int] | NDArray[Any]":
        """Return the count of each key: an array with NumPy, else a list; the same answers."""
        if not has_numpy():
            return [self.count(key) for key in keys]
        import numpy as np

        cells = np.frombuffer(self._cells, dtype=np.int64).reshape(self.depth, self.width)
        hashes = hash_array(keys)
        least = np.full(len(hashes), np.iinfo(np.int64).max)
        for row, places in enumerate(_position_arrays(hashes, self.width, self.depth)):
            np.minimum(least, cells[row][places], out=least)
        return least

    def merge(self, other: "CountMin") -> "CountMin":
        """Return the sum of both; raise `Incompatible` for other sizes."""
        if (self.width, self.depth) != (other.width, other.depth):
            raise Incompatible("counts of different sizes cannot be added")
        made = CountMin(error=self.error, chance=self.chance)
        made._cells = array("q", map(int.__add__, self._cells, other._cells))
        made.total = self.total + other.total
        return made

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of error, chance, total, and the counters, row by row."""
        return _ENVELOPE.encode((self.error, self.chance, self.total, self._cells.tolist()))

    @classmethod
    def from_bytes(cls, data: bytes) -> "CountMin":
        """Return the counts in sealed bytes; raise `Undecodable` for anything else."""
        error, chance, total, cells = _ENVELOPE.decode(data)
        if not 1e-9 < error < 1 or not 0 < chance < 1 or not 0 <= total < 1 << 63:
            raise BadPayload("a Count-Min's sizes make no sense")
        width, depth = math.ceil(math.e / error), math.ceil(math.log(1 / chance))
        if len(cells) != width * depth or any(not 0 <= cell <= total for cell in cells):
            raise BadPayload("a Count-Min's counters do not fit its size")
        if any(sum(cells[row * width : (row + 1) * width]) != total for row in range(depth)):
            raise BadPayload("a Count-Min's rows each sum up to the total")
        made = cls(error=error, chance=chance)
        made._cells, made.total = array("q", cells), total
        return made

    def _add_hash(self, key_hash: int, count: int) -> None:
        for row, place in enumerate(_positions(key_hash, self.width, self.depth)):
            self._cells[row * self.width + place] += count
        self.total += count


_ENVELOPE: Envelope[tuple[float, float, int, list[int]]] = Envelope("count-min", 1, tuple[float, float, int, list[int]])


def _positions(key_hash: int, width: int, depth: int) -> list[int]:
    at, step = key_hash >> 32, key_hash & 0xFFFFFFFF | 1
    positions = []
    for _ in range(depth):
        positions.append(at * width >> 32)
        at = at + step & 0xFFFFFFFF
    return positions


def _position_arrays(hashes: "NDArray[np.uint64]", width: int, depth: int) -> "Iterator[NDArray[np.int64]]":
    import numpy as np

    at = (hashes >> np.uint64(32)).astype(np.uint32)
    step = hashes.astype(np.uint32) | np.uint32(1)
    for _ in range(depth):
        wide = at.astype(np.uint64)
        wide *= np.uint64(width)
        wide >>= np.uint64(32)
        yield wide.view(np.int64)
        at += step
