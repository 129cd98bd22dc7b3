"""What a node knows of its keys for comparing: a digest per key, and the xor of digests over any run of hashes.

Theory. A Merkle tree whose digests are xors: a change needs the old digest and the new one, and no other key of a leaf
(Riak's Tictac trees). Only two levels are kept, 65,536 leaves and 256 blocks of them; what a node of the tree would
hold is the xor of a run of these, worked out when asked for. So the trees of all ranges are one index: a token that
moves, or a new topology, changes nothing here, where trees per range must be built anew (Dynamo, section 4.7).

Source      Merkle 1987; Riak's Tictac trees (xor, updated in place).
Complexity  `put` O(1); `xor` of a run O(256 + 256 + keys in the two leaves at its ends).
Bounds      Equal xors of unequal content: 2⁻⁶⁴ by chance. Whoever may choose values can make two digests equal (XXH3 is
            no cryptographic hash): such a key is then left to read repair.
"""

import sys
from array import array
from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Final

import xxhash

from quorate.kernel import HASH_COUNT, hash_key
from quorate.protocols.anti_entropy.intervals import Interval

LEAF_SHIFT: Final = 48
LEAF_COUNT: Final = 1 << 16
BLOCK_SHIFT: Final = 8
BLOCK_LEAVES: Final = 1 << BLOCK_SHIFT
DIGEST_BYTES: Final = 8
_LEAF_MASK: Final = (1 << LEAF_SHIFT) - 1


def digest_of(key: bytes, cell: bytes) -> int:
    """Return the digest of a key with what it holds; 0 for nothing.

    The key is mixed in, so that two keys which change values with each other do not go unnoticed.
    """
    return (xxhash.xxh3_64_intdigest(cell, seed=hash_key(key)) or 1) if cell else 0


