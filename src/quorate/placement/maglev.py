"""Maglev hashing: a large table that is filled by the nodes in turn.

Theory. Every node has its own permutation of the table's slots. In turn, each takes the next slot of its permutation
that is still free, until the table is full. Shares are equal to a slot, and a lookup is one table access; a change of
nodes moves a little more than it must.

Source      Eisenbud et al. 2016 (Maglev), section 3.4; weights as turns left out, as the paper hints.
Deviations  The slot of a hash is its leading part, not a remainder, so that slots are runs of hashes.
Complexity  m slots: O(m log m) to build, O(1) to look up.
Bounds      The table's size is a prime, and should be 100 times the number of nodes or more.
"""

from collections.abc import Iterable
from typing import ClassVar, Final

from quorate.kernel import BadPayload, Envelope, errors, mix64
from quorate.placement.nodes import Node, NodeLike, NodeName, changed_nodes, checked_nodes, name_hash
from quorate.placement.plans import MovementPlan
from quorate.placement.slots import SlotPlacement

TABLE_SLOTS: Final = 65_537
_SLOTS_MAX: Final = 1 << 20


class Maglev(SlotPlacement):
    """A Maglev table.

    Example:
        >>> Maglev(["a", "b", "c"], slot_count=1009).owners("cart:7", 2)
        ('c', 'b')
    """

    kind: ClassVar[str] = "maglev"

    def __init__(self, nodes: Iterable[NodeLike], *, slot_count: int = TABLE_SLOTS) -> None:
        """Make a table of a prime number of slots, at least one for each node."""
        checked = checked_nodes(nodes)
        if not len(checked) <= slot_count <= _SLOTS_MAX or not _is_prime(slot_count):
            raise errors.UsageError(f"slot_count is a prime from the number of nodes to {_SLOTS_MAX}, not {slot_count}")
        super().__init__(checked, _fill(checked, slot_count))

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["Maglev", MovementPlan]:
        """Return the table after a change of nodes, and what moves."""
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        after = Maglev([*staying, *coming], slot_count=self.slot_count)
        return after, self._plan(after, added=coming, removed=going, n=n)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of nodes and slot count; the table follows from them."""
        return _ENVELOPE.encode((self.nodes, self.slot_count))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Maglev":
        """Return the table in sealed bytes; raise `Undecodable` for anything else."""
        nodes, slot_count = _ENVELOPE.decode(data)
        try:
            return cls(nodes, slot_count=slot_count)
        except errors.UsageError as cause:
            raise BadPayload(f"a Maglev table that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return Maglev.from_bytes, (self.to_bytes(),)


_ENVELOPE: Envelope[tuple[tuple[Node, ...], int]] = Envelope("maglev", 1, tuple[tuple[Node, ...], int])


def _fill(nodes: tuple[Node, ...], slot_count: int) -> list[int]:
    hashes = [name_hash(node.name) for node in nodes]
    at = [mix64(h) % slot_count for h in hashes]
    skips = [mix64(h ^ 0x5555555555555555) % (slot_count - 1) + 1 for h in hashes]
    heaviest = max(node.weight for node in nodes)
    rates = [node.weight / heaviest for node in nodes]
    credits_ = [0.0] * len(nodes)
    table = [-1] * slot_count
    free_count = slot_count
    while True:
        for place, rate in enumerate(rates):
            credits_[place] += rate
            # The heaviest nodes take a slot in each turn, the others in their share of turns.
            if credits_[place] < 1:
                continue
            credits_[place] -= 1
            slot = at[place]
            while table[slot] >= 0:
                slot = (slot + skips[place]) % slot_count
            table[slot] = place
            at[place] = (slot + skips[place]) % slot_count
            free_count -= 1
            if not free_count:
                return table


def _is_prime(number: int) -> bool:
    return number >= 2 and all(number % d for d in range(2, int(number**0.5) + 1))
