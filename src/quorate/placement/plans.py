"""What moves when nodes come or go, and the proof that no more moves than must.

Theory. Compare the owners of every cell (a run of hashes or keys with the same owners) before and after. A copy must
move when its node goes, and when a new node takes it; a copy that goes from one node that stays to another one that
stays is *needless*. A newcomer among the owners of a cell is therefore needed if it is a new node, or replaces a node
that goes; all others are needless. A plan without needless moves is minimal for the placement that it leads to.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

from quorate.placement.nodes import NodeName


class Move(NamedTuple):
    """One copy of one cell that must be sent."""

    # First hash (or key) of the cell, and the one after its last; None for no end. Of a sampled plan, the probe itself.
    start: int | bytes
    end: int | bytes | None
    # Who holds a copy before: the owner that gives its place up, or, for an additional copy, the first owner.
    source: NodeName
    # Who needs one after.
    target: NodeName
    # Share of all keys in the cell, 0 to 1.
    share: float
    # Whether neither the source goes nor the target comes: a better placement would not need this move.
    is_needless: bool


class Proof(NamedTuple):
    """The account of a plan, in shares of all copies (so 1.0 is everything, whatever the number of owners)."""

    moved_share: float
    needed_share: float
    needless_share: float

    @property
    def is_minimal(self) -> bool:
        """Whether no copy moves that could have stayed."""
        return self.needless_share == 0


class Cell(NamedTuple):
    """A run of hashes or keys with the same owners before, and the same owners after."""

    start: int | bytes
    end: int | bytes | None
    share: float
    before: tuple[NodeName, ...]
    after: tuple[NodeName, ...]


class MovementPlan:
    """The difference of two placements for a number of owners."""

    def __init__(
        self,
        cells: Collection[Cell],
        *,
        added: Sequence[NodeName],
        removed: Sequence[NodeName],
        owner_count: int,
        is_exact: bool,
    ) -> None:
        self.added = tuple(added)
        self.removed = tuple(removed)
        self.owner_count = owner_count
        # False when owners are not constant over runs of hashes: then cells are evenly spread probes, and shares are
        # estimates with an error of about 1 / sqrt(number of probes).
        self.is_exact = is_exact
        self._cells = cells

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """All copies that must be sent, in order of their cells; worked out when first asked for."""
        return tuple(move for cell in self._cells for move in self._moves_of(cell))

    def proof(self) -> Proof:
        """Return how much moves, and how much of that must. Complexity: O(moves)."""
        moved = sum(move.share for move in self.moves)
        needless = sum(move.share for move in self.moves if move.is_needless)
        return Proof(moved / self.owner_count, (moved - needless) / self.owner_count, needless / self.owner_count)

    def flows(self) -> dict[tuple[NodeName, NodeName], float]:
        """Return the share of keys that each pair of source and target has to move."""
        flows: dict[tuple[NodeName, NodeName], float] = {}
        for move in self.moves:
            pair = (move.source, move.target)
            flows[pair] = flows.get(pair, 0.0) + move.share
        return flows

    def merged_moves(self) -> list[Move]:
        """Return the moves with neighbouring cells of the same source and target joined, in order of their start."""
        open_moves: dict[tuple[NodeName, NodeName, bool], Move] = {}
        done: list[Move] = []
        for move in self.moves:
            pair = (move.source, move.target, move.is_needless)
            last = open_moves.get(pair)
            if last is not None and last.end == move.start and self.is_exact:
                open_moves[pair] = last._replace(end=move.end, share=last.share + move.share)
            else:
                if last is not None:
                    done.append(last)
                open_moves[pair] = move
        return sorted([*done, *open_moves.values()], key=lambda move: (move.start, str(move.target)))

    def _moves_of(self, cell: Cell) -> list[Move]:
        newcomers = [name for name in cell.after if name not in cell.before]
        # Those that go are replaced first, so that a newcomer counts as needed wherever one place was lost.
        leavers = sorted(
            (name for name in cell.before if name not in cell.after), key=lambda name: name not in self.removed
        )
        replaced_count = sum(name in self.removed for name in leavers)
        # New nodes come last among the newcomers' claims: survivors fill the places that were lost.
        newcomers.sort(key=lambda name: name in self.added)
        moves = []
        for number, target in enumerate(newcomers):
            source = leavers[number] if number < len(leavers) else cell.before[0]
            is_needed = target in self.added or number < replaced_count
            moves.append(Move(cell.start, cell.end, source, target, cell.share, not is_needed))
        return moves
