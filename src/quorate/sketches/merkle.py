"""Merkle trees: find what differs between two replicas by comparing a few hashes.

Theory. The hash space (all of it, or one range) is cut into equal leaves; a node's digest stands for all keys below it.
Two replicas with equal roots hold equal data. Else they compare children, and go down only where these differ: d
differing keys cost O(d · log leaves) comparisons.

`MerkleTree` hashes: a node is the hash of its children's digests, a leaf that of its sorted keys and values. It cannot
be forged, and needs the keys of a leaf to change it. `XorTree` adds up: a node is the xor of the hashes of all (key,
value) below it. So a change needs only the old and the new value, and trees of disjoint parts merge into that of the
whole; but whoever may choose values can make two sets agree: use it among nodes that trust each other.

Source      Merkle 1987; anti-entropy: Dynamo (2007) section 4.7; the xor kind as in Riak's Tictac trees.
Complexity  l leaves, c children a node: update O(1), digests anew O(c · log l) for each changed leaf; diff as above.
Bounds      Depth 1 to 20 levels below the root with 2 to 16 children; at most 2²⁰ leaves.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

import xxhash

from quorate.kernel import HASH_COUNT, BadPayload, Envelope, Key, errors, hash_key, mix64
from quorate.sketches.common import BadCapacity, Incompatible

LEAVES_MAX: Final = 1 << 20
DIGEST_BYTES: Final = 16
_MASK: Final = HASH_COUNT - 1


class LeafRange(NamedTuple):
    """A run of hashes that one leaf stands for: from `start`, not including `end`."""

    leaf: int
    start: int
    end: int


class HashTree(ABC):
    """What both kinds share: a full tree of digests over equal parts of a range of hashes, and the way down it."""

    kind: ClassVar[str]

    def __init__(self, *, depth: int = 4, fanout: int = 16, start: int = 0, end: int = HASH_COUNT) -> None:
        """Make an empty tree.

        Args:
            depth: levels below the root; there are fanout ** depth leaves.
            fanout: children of a node, a power of two from 2 to 16.
            start: first hash of the range.
            end: the hash behind its last.
        """
        if fanout not in (2, 4, 8, 16) or not 1 <= depth <= 20 or fanout**depth > LEAVES_MAX:
            raise BadCapacity(f"a tree has a fanout of 2, 4, 8 or 16 and up to 2**20 leaves, not {fanout}**{depth}")
        if not 0 <= start < end <= HASH_COUNT or end - start < fanout**depth:
            raise errors.UsageError(f"a range of hashes has at least one for each leaf: {start} to {end}")
        self.depth = depth
        self.fanout = fanout
        self.start = start
        self.end = end
        self.leaf_count: int = fanout**depth

    def leaf_of(self, key: Key) -> int:
        """Return the leaf of a key; raise `UsageError` for a key outside the range."""
        key_hash = hash_key(key)
        if not self.start <= key_hash < self.end:
            raise errors.UsageError(f"{key!r:.80} is outside this tree's range of hashes")
        return (key_hash - self.start) * self.leaf_count // (self.end - self.start)

    def range_of(self, leaf: int) -> LeafRange:
        """Return the run of hashes of a leaf."""
        span = self.end - self.start
        first, behind = (-(-number * span // self.leaf_count) for number in (leaf, leaf + 1))
        return LeafRange(leaf, self.start + first, self.start + behind)

    def root(self) -> bytes:
        """Return the root's digest: equal for equal content, and (but for a chance of 2⁻⁶⁴ or less) only then."""
        return self.digests([(0, 0)])[0]

    @abstractmethod
    def digests(self, nodes: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return digests of nodes, each (level, place in it): what a replica answers when another one asks."""

    @abstractmethod
    def leaf_digest_count(self) -> int:
        """Return how many leaves are not empty."""

    def children(self, nodes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the children of nodes, in order; leaves have none."""
        return [
            (level + 1, place * self.fanout + child)
            for level, place in nodes
            if level < self.depth
            for child in range(self.fanout)
        ]

    def diff(self, other: "HashTree") -> list[LeafRange]:
        """Return the leaves that differ, ascending; over a network, `TreeWalk` does the same step by step."""
        walk = TreeWalk(self)
        while nodes := walk.wanted():
            walk.learn(other.digests(nodes), of=other)
        return walk.differing()

    def _shape(self) -> tuple[str, int, int, int, int]:
        return self.kind, self.depth, self.fanout, self.start, self.end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashTree) and self._shape() == other._shape() and not self.diff(other)

    __hash__ = None  # type: ignore[assignment]  # a tree changes


