"""AnchorHash: buckets remembered in the order in which they left, minimal for every change.

Theory. There is room for `capacity` buckets, of which some work. A key is hashed over all of them; if its bucket has
left, it is hashed again over the set that was working when it left, and so on. Adding gives the place that was freed
last back. So a bucket that leaves moves its own keys only, and one that comes takes only keys from others.

Source      Mendelson et al. 2021, "AnchorHash: a scalable consistent hash", algorithms 1 to 3.
Complexity  a of capacity, w working: expected O(1 + ln(a / w)) a lookup, O(1) for a change of one node.
Bounds      At most `capacity` nodes; four integers for each place. Weights are not supported.
"""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from quorate.kernel import BadPayload, Envelope, errors, mix64, mix_array
from quorate.placement.nodes import (
    BadWeight,
    Node,
    NodeLike,
    NodeName,
    changed_nodes,
    checked_nodes,
    spread,
)
from quorate.placement.placement import HashPlacement, scale_array
from quorate.placement.plans import MovementPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CAPACITY_MAX: Final = 1 << 20
_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15


class _Anchor:
    """The paper's four arrays: A (size when it left), K (successor), W (working buckets), L (their places in W)."""

    def __init__(self, capacity: int) -> None:
        self.sizes = [0] * capacity
        self.successors = list(range(capacity))
        self.working = list(range(capacity))
        self.where = list(range(capacity))
        self.count = capacity
        # Buckets that left, the last one at the end.
        self.left: list[int] = []

    def remove(self, bucket: int) -> None:
        self.left.append(bucket)
        self.count -= 1
        count = self.count
        last = self.working[count]
        self.sizes[bucket] = count
        self.working[self.where[bucket]] = self.successors[bucket] = last
        self.where[last] = self.where[bucket]

    def add(self) -> int:
        bucket = self.left.pop()
        count = self.count
        self.sizes[bucket] = 0
        self.where[self.working[count]] = count
        self.working[self.where[bucket]] = self.successors[bucket] = bucket
        self.count += 1
        return bucket

    def find(self, key_hash: int) -> int:
        sizes, successors = self.sizes, self.successors
        bucket = key_hash * len(sizes) >> 64
        while size := sizes[bucket]:
            key_hash = mix64(key_hash + bucket * _STEP & _MASK)
            other = key_hash * size >> 64
            # `other` may have left earlier still: follow who stood there when `bucket` left.
            while sizes[other] >= size:
                other = successors[other]
            bucket = other
        return bucket

    def find_many(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int64]":
        """Return the buckets of many hashes: the same steps, for all that are still on their way at once."""
        import numpy as np

        sizes = np.array(self.sizes, dtype=np.uint64)
        successors = np.array(self.successors, dtype=np.int64)
        buckets = scale_array(hashes, np.uint64(len(sizes)))
        open_ = np.flatnonzero(sizes[buckets])
        state = hashes[open_]
        while len(open_):
            here = buckets[open_]
            size = sizes[here]
            state = mix_array(state + here.view(np.uint64) * np.uint64(_STEP))
            other = scale_array(state, size)
            late = np.flatnonzero(sizes[other] >= size)
            while len(late):
                other[late] = successors[other[late]]
                late = late[sizes[other[late]] >= size[late]]
            buckets[open_] = other
            more = sizes[other] > 0
            open_, state = open_[more], state[more]
        return buckets


class _State(NamedTuple):
    nodes: tuple[Node, ...]
    capacity: int
    # Buckets that are not working, in the order in which they left.
    left: tuple[int, ...]
    # The bucket of each node.
    buckets: tuple[int, ...]


