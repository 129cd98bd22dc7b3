"""What placements over equal slots of the hash space share: Maglev's table, fixed partitions, bounded loads."""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quorate.kernel import HASH_COUNT, Key, hash_key
from quorate.placement.nodes import Node, NodeName, spread
from quorate.placement.placement import HashPlacement, scale_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SlotPlacement(HashPlacement):
    """Equal slots, each with a first owner; further owners are those of the next slots, in other zones first.

    Slot i holds the hashes h with ⌊h · slot_count / 2⁶⁴⌋ = i, so slots are runs of hashes.

    Complexity: O(1) for a single lookup and in batches.
    """

    def __init__(self, nodes: tuple[Node, ...], slots: Sequence[int]) -> None:
        super().__init__(nodes)
        # For each slot, the place of its first owner among `nodes`.
        self.slots: tuple[int, ...] = tuple(slots)
        self.slot_count = len(self.slots)
        self._slot_names = [self.names[place] for place in self.slots]
        self._spreads: dict[tuple[int, int], tuple[int, ...]] = {}

    @abstractmethod
    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Pickle as the sealed bytes, so that what is derived is not stored."""

    def slot_of_key(self, key: Key) -> int:
        """Return the slot of a key."""
        return hash_key(key) * self.slot_count >> 64

    def owner(self, key: Key) -> NodeName:
        """Return the first owner of a key."""
        # Written out, because single lookups are counted in hundreds of nanoseconds.
        return self._slot_names[hash_key(key) * self.slot_count >> 64]

    def place_of_hash(self, key_hash: int) -> int:
        """Return the place of the first owner of the hash's slot."""
        return self.slots[key_hash * self.slot_count >> 64]

    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places of the n owners of a hash."""
        slot = key_hash * self.slot_count >> 64
        if n == 1:
            return (self.slots[slot],)
        owners = self._spreads.get((slot, n))
        if owners is None:
            owners = self._spreads[slot, n] = self._spread(slot, n)
        return owners

    def cell_starts(self) -> list[int]:
        """Return the first hash of each slot."""
        return [-(-slot * HASH_COUNT // self.slot_count) for slot in range(self.slot_count)]

    def _spread(self, slot: int, n: int) -> tuple[int, ...]:
        count = self.slot_count
        walk = (self.slots[(slot + step) % count] for step in range(count))
        # A node so light that it has no slot still counts as the last resort.
        candidates = itertools.chain(walk, range(len(self.nodes)))
        return spread(candidates, self.nodes, n, is_flat=self.is_flat)

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        import numpy as np

        slots = np.array(self.slots, dtype=np.int32)
        assert self.slot_count < 1 << 32, "slots are counted in 32 bits"
        found: NDArray[np.int32] = slots[scale_array(hashes, np.uint64(self.slot_count))]
        return found