class TreeWalk:
    """Compares a tree with one elsewhere: ask for `wanted`, tell the answer to `learn`, until nothing is wanted.

    `compared_count` is the number of digests that crossed the network.
    """

    def __init__(self, tree: HashTree) -> None:
        self._tree = tree
        self._wanted: list[tuple[int, int]] = [(0, 0)]
        self._differing: list[int] = []
        self.compared_count = 0

    def wanted(self) -> list[tuple[int, int]]:
        """Return the nodes whose digests are needed next, one level at a time; empty at the end."""
        return list(self._wanted)

    def learn(self, digests: Sequence[bytes], *, of: HashTree | None = None) -> None:
        """Take the other side's digests for what was wanted, in order; raise `Incompatible` for other shapes."""
        if of is not None and of._shape() != self._tree._shape():
            raise Incompatible(f"trees of shapes {self._tree._shape()} and {of._shape()} cannot be compared")
        if len(digests) != len(self._wanted):
            raise Incompatible(f"{len(self._wanted)} digests were wanted and {len(digests)} came")
        mine = self._tree.digests(self._wanted)
        changed = [node for node, a, b in zip(self._wanted, mine, digests, strict=True) if a != b]
        self.compared_count += len(digests)
        self._differing += [place for level, place in changed if level == self._tree.depth]
        self._wanted = self._tree.children(changed)

    def differing(self) -> list[LeafRange]:
        """Return the leaves found to differ so far, ascending."""
        return [self._tree.range_of(leaf) for leaf in sorted(self._differing)]