class AnchorHash(HashPlacement):
    """An anchor with one node in each working bucket.

    Example:
        >>> anchor = AnchorHash(["a", "b", "c"], capacity=8)
        >>> smaller, plan = anchor.with_nodes(removed=["b"])
        >>> plan.proof().is_minimal, {move.source for move in plan.moves}
        (True, {'b'})
    """

    kind: ClassVar[str] = "anchor"

    def __init__(self, nodes: Iterable[NodeLike], *, capacity: int | None = None, _state: _State | None = None) -> None:
        """Make an anchor; its capacity is twice the number of nodes unless given."""
        checked = checked_nodes(nodes, are_sorted=False)
        capacity = 2 * len(checked) if capacity is None else capacity
        if not len(checked) <= capacity <= CAPACITY_MAX:
            raise errors.UsageError(f"capacity is from the number of nodes to {CAPACITY_MAX}, not {capacity}")
        if len(dict.fromkeys(node.weight for node in checked)) > 1:
            raise BadWeight("AnchorHash gives every node the same share; use the ring, rendezvous or Maglev")
        left = tuple(range(capacity - 1, len(checked) - 1, -1))
        state = _state or _State(checked, capacity, left, tuple(range(len(checked))))
        super().__init__(state.nodes)
        self._state = state
        self._anchor = _Anchor(capacity)
        for bucket in state.left:
            self._anchor.remove(bucket)
        self._places = {bucket: place for place, bucket in enumerate(state.buckets)}

    @property
    def capacity(self) -> int:
        """How many nodes there can be."""
        return self._state.capacity

    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places of the n owners: the key's bucket, then those of further hashes."""
        if n == 1:
            return (self.place_of_hash(key_hash),)
        wanted = n if self.is_flat else len(self.nodes)
        found: dict[int, None] = {}
        for _ in range(64 + 4 * wanted):
            found[self.place_of_hash(key_hash)] = None
            if len(found) == wanted:
                break
            key_hash = mix64(key_hash + 1 & _MASK)
        return spread(itertools.chain(found, range(len(self.nodes))), self.nodes, n, is_flat=self.is_flat)

    def place_of_hash(self, key_hash: int) -> int:
        """Return the place of the key's bucket."""
        return self._places[self._anchor.find(key_hash)]

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        import numpy as np

        buckets = self._anchor.find_many(hashes)
        places = np.zeros(self.capacity, dtype=np.int32)
        places[list(self._places)] = list(self._places.values())
        found: NDArray[np.int32] = places[buckets]
        return found

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["AnchorHash", MovementPlan]:
        """Return the anchor after a change of nodes, and what moves, estimated over probes.

        Raises:
            UsageError: there is no room for the newcomers; a larger anchor is another placement.
        """
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        if len(staying) + len(coming) > self.capacity:
            raise errors.UsageError(f"this anchor has room for {self.capacity} nodes")
        named = dict(zip(self.names, self._state.buckets, strict=True))
        anchor = AnchorHash(self.nodes, capacity=self.capacity, _state=self._state)._anchor
        for node in going:
            anchor.remove(named[node.name])
        buckets = [named[node.name] for node in staying] + [anchor.add() for _ in coming]
        nodes = (*staying, *coming)
        state = _State(nodes, self.capacity, tuple(anchor.left), tuple(buckets))
        after = AnchorHash(nodes, capacity=self.capacity, _state=state)
        return after, self._plan(after, added=coming, removed=going, n=n)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of nodes, capacity, buckets that left, and the nodes' buckets."""
        return _ENVELOPE.encode(self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> "AnchorHash":
        """Return the anchor in sealed bytes; raise `Undecodable` for anything else."""
        state = _ENVELOPE.decode(data)
        if not 0 < state.capacity <= CAPACITY_MAX or sorted([*state.left, *state.buckets]) != list(
            range(state.capacity)
        ):
            raise BadPayload("an anchor's buckets each work or have left, once")
        if len(state.nodes) != len(state.buckets):
            raise BadPayload("an anchor has a bucket for each node")
        try:
            return cls(state.nodes, capacity=state.capacity, _state=state)
        except errors.UsageError as cause:
            raise BadPayload(f"an anchor that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return AnchorHash.from_bytes, (self.to_bytes(),)


_ENVELOPE: Envelope[_State] = Envelope("anchor", 1, _State)
