"""Consistent hashing with bounded loads: no node gets more than a factor of the mean, whatever the hashes say.

Theory. Partitions are placed on a ring one after the other; one that meets a full node goes on to the next. The cap is
`load_factor` times the mean. A change of nodes can push partitions on in a chain, so somewhat more moves than must.

Source      Mirrokni, Thorup, Zadimoghaddam 2018; over fixed partitions, as in common Go libraries.
Complexity  q partitions, v·n ring tokens: O(q log(v n)) expected to build, O(1) to look up.
Bounds      load_factor above 1; the nearer to 1, the longer the chains (expected moves grow as 1 / (factor - 1)²).
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import ClassVar, Final

from quorate.kernel import HASH_COUNT, BadPayload, Envelope, errors, mix64
from quorate.placement.nodes import Node, NodeLike, NodeName, changed_nodes, checked_nodes
from quorate.placement.plans import MovementPlan
from quorate.placement.slots import SlotPlacement
from quorate.placement.tokens import random_tokens

LOAD_FACTOR: Final = 1.25
_RING_VIRTUAL_NODES: Final = 16


class BoundedLoad(SlotPlacement):
    """Partitions on a ring, with a cap for each node.

    Example:
        >>> bounded = BoundedLoad(["a", "b", "c"], partition_count=97, load_factor=1.1)
        >>> max(bounded.shares()) <= 1.1 / 3 + 1 / 97
        True
    """

    kind: ClassVar[str] = "bounded"

    def __init__(
        self, nodes: Iterable[NodeLike], *, partition_count: int = 4096, load_factor: float = LOAD_FACTOR
    ) -> None:
        """Make a placement.

        Args:
            nodes: who owns; caps are in proportion to weights.
            partition_count: how many parts of the hash space; at least the number of nodes, at most 2²⁰.
            load_factor: how much more than its due a node may have; above 1.
        """
        checked = checked_nodes(nodes)
        if not len(checked) <= partition_count <= 1 << 20:
            raise errors.UsageError(f"partition_count is from the number of nodes to 2**20, not {partition_count}")
        if not 1 < load_factor < float("inf"):
            raise errors.UsageError(f"load_factor is a finite number above 1, not {load_factor}")
        self.load_factor = load_factor
        super().__init__(checked, _fill(checked, partition_count, load_factor))

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["BoundedLoad", MovementPlan]:
        """Return the placement after a change of nodes, and what moves, pushed-on partitions included."""
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        after = BoundedLoad([*staying, *coming], partition_count=self.slot_count, load_factor=self.load_factor)
        return after, self._plan(after, added=coming, removed=going, n=n)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of nodes, partition count, load factor."""
        return _ENVELOPE.encode((self.nodes, self.slot_count, self.load_factor))

    @classmethod
    def from_bytes(cls, data: bytes) -> "BoundedLoad":
        """Return the placement in sealed bytes; raise `Undecodable` for anything else."""
        nodes, partition_count, load_factor = _ENVELOPE.decode(data)
        try:
            return cls(nodes, partition_count=partition_count, load_factor=load_factor)
        except errors.UsageError as cause:
            raise BadPayload(f"a bounded-load placement that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return BoundedLoad.from_bytes, (self.to_bytes(),)


_ENVELOPE: Envelope[tuple[tuple[Node, ...], int, float]] = Envelope(
    "bounded-load", 1, tuple[tuple[Node, ...], int, float]
)


def _fill(nodes: tuple[Node, ...], partition_count: int, load_factor: float) -> list[int]:
    taken: dict[int, NodeName] = {}
    ring: list[tuple[int, int]] = []
    for place, node in enumerate(nodes):
        for token in random_tokens(node, _RING_VIRTUAL_NODES, taken):
            taken[token] = node.name
            ring.append((token, place))
    ring.sort()
    tokens = [token for token, _ in ring]
    total = sum(node.weight for node in nodes)
    # Rounded up, so that the caps together hold all partitions.
    room = [math.ceil(load_factor * partition_count * node.weight / total) for node in nodes]
    slots: list[int] = []
    for partition in range(partition_count):
        at = bisect_left(tokens, mix64(partition * HASH_COUNT // partition_count + 1))
        while not room[ring[at % len(ring)][1]]:
            at += 1
        place = ring[at % len(ring)][1]
        room[place] -= 1
        slots.append(place)
    return slots
