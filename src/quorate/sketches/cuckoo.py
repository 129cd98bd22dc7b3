"""Cuckoo filter: fingerprints in one of two buckets, moved about to make room.

Theory. A key's fingerprint may lie in bucket i or in i xor hash(fingerprint), so either bucket can be found from the
other and the fingerprint alone. When both are full, one of those inside is pushed to its other bucket, and so on.

Source      Fan et al. 2014, "Cuckoo filter: practically better than Bloom".
Deviations  The bucket to push from is chosen by a counter, not at random: the same keys give the same filter.
Complexity  O(1) to ask and remove; expected O(1) to add up to a load of 0.95. Batches ask in about 25 ns a key (NumPy);
            adding is one by one, since where a key goes depends on all before it.
Bounds      4 slots of 16 bits a bucket; error rates from 2 · 4 / 2¹⁶ ≈ 0.00012; at most 8 equal keys.
"""

import math
from array import array
from typing import TYPE_CHECKING, ClassVar, Final

from quorate.kernel import BadPayload, Envelope, Key, hash_key, mix64
from quorate.sketches.common import (
    PIECE,
    BadCapacity,
    BadErrorRate,
    Full,
    NotThere,
    checked_capacity,
    checked_error_rate,
)
from quorate.sketches.filters import GrowingFilter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUCKET_SLOTS: Final = 4
_KICKS_MAX: Final = 500
_LOAD: Final = 0.95
_FINGERPRINT_BITS_MAX: Final = 16
_MIX: Final = 0xC6A4A7935BD1E995
_BUCKET_BITS_MAX: Final = 30


