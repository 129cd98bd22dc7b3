"""Bloom filter, and its counting and scalable kinds.

Theory. A key sets k bits of m; it seems to be there if all its bits are set. With n keys, and k = m/n · ln 2, half of
the bits are set and the error rate is 2⁻ᵏ; so m/n = log₂(1/p) / ln 2. Filters of one make are sets to `or` and `and`:
union exactly, intersection with at most the error rate of the smaller one.

Source      Bloom 1970; k positions from two hashes: Kirsch & Mitzenmacher 2006; counting: Fan et al. 2000; scalable:
            Almeida et al. 2007.
Deviations  Positions are (a + i·b) mod m, a and b the halves of the key's 64-bit hash, scaled to m; b is at least 1.
Complexity  O(k) for one key; in batches about 25 ns a key (NumPy), and for adding O(m) once per batch.
Bounds      At most 2³² bits: 448 million keys at 1 %. Counters saturate at 15 and are then never lowered.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from quorate.kernel import BadPayload, Envelope, Key, hash_array, hash_key, hash_list
from quorate.sketches.common import (
    PIECE,
    BadCapacity,
    Incompatible,
    NotThere,
    checked_capacity,
    checked_error_rate,
    has_numpy,
    pieces,
)
from quorate.sketches.filters import GrowingFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

_LOW: Final = 0xFFFFFFFF
BIT_COUNT_MAX: Final = 1 << 32
_BITS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_COUNTER_MAX: Final = 15


def bloom_size(capacity: int, error_rate: float) -> tuple[int, int]:
    """Return the number of bits and of hashes for a capacity and an error rate.

    Example:
        >>> bloom_size(1_000_000, 0.01)
        (9585059, 7)
    """
    bits = math.ceil(-checked_capacity(capacity) * math.log(checked_error_rate(error_rate)) / math.log(2) ** 2)
    if bits > BIT_COUNT_MAX:
        raise BadCapacity(f"{capacity} keys at {error_rate} need {bits} bits; at most 2**32")
    return max(bits, 8), max(1, round(bits / capacity * math.log(2)))


def _positions(key_hash: int, bit_count: int, hash_count: int) -> list[int]:
    at, step = (key_hash >> 32) * bit_count >> 32, (key_hash & _LOW) * bit_count >> 32 or 1
    positions = []
    for _ in range(hash_count):
        positions.append(at)
        at += step
        if at >= bit_count:
            at -= bit_count
    return positions


def _position_arrays(hashes: "NDArray[np.uint64]", bit_count: int, hash_count: int) -> "Iterator[NDArray[np.int64]]":
    import numpy as np

    # Below 2³¹ sums fit 32 bits, and vectors hold twice as many.
    width = np.uint32 if bit_count < 1 << 31 else np.uint64
    at: NDArray[Any] = ((hashes >> np.uint64(32)) * np.uint64(bit_count) >> np.uint64(32)).astype(width)
    step: NDArray[Any] = ((hashes & np.uint64(_LOW)) * np.uint64(bit_count) >> np.uint64(32)).astype(width)
    np.maximum(step, width(1), out=step)
    for _ in range(hash_count):
        yield at.astype(np.int64)
        at += step
        # Unsigned: where the difference would be negative it wraps to something huge, and the sum stays.
        np.minimum(at, at - width(bit_count), out=at)


class BloomFilter(GrowingFilter):
    """A classic Bloom filter.

    Example:
        >>> seen = BloomFilter(1000, 0.01)
        >>> seen.add("apple")
        >>> "apple" in seen, "pear" in seen
        (True, False)
    """

    kind: ClassVar[str] = "bloom"

    def __init__(self, capacity: int, error_rate: float = 0.01) -> None:
        """Make an empty filter that has about the error rate when it holds as many different keys as its capacity."""
        self.capacity = capacity
        self.error_rate = error_rate
        self.bit_count, self.hash_count = bloom_size(capacity, error_rate)
        self._rounds = range(self.hash_count)
        self._bits = bytearray(-(-self.bit_count // 8))

    def add(self, key: Key) -> None:
        """Add a key."""
        # Written out, because single operations are counted in hundreds of nanoseconds.
        key_hash = hash_key(key)
        bits, bit_count = self._bits, self.bit_count
        at, step = (key_hash >> 32) * bit_count >> 32, (key_hash & _LOW) * bit_count >> 32 or 1
        for _ in self._rounds:
            bits[at >> 3] |= _BITS[at & 7]
            at += step
            if at >= bit_count:
                at -= bit_count

    def __contains__(self, key: Key) -> bool:
        """Return whether a key was added, or (with the error rate) only seems so."""
        return self._has_hash(hash_key(key))

    def _add_hash(self, key_hash: int) -> None:
        for place in _positions(key_hash, self.bit_count, self.hash_count):
            self._bits[place >> 3] |= 1 << (place & 7)

    def _has_hash(self, key_hash: int) -> bool:
        bits, bit_count = self._bits, self.bit_count
        at, step = (key_hash >> 32) * bit_count >> 32, (key_hash & _LOW) * bit_count >> 32 or 1
        for _ in self._rounds:
            if not bits[at >> 3] & _BITS[at & 7]:
                return False
            at += step
            if at >= bit_count:
                at -= bit_count
        return True

    def _add_hashes(self, hashes: "NDArray[np.uint64]") -> None:
        import numpy as np

        own = np.frombuffer(self._bits, dtype=np.uint8)
        if 64 * len(hashes) < self.bit_count:
            # A small batch must not pay for the whole filter.
            for places in _position_arrays(hashes, self.bit_count, self.hash_count):
                np.bitwise_or.at(own, places >> 3, np.left_shift(np.uint8(1), (places & 7).astype(np.uint8)))
            return
        fresh = np.zeros(8 * len(own), dtype=np.bool_)
        for start in range(0, len(hashes), PIECE):
            for places in _position_arrays(hashes[start : start + PIECE], self.bit_count, self.hash_count):
                fresh[places] = True
        own |= np.packbits(fresh, bitorder="little")

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        own = np.frombuffer(self._bits, dtype=np.uint8)
        answers = np.empty(len(hashes), dtype=np.bool_)
        for start in range(0, len(hashes), PIECE):
            piece = hashes[start : start + PIECE]
            all_set = np.full(len(piece), 1, dtype=np.uint8)
            for places in _position_arrays(piece, self.bit_count, self.hash_count):
                all_set &= own[places >> 3] >> (places & 7).astype(np.uint8)
            answers[start : start + PIECE] = all_set
        return answers

    def set_count(self) -> int:
        """Return how many bits are set. Complexity: O(m)."""
        return int.from_bytes(self._bits, "little").bit_count()

    def key_count(self) -> float:
        """Return an estimate of how many different keys were added: -m/k · ln(share of bits not set)."""
        unset = self.bit_count - self.set_count()
        return math.inf if not unset else -self.bit_count / self.hash_count * math.log(unset / self.bit_count)

    def error_rate_now(self) -> float:
        """Return the error rate at the present filling: the share of set bits to the power of k."""
        return float((self.set_count() / self.bit_count) ** self.hash_count)

    def union(self, other: "BloomFilter") -> "BloomFilter":
        """Return the filter of all keys of both, bit for bit as if they had been added here; raise `Incompatible`."""
        return self._combined(other, int.from_bytes(self._bits, "little") | other._as_int(self))

    def intersection(self, other: "BloomFilter") -> "BloomFilter":
        """Return a filter that holds at least the keys of both; raise `Incompatible`.

        It may hold more bits than if the common keys had been added alone, and so err more often.
        """
        return self._combined(other, int.from_bytes(self._bits, "little") & other._as_int(self))

    def copy(self) -> "BloomFilter":
        """Return an independent filter with the same content."""
        return BloomFilter.from_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of capacity, error rate, and the bits, lowest first."""
        return _BLOOM.encode((self.capacity, self.error_rate, bytes(self._bits)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "BloomFilter":
        """Return the filter in sealed bytes; raise `Undecodable` for anything else."""
        capacity, error_rate, bits = _BLOOM.decode(data)
        # Sizes first: forged ones must not make us allocate.
        if not 1 <= capacity <= BIT_COUNT_MAX or not 0 < error_rate < 1 or capacity > 100 * 8 * len(bits):
            raise BadPayload("a Bloom filter's sizes make no sense")
        bit_count, _ = bloom_size(capacity, error_rate)
        spare = 8 * len(bits) - bit_count
        if not 0 <= spare < 8 or (spare and bits[-1] >> (8 - spare)):
            raise BadPayload("a Bloom filter's bits do not fit its size")
        made = cls(capacity, error_rate)
        made._bits[:] = bits
        return made

    def _as_int(self, other: "BloomFilter") -> int:
        if (self.capacity, self.error_rate) != (other.capacity, other.error_rate):
            mine, theirs = (self.capacity, self.error_rate), (other.capacity, other.error_rate)
            raise Incompatible(f"filters of capacity and error rate {theirs} and {mine} cannot be combined")
        return int.from_bytes(self._bits, "little")

    def _combined(self, other: "BloomFilter", bits: int) -> "BloomFilter":
        del other
        made = BloomFilter(self.capacity, self.error_rate)
        made._bits[:] = bits.to_bytes(len(made._bits), "little")
        return made


_BLOOM: Envelope[tuple[int, float, bytes]] = Envelope("bloom", 1, tuple[int, float, bytes])


class CountingBloomFilter(GrowingFilter):
    """A Bloom filter of 4-bit counters, from which keys can be removed.

    Example:
        >>> seen = CountingBloomFilter(1000, 0.01)
        >>> seen.add("apple"); seen.remove("apple"); "apple" in seen
        False
    """

    kind: ClassVar[str] = "counting-bloom"

    def __init__(self, capacity: int, error_rate: float = 0.01) -> None:
        """Make an empty filter; four times the memory of a classic one."""
        self.capacity = capacity
        self.error_rate = error_rate
        self.bit_count, self.hash_count = bloom_size(capacity, error_rate)
        # Two counters a byte, the even place in the low half.
        self._counters = bytearray(-(-self.bit_count // 2))

    def remove(self, key: Key) -> None:
        """Remove one adding of a key; raise `NotThere` for a key that is certainly not there.

        Removing a key that was never added and only seems to be there takes counts from others: never do it.
        """
        key_hash = hash_key(key)
        if not self._has_hash(key_hash):
            raise NotThere(f"{key!r:.80} is not in this filter")
        for place in _positions(key_hash, self.bit_count, self.hash_count):
            count = self._counter(place)
            # A saturated counter has lost count, and must stay.
            if 0 < count < _COUNTER_MAX:
                self._counters[place >> 1] -= 1 << 4 * (place & 1)

    def _counter(self, place: int) -> int:
        return self._counters[place >> 1] >> 4 * (place & 1) & _COUNTER_MAX

    def _add_hash(self, key_hash: int) -> None:
        for place in _positions(key_hash, self.bit_count, self.hash_count):
            if self._counter(place) < _COUNTER_MAX:
                self._counters[place >> 1] += 1 << 4 * (place & 1)

    def _has_hash(self, key_hash: int) -> bool:
        return all(self._counter(place) for place in _positions(key_hash, self.bit_count, self.hash_count))

    def _add_hashes(self, hashes: "NDArray[np.uint64]") -> None:
        import numpy as np

        if 64 * len(hashes) < self.bit_count:
            for key_hash in hashes.tolist():
                self._add_hash(key_hash)
            return
        places = np.concatenate(list(_position_arrays(hashes, self.bit_count, self.hash_count)))
        fresh = np.minimum(np.bincount(places, minlength=2 * len(self._counters)), _COUNTER_MAX).astype(np.uint8)
        own = np.frombuffer(self._counters, dtype=np.uint8)
        low = np.minimum((own & 15) + fresh[0::2], _COUNTER_MAX).astype(np.uint8)
        high = np.minimum((own >> 4) + fresh[1::2], _COUNTER_MAX).astype(np.uint8)
        own[:] = low | high << 4

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        own = np.frombuffer(self._counters, dtype=np.uint8)
        answers = np.ones(len(hashes), dtype=np.bool_)
        for places in _position_arrays(hashes, self.bit_count, self.hash_count):
            answers &= (own[places >> 1] >> (4 * (places & 1)).astype(np.uint8) & 15) > 0
        return answers

    def error_rate_now(self) -> float:
        """Return the error rate at the present filling: the share of counters above 0 to the power of k."""
        used = sum((byte & 15 > 0) + (byte >> 4 > 0) for byte in self._counters)
        return float((used / self.bit_count) ** self.hash_count)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of capacity, error rate, and the counters, two a byte."""
        return _COUNTING.encode((self.capacity, self.error_rate, bytes(self._counters)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "CountingBloomFilter":
        """Return the filter in sealed bytes; raise `Undecodable` for anything else."""
        capacity, error_rate, counters = _COUNTING.decode(data)
        if not 1 <= capacity <= BIT_COUNT_MAX or not 0 < error_rate < 1 or capacity > 100 * 2 * len(counters):
            raise BadPayload("a counting Bloom filter's sizes make no sense")
        bit_count, _ = bloom_size(capacity, error_rate)
        if len(counters) != -(-bit_count // 2) or (bit_count & 1 and counters[-1] >> 4):
            raise BadPayload("a counting Bloom filter's counters do not fit its size")
        made = cls(capacity, error_rate)
        made._counters[:] = counters
        return made


_COUNTING: Envelope[tuple[int, float, bytes]] = Envelope("counting-bloom", 1, tuple[int, float, bytes])

GROWTH: Final = 2
TIGHTENING: Final = 0.8
_RUN: Final = 1 << 16


class ScalableBloomFilter(GrowingFilter):
    """A chain of Bloom filters, each twice as large and stricter, so that the error rate holds without a known size.

    Keys that seem to be there already are not added again; many are checked in runs of 65,536 at a time.

    Example:
        >>> seen = ScalableBloomFilter(100, 0.01)
        >>> seen.add_many(range(1000))
        >>> len(seen.parts), 999 in seen
        (4, True)
    """

    kind: ClassVar[str] = "scalable-bloom"

    def __init__(self, capacity: int = 1024, error_rate: float = 0.01) -> None:
        """Make an empty filter.

        Args:
            capacity: of the first part.
            error_rate: of the whole, however much it grows.
        """
        self.capacity = checked_capacity(capacity)
        self.error_rate = checked_error_rate(error_rate)
        self.parts: list[BloomFilter] = []
        # Keys in the last part.
        self._last_count = 0
        self._grow()

    def __len__(self) -> int:
        """Return how many keys were added, those left out that seemed to be there already."""
        return sum(part.capacity for part in self.parts[:-1]) + self._last_count

    def _grow(self) -> None:
        number = len(self.parts)
        # A geometric series of error rates sums up to the whole's.
        rate = self.error_rate * (1 - TIGHTENING) * TIGHTENING**number
        self.parts.append(BloomFilter(self.capacity * GROWTH**number, rate))
        self._last_count = 0

    def add(self, key: Key) -> None:
        """Add a key, unless it seems to be there already."""
        self._add_run([hash_key(key)])

    def add_many(self, keys: "Iterable[Key] | NDArray[Any]") -> None:
        """Add all keys that do not seem to be there already."""
        for run in pieces(keys, _RUN):
            if has_numpy():
                self._add_array(hash_array(run))
            else:
                self._add_run(hash_list(run))

    def _add_hash(self, key_hash: int) -> None:
        self._add_run([key_hash])

    def _add_run(self, hashes: list[int]) -> None:
        for key_hash in [h for h in dict.fromkeys(hashes) if not self._has_hash(h)]:
            if self._last_count == self.parts[-1].capacity:
                self._grow()
            self.parts[-1]._add_hash(key_hash)
            self._last_count += 1

    def _add_array(self, hashes: "NDArray[np.uint64]") -> None:
        """Add a run of hashes; the same outcome as `_add_run`, in the same order."""
        import numpy as np

        _, firsts = np.unique(hashes, return_index=True)
        fresh = hashes[np.sort(firsts)]
        fresh = fresh[~self._has_hashes(fresh)]
        while len(fresh):
            if self._last_count == self.parts[-1].capacity:
                self._grow()
            room = self.parts[-1].capacity - self._last_count
            self.parts[-1]._add_hashes(fresh[:room])
            self._last_count += len(fresh[:room])
            fresh = fresh[room:]

    def _has_hash(self, key_hash: int) -> bool:
        # The last parts hold most of the keys.
        return any(part._has_hash(key_hash) for part in reversed(self.parts))

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        answers = np.zeros(len(hashes), dtype=np.bool_)
        for part in reversed(self.parts):
            open_ = np.flatnonzero(~answers)
            answers[open_] = part._has_hashes(hashes[open_])
        return answers

    def error_rate_now(self) -> float:
        """Return the error rate at the present filling: one minus the chance that no part errs."""
        return 1 - math.prod(1 - part.error_rate_now() for part in self.parts)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of capacity, error rate, keys in the last part, and the parts."""
        parts = [part.to_bytes() for part in self.parts]
        return _SCALABLE.encode((self.capacity, self.error_rate, self._last_count, parts))

    @classmethod
    def from_bytes(cls, data: bytes) -> "ScalableBloomFilter":
        """Return the filter in sealed bytes; raise `Undecodable` for anything else."""
        capacity, error_rate, last_count, sealed = _SCALABLE.decode(data)
        parts = [BloomFilter.from_bytes(part) for part in sealed]
        if not 1 <= capacity <= BIT_COUNT_MAX or not 0 < error_rate < 1 or not parts:
            raise BadPayload("a scalable Bloom filter's sizes make no sense")
        for number, part in enumerate(parts):
            rate = error_rate * (1 - TIGHTENING) * TIGHTENING**number
            if (part.capacity, part.error_rate) != (capacity * GROWTH**number, rate):
                raise BadPayload("a scalable Bloom filter's parts do not fit each other")
        if not 0 <= last_count <= parts[-1].capacity:
            raise BadPayload("a scalable Bloom filter's last part is over-full")
        made = object.__new__(cls)
        made.capacity, made.error_rate, made.parts, made._last_count = capacity, error_rate, parts, last_count
        return made


_SCALABLE: Envelope[tuple[int, float, int, list[bytes]]] = Envelope(
    "scalable-bloom", 1, tuple[int, float, int, list[bytes]]
)