class MerkleTree(HashTree):
    """A tree of hashes over keys and the digests of their values, kept leaf by leaf.

    Example:
        >>> here, there = MerkleTree(), MerkleTree()
        >>> for tree in (here, there):
        ...     tree.put("apple", b"red")
        >>> there.put("pear", b"green")
        >>> [leaf.leaf == here.leaf_of("pear") for leaf in here.diff(there)]
        [True]
    """

    kind: ClassVar[str] = "merkle"

    def __init__(self, *, depth: int = 4, fanout: int = 16, start: int = 0, end: int = HASH_COUNT) -> None:
        super().__init__(depth=depth, fanout=fanout, start=start, end=end)
        # For each leaf in use: hash of the key to digest of its value.
        self._leaves: dict[int, dict[int, bytes]] = {}
        # Digests by level; a level's dict holds only nodes with something below them.
        self._nodes: list[dict[int, bytes]] = [{} for _ in range(depth + 1)]
        self._dirty: dict[int, None] = {}

    def put(self, key: Key, value: bytes) -> None:
        """Set a key's value; only its digest is kept."""
        leaf = self.leaf_of(key)
        self._leaves.setdefault(leaf, {})[hash_key(key)] = xxhash.xxh3_128_digest(value)
        self._dirty[leaf] = None

    def remove(self, key: Key) -> None:
        """Take a key out; harmless when it is not there."""
        leaf = self.leaf_of(key)
        entries = self._leaves.get(leaf, {})
        if entries.pop(hash_key(key), None) is not None:
            self._dirty[leaf] = None
            if not entries:
                del self._leaves[leaf]

    def update(self, items: Mapping[Key, bytes]) -> None:
        """Set many keys' values."""
        for key, value in items.items():
            self.put(key, value)

    def digests(self, nodes: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return digests of nodes, after working out anew those above changed leaves; empty bytes for nothing."""
        self._refresh()
        return [self._nodes[level].get(place, b"") for level, place in nodes]

    def leaf_digest_count(self) -> int:
        """Return how many leaves are not empty."""
        return len(self._leaves)

    def hashes_in(self, leaf: int) -> list[int]:
        """Return the hashes of the keys in a leaf, ascending."""
        return sorted(self._leaves.get(leaf, {}))

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of the shape and of [leaf, [[key hash, digest] …]], ascending."""
        leaves = [(leaf, sorted(entries.items())) for leaf, entries in sorted(self._leaves.items())]
        end = self.end - 1
        return _MERKLE.encode((self.depth, self.fanout, self.start, end, leaves))

    @classmethod
    def from_bytes(cls, data: bytes) -> "MerkleTree":
        """Return the tree in sealed bytes; raise `Undecodable` for anything else."""
        depth, fanout, start, last, leaves = _MERKLE.decode(data)
        made = cls(**_checked_shape(depth, fanout, start, last))
        for leaf, entries in leaves:
            bounds = made.range_of(leaf) if 0 <= leaf < made.leaf_count else None
            if bounds is None or not entries or leaf in made._leaves:
                raise BadPayload("a Merkle tree's leaves ascend and are not empty")
            if any(not bounds.start <= h < bounds.end or len(d) != DIGEST_BYTES for h, d in entries):
                raise BadPayload("a Merkle tree's leaf holds keys that belong elsewhere")
            made._leaves[leaf] = dict(entries)
            made._dirty[leaf] = None
        return made

    def _refresh(self) -> None:
        """Work out the digests of changed leaves and of all nodes above them."""
        for leaf in self._dirty:
            entries = sorted(self._leaves.get(leaf, {}).items())
            content = b"".join(key_hash.to_bytes(8, "little") + digest for key_hash, digest in entries)
            self._set(self.depth, leaf, content)
        changed = list(self._dirty)
        self._dirty = {}
        for level in range(self.depth - 1, -1, -1):
            changed = list(dict.fromkeys(place // self.fanout for place in changed))
            below = self._nodes[level + 1]
            for place in changed:
                first = place * self.fanout
                # Empty children count too, by their place: else content could move unseen.
                digests = [below.get(child, b"") for child in range(first, first + self.fanout)]
                content = b"".join(digest or b"\0" * DIGEST_BYTES for digest in digests) if any(digests) else b""
                self._set(level, place, content)

    def _set(self, level: int, place: int, content: bytes) -> None:
        if content:
            self._nodes[level][place] = xxhash.xxh3_128_digest(content)
        else:
            self._nodes[level].pop(place, None)


_MERKLE: Envelope[tuple[int, int, int, int, list[tuple[int, list[tuple[int, bytes]]]]]] = Envelope(
    "merkle", 1, tuple[int, int, int, int, list[tuple[int, list[tuple[int, bytes]]]]]
)


class XorTree(HashTree):
    """A tree of xors: changed without the other keys of a leaf, and merged with trees of other parts.

    Example:
        >>> parts = [XorTree(), XorTree()]
        >>> parts[0].toggle("apple", b"red"); parts[1].toggle("pear", b"green")
        >>> whole = XorTree()
        >>> whole.toggle("pear", b"green"); whole.toggle("apple", b"red")
        >>> parts[0].merge(parts[1]) == whole
        True
    """

    kind: ClassVar[str] = "xor-tree"

    def __init__(self, *, depth: int = 4, fanout: int = 16, start: int = 0, end: int = HASH_COUNT) -> None:
        super().__init__(depth=depth, fanout=fanout, start=start, end=end)
        # By level, the xor of each node that is not 0.
        self._nodes: list[dict[int, int]] = [{} for _ in range(depth + 1)]

    def toggle(self, key: Key, value: bytes) -> None:
        """Put a key's value in, or take it out if it is in: a change is the old value and then the new one."""
        place = self.leaf_of(key)
        # Mixed together, so that swapping the values of two keys is not invisible.
        entry = mix64(hash_key(key) + mix64(xxhash.xxh3_64_intdigest(value)) & _MASK)
        self._xor(place, entry)

    def replace(self, key: Key, *, old: bytes | None, new: bytes | None) -> None:
        """Change a key's value; None for absent."""
        for value in (old, new):
            if value is not None:
                self.toggle(key, value)

    def merge(self, other: "XorTree") -> "XorTree":
        """Return the tree of both; the same key and value in both cancel out. Raise `Incompatible` for other shapes."""
        if self._shape() != other._shape():
            raise Incompatible(f"trees of shapes {self._shape()} and {other._shape()} cannot be merged")
        made = XorTree(depth=self.depth, fanout=self.fanout, start=self.start, end=self.end)
        for tree in (self, other):
            for place, entry in sorted(tree._nodes[tree.depth].items()):
                made._xor(place, entry)
        return made

    def digests(self, nodes: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the nodes' xors, 8 bytes each."""
        return [self._nodes[level].get(place, 0).to_bytes(8, "little") for level, place in nodes]

    def leaf_digest_count(self) -> int:
        """Return how many leaves have a xor that is not 0."""
        return len(self._nodes[self.depth])

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of the shape and of [leaf, xor], leaves ascending."""
        leaves = sorted(self._nodes[self.depth].items())
        return _XOR.encode((self.depth, self.fanout, self.start, self.end - 1, leaves))

    @classmethod
    def from_bytes(cls, data: bytes) -> "XorTree":
        """Return the tree in sealed bytes; raise `Undecodable` for anything else."""
        depth, fanout, start, last, leaves = _XOR.decode(data)
        made = cls(**_checked_shape(depth, fanout, start, last))
        for leaf, entry in leaves:
            if not 0 <= leaf < made.leaf_count or not 0 < entry <= _MASK or leaf in made._nodes[depth]:
                raise BadPayload("a xor tree's leaves ascend and are not 0")
            made._xor(leaf, entry)
        return made

    def _xor(self, place: int, entry: int) -> None:
        for level in range(self.depth, -1, -1):
            nodes = self._nodes[level]
            changed = nodes.get(place, 0) ^ entry
            if changed:
                nodes[place] = changed
            else:
                nodes.pop(place, None)
            place //= self.fanout


_XOR: Envelope[tuple[int, int, int, int, list[tuple[int, int]]]] = Envelope(
    "xor-tree", 1, tuple[int, int, int, int, list[tuple[int, int]]]
)


def _checked_shape(depth: int, fanout: int, start: int, last: int) -> dict[str, int]:
    """Return the arguments of a tree; raise `BadPayload` for those of none."""
    if fanout not in (2, 4, 8, 16) or not 1 <= depth <= 20 or fanout**depth > LEAVES_MAX:
        raise BadPayload("a tree's shape makes no sense")
    if not 0 <= start <= last < HASH_COUNT or last + 1 - start < fanout**depth:
        raise BadPayload("a tree's range makes no sense")
    return {"depth": depth, "fanout": fanout, "start": start, "end": last + 1}
