"""[keyspaces.NAME]: what a part of the data promises and how it is kept: placement, replication, conflicts, isolation.

A keyspace without a table is the usual one: databases 0 to 15 on Raft. One with a table is chosen in the Redis door by
its database number, by a prefix of its keys, or both, and in Python by its name.
"""

from typing import Final

import msgspec

from quorate.kernel import GroupId, NodeId, hash_key

DATABASE_COUNT: Final = 16
"""Databases that the Redis door offers."""

NAME_MAX: Final = 64
_GROUP_BASE: Final = 1 << 20
"""Groups below are Raft's."""


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[keyspaces.NAME.placement]: which nodes hold which keys."""

    # ring: a hash ring per data centre (leaderless); slots: hash slots dealt to the Raft groups; range: all keys in
    # order in one Raft group. "": ring for leaderless, slots for Raft.
    by: str = ""
    # Places of each node on the ring. Greater: better balance, more ranges to compare and to move.
    virtual_nodes: int = 16


class Replication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[keyspaces.NAME.replication]: how copies are kept."""

    # raft: one log orders all writes, a majority must be up; leaderless: any node takes a write, and quorums decide.
    by: str = "raft"
    # Copies of each key; for several data centres a table name → copies. Left out: 3, or all nodes if there are fewer.
    replicas: int | dict[str, int] | None = None
    # How many copies must answer a read, as a number or a word: ONE, TWO, THREE, QUORUM, ALL, LOCAL_ONE, LOCAL_QUORUM.
    read: int | str = "QUORUM"
    # How many copies must have a write on disk before it is answered; beside the words of `read` also ANY (a hint on
    # any node) and EACH_QUORUM (a quorum in every data centre).
    write: int | str = "QUORUM"
    # Nodes that cannot be reached are stood in for, and the stand-ins count. Greater availability of writes; a read
    # may miss a write that was acknowledged.
    sloppy: bool = False
    # blocking: a read that found differences repairs before it answers; background: after; none.
    read_repair: str = "blocking"
    # Ask one copy for the value and the others for its digest.
    digest_reads: bool = True
    # One more copy is asked for a read after this, ms; 0: all are asked at once.
    speculative_delay_ms: int = 20
    # A request ends after this, ms; if it was a write it may still happen.
    request_timeout_ms: int = 2_000
    # A copy that has not answered a write after this gets a hint, ms.
    hint_delay_ms: int = 500
    # Hints are kept for so long, seconds; must be shorter than `tombstone_grace_s`.
    hint_window_s: int = 3 * 3600
    # More hints for one node are not kept.
    hint_count_max: int = 100_000
    # Hints sent to a node that came back, per second.
    hint_rate: int = 2_000
    # grace: a tombstone goes when it is older than `tombstone_grace_s`; repair: when all owners agreed on its range
    # since; never.
    purge: str = "grace"
    # Longer than any node is away before it is removed, or deletes come undone; seconds.
    tombstone_grace_s: int = 10 * 24 * 3600
    # Compare copies in the background and mend what differs.
    anti_entropy: bool = True
    # Every range is compared with every other owner once in this span, seconds. Greater: less traffic, longer until
    # copies agree.
    anti_entropy_interval_s: int = 10
    # How fast a node that is gone is noticed: local, lan or wan.
    detector: str = "lan"
    # Cells per second that a node streams to new owners when members change.
    stream_rate: int = 5_000
    # Values of one key that may live side by side; a write beyond is refused with TOOMANYSIBLINGS.
    sibling_count_max: int = 100
    # Requests that this node coordinates at one time; more: OVERLOADED, not done.
    pending_count_max: int = 50_000


class Keyspace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[keyspaces.NAME]: one part of the data, declared alike on all nodes."""

    # Which nodes hold which keys.
    placement: Placement = Placement()
    # How copies are kept.
    replication: Replication = Replication()
    # Leaderless: lww (the write with the newest stamp stays), siblings (concurrent values stay side by side until a
    # client resolves them), crdt, or merge:NAME of a function in [merges]. Left out: lww.
    conflicts: str = ""
    # Raft: serializable. Leaderless: none. What cannot be had is refused with the reason.
    isolation: str = ""
    # Raft: linearizable. Leaderless: eventual, or what every session has (a connection to the Redis door, a session of
    # the Python API): read-your-writes, monotonic-reads, monotonic-writes, writes-follow-reads; in Python also causal.
    consistency: str = ""
    # The numbered database of the Redis door. With a prefix and no number: 0.
    database: int | None = None
    # Only keys that begin so belong to it; in Python, keys are named without it.
    prefix: str = ""
    # false: writes are answered before anything was done, and nobody is told when they are lost.
    acknowledge: bool = True

    @property
    def is_leaderless(self) -> bool:
        """Whether there is no leader."""
        return self.replication.by == "leaderless"

    @property
    def is_selectable(self) -> bool:
        """Whether the Redis door offers it."""
        return self.database is not None or bool(self.prefix)

    @property
    def rule(self) -> str:
        """The conflict rule in force."""
        return self.conflicts or "lww"


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[nodes.N]: where a node stands; copies are spread over data centres, zones and racks."""

    # Data centres replicate to each other without waiting.
    datacenter: str = ""
    # Fails together: copies go to different zones first.
    zone: str = ""
    # Fails together within a zone.
    rack: str = ""
    # Its share of the data relative to other nodes.
    weight: float = 1.0


def group_of(name: str) -> GroupId:
    """Return the group in the node's log that a keyspace writes as: of its name alone, whatever else is declared."""
    return GroupId(_GROUP_BASE + hash_key(name.encode()) % (1 << 30))


def is_leaderless(group: GroupId) -> bool:
    """Return whether a group in a node's log is a leaderless keyspace, declared or not."""
    return group >= _GROUP_BASE


def replica_counts(keyspace: Keyspace, nodes: tuple[NodeId, ...], sites: dict[NodeId, Site]) -> dict[str, int]:
    """Return data centre → copies, with the default filled in."""
    wanted = keyspace.replication.replicas
    if isinstance(wanted, dict):
        return dict(sorted(wanted.items()))
    counts: dict[str, int] = {}
    for node in nodes:
        place = sites.get(node, Site()).datacenter
        counts[place] = counts.get(place, 0) + 1
    return {name: min(3, count) if wanted is None else wanted for name, count in sorted(counts.items())}
