"""Hash ring with virtual nodes.

Theory. Every node has several tokens on a ring of hashes and owns what lies between each of them and the token before.
A node that comes or goes changes only the ranges at its own tokens. Further owners of a key are the next different
nodes clockwise, in other zones first, then in other racks.

Source      Karger et al. 1997; virtual nodes and preference lists: Dynamo (2007), sections 4.2 and 4.3.
Complexity  t tokens: single lookup O(log t), in batches about O(1); a change of nodes O(t log t).
Bounds      Balance: with v random tokens the largest share is about 1 + 2/√v of the mean; allocated ones stay near 1.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from quorate.kernel import BadPayload, Envelope, Key, errors, hash_key
from quorate.placement.nodes import Node, NodeLike, NodeName, changed_nodes, checked_nodes, spread
from quorate.placement.placement import CellTable, HashPlacement
from quorate.placement.plans import MovementPlan
from quorate.placement.tokens import TOKEN_MAX, allocated_tokens, random_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Allocation: TypeAlias = Literal["allocated", "random"]
VIRTUAL_NODES_MAX = 4096


class Ring(HashPlacement):
    """A hash ring.

    Example:
        >>> ring = Ring(["a", "b", "c"], virtual_nodes=16)
        >>> ring.owners("cart:7", 2)
        ('b', 'c')
        >>> larger, plan = ring.with_nodes(added=["d"])
        >>> plan.proof().is_minimal, {move.target for move in plan.moves}
        (True, {'d'})
    """

    kind: ClassVar[str] = "ring"

    def __init__(
        self,
        nodes: Iterable[NodeLike],
        *,
        virtual_nodes: int = 16,
        allocation: Allocation = "allocated",
        tokens: Mapping[NodeName, tuple[int, ...]] | None = None,
    ) -> None:
        """Make a ring.

        Args:
            nodes: who owns; a node's number of tokens is in proportion to its weight.
            virtual_nodes: tokens of a node of weight 1; more of them balance random tokens better, and make each node
                a neighbour of more others.
            allocation: "allocated" puts a newcomer's tokens where others own too much; "random" draws by name.
            tokens: tokens of some of the nodes, kept as they are; the others get theirs in order of name.
        """
        super().__init__(checked_nodes(nodes))
        if not 1 <= virtual_nodes <= VIRTUAL_NODES_MAX:
            raise errors.UsageError(f"virtual_nodes is from 1 to {VIRTUAL_NODES_MAX}, not {virtual_nodes}")
        if allocation not in ("allocated", "random"):
            raise errors.UsageError(f"allocation is 'allocated' or 'random', not {allocation!r}")
        self.virtual_nodes = virtual_nodes
        self.allocation: Allocation = allocation
        self.tokens = self._fill_tokens(dict(tokens or {}))
        places = {name: place for place, name in enumerate(self.names)}
        ring = sorted((token, places[name]) for name, owned in self.tokens.items() for token in owned)
        # The run behind the last token belongs to the first one.
        self._runs = CellTable([0, *(token + 1 for token, _ in ring)])
        self._run_places = [*(place for _, place in ring), ring[0][1]]
        self._starts = self._runs.starts
        self._run_names = [self.names[place] for place in self._run_places]
        # Owners of each run, by number of owners; filled as they are asked for.
        self._spreads: dict[tuple[int, int], tuple[int, ...]] = {}

    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places of the n owners of a hash, the owner of its range first."""
        run = self._runs.find(key_hash)
        owners = self._spreads.get((run, n))
        if owners is None:
            places = self._run_places
            candidates = (places[(run + step) % len(places)] for step in range(len(places)))
            owners = self._spreads[run, n] = spread(candidates, self.nodes, n, is_flat=self.is_flat)
        return owners

    def owner(self, key: Key) -> NodeName:
        """Return the owner of the key's range."""
        # Written out, because single lookups are counted in hundreds of nanoseconds.
        return self._run_names[bisect_right(self._starts, hash_key(key)) - 1]

    def place_of_hash(self, key_hash: int) -> int:
        """Return the place of the owner of the hash's range."""
        return self._run_places[self._runs.find(key_hash)]

    def cell_starts(self) -> list[int]:
        """Return the first hash of each range."""
        return self._runs.starts

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["Ring", MovementPlan]:
        """Return the ring after a change of nodes, and what moves; nodes that stay keep their tokens."""
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        after = Ring(
            [*staying, *coming],
            virtual_nodes=self.virtual_nodes,
            allocation=self.allocation,
            tokens={node.name: self.tokens[node.name] for node in staying},
        )
        return after, self._plan(after, added=coming, removed=going, n=n)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of nodes, virtual nodes, allocation, and tokens in node order."""
        tokens = [self.tokens[name] for name in self.names]
        return _ENVELOPE.encode((self.nodes, self.virtual_nodes, self.allocation, tokens))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ring":
        """Return the ring in sealed bytes; raise `Undecodable` for anything else."""
        nodes, virtual_nodes, allocation, tokens = _ENVELOPE.decode(data)
        if len(nodes) != len(tokens) or not all(tokens):
            raise BadPayload("a ring has tokens for each node")
        try:
            named = {node.name: owned for node, owned in zip(nodes, tokens, strict=True)}
            return cls(nodes, virtual_nodes=virtual_nodes, allocation=allocation, tokens=named)
        except errors.UsageError as cause:
            raise BadPayload(f"a ring that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return Ring.from_bytes, (self.to_bytes(),)

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        import numpy as np

        return np.array(self._run_places, dtype=np.int32)[self._runs.find_many(hashes)]

    def _fill_tokens(self, tokens: dict[NodeName, tuple[int, ...]]) -> dict[NodeName, tuple[int, ...]]:
        """Return tokens for every node: those given, and new ones for the others."""
        taken = {token: name for name in self.names for token in tokens.get(name, ())}
        if len(taken) != sum(len(owned) for owned in tokens.values()):
            raise errors.UsageError("a token belongs to one of the nodes, once")
        if any(not 0 <= token <= TOKEN_MAX for token in taken):
            raise errors.UsageError(f"a token is from 0 to {TOKEN_MAX}")
        weights = {node.name: node.weight for node in self.nodes if tokens.get(node.name)}
        held: dict[NodeName, tuple[int, ...]] = {name: tuple(sorted(tokens[name])) for name in weights}
        for node in self.nodes:
            if node.name in held:
                continue
            if self.allocation == "random":
                mine = random_tokens(node, self.virtual_nodes, taken)
            else:
                mine = allocated_tokens(node, self.virtual_nodes, held, weights)
            taken.update(dict.fromkeys(mine, node.name))
            held[node.name], weights[node.name] = mine, node.weight
        return held


_ENVELOPE: Envelope[tuple[tuple[Node, ...], int, Allocation, list[tuple[int, ...]]]] = Envelope(
    "ring", 1, tuple[tuple[Node, ...], int, Allocation, list[tuple[int, ...]]]
)