class CuckooFilter(GrowingFilter):
    """A cuckoo filter.

    Example:
        >>> seen = CuckooFilter(1000, 0.01)
        >>> seen.add("apple"); "apple" in seen
        True
        >>> seen.remove("apple"); "apple" in seen
        False
    """

    kind: ClassVar[str] = "cuckoo"

    def __init__(self, capacity: int, error_rate: float = 0.01) -> None:
        """Make an empty filter for so many keys."""
        buckets = checked_capacity(capacity) / _LOAD / _BUCKET_SLOTS
        bits = math.ceil(math.log2(2 * _BUCKET_SLOTS / checked_error_rate(error_rate)))
        if bits > _FINGERPRINT_BITS_MAX:
            raise BadErrorRate(f"a cuckoo filter of 16-bit fingerprints reaches 0.00013 at best, not {error_rate}")
        self.capacity = capacity
        self.error_rate = error_rate
        self.fingerprint_bits = max(4, bits)
        bucket_bits = max(1, math.ceil(math.log2(buckets)))
        if bucket_bits > _BUCKET_BITS_MAX:
            raise BadCapacity(f"a cuckoo filter has at most 2**{_BUCKET_BITS_MAX} buckets")
        self.bucket_count = 1 << bucket_bits
        # Slot 0 means free; a fingerprint is never 0.
        self._slots = array("H", bytes(2 * _BUCKET_SLOTS * self.bucket_count))
        self._count = 0
        self._turn = 0

    def __len__(self) -> int:
        """Return how many fingerprints are held."""
        return self._count

    @property
    def load(self) -> float:
        """How full the slots are, 0 to 1."""
        return self._count / len(self._slots)

    def remove(self, key: Key) -> None:
        """Remove one adding of a key; raise `NotThere` if it is certainly not there. Remove only what was added."""
        fingerprint, first, second = self._places(hash_key(key))
        for bucket in (first, second):
            for slot in range(bucket * _BUCKET_SLOTS, (bucket + 1) * _BUCKET_SLOTS):
                if self._slots[slot] == fingerprint:
                    self._slots[slot] = 0
                    self._count -= 1
                    return
        raise NotThere(f"{key!r:.80} is not in this filter")

    def _places(self, key_hash: int) -> tuple[int, int, int]:
        """Return the fingerprint and its two buckets."""
        fingerprint = key_hash % ((1 << self.fingerprint_bits) - 1) + 1
        first = key_hash >> 32 & self.bucket_count - 1
        return fingerprint, first, self._other(first, fingerprint)

    def _other(self, bucket: int, fingerprint: int) -> int:
        return bucket ^ (fingerprint * _MIX >> 16) & self.bucket_count - 1

    def _has_hash(self, key_hash: int) -> bool:
        fingerprint, first, second = self._places(key_hash)
        slots = self._slots
        return (
            fingerprint in slots[first * _BUCKET_SLOTS : (first + 1) * _BUCKET_SLOTS]
            or fingerprint in slots[second * _BUCKET_SLOTS : (second + 1) * _BUCKET_SLOTS]
        )

    def _add_hash(self, key_hash: int) -> None:
        fingerprint, first, second = self._places(key_hash)
        if self._put(first, fingerprint) or self._put(second, fingerprint):
            self._count += 1
            return
        trail: list[tuple[int, int]] = []
        bucket = second
        for _ in range(_KICKS_MAX):
            self._turn += 1
            slot = bucket * _BUCKET_SLOTS + (mix64(self._turn) & _BUCKET_SLOTS - 1)
            trail.append((slot, self._slots[slot]))
            self._slots[slot], fingerprint = fingerprint, self._slots[slot]
            bucket = self._other(bucket, fingerprint)
            if self._put(bucket, fingerprint):
                self._count += 1
                return
        # Back out, newest first, so that nothing that was there is lost.
        for slot, kicked in reversed(trail):
            self._slots[slot] = kicked
        raise Full(f"no room after {_KICKS_MAX} moves, at a load of {self.load:.2f}")

    def _put(self, bucket: int, fingerprint: int) -> bool:
        for slot in range(bucket * _BUCKET_SLOTS, (bucket + 1) * _BUCKET_SLOTS):
            if not self._slots[slot]:
                self._slots[slot] = fingerprint
                return True
        return False

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        # A bucket is one 64-bit word, and a 16-bit part of it is zero after xor where a fingerprint is equal.
        words = np.frombuffer(self._slots, dtype=np.uint64)
        ones, highs = np.uint64(0x0001000100010001), np.uint64(0x8000800080008000)
        mask = np.uint64(self.bucket_count - 1)
        answers = np.zeros(len(hashes), dtype=np.bool_)
        for start in range(0, len(hashes), PIECE):
            piece = hashes[start : start + PIECE]
            prints = piece % np.uint64((1 << self.fingerprint_bits) - 1) + np.uint64(1)
            buckets = piece >> np.uint64(32) & mask
            spread = prints * ones
            found = np.zeros(len(piece), dtype=np.uint64)
            for places in (buckets, buckets ^ (prints * np.uint64(_MIX) >> np.uint64(16) & mask)):
                zeros = words[places.view(np.int64)] ^ spread
                found |= zeros - ones & ~zeros & highs
            answers[start : start + PIECE] = found > 0
        return answers

    def error_rate_now(self) -> float:
        """Return the error rate at the present load: 1 - (1 - 1/(2ᶠ - 1))^(8 · load)."""
        return float(1 - (1 - 1 / ((1 << self.fingerprint_bits) - 1)) ** (2 * _BUCKET_SLOTS * self.load))

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of capacity, error rate, turn, and the slots, little endian."""
        data = b"".join(slot.to_bytes(2, "little") for slot in self._slots)
        return _ENVELOPE.encode((self.capacity, self.error_rate, self._turn, data))

    @classmethod
    def from_bytes(cls, data: bytes) -> "CuckooFilter":
        """Return the filter in sealed bytes; raise `Undecodable` for anything else."""
        capacity, error_rate, turn, raw = _ENVELOPE.decode(data)
        if not 1 <= capacity <= 4 * len(raw) or not 0.00012 < error_rate < 1 or not 0 <= turn < 1 << 63:
            raise BadPayload("a cuckoo filter's sizes make no sense")
        made = cls(capacity, max(error_rate, 8 / (1 << 16)))
        slots = [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]
        if len(raw) % 2 or len(slots) != len(made._slots) or max(slots) >> made.fingerprint_bits:
            raise BadPayload("a cuckoo filter's slots do not fit its size")
        made._slots = array("H", slots)
        made._count = sum(slot > 0 for slot in slots)
        made._turn, made.error_rate = turn, error_rate
        return made


_ENVELOPE: Envelope[tuple[int, float, int, bytes]] = Envelope("cuckoo", 1, tuple[int, float, int, bytes])
