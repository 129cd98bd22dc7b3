"""Binary fuse filter: the smallest of the quick ones, for sets that never change.

Theory. A key has one slot in each of three neighbouring segments; its fingerprint is the xor of the three. To build,
take away, again and again, a key that is alone in one of its slots; then, backwards, set that slot so that the xor
fits. With segments in a sliding window this succeeds at 1.125 slots a key, about 9 bits at an error rate of 1/256.

Source      Graf & Lemire 2022, "Binary fuse filters: fast and smaller than xor filters"; sizes as there.
Complexity  n keys: O(n) to build (one by one in Python, about 4 µs each); 3 accesses to ask, in batches about 20 ns.
Bounds      All keys are needed at once; equal keys count once. Fingerprints of 8 or 16 bits.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from quorate.kernel import BadPayload, Envelope, Key, hash_list, is_array, mix64, mix_array
from quorate.sketches.common import PIECE, BadCapacity, BadErrorRate, Full
from quorate.sketches.filters import Filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SEEDS_MAX: Final = 100
_MASK: Final = (1 << 64) - 1


class BinaryFuseFilter(Filter):
    """A binary fuse filter over keys that are all known.

    Example:
        >>> seen = BinaryFuseFilter(["apple", "plum"])
        >>> "apple" in seen, "plum" in seen
        (True, True)
    """

    kind: ClassVar[str] = "binary-fuse"

    def __init__(self, keys: "Iterable[Key] | NDArray[Any]", *, fingerprint_bits: int = 8) -> None:
        """Build the filter; 8 bits err in 1 of 256, 16 in 1 of 65,536."""
        if fingerprint_bits not in (8, 16):
            raise BadErrorRate(f"fingerprints have 8 or 16 bits, not {fingerprint_bits}")
        self.fingerprint_bits = fingerprint_bits
        hashes = list(dict.fromkeys(hash_list(cast("NDArray[Any]", keys).tolist() if is_array(keys) else keys)))
        self.key_count = len(hashes)
        self._segment_bits, self._segment_count = _sizes(self.key_count)
        for seed in range(1, _SEEDS_MAX + 1):
            self._seed = mix64(seed)
            order = self._peel(hashes)
            if order is not None:
                self._table = self._assign(order)
                return
        raise Full("no seed of a hundred lets this set be built; chance of that is astronomically small")

    def _slots(self, mixed: int) -> tuple[int, int, int]:
        """Return the three slots of a seeded hash, in neighbouring segments."""
        mask = (1 << self._segment_bits) - 1
        first = (mixed * (self._segment_count << self._segment_bits)) >> 64
        second = (first + mask + 1) ^ (mixed >> 18 & mask)
        third = (first + 2 * (mask + 1)) ^ (mixed & mask)
        return first, second, third

    def _peel(self, hashes: list[int]) -> list[tuple[int, int]] | None:
        """Return (seeded hash, slot in which it was alone) in the order of taking away; None if that gets stuck."""
        size = (self._segment_count + 2) << self._segment_bits
        counts, xors = [0] * size, [0] * size
        for key_hash in hashes:
            mixed = mix64(key_hash + self._seed & _MASK)
            for slot in self._slots(mixed):
                counts[slot] += 1
                xors[slot] ^= mixed
        alone = [slot for slot in range(size) if counts[slot] == 1]
        order: list[tuple[int, int]] = []
        while alone:
            slot = alone.pop()
            if counts[slot] != 1:
                continue
            mixed = xors[slot]
            order.append((mixed, slot))
            for other in self._slots(mixed):
                counts[other] -= 1
                xors[other] ^= mixed
                if counts[other] == 1:
                    alone.append(other)
        return order if len(order) == len(hashes) else None

    def _assign(self, order: list[tuple[int, int]]) -> bytearray:
        size = (self._segment_count + 2) << self._segment_bits
        table = [0] * size
        mask = (1 << self.fingerprint_bits) - 1
        for mixed, slot in reversed(order):
            first, second, third = self._slots(mixed)
            # The slot itself is still 0 here, so the xor of all three is that of the other two.
            table[slot] = (mixed ^ mixed >> 32) & mask ^ table[first] ^ table[second] ^ table[third]
        if self.fingerprint_bits == 8:
            return bytearray(table)
        return bytearray(b"".join(value.to_bytes(2, "little") for value in table))

    def _cell(self, slot: int) -> int:
        if self.fingerprint_bits == 8:
            return self._table[slot]
        return self._table[2 * slot] | self._table[2 * slot + 1] << 8

    def _has_hash(self, key_hash: int) -> bool:
        mixed = mix64(key_hash + self._seed & _MASK)
        first, second, third = self._slots(mixed)
        value = (mixed ^ mixed >> 32) & (1 << self.fingerprint_bits) - 1
        return bool(self.key_count) and value == self._cell(first) ^ self._cell(second) ^ self._cell(third)

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        if not self.key_count:
            return np.zeros(len(hashes), dtype=np.bool_)
        table = np.frombuffer(self._table, dtype=np.uint8 if self.fingerprint_bits == 8 else np.dtype("<u2"))
        span = np.uint64(self._segment_count << self._segment_bits)
        length = np.uint64(1 << self._segment_bits)
        mask = length - np.uint64(1)
        answers = np.empty(len(hashes), dtype=np.bool_)
        for start in range(0, len(hashes), PIECE):
            mixed = mix_array(hashes[start : start + PIECE] + np.uint64(self._seed))
            low = (mixed & np.uint64(0xFFFFFFFF)) * span >> np.uint64(32)
            first = ((mixed >> np.uint64(32)) * span + low) >> np.uint64(32)
            second = (first + length) ^ (mixed >> np.uint64(18) & mask)
            third = (first + length + length) ^ (mixed & mask)
            value = (mixed ^ mixed >> np.uint64(32)).astype(table.dtype)
            value ^= table[first.view(np.int64)]
            value ^= table[second.view(np.int64)]
            value ^= table[third.view(np.int64)]
            answers[start : start + PIECE] = value == 0
        return answers

    @property
    def memory_bits(self) -> int:
        """Bits in memory."""
        return 8 * len(self._table)

    def error_rate_now(self) -> float:
        """Return the error rate: one of all values of a fingerprint."""
        return float(2.0**-self.fingerprint_bits) if self.key_count else 0.0

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of fingerprint bits, keys, seed, and the table, little endian."""
        return _ENVELOPE.encode((self.fingerprint_bits, self.key_count, self._seed, bytes(self._table)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "BinaryFuseFilter":
        """Return the filter in sealed bytes; raise `Undecodable` for anything else."""
        fingerprint_bits, key_count, seed, table = _ENVELOPE.decode(data)
        if fingerprint_bits not in (8, 16) or not 0 <= key_count <= 1 << 32 or not 0 <= seed <= _MASK:
            raise BadPayload("a binary fuse filter's sizes make no sense")
        made = object.__new__(cls)
        made.fingerprint_bits, made.key_count, made._seed = fingerprint_bits, key_count, seed
        made._segment_bits, made._segment_count = _sizes(key_count)
        if len(table) != (made._segment_count + 2 << made._segment_bits) * fingerprint_bits // 8:
            raise BadPayload("a binary fuse filter's table does not fit its size")
        made._table = bytearray(table)
        return made


def _sizes(key_count: int) -> tuple[int, int]:
    """Return bits of a segment's length, and the number of segments without the last two."""
    if key_count > 1 << 32:
        raise BadCapacity(f"a binary fuse filter holds at most 2**32 keys, not {key_count}")
    if key_count < 2:
        return 2, 1
    bits = min(18, max(2, math.floor(math.log(key_count) / math.log(3.33) + 2.25)))
    factor = max(1.125, 0.875 + 0.25 * math.log(1_000_000) / math.log(key_count))
    return bits, max(1, -(-math.ceil(key_count * factor) // (1 << bits)) - 2)


_ENVELOPE: Envelope[tuple[int, int, int, bytes]] = Envelope("binary-fuse", 1, tuple[int, int, int, bytes])
