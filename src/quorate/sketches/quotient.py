"""Quotient filter: a hash table of fingerprints so compact that it is a filter, and so orderly that it can be merged.

Theory. A fingerprint of p bits is cut into a quotient of q bits (where it belongs) and a remainder of r bits (what is
stored). Fingerprints lie in order; one that finds its slot taken moves right. Three bits a slot tell whose run is
where: is_occupied (some fingerprint belongs here), is_continuation (not the first of its run), is_shifted (not where
it belongs). So all fingerprints can be read back in order, and with them the filter can be merged with another or made
twice as large (one bit moves from remainder to quotient) without the keys.

Source      Bender et al. 2012, "Don't thrash: how to cache your hash on flash"; the counting kind after Pandey et al.
            2017.
Deviations  No wrap-around: spare slots follow the last one. A change reads a cluster, and writes it anew in its one
            normal layout. The counting kind keeps its counts beside the slots, not encoded within them.
Complexity  O(length of a cluster), a handful at a load up to 0.75; batches: about 20 ns a key to ask, O(n) to add
            (NumPy).
Bounds      Load at most 0.9; error rate about load · 2⁻ʳ, which doubles with each doubling of the slots.
"""

import heapq
import itertools
import math
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from quorate.kernel import BadPayload, Envelope, Key, hash_key
from quorate.sketches.common import (
    BadCapacity,
    BadErrorRate,
    Full,
    Incompatible,
    NotThere,
    checked_capacity,
    checked_error_rate,
)
from quorate.sketches.filters import GrowingFilter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OCCUPIED: Final = 1
_CONTINUATION: Final = 2
_SHIFTED: Final = 4
_FLAG_BITS: Final = 3
_SPARE_SLOTS: Final = 64
QUOTIENT_BITS_MAX: Final = 28
REMAINDER_BITS_MAX: Final = 32
LOAD_MAX: Final = 0.9
COUNT_MAX: Final = (1 << 32) - 1

# One fingerprint: quotient, remainder, how often it is counted.
_Row = tuple[int, int, int]


