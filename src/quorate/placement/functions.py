"""Placements that are a formula over nodes and key: rendezvous, jump, and hash-modulo, the cautionary tale.

They keep no table, so they have no runs of hashes: their movement plans are estimated over evenly spread probes.

Source      Rendezvous: Thaler & Ravishankar 1998, weights by -w / ln u; jump: Lamping & Veach 2014.
Complexity  n nodes: rendezvous O(n), jump O(log n), modulo O(1) a lookup.
"""

import heapq
import itertools
import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from quorate.kernel import BadPayload, Envelope, errors, mix64, mix_array
from quorate.placement.nodes import (
    BadWeight,
    Node,
    NodeLike,
    NodeName,
    changed_nodes,
    checked_nodes,
    name_hash,
    spread,
)
from quorate.placement.placement import HashPlacement
from quorate.placement.plans import MovementPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_JUMP_MULTIPLIER: Final = 2862933555777941757
_MASK: Final = (1 << 64) - 1
# After so many further hashes the remaining owners are taken in order: a bound on bad luck, not on good service.
_TRIES_MAX: Final = 64


class _Formula(HashPlacement):
    """What the formulas share: their state is the list of nodes."""

    def __init__(self, nodes: Iterable[NodeLike], *, are_sorted: bool = True) -> None:
        super().__init__(checked_nodes(nodes, are_sorted=are_sorted))

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple[Self, MovementPlan]:
        """Return the placement after a change of nodes, and what moves, estimated over probes."""
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        after = type(self)(self._arranged(staying, coming, going))
        return after, self._plan(after, added=coming, removed=going, n=n)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of the nodes."""
        return self._envelope().encode(self.nodes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the placement in sealed bytes; raise `Undecodable` for anything else."""
        nodes = cls._envelope().decode(data)
        try:
            return cls(nodes)
        except errors.UsageError as cause:
            raise BadPayload(f"a placement that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    @classmethod
    def _envelope(cls) -> Envelope[tuple[Node, ...]]:
        return Envelope(cls.kind, 1, tuple[Node, ...])

    def _arranged(self, staying: tuple[Node, ...], coming: tuple[Node, ...], going: tuple[Node, ...]) -> list[Node]:
        del going
        return [*staying, *coming]

    def _spread_rehashed(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Choose owners by hashing again until enough different nodes came up; in topology all nodes are ranked."""
        wanted = n if self.is_flat else len(self.nodes)
        found: dict[int, None] = {}
        for _ in range(_TRIES_MAX + 4 * wanted):
            found[self._bucket(key_hash)] = None
            if len(found) == wanted:
                break
            key_hash = mix64(key_hash + 1 & _MASK)
        return spread(itertools.chain(found, range(len(self.nodes))), self.nodes, n, is_flat=self.is_flat)

    @abstractmethod
    def _bucket(self, key_hash: int) -> int:
        """Return the place of the first owner of a hash."""


class Rendezvous(_Formula):
    """Highest random weight: every node bids for every key, the highest bids own it.

    Example:
        >>> Rendezvous(["a", "b", "c"]).owners("cart:7", 2)
        ('a', 'c')
    """

    kind: ClassVar[str] = "rendezvous"

    def __init__(self, nodes: Iterable[NodeLike]) -> None:
        super().__init__(nodes)
        self._seeds = [name_hash(node.name) for node in self.nodes]
        self._weights = [node.weight for node in self.nodes]
        self._is_weighted = len(dict.fromkeys(self._weights)) > 1

    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places of the n highest bidders, spread over zones and racks."""
        if n == 1:
            return (self.place_of_hash(key_hash),)
        bids = self._bids(key_hash)
        ranked = heapq.nlargest(n if self.is_flat else len(bids), range(len(bids)), key=bids.__getitem__)
        return spread(ranked, self.nodes, n, is_flat=self.is_flat)

    def place_of_hash(self, key_hash: int) -> int:
        """Return the place of the highest bidder."""
        return self._bucket(key_hash)

    def _bucket(self, key_hash: int) -> int:
        bids = self._bids(key_hash)
        return bids.index(max(bids))

    def _bids(self, key_hash: int) -> list[Any]:  # Any: integers or floats, never both
        if not self._is_weighted:
            return [mix64(key_hash ^ seed) for seed in self._seeds]
        # Uniform in (0, 1), from the leading 53 bits; then the largest of w / -ln u is w-proportional.
        uniforms = [((mix64(key_hash ^ seed) >> 11) + 0.5) * 2.0**-53 for seed in self._seeds]
        return [-weight / math.log(u) for weight, u in zip(self._weights, uniforms, strict=True)]

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        import numpy as np

        if self._is_weighted:
            # One by one: the last bit of a vectorised logarithm may differ, and the answers must not.
            return super()._places_of_hashes(hashes)
        best = np.zeros(len(hashes), dtype=np.int32)
        for begin in range(0, len(hashes), 1 << 13):
            piece = hashes[begin : begin + (1 << 13)]
            highest = mix_array(piece ^ np.uint64(self._seeds[0]))
            places = best[begin : begin + (1 << 13)]
            for place, seed in enumerate(self._seeds[1:], start=1):
                bids = mix_array(piece ^ np.uint64(seed))
                places[bids > highest] = place
                np.maximum(highest, bids, out=highest)
        return best


class Jump(_Formula):
    """Jump consistent hash: numbered buckets, no memory; nodes keep their given order.

    Adding puts a node at the end, and removing the last one is minimal. Removing another one puts the last node in its
    place, which moves that node's own keys too: the plan says how much was needless. Weights are not supported.

    Example:
        >>> Jump(["a", "b", "c"]).owners("cart:7", 2)
        ('b', 'c')
    """

    kind: ClassVar[str] = "jump"

    def __init__(self, nodes: Iterable[NodeLike]) -> None:
        super().__init__(nodes, are_sorted=False)
        if len(dict.fromkeys(node.weight for node in self.nodes)) > 1:
            raise BadWeight("jump hashing gives every node the same share; use the ring, rendezvous or Maglev")

    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places of the n owners: the key's bucket, then those of further hashes."""
        return (self._bucket(key_hash),) if n == 1 else self._spread_rehashed(key_hash, n)

    def place_of_hash(self, key_hash: int) -> int:
        """Return the place of the key's bucket."""
        return self._bucket(key_hash)

    def _arranged(self, staying: tuple[Node, ...], coming: tuple[Node, ...], going: tuple[Node, ...]) -> list[Node]:
        gone = {node.name: None for node in going}
        buckets: list[Node | None] = [None if node.name in gone else node for node in self.nodes]
        newcomers = list(reversed(coming))
        arranged: list[Node] = []
        while buckets:
            node = buckets.pop(0)
            while node is None and newcomers:
                node = newcomers.pop()
            while node is None and buckets:
                node = buckets.pop()
            if node is not None:
                arranged.append(node)
        return [*arranged, *reversed(newcomers)]

    def _bucket(self, key_hash: int) -> int:
        count = len(self.nodes)
        bucket, jump = 0, 0
        while jump < count:
            bucket = jump
            key_hash = key_hash * _JUMP_MULTIPLIER + 1 & _MASK
            jump = int((bucket + 1) * (2147483648.0 / ((key_hash >> 33) + 1)))
        return bucket

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        import numpy as np

        count = len(self.nodes)
        buckets = np.zeros(len(hashes), dtype=np.int32)
        for begin in range(0, len(hashes), 1 << 13):
            state = hashes[begin : begin + (1 << 13)].copy()
            open_ = np.arange(len(state))
            found = np.zeros(len(state), dtype=np.int64)
            result = buckets[begin : begin + (1 << 13)]
            while len(open_):
                result[open_] = found
                state *= np.uint64(_JUMP_MULTIPLIER)
                state += np.uint64(1)
                divisors = ((state >> np.uint64(33)) + np.uint64(1)).astype(np.float64)
                found = ((found + 1) * (2147483648.0 / divisors)).astype(np.int64)
                inside = found < count
                open_, state, found = open_[inside], state[inside], found[inside]
        return buckets


class Modulo(_Formula):
    """Hash modulo number of nodes: perfectly balanced, and nearly everything moves when the number changes.

    Here as the cautionary tale. Weights are not supported.

    Example:
        >>> _, plan = Modulo(range(10)).with_nodes(added=[10])
        >>> plan.proof().moved_share > 0.9
        True
    """

    kind: ClassVar[str] = "modulo"

    def __init__(self, nodes: Iterable[NodeLike]) -> None:
        super().__init__(nodes)
        if len(dict.fromkeys(node.weight for node in self.nodes)) > 1:
            raise BadWeight("hash-modulo gives every node the same share")

    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places of the n owners: the remainder and those behind it."""
        first = self._bucket(key_hash)
        count = len(self.nodes)
        if n == 1:
            return (first,)
        return spread((place % count for place in range(first, first + count)), self.nodes, n, is_flat=self.is_flat)

    def place_of_hash(self, key_hash: int) -> int:
        """Return the remainder."""
        return key_hash % len(self.nodes)

    def _bucket(self, key_hash: int) -> int:
        return key_hash % len(self.nodes)

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        import numpy as np

        return (hashes % np.uint64(len(self.nodes))).astype(np.int32)
