"""Fixed partitions: the hash space in equal parts for ever, and a table of who owns each.

Theory. Partitions never split, so files, Merkle trees and movement are by partition; a change of nodes hands whole
partitions over. Owners of neighbouring partitions differ over a run of `spacing`, so that the first `spacing` owners of
a key need no skipping.

Source      Dynamo (2007), strategy 3 of section 6.2; claims and `target_n_val` as in Riak.
Deviations  Spacing is best effort, as in Riak: too few nodes, or a handover, can leave neighbours with one owner; then
            further owners skip ahead. A handover moves the smallest number of partitions that balances the counts.
Complexity  q partitions, n nodes: lookup O(1), change of nodes O(q · n).
Bounds      Balance is ⌈q/n⌉ over q/n: choose q ten times the largest number of nodes, or more.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from quorate.kernel import BadPayload, Envelope, errors
from quorate.placement.nodes import Node, NodeLike, NodeName, changed_nodes, checked_nodes
from quorate.placement.plans import MovementPlan
from quorate.placement.slots import SlotPlacement

PARTITION_COUNT: Final = 1024
PARTITION_COUNT_MAX: Final = 1 << 20
SPACING: Final = 4


class FixedPartitions(SlotPlacement):
    """A table of partitions.

    Example:
        >>> table = FixedPartitions(["a", "b", "c"], partition_count=64)
        >>> table.partition("cart:7"), table.owners("cart:7", 2)
        (30, ('c', 'a'))
        >>> larger, plan = table.with_nodes(added=["d"])
        >>> len(plan.moves), plan.proof().is_minimal
        (16, True)
    """

    kind: ClassVar[str] = "fixed"

    def __init__(
        self,
        nodes: Iterable[NodeLike],
        *,
        partition_count: int = PARTITION_COUNT,
        spacing: int = SPACING,
        assignment: Sequence[NodeName] | None = None,
    ) -> None:
        """Make a table.

        Args:
            nodes: who owns; numbers of partitions are in proportion to weights.
            partition_count: a power of two, at least the number of nodes.
            spacing: how many partitions in a row should have different owners.
            assignment: the owner of each partition; None lets the nodes take turns.
        """
        checked = checked_nodes(nodes)
        if partition_count & (partition_count - 1) or not len(checked) <= partition_count <= PARTITION_COUNT_MAX:
            raise errors.UsageError(
                f"partition_count is a power of two from the number of nodes to 2**20, not {partition_count}"
            )
        if spacing < 1:
            raise errors.UsageError(f"spacing is 1 or more, not {spacing}")
        self.spacing = spacing
        places = {node.name: place for place, node in enumerate(checked)}
        if assignment is None:
            slots = _reassign(checked, [-1] * partition_count, spacing)
        elif len(assignment) == partition_count and all(name in places for name in assignment):
            slots = [places[name] for name in assignment]
        else:
            raise errors.UsageError("an assignment names one of the nodes for each partition")
        super().__init__(checked, slots)

    def partition(self, key: bytes | str | int) -> int:
        """Return the partition of a key, from 0."""
        return self.slot_of_key(key)

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["FixedPartitions", MovementPlan]:
        """Return the table after a change of nodes, and what moves: as few partitions as balance the counts."""
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        nodes = checked_nodes([*staying, *coming])
        places = {node.name: place for place, node in enumerate(nodes)}
        kept = [places.get(self.names[place], -1) for place in self.slots]
        slots = _reassign(nodes, kept, self.spacing)
        after = FixedPartitions(
            nodes,
            partition_count=self.slot_count,
            spacing=self.spacing,
            assignment=[nodes[place].name for place in slots],
        )
        return after, self._plan(after, added=coming, removed=going, n=n)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of nodes, spacing, and each partition's place among the nodes."""
        return _ENVELOPE.encode((self.nodes, self.spacing, list(self.slots)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "FixedPartitions":
        """Return the table in sealed bytes; raise `Undecodable` for anything else."""
        nodes, spacing, slots = _ENVELOPE.decode(data)
        if not all(0 <= place < len(nodes) for place in slots):
            raise BadPayload("a partition's owner is one of the nodes")
        names = [nodes[place].name for place in slots]
        try:
            return cls(nodes, partition_count=len(slots), spacing=spacing, assignment=names)
        except errors.UsageError as cause:
            raise BadPayload(f"a table of partitions that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return FixedPartitions.from_bytes, (self.to_bytes(),)


_ENVELOPE: Envelope[tuple[tuple[Node, ...], int, list[int]]] = Envelope(
    "fixed-partitions", 1, tuple[tuple[Node, ...], int, list[int]]
)


def _reassign(nodes: Sequence[Node], slots: Sequence[int], spacing: int) -> list[int]:
    """Give partitions without an owner (-1), and what some have too much of, to those that have too little."""
    slots = list(slots)
    held = [0] * len(nodes)
    for place in slots:
        if place >= 0:
            held[place] += 1
    missing = [due - have for due, have in zip(_due(nodes, held, len(slots)), held, strict=True)]
    for slot, place in enumerate(slots):
        if place < 0:
            _give(slots, slot, missing, spacing)
    # Twice over the table: first where the spacing allows it, then wherever something is too much.
    for is_strict in (True, False):
        # A stride that visits all slots scatters the handover over the ring: neighbours go to different newcomers.
        for step in range(len(slots)):
            slot = step * 5 % len(slots) if len(slots) > 1 else 0
            place = slots[slot]
            if missing[place] < 0 and (not is_strict or _fitting(slots, slot, missing, spacing)):
                missing[place] += 1
                _give(slots, slot, missing, spacing)
    assert not any(missing), "every node has what is due"
    return slots


def _give(slots: list[int], slot: int, missing: list[int], spacing: int) -> None:
    """Give a partition to the node that misses most, one that is not near if there is any."""
    choices = _fitting(slots, slot, missing, spacing) or [p for p, count in enumerate(missing) if count > 0]
    best = max(choices, key=lambda place: missing[place])
    missing[best] -= 1
    slots[slot] = best


def _fitting(slots: Sequence[int], slot: int, missing: Sequence[int], spacing: int) -> list[int]:
    count = len(slots)
    near = {slots[(slot + step) % count]: None for step in range(1 - spacing, spacing) if step}
    return [place for place, miss in enumerate(missing) if miss > 0 and place not in near]


def _due(nodes: Sequence[Node], held: Sequence[int], partition_count: int) -> list[int]:
    """Return how many partitions each node should have: by weight, and what is left over where it moves least."""
    total = sum(node.weight for node in nodes)
    exact = [partition_count * node.weight / total for node in nodes]
    due = [int(share) for share in exact]
    # First those that hold more than their whole share already, then the largest remainders.
    order = sorted(range(len(nodes)), key=lambda p: (held[p] <= due[p], due[p] - exact[p], p))
    for place in order[: partition_count - sum(due)]:
        due[place] += 1
    return due