class QuotientFilter(GrowingFilter):
    """A quotient filter.

    Example:
        >>> seen = QuotientFilter(1000, 0.01)
        >>> seen.add_many(["apple", "plum"]); seen.remove("plum")
        >>> "apple" in seen, "plum" in seen, len(seen)
        (True, False, 1)
    """

    kind: ClassVar[str] = "quotient"
    _counts_keys: ClassVar[bool] = False

    def __init__(
        self,
        capacity: int = 1024,
        error_rate: float = 0.01,
        *,
        quotient_bits: int | None = None,
        remainder_bits: int | None = None,
    ) -> None:
        """Make an empty filter.

        Args:
            capacity: keys that fit at a load of three quarters or less.
            error_rate: at that load, or better.
            quotient_bits: 1 to 28; overrides the capacity. There are 2 to its power slots.
            remainder_bits: 1 to 32; overrides the error rate.
        """
        checked_capacity(capacity)
        if quotient_bits is None:
            quotient_bits = max(1, math.ceil(math.log2(capacity / 0.75)))
        if remainder_bits is None:
            remainder_bits = max(1, math.ceil(-math.log2(checked_error_rate(error_rate) / 0.75)))
        if not 1 <= quotient_bits <= QUOTIENT_BITS_MAX:
            raise BadCapacity(f"a quotient filter has 1 to {QUOTIENT_BITS_MAX} quotient bits, not {quotient_bits}")
        if not 1 <= remainder_bits <= REMAINDER_BITS_MAX:
            raise BadErrorRate(f"a quotient filter has 1 to {REMAINDER_BITS_MAX} remainder bits, not {remainder_bits}")
        self.quotient_bits = quotient_bits
        self.remainder_bits = remainder_bits
        self.slot_count = 1 << quotient_bits
        self._count = 0
        bits = remainder_bits + _FLAG_BITS
        self._typecode = "B" if bits <= 8 else "H" if bits <= 16 else "I" if bits <= 32 else "Q"
        self._slots = array(self._typecode, bytes(array(self._typecode).itemsize * (self.slot_count + _SPARE_SLOTS)))
        self._counters = array("I", bytes(4 * len(self._slots))) if self._counts_keys else None
        # For batches: first element of each quotient, and all remainders; made anew after a change.
        self._index: Any = None

    def __len__(self) -> int:
        """Return how many different fingerprints are held."""
        return self._count

    @property
    def load(self) -> float:
        """How full the slots are, 0 to 1."""
        return self._count / self.slot_count

    @property
    def memory_bits(self) -> int:
        """Bits in memory, spare slots and counts included."""
        counters = self._counters.itemsize * len(self._counters) if self._counters is not None else 0
        return 8 * (self._slots.itemsize * len(self._slots) + counters)

    def fingerprints(self) -> Iterator[int]:
        """Yield the fingerprints of quotient and remainder, ascending. Complexity: O(slots) for all."""
        for quotient, remainder, _ in self._rows(0, len(self._slots)):
            yield quotient << self.remainder_bits | remainder

    def remove(self, key: Key) -> None:
        """Remove a key; raise `NotThere` if it is certainly not there.

        A key that only seems to be there takes the fingerprint of another one with it: remove only what was added, and
        what shares no fingerprint with a key that stays (or use the counting kind).
        """
        quotient, remainder = self._cut(hash_key(key))
        if not self._find(quotient, remainder):
            raise NotThere(f"{key!r:.80} is not in this filter")
        self._change(quotient, remainder, -1)

    def merge(self, other: "QuotientFilter") -> "QuotientFilter":
        """Return the filter of all keys of both, large enough for them, without the keys.

        Raises:
            Incompatible: fingerprints have different lengths, or only one counts.
        """
        if type(self) is not type(other) or self._bits() != other._bits():
            raise Incompatible("quotient filters merge if they are of one kind and their fingerprints of one length")
        quotient_bits = max(self.quotient_bits, other.quotient_bits)
        merged: list[tuple[int, int]] = []
        for fingerprint, count in heapq.merge(self._pairs(), other._pairs()):
            if merged and merged[-1][0] == fingerprint:
                merged[-1] = (fingerprint, min(COUNT_MAX, merged[-1][1] + count))
            else:
                merged.append((fingerprint, count))
        while len(merged) > 0.75 * (1 << quotient_bits) and quotient_bits < self._bits() - 1:
            quotient_bits += 1
        return self._rebuilt(merged, quotient_bits)

    def resized(self, quotient_bits: int) -> "QuotientFilter":
        """Return the same filter with another number of slots, without the keys; it answers exactly the same.

        Raises:
            BadCapacity: no bit of the remainder would be left, or the fingerprints do not fit.
        """
        remainder_bits = self._bits() - quotient_bits
        if not 1 <= quotient_bits <= QUOTIENT_BITS_MAX or not 1 <= remainder_bits <= REMAINDER_BITS_MAX:
            raise BadCapacity(f"fingerprints of {self._bits()} bits cannot have {quotient_bits} quotient bits")
        return self._rebuilt(list(self._pairs()), quotient_bits)

    def error_rate_now(self) -> float:
        """Return the error rate at the present load: 1 - (1 - 2⁻ᵖ)ⁿ."""
        return -math.expm1(self._count * math.log1p(-(2.0 ** -self._bits())))

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of q, r, fingerprints' gaps as bytes of `_pack`, and counts."""
        rows = list(self._pairs())
        counts = [count for _, count in rows] if self._counts_keys else []
        return self._envelope().encode((self.quotient_bits, self.remainder_bits, len(rows), _pack(rows), counts))

    @classmethod
    def from_bytes(cls, data: bytes, *, slot_count_max: int = 1 << 24) -> "QuotientFilter":
        """Return the filter in sealed bytes; raise `Undecodable` for anything else.

        Bytes hold only what is in the filter, so a few forged ones could ask for gigabytes of empty slots: more slots
        than `slot_count_max` are refused.
        """
        quotient_bits, remainder_bits, count, packed, counts = cls._envelope().decode(data)
        if not 1 <= quotient_bits <= QUOTIENT_BITS_MAX or not 1 <= remainder_bits <= REMAINDER_BITS_MAX:
            raise BadPayload("a quotient filter's sizes make no sense")
        if 1 << quotient_bits > slot_count_max:
            raise BadPayload(
                f"a quotient filter of {1 << quotient_bits} slots; at most {slot_count_max} are allowed here"
            )
        fingerprints = _unpack(packed)
        if len(fingerprints) != count or count > LOAD_MAX * (1 << quotient_bits):
            raise BadPayload("a quotient filter's fingerprints do not fit its size")
        if fingerprints and fingerprints[-1] >> (quotient_bits + remainder_bits):
            raise BadPayload("a quotient filter's fingerprints are too long")
        if len(counts) != (count if cls._counts_keys else 0) or any(not 1 <= c <= COUNT_MAX for c in counts):
            raise BadPayload("a quotient filter's counts do not fit")
        made = cls(quotient_bits=quotient_bits, remainder_bits=remainder_bits)
        made._fill(list(zip(fingerprints, counts or itertools.repeat(1), strict=False)))
        return made

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    @classmethod
    def _envelope(cls) -> "Envelope[tuple[int, int, int, bytes, list[int]]]":
        return Envelope(cls.kind, 1, tuple[int, int, int, bytes, list[int]])

    def _bits(self) -> int:
        return self.quotient_bits + self.remainder_bits

    def _cut(self, key_hash: int) -> tuple[int, int]:
        """Return quotient and remainder of a hash's leading bits."""
        fingerprint = key_hash >> 64 - self.quotient_bits - self.remainder_bits
        return fingerprint >> self.remainder_bits, fingerprint & (1 << self.remainder_bits) - 1

    def _has_hash(self, key_hash: int) -> bool:
        return self._find(*self._cut(key_hash)) > 0

    def _add_hash(self, key_hash: int) -> None:
        quotient, remainder = self._cut(key_hash)
        slots = self._slots
        if not slots[quotient] and self._count < LOAD_MAX * self.slot_count:
            # The common case while there is room: the slot is free.
            slots[quotient] = remainder << _FLAG_BITS | _OCCUPIED
            if self._counters is not None:
                self._counters[quotient] = 1
            self._count += 1
            self._index = None
        elif self._counts_keys or not self._find(quotient, remainder):
            self._change(quotient, remainder, 1)

    def _find(self, quotient: int, remainder: int) -> int:
        """Return how often a fingerprint is counted; 0 if it is not there."""
        slots = self._slots
        if not slots[quotient] & _OCCUPIED:
            return 0
        at = quotient
        while slots[at] & _SHIFTED:
            at -= 1
        # From the beginning of the cluster, step over one run for each quotient before ours.
        home = at
        while home != quotient:
            at += 1
            while slots[at] & _CONTINUATION:
                at += 1
            home += 1
            while not slots[home] & _OCCUPIED:
                home += 1
        while True:
            here = slots[at] >> _FLAG_BITS
            if here >= remainder:
                return 0 if here > remainder else 1 if self._counters is None else self._counters[at]
            at += 1
            if not slots[at] & _CONTINUATION:
                return 0

    def _change(self, quotient: int, remainder: int, by: int) -> None:
        """Count a fingerprint up or down, and write its cluster anew."""
        slots = self._slots
        begin = quotient
        while slots[begin] & _SHIFTED:
            begin -= 1
        end = quotient
        while slots[end]:
            end += 1
            if end == len(slots):
                self._add_spare()
        rows = list(self._rows(begin, end))
        counts = {(q, r): n for q, r, n in rows}
        before = counts.get((quotient, remainder), 0)
        after = before + by
        if not before and self._count >= LOAD_MAX * self.slot_count:
            raise Full(f"{self._count} of {self.slot_count} slots are taken; `resized` makes room")
        counts[quotient, remainder] = min(after, COUNT_MAX)
        self._count += (after > 0) - (before > 0)
        self._write([(q, r, n) for (q, r), n in sorted(counts.items()) if n], begin, end + 1)
        self._index = None

    def _rows(self, begin: int, end: int) -> Iterator[_Row]:
        """Yield what lies in slots that begin with a cluster, in order."""
        slots, counters = self._slots, self._counters
        homes: list[int] = []
        next_home = 0
        home = begin
        for at in range(begin, end):
            slot = slots[at]
            if slot & _OCCUPIED:
                homes.append(at)
            if not slot:
                continue
            if not slot & _CONTINUATION:
                home = homes[next_home]
                next_home += 1
            yield home, slot >> _FLAG_BITS, 1 if counters is None else counters[at]

    def _write(self, rows: list[_Row], begin: int, end: int) -> None:
        """Lay rows out from a slot on, in place of what lay before another."""
        slots, counters = self._slots, self._counters
        for at in range(begin, min(end, len(slots))):
            slots[at] = 0
        at, last_home = begin - 1, -1
        for home, remainder, count in rows:
            at = max(home, at + 1)
            while at >= len(slots):
                self._add_spare()
            flags = (_CONTINUATION if home == last_home else 0) | (_SHIFTED if at != home else 0)
            slots[at] = remainder << _FLAG_BITS | flags | slots[at] & _OCCUPIED
            slots[home] |= _OCCUPIED
            last_home = home
            if counters is not None:
                counters[at] = count

    def _add_spare(self) -> None:
        self._slots.extend([0] * _SPARE_SLOTS)
        if self._counters is not None:
            self._counters.extend([0] * _SPARE_SLOTS)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        for quotient, remainder, count in self._rows(0, len(self._slots)):
            yield quotient << self.remainder_bits | remainder, count

    def _rebuilt(self, pairs: list[tuple[int, int]], quotient_bits: int) -> "QuotientFilter":
        made = type(self)(quotient_bits=quotient_bits, remainder_bits=self._bits() - quotient_bits)
        if len(pairs) > LOAD_MAX * made.slot_count:
            raise BadCapacity(f"{len(pairs)} fingerprints do not fit {made.slot_count} slots")
        made._fill(pairs)
        return made

    def _fill(self, pairs: list[tuple[int, int]]) -> None:
        """Lay out ascending fingerprints in an empty filter."""
        mask = (1 << self.remainder_bits) - 1
        self._write([(f >> self.remainder_bits, f & mask, count) for f, count in pairs], 0, 0)
        self._count = len(pairs)

    def _add_hashes(self, hashes: "NDArray[np.uint64]") -> None:
        import numpy as np

        if 16 * len(hashes) < self.slot_count:
            for key_hash in hashes.tolist():
                self._add_hash(key_hash)
            return
        quotients, remainders = self._decoded()
        held = quotients << np.uint64(self.remainder_bits) | remainders
        fresh = hashes >> np.uint64(64 - self._bits())
        merged, counts = _merged(held, fresh, self._held_counts())
        if len(merged) > LOAD_MAX * self.slot_count:
            raise Full(f"{len(merged)} fingerprints do not fit {self.slot_count} slots at a load of {LOAD_MAX}")
        homes = (merged >> np.uint64(self.remainder_bits)).view(np.int64)
        # Each fingerprint lies at its home, or right behind the one before it: a running maximum.
        order = np.arange(len(merged))
        places = np.maximum.accumulate(homes - order) + order
        while len(merged) and places[-1] >= len(self._slots):
            self._add_spare()
        flags = (places != homes).astype(np.uint64) << np.uint64(2)
        flags[1:] |= (homes[1:] == homes[:-1]).astype(np.uint64) << np.uint64(1)
        merged &= np.uint64((1 << self.remainder_bits) - 1)
        merged <<= np.uint64(_FLAG_BITS)
        own = np.frombuffer(self._slots, dtype=np.dtype(self._typecode))
        own[:] = 0
        own[places] = (merged | flags).astype(own.dtype)
        own[homes] |= own.dtype.type(_OCCUPIED)
        if self._counters is not None and counts is not None:
            np.frombuffer(self._counters, dtype=np.dtype("I"))[places] = counts
        self._count = len(merged)
        self._index = None

    def _held_counts(self) -> "NDArray[np.int64] | None":
        """Return the counts of all fingerprints, in order; None if this filter does not count."""
        import numpy as np

        if self._counters is None:
            return None
        used = np.frombuffer(self._slots, dtype=np.dtype(self._typecode)) > 0
        return np.frombuffer(self._counters, dtype=np.dtype("I"))[used].astype(np.int64)

    def _decoded(self) -> "tuple[NDArray[np.uint64], NDArray[np.uint64]]":
        """Return quotients and remainders of all fingerprints, in order."""
        import numpy as np

        slots = np.frombuffer(self._slots, dtype=np.dtype(self._typecode)).astype(np.uint64)
        used = slots[slots > 0]
        homes = np.flatnonzero(slots & np.uint64(_OCCUPIED)).astype(np.uint64)
        runs = np.cumsum((used & np.uint64(_CONTINUATION)) == 0) - 1
        return homes[runs] if len(used) else used, used >> np.uint64(_FLAG_BITS)

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        if self._index is None:
            quotients, remainders = self._decoded()
            starts = np.searchsorted(quotients, np.arange(self.slot_count + 1, dtype=np.uint64)).astype(np.int32)
            # One more behind the last, so that looking at an empty run at the end stays inside.
            self._index = (starts, np.append(remainders, np.uint64(0)).astype(np.uint32))
        starts, remainders = self._index
        answers = np.empty(len(hashes), dtype=np.bool_)
        for begin in range(0, len(hashes), 1 << 14):
            fingerprints = hashes[begin : begin + (1 << 14)] >> np.uint64(64 - self._bits())
            homes = (fingerprints >> np.uint64(self.remainder_bits)).view(np.int64)
            wanted = (fingerprints & np.uint64((1 << self.remainder_bits) - 1)).astype(np.uint32)
            at, end = starts[homes], starts[homes + 1]
            found = (at < end) & (remainders[at] == wanted)
            open_ = np.flatnonzero(~found & (at + 1 < end))
            while len(open_):
                at[open_] += 1
                here = at[open_]
                hit = remainders[here] == wanted[open_]
                found[open_[hit]] = True
                open_ = open_[~hit & (here + 1 < end[open_])]
            answers[begin : begin + (1 << 14)] = found
        return answers


