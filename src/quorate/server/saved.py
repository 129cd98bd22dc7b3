"""Leaderless keyspaces in a backup: what one node holds of each, and how the shares of many nodes become one again.

No node holds all of a leaderless keyspace, and copies differ. So a backup is a share from each node, and what is
restored is their join, cell by cell, by the keyspace's own rule: as if the copies had met once more. Cells are kept as
they are, with their stamps and tombstones; hints are cells whose owner was away. Who stamped them is not restored: the
new nodes draw new names, so no dot is given twice.

    share = a stream of chunks, laid out as a keyspace lies at rest (see `rest`), with the node's log folded in
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from quorate.kernel import HASH_COUNT, GroupId, Malformed, NodeId, Record
from quorate.kernel.errors import Refused, UsageError
from quorate.protocols.leaderless import (
    Adopted,
    Hinted,
    MergeFunction,
    Preferences,
    Stored,
    Topology,
    canonical,
    rule_named,
)
from quorate.server.keyspaces import Keyspace, Replication
from quorate.server.rest import Unwritten, decoded, name_at_rest, records_at_rest, rule_at_rest
from quorate.storage import Base, chunks_of


class Share(NamedTuple):
    """What one node held of a keyspace."""

    node: NodeId
    name: str
    # Empty: not known, an older version wrote it.
    rule: str
    records: list[Record]

    def topology(self) -> Topology | None:
        """Return the topology that the node had settled on; None when it knew none."""
        settled = [one.topology for one in self.records if isinstance(one, Adopted) and one.is_settled]
        return settled[-1] if settled else None


class CellCheck(NamedTuple):
    """What the cells of a node are."""

    living_count: int
    tombstone_count: int
    # Keys of cells that are none of their rule, hints among them.
    damaged: list[bytes]


class Joined(NamedTuple):
    """What the shares of a keyspace amount to."""

    cells: dict[bytes, bytes]
    tombstone_count: int
    share_count: int
    # Of every key, how many copies the shares hold at least; 0: of some keys none.
    copy_count: int
    # Of every key, how many copies there were.
    replica_count: int


def share_chunks(
    base: Base, group: GroupId, recovered: Iterable[tuple[int, bytes]], chunk_bytes: int
) -> tuple[str, int, Iterator[bytes]]:
    """Return a share of a keyspace: its name, how many cells it has, and its chunks.

    Args:
        base: the keyspace at rest.
        group: as which it writes to the log.
        recovered: what the node's log holds of it; what a checkpoint holds too does no harm.
        chunk_bytes: longest payload of a chunk.

    Raises:
        Corrupt: the base or the log holds something else.
        UsageError: it was never at rest, so its name is not known.
    """
    name, rule = name_at_rest(base), rule_at_rest(base)
    if not name:
        raise UsageError(f"keyspace {group} has no checkpoint yet: stop its node in good order first")
    records = [*records_at_rest(base), *(record for _ordinal, record in decoded(group, recovered))]
    share = Unwritten(records)
    held = [record for record in canonical(records) if isinstance(record, Stored | Hinted)]
    for record in held:
        share.note(record)
    pairs = sorted((place, data) for place, data in share.changes.items() if data is not None)
    cell_count = sum(isinstance(record, Stored) for record in held)
    return name, cell_count, chunks_of(share.meta(name, rule), pairs, chunk_bytes)


def load_share(node: NodeId, base: Base) -> Share:
    """Return the share in a base that its chunks were restored to; raise Corrupt when it holds something else."""
    return Share(node, name_at_rest(base), rule_at_rest(base), list(records_at_rest(base)))


def check_cells(rule_name: str, records: Iterable[Record]) -> CellCheck:
    """Look into every cell and hint of a node.

    Args:
        rule_name: that the cells were made by.
        records: canonical.

    Complexity: O(bytes of all cells).
    """
    # How values are merged does not matter for what a cell is.
    rule = rule_named("siblings" if rule_name.startswith("merge:") else rule_name)
    living_count, tombstone_count = 0, 0
    damaged: list[bytes] = []
    for record in records:
        if not isinstance(record, Stored | Hinted):
            continue
        try:
            cell = rule.merge(b"", record.cell)
        except Malformed:
            damaged.append(record.key)
            continue
        if isinstance(record, Stored):
            is_tombstone = rule.deleted_at_ms(cell) is not None
            tombstone_count += is_tombstone
            living_count += not is_tombstone
    return CellCheck(living_count, tombstone_count, damaged)


def join_shares(
    name: str, keyspace: Keyspace | None, shares: Sequence[Share], merges: Mapping[str, MergeFunction]
) -> Joined:
    """Return the join of all shares of a keyspace.

    Args:
        name: of the keyspace.
        keyspace: as the new cluster declares it; None: it does not.
        shares: at least one.
        merges: functions of merge rules, by name.

    Raises:
        Refused: it is not declared, is on Raft, has another conflict rule, or a cell is none of its rule.

    Complexity: O(cells of all shares).
    """
    if keyspace is None:
        raise Refused(f"the snapshot holds keyspace {name}, and the configuration declares none of this name")
    if not keyspace.is_leaderless:
        raise Refused(f"keyspace {name} is leaderless in the snapshot, and on Raft in the configuration")
    rule = rule_named(keyspace.rule, merges=merges)
    cells: dict[bytes, bytes] = {}
    for share in shares:
        if share.rule not in {"", keyspace.rule}:
            raise Refused(f"keyspace {name} has conflicts = {share.rule!r} in the snapshot, not {keyspace.rule!r}")
        for record in share.records:
            if isinstance(record, Stored | Hinted):
                try:
                    # The first merge judges the cell: two that are equal are not looked into.
                    cells[record.key] = rule.merge(cells.get(record.key, b""), rule.merge(b"", record.cell))
                except Malformed as cause:
                    raise Refused(f"keyspace {name}: cells of another rule than {keyspace.rule!r}: {cause}") from cause
    topologies = [found for share in shares if (found := share.topology()) is not None]
    return Joined(
        cells=cells,
        tombstone_count=sum(rule.deleted_at_ms(cell) is not None for cell in cells.values()),
        share_count=len(shares),
        copy_count=copies_of_all(shares),
        replica_count=max((sum(found.replica_counts.values()) for found in topologies), default=0),
    )


def join_known(shares: Sequence[Share]) -> dict[bytes, bytes]:
    """Return the join of all shares of a keyspace by the rule that they name.

    Raises:
        Refused: they name none, or different ones, or a cell is none of it.
    """
    rules = sorted({share.rule for share in shares})
    name = shares[0].name
    if rules == [""] or len(rules) > 1:
        raise Refused(f"keyspace {name}: the snapshots name no one conflict rule; restore them, and save again")
    # What a merge function makes of values is no part of a cell.
    plain = "siblings" if rules[0].startswith("merge:") else rules[0]
    declared = Keyspace(replication=Replication(by="leaderless"), conflicts=plain)
    return join_shares(name, declared, [share._replace(rule=plain) for share in shares], {}).cells


def copies_of_all(shares: Iterable[Share]) -> int:
    """Return how many copies of every key the shares hold at least: each node's, by the topology it had settled on.

    Complexity: O(tokens · copies · shares).
    """
    changes: dict[int, int] = {0: 0, HASH_COUNT: 0}
    for share in shares:
        topology = share.topology()
        if topology is None:
            continue
        for start, end, owners in Preferences(topology).runs():
            if share.node in owners:
                changes[start] = changes.get(start, 0) + 1
                changes[end] = changes.get(end, 0) - 1
    count, least = 0, None
    for place in sorted(changes):
        if place < HASH_COUNT:
            count += changes[place]
            least = count if least is None else min(least, count)
    return least or 0


async def found_keyspace(
    base: Base, name: str, keyspace: Keyspace, topology: Topology, node: NodeId, joined: Joined
) -> int:
    """Put what a node of a new cluster holds of a keyspace to rest; return how many cells that is.

    Args:
        base: empty.
        name: of the keyspace.
        keyspace: as declared.
        topology: the first of the new cluster.
        node: whose base it is.
        joined: all cells.

    Raises:
        DiskFull, StorageError: from the base.
    """
    preferences = Preferences(topology)
    share = Unwritten([Adopted(topology, is_settled=True)])
    for key, cell in joined.cells.items():
        if node in preferences.owners(key):
            share.note(Stored(key, cell))
    await base.checkpoint(share.changes, share.meta(name, keyspace.rule))
    return len(share.changes)