class Index:
    """The keys of one node with their digests.

    Invariants: a leaf's xor is that of its digests, a block's that of its leaves; `key_count` is that of all leaves.

    Example:
        >>> index = Index()
        >>> index.put(b"apple", 5), index.put(b"pear", 9)
        (None, None)
        >>> index.xor(Interval(0, HASH_COUNT)) == 5 ^ 9
        True
    """

    def __init__(self) -> None:
        # Leaf → key → digest; leaves without keys are absent.
        self._leaves: dict[int, dict[bytes, int]] = {}
        self._leaf_xors = array("Q", bytes(DIGEST_BYTES * LEAF_COUNT))
        self._block_xors = array("Q", bytes(DIGEST_BYTES * (LEAF_COUNT // BLOCK_LEAVES)))
        self._block_counts = array("Q", bytes(DIGEST_BYTES * (LEAF_COUNT // BLOCK_LEAVES)))
        self.key_count = 0

    def put(self, key: bytes, digest: int) -> None:
        """Set the digest of a key; 0 takes it out. Complexity: O(1)."""
        number = hash_key(key) >> LEAF_SHIFT
        leaf = self._leaves.get(number)
        before = 0 if leaf is None else leaf.get(key, 0)
        if before == digest:
            return
        if leaf is None:
            leaf = self._leaves[number] = {}
        block = number >> BLOCK_SHIFT
        if not before:
            self.key_count += 1
            self._block_counts[block] += 1
        if digest:
            leaf[key] = digest
        else:
            del leaf[key]
            self.key_count -= 1
            self._block_counts[block] -= 1
            if not leaf:
                del self._leaves[number]
        change = before ^ digest
        self._leaf_xors[number] ^= change
        self._block_xors[block] ^= change

    def digest(self, key: bytes) -> int:
        """Return the digest of a key, 0 when there is none."""
        return self._leaves.get(hash_key(key) >> LEAF_SHIFT, {}).get(key, 0)

    def xor(self, run: Interval) -> int:
        """Return the xor of the digests of all keys in a run of hashes."""
        first, behind = -(-run.start >> LEAF_SHIFT), run.end >> LEAF_SHIFT
        if first > behind:
            # Within one leaf.
            return reduce(xor, (digest for _, digest in self.items(run)), 0)
        total = 0
        if run.start & _LEAF_MASK:
            total ^= self._partial(Interval(run.start, first << LEAF_SHIFT))
        if run.end & _LEAF_MASK:
            total ^= self._partial(Interval(behind << LEAF_SHIFT, run.end))
        block, block_behind = -(-first >> BLOCK_SHIFT), behind >> BLOCK_SHIFT
        if block >= block_behind:
            return reduce(xor, self._leaf_xors[first:behind], total)
        total = reduce(xor, self._block_xors[block:block_behind], total)
        total = reduce(xor, self._leaf_xors[first : block << BLOCK_SHIFT], total)
        return reduce(xor, self._leaf_xors[block_behind << BLOCK_SHIFT : behind], total)

    def count_up_to(self, run: Interval, limit: int) -> int:
        """Return how many keys are in a run of hashes; some number above the limit if there are more than that.

        Complexity: O(256 + keys found).
        """
        first, behind = run.start >> LEAF_SHIFT, -(-run.end >> LEAF_SHIFT)
        block, block_behind = -(-first >> BLOCK_SHIFT), behind >> BLOCK_SHIFT
        whole = sum(self._block_counts[block:block_behind]) if block < block_behind else 0
        if whole > limit:
            return whole
        count = 0
        for _ in self.items(run):
            count += 1
            if count > limit:
                break
        return count

    def items(self, run: Interval) -> Iterator[tuple[bytes, int]]:
        """Yield the keys in a run of hashes with their digests, leaves ascending.

        Complexity: O(leaves + keys).
        """
        first, behind = run.start >> LEAF_SHIFT, -(-run.end >> LEAF_SHIFT)
        for number in self._numbers(first, behind):
            leaf = self._leaves[number]
            start = number << LEAF_SHIFT
            if run.start <= start and start + _LEAF_MASK < run.end:
                yield from leaf.items()
            else:
                yield from ((key, digest) for key, digest in leaf.items() if run.start <= hash_key(key) < run.end)

    def _numbers(self, first: int, behind: int) -> list[int]:
        """Return the leaves in use among some, ascending, whichever way is shorter; blocks without keys are skipped."""
        if len(self._leaves) < behind - first:
            return sorted(number for number in self._leaves if first <= number < behind)
        return [
            number
            for number in range(first, behind)
            if self._block_counts[number >> BLOCK_SHIFT] and number in self._leaves
        ]

    def _partial(self, run: Interval) -> int:
        return reduce(xor, (digest for _, digest in self.items(run)), 0)

    def byte_count(self) -> int:
        """Return about how many bytes of memory this takes beside the keys themselves. Complexity: O(keys)."""
        fixed = sum(sys.getsizeof(part) for part in (self._leaf_xors, self._block_xors, self._block_counts))
        leaves = sum(sys.getsizeof(leaf) + sum(map(sys.getsizeof, leaf.values())) for leaf in self._leaves.values())
        return fixed + sys.getsizeof(self._leaves) + leaves

    def check(self) -> None:
        """Raise AssertionError unless the invariants hold. Complexity: O(keys + leaves)."""
        assert self.key_count == sum(map(len, self._leaves.values())), "keys are counted"
        for number in range(LEAF_COUNT):
            leaf = self._leaves.get(number, {})
            assert self._leaf_xors[number] == reduce(xor, leaf.values(), 0), "a leaf's xor is that of its digests"
        for block in range(LEAF_COUNT >> BLOCK_SHIFT):
            leaves = range(block << BLOCK_SHIFT, (block + 1) << BLOCK_SHIFT)
            assert self._block_xors[block] == reduce(xor, (self._leaf_xors[leaf] for leaf in leaves)), "a block's xor"
            count = sum(len(self._leaves.get(leaf, {})) for leaf in leaves)
            assert self._block_counts[block] == count, "a block's keys are counted"
        assert HASH_COUNT >> LEAF_SHIFT == LEAF_COUNT, "leaves cover all hashes"