class CountingQuotientFilter(QuotientFilter):
    """A quotient filter that counts how often each fingerprint was added.

    Example:
        >>> counts = CountingQuotientFilter(1000, 0.001)
        >>> counts.add_many(["apple"] * 3 + ["plum"])
        >>> counts.count("apple"), counts.count("plum"), counts.count("pear")
        (3, 1, 0)
    """

    kind: ClassVar[str] = "counting-quotient"
    _counts_keys: ClassVar[bool] = True

    def count(self, key: Key) -> int:
        """Return how often a key was added, or more if another key shares its fingerprint."""
        return self._find(*self._cut(hash_key(key)))


def _merged(
    held: "NDArray[np.uint64]", fresh: "NDArray[np.uint64]", counts: "NDArray[np.int64] | None"
) -> "tuple[NDArray[np.uint64], NDArray[np.int64] | None]":
    """Return the different fingerprints of both, ascending, and how often each is counted (None if none are)."""
    import numpy as np

    joined = np.concatenate((held, fresh))
    is_first = np.ones(len(joined), dtype=np.bool_)
    if counts is None or not len(joined):
        joined.sort()
        np.not_equal(joined[1:], joined[:-1], out=is_first[1:])
        return joined[is_first], counts
    order = np.argsort(joined, kind="stable")
    joined = joined[order]
    np.not_equal(joined[1:], joined[:-1], out=is_first[1:])
    weights = np.concatenate((counts, np.ones(len(fresh), dtype=np.int64)))[order]
    sums = np.add.reduceat(weights, np.flatnonzero(is_first))
    return joined[is_first], np.minimum(sums, COUNT_MAX)


def _pack(pairs: list[tuple[int, int]]) -> bytes:
    """Return ascending numbers as LEB128 gaps."""
    packed = bytearray()
    previous = 0
    for number, _ in pairs:
        gap, previous = number - previous, number
        while gap >= 0x80:
            packed.append(gap & 0x7F | 0x80)
            gap >>= 7
        packed.append(gap)
    return bytes(packed)


def _unpack(packed: bytes) -> list[int]:
    """Return the numbers of LEB128 gaps; raise `BadPayload` when they do not ascend, or end within a gap."""
    numbers: list[int] = []
    previous, gap, shift = 0, 0, 0
    for byte in packed:
        gap |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if (not gap and numbers) or shift > 70:
                raise BadPayload("a quotient filter's fingerprints ascend")
            previous += gap
            numbers.append(previous)
            gap, shift = 0, 0
    if shift:
        raise BadPayload("a quotient filter's fingerprints end early")
    return numbers
