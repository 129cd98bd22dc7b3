"""What a node must fetch when the topology changes: the ranges of the movement plan, and whom to ask for them.

Theory. A write that was done has W copies among the old owners. Let every newcomer copy what the owner that it replaces
held: then each of those copies is still there, and W of the new owners have it. Where the replaced owner is gone, or
nobody is replaced (one copy more), the newcomer merges what at least a majority of the old owners hold: any write that
a majority has is among it, and writes that fewer have are where they were, on owners that stay.

Source      Cassandra's consistent range movement; plans: `placement.MovementPlan`.
"""

from typing import Final, NamedTuple

from quorate.kernel import HASH_COUNT, NodeId
from quorate.placement import Cell, MovementPlan
from quorate.protocols.leaderless.topology import Preferences

_ALL: Final = HASH_COUNT


class Gain(NamedTuple):
    """A range of hashes that a node comes to own."""

    start: int
    end: int
    # The owner whose place it takes; None: it is one copy more.
    leaver: NodeId | None
    # All old owners, the leaver too.
    owners: tuple[NodeId, ...]


def plan_of(before: Preferences, after: Preferences, datacenter: str) -> MovementPlan:
    """Return what moves in one data centre.

    Complexity: O(runs of both rings · copies).
    """
    old, new = before.datacenter_of, after.datacenter_of
    return MovementPlan(
        _changed_cells(before, after, datacenter),
        added=[int(node) for node in new if node not in old],
        removed=[int(node) for node in old if node not in new],
        owner_count=after.topology.replica_counts.get(datacenter, 1),
        is_exact=True,
    )


def gains_of(before: Preferences, after: Preferences, node: NodeId) -> list[Gain]:
    """Return what a node must fetch, in the order of its ranges; neighbours with the same sources are one.

    Where its data centre held no copies, all owners elsewhere are the old ones.
    """
    datacenter = after.datacenter_of.get(node)
    if datacenter is None or datacenter not in after.topology.replica_counts:
        return []
    cells = {cell.start: cell for cell in _changed_cells(before, after, datacenter)}
    gains: list[Gain] = []
    for move in plan_of(before, after, datacenter).moves:
        if move.target != node:
            continue
        cell = cells[move.start]
        start, end = int(cell.start), _ALL if cell.end is None else int(cell.end)
        owners = tuple(NodeId(int(name)) for name in cell.before)
        leaver = NodeId(int(move.source)) if move.source not in cell.after else None
        last = gains[-1] if gains else None
        if last is not None and (last.end, last.leaver, last.owners) == (start, leaver, owners):
            gains[-1] = last._replace(end=end)
        else:
            gains.append(Gain(start, end, leaver, owners))
    return gains


def gives_away(before: Preferences, after: Preferences, node: NodeId) -> bool:
    """Return whether a node owns any range no more."""
    home, new_home = before.datacenter_of.get(node), after.datacenter_of.get(node)
    if home is None or home not in before.datacenters:
        return False
    if home != new_home or home not in after.datacenters:
        return True
    return any(int(node) in cell.before and int(node) not in cell.after for cell in _changed_cells(before, after, home))


def _changed_cells(before: Preferences, after: Preferences, datacenter: str) -> list[Cell]:
    """Return the runs of hashes whose owners in a data centre change."""
    old_home = [datacenter] if datacenter in before.datacenters else list(before.datacenters)
    edges = [start for name in old_home for start in before.cell_starts(name)]
    starts = sorted(dict.fromkeys([*edges, *after.cell_starts(datacenter)]))
    cells = []
    for start, end in zip(starts, [*starts[1:], _ALL], strict=True):
        owners = tuple(int(node) for name in old_home for node in before.owners_of_hash(start, name))
        owners_after = tuple(int(node) for node in after.owners_of_hash(start, datacenter))
        if sorted(owners) != sorted(owners_after):
            cells.append(Cell(start, end, (end - start) / _ALL, owners, owners_after))
    return cells
