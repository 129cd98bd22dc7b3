"""HyperLogLog: how many different keys, in a few kilobytes.

Theory. In a random 64-bit hash, j leading zeros come once in 2ʲ keys. Many registers, each fed by the keys whose first
bits name it, keep their largest count of zeros; their harmonic mean estimates the number of keys. Merging is a maximum,
so any number of overlapping streams can be counted apart and together.

Source      Flajolet et al. 2007; estimator without tables and without bias at either end: Ertl 2017, algorithm 6.
Deviations  Ranks are counted in the 52 bits behind the register's, so that arrays give the same numbers (2⁶⁰ keys
            suffice).
Complexity  O(1) to add, in batches about 30 ns (NumPy); O(registers) to estimate and merge.
Bounds      Standard error 1.04 / √registers: 0.8 % with 16,384 registers (precision 14), 16 KiB.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from quorate.kernel import BadPayload, Envelope, Key, hash_array, hash_key, hash_list
from quorate.sketches.common import PIECE, BadErrorRate, Incompatible, has_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRECISION_MIN: Final = 4
PRECISION_MAX: Final = 18
_RANK_BITS: Final = 52


class HyperLogLog:
    """A counter of different keys.

    Example:
        >>> counter = HyperLogLog()
        >>> counter.add_many(range(100_000))
        >>> 99_000 < counter.estimate() < 101_000
        True
    """

    def __init__(self, *, precision: int = 14) -> None:
        """Make an empty counter of 2 to the power of `precision` registers, 4 to 18."""
        if not PRECISION_MIN <= precision <= PRECISION_MAX:
            raise BadErrorRate(f"precision is from {PRECISION_MIN} to {PRECISION_MAX}, not {precision}")
        self.precision = precision
        self._registers = bytearray(1 << precision)
        self._rank_bits = min(_RANK_BITS, 64 - precision)
        self._shift = 64 - precision - self._rank_bits
        self._rank_mask = (1 << self._rank_bits) - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HyperLogLog) and self._registers == other._registers

    __hash__ = None  # type: ignore[assignment]  # a counter changes

    @property
    def standard_error(self) -> float:
        """Relative standard error of the estimate."""
        return 1.04 / math.sqrt(len(self._registers))

    def add(self, key: Key) -> None:
        """Add a key."""
        self._add_hash(hash_key(key))

    def add_many(self, keys: "Iterable[Key] | NDArray[Any]") -> None:
        """Add all keys; the same outcome as one by one."""
        if not has_numpy():
            for key_hash in hash_list(keys):
                self._add_hash(key_hash)
            return
        import numpy as np

        hashes = hash_array(keys)
        own = np.frombuffer(self._registers, dtype=np.uint8)
        for start in range(0, len(hashes), PIECE):
            piece = hashes[start : start + PIECE]
            places = (piece >> np.uint64(64 - self.precision)).view(np.int64)
            rest = piece >> np.uint64(self._shift)
            rest &= np.uint64(self._rank_mask)
            # Below 2⁵³ a float is exact, and its exponent is the bit length.
            _, lengths = np.frexp(rest.astype(np.float64))
            ranks = (self._rank_bits + 1 - lengths).astype(np.uint8)
            np.maximum.at(own, places, ranks)

    def _add_hash(self, key_hash: int) -> None:
        place = key_hash >> 64 - self.precision
        rank = self._rank_bits + 1 - (key_hash >> self._shift & self._rank_mask).bit_length()
        held = self._registers[place]
        if held < rank:
            self._registers[place] = rank

    def estimate(self) -> float:
        """Return how many different keys were added, about. Complexity: O(registers)."""
        registers = len(self._registers)
        histogram = [0] * (self._rank_bits + 2)
        for rank in self._registers:
            histogram[rank] += 1
        if histogram[0] == registers:
            return 0.0
        total = registers * _tau(1 - histogram[-1] / registers)
        for rank in range(self._rank_bits, 0, -1):
            total = 0.5 * (total + histogram[rank])
        total += registers * _sigma(histogram[0] / registers)
        return registers * registers / (2 * math.log(2) * total)

    def merge(self, other: "HyperLogLog") -> "HyperLogLog":
        """Return the counter of the keys of both; raise `Incompatible` for another precision."""
        if self.precision != other.precision:
            raise Incompatible(f"counters of precision {self.precision} and {other.precision} cannot be merged")
        made = HyperLogLog(precision=self.precision)
        made._registers[:] = bytes(map(max, self._registers, other._registers))
        return made

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of precision and registers, a byte each."""
        return _ENVELOPE.encode((self.precision, bytes(self._registers)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "HyperLogLog":
        """Return the counter in sealed bytes; raise `Undecodable` for anything else."""
        precision, registers = _ENVELOPE.decode(data)
        if not PRECISION_MIN <= precision <= PRECISION_MAX or len(registers) != 1 << precision:
            raise BadPayload("a HyperLogLog's registers do not fit its precision")
        made = cls(precision=precision)
        if max(registers) > made._rank_bits + 1:
            raise BadPayload("a HyperLogLog has a register that no key can make")
        made._registers[:] = registers
        return made


_ENVELOPE: Envelope[tuple[int, bytes]] = Envelope("hyperloglog", 1, tuple[int, bytes])


def _sigma(x: float) -> float:
    """Sum of x^(2^k) · 2^(k-1), for registers that are still empty."""
    if x == 1:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before, z = z, z + x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    """The counterpart of sigma, for registers that are full."""
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3
