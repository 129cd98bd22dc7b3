"""Which declarations of a keyspace cannot be kept, and why: refused at the start, before anybody relies on them.

Theory. While nodes cannot talk to each other, a copy that answers without the others can promise neither recency nor an
order in which conflicting writes happen; what remains possible is in the table of highly available transactions. What
is promised must also follow from the numbers: with R + W <= N a read may ask only copies that missed a write.

Source      Bailis et al. 2014, "Highly Available Transactions", table 3; Gilbert & Lynch 2002; Dynamo (2007), 4.5;
            Vogels 2009 for R + W > N; resurrection by a late hint: Cassandra's documentation on hints and tombstones.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from quorate.kernel import NodeId
from quorate.protocols.leaderless import LEVELS, REPLICA_COUNT_MAX
from quorate.server.keyspaces import DATABASE_COUNT, NAME_MAX, Keyspace, Site, group_of, replica_counts

STICKY: Final = ("read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads", "causal")
"""What a session can give while its client stays with nodes that it can reach."""

CONSISTENCIES: Final = ("linearizable", "sequential", *STICKY, "eventual")
_UNAVAILABLE_ISOLATIONS: Final = {
    "strict-serializable": "needs every transaction to see all that ended before it began",
    "serializable": "needs one order of all transactions, and copies that cannot talk cannot agree on one (write skew)",
    "snapshot": "must prevent lost updates, and of two copies that cannot talk neither sees the other's update",
    "repeatable-read": "must prevent write skew, which two copies that cannot talk do not notice",
    "cursor-stability": "must prevent lost updates, and of two copies that cannot talk neither sees the other's update",
}
_AVAILABLE_ISOLATIONS: Final = ("read-uncommitted", "read-committed", "monotonic-atomic-view", "item-cut")
NO_LOST_UPDATES: Final = "no-lost-updates"
ISOLATIONS: Final = ("none", *_AVAILABLE_ISOLATIONS, NO_LOST_UPDATES, *_UNAVAILABLE_ISOLATIONS)
BUILT_IN_MERGES: Final = ("lines", "max", "min")
_READ_LEVELS: Final = tuple(level for level in LEVELS if level not in ("NONE", "ANY", "EACH_QUORUM"))


class Refusal(NamedTuple):
    """Why a keyspace cannot be had as declared."""

    # The key that is wrong, below [keyspaces.NAME].
    key: str
    sentence: str
    # Name of the anomaly that a simulated run of this design shows; empty where it is no question of consistency.
    anomaly: str = ""


def refusals(
    keyspace: Keyspace, *, nodes: tuple[NodeId, ...], sites: Mapping[NodeId, Site], group_count: int = 1
) -> list[Refusal]:
    """Return all reasons against one declaration; empty when it can be kept.

    Args:
        keyspace: as declared.
        nodes: that shall hold it.
        sites: where they stand.
        group_count: of the Raft logs of the cluster.
    """
    found: Iterator[Refusal]
    match keyspace.replication.by:
        case "raft":
            found = _raft(keyspace, nodes, group_count)
        case "leaderless":
            found = _leaderless(keyspace, nodes, dict(sites))
        case other:
            return [Refusal("replication.by", f"{other!r} is not known; known are raft, leaderless")]
    return [*_words(keyspace), *found]


def problems(
    keyspaces: Mapping[str, Keyspace],
    *,
    nodes: tuple[NodeId, ...],
    sites: Mapping[NodeId, Site],
    group_count: int = 1,
    merges: Mapping[str, str],
) -> Iterator[tuple[str, Refusal]]:
    """Yield (keyspace, why) for all keyspaces of a cluster: one by one, then those that claim the same keys.

    Args:
        keyspaces: by name.
        nodes: that shall hold them.
        sites: where they stand.
        group_count: of the Raft logs of the cluster.
        merges: the declared merge functions, by name.
    """
    groups: dict[int, str] = {}
    for name, keyspace in sorted(keyspaces.items()):
        other = groups.setdefault(group_of(name), name)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or len(name) > NAME_MAX:
            yield name, Refusal("", f"a name has 1 to {NAME_MAX} letters, digits, - and _")
        elif other != name:
            yield name, Refusal("", f"the name has the same hash as {other}; choose another")
        if keyspace.database is not None and not 0 <= keyspace.database < DATABASE_COUNT:
            yield name, Refusal("database", f"must be from 0 to {DATABASE_COUNT - 1}")
        merge = keyspace.conflicts.removeprefix("merge:")
        if merge != keyspace.conflicts and merge not in (*BUILT_IN_MERGES, *merges):
            known = ", ".join(BUILT_IN_MERGES)
            yield name, Refusal("conflicts", f"merges.{merge} is not declared, and not one of {known}")
        for refusal in refusals(keyspace, nodes=nodes, sites=sites, group_count=group_count):
            yield name, refusal
    yield from _overlaps(keyspaces)


def _words(keyspace: Keyspace) -> Iterator[Refusal]:
    """Yield what is no word of this configuration."""
    if keyspace.consistency and keyspace.consistency not in CONSISTENCIES:
        yield Refusal("consistency", f"{keyspace.consistency!r} is not known; known are {', '.join(CONSISTENCIES)}")
    if keyspace.isolation and keyspace.isolation not in ISOLATIONS:
        yield Refusal("isolation", f"{keyspace.isolation!r} is not known; known are {', '.join(ISOLATIONS)}")
    if keyspace.placement.by not in ("", "ring", "slots", "range"):
        yield Refusal("placement.by", f"{keyspace.placement.by!r} is not known; known are ring, slots, range")
    if keyspace.conflicts not in ("", "lww", "siblings", "crdt") and not keyspace.conflicts.startswith("merge:"):
        known = "lww, siblings, crdt, merge:NAME"
        yield Refusal("conflicts", f"{keyspace.conflicts!r} is not known; known are {known}")
    known_words = {
        "read_repair": ("blocking", "background", "none"),
        "purge": ("grace", "repair", "never"),
        "detector": ("local", "lan", "wan"),
    }
    for key, words in known_words.items():
        word = getattr(keyspace.replication, key)
        if word not in words:
            yield Refusal(f"replication.{key}", f"{word!r} is not known; known are {', '.join(words)}")


def _raft(keyspace: Keyspace, nodes: tuple[NodeId, ...], group_count: int) -> Iterator[Refusal]:
    copies = keyspace.replication.replicas
    if copies is not None and copies != len(nodes):
        yield Refusal(
            "replication.replicas", f"Raft keeps a copy on every member: {len(nodes)}, or leave it out; not {copies}"
        )
    if keyspace.placement.by == "ring":
        yield Refusal("placement.by", "a ring places keys of leaderless keyspaces; Raft's keys go by slots or range")
    if keyspace.placement.by == "range" and group_count > 1:
        yield Refusal("placement.by", f"keys are dealt to {group_count} Raft groups by slots; range needs one group")
    if keyspace.conflicts:
        yield Refusal("conflicts", "there are none on Raft: its log orders all writes")
    if not keyspace.acknowledge:
        yield Refusal("acknowledge", "Raft answers when a majority has the write; declare it leaderless for less")
    if not keyspace.is_selectable:
        yield Refusal("database", "a Raft keyspace is one of the databases 0 to 15, or the keys with a prefix in one")
    if keyspace.replication.sloppy:
        yield Refusal("replication.sloppy", "Raft counts its members only; a stand-in has no vote")


def _leaderless(keyspace: Keyspace, nodes: tuple[NodeId, ...], sites: dict[NodeId, Site]) -> Iterator[Refusal]:
    if keyspace.placement.by not in ("", "ring"):
        yield Refusal("placement.by", f"{keyspace.placement.by!r} is Raft's; leaderless keys are placed by ring")
    counts = replica_counts(keyspace, nodes, sites)
    yield from _copies(counts, nodes, sites)
    yield from _bounds(keyspace)
    n = sum(counts.values())
    sizes = [quorum_size(getattr(keyspace.replication, key), counts) for key in ("read", "write")]
    yield from _levels(keyspace, n)
    yield from _weak(keyspace)
    yield from _isolation(keyspace)
    yield from _consistency(keyspace, n, *sizes)


def _copies(counts: dict[str, int], nodes: tuple[NodeId, ...], sites: dict[NodeId, Site]) -> Iterator[Refusal]:
    if not counts:
        yield Refusal("replication.replicas", "no data centre holds any copy")
    for name, count in counts.items():
        members = [node for node in nodes if sites.get(node, Site()).datacenter == name]
        where = f"data centre {name!r}" if name else "the cluster"
        if not 1 <= count <= REPLICA_COUNT_MAX:
            yield Refusal("replication.replicas", f"{where} can hold 1 to {REPLICA_COUNT_MAX} copies, not {count}")
        elif count > len(members):
            yield Refusal(
                "replication.replicas",
                f"{count} copies need as many nodes; {where} has {len(members)}"
                + ("" if members or not name else " (see [nodes.N] datacenter)"),
            )


def _bounds(keyspace: Keyspace) -> Iterator[Refusal]:
    replication = keyspace.replication
    for key in (
        "request_timeout_ms", "hint_delay_ms", "hint_rate", "stream_rate", "sibling_count_max", "pending_count_max",
        "anti_entropy_interval_s",
    ):  # fmt: skip
        if getattr(replication, key) < 1:
            yield Refusal(f"replication.{key}", "must be 1 or more")
    for key in ("speculative_delay_ms", "hint_window_s", "hint_count_max", "tombstone_grace_s"):
        if getattr(replication, key) < 0:
            yield Refusal(f"replication.{key}", "must be 0 or more")
    if not 1 <= keyspace.placement.virtual_nodes <= 1024:
        yield Refusal("placement.virtual_nodes", "must be from 1 to 1024")
    if replication.purge == "grace" and replication.hint_window_s >= replication.tombstone_grace_s:
        yield Refusal(
            "replication.hint_window_s",
            f"hints of {replication.hint_window_s} s outlive tombstones of {replication.tombstone_grace_s} s"
            " (tombstone_grace_s): a late hint would bring a deleted key back",
            "resurrection",
        )
    if replication.purge == "repair" and not replication.anti_entropy:
        yield Refusal("replication.purge", "repair: without anti_entropy no comparison ever ends, so nothing is purged")


def _levels(keyspace: Keyspace, n: int) -> Iterator[Refusal]:
    replication = keyspace.replication
    for key, known in (("read", _READ_LEVELS), ("write", LEVELS)):
        level = level_word(getattr(replication, key))
        if level.isdigit():
            if not 1 <= int(level) <= n:
                yield Refusal(f"replication.{key}", f"{level} of {n} copies cannot be had")
        elif level not in known:
            only = " (a write's level)" if level in LEVELS else ""
            yield Refusal(f"replication.{key}", f"{level!r}{only} is not known; known are {', '.join(known)}")
        elif {"ONE": 1, "TWO": 2, "THREE": 3}.get(level, 0) > n:
            yield Refusal(f"replication.{key}", f"{level} of {n} copies cannot be had")


def _weak(keyspace: Keyspace) -> Iterator[Refusal]:
    """Yield what fire-and-forget writes cannot go with."""
    level = level_word(keyspace.replication.write)
    if level == "NONE" and keyspace.acknowledge:
        yield Refusal("replication.write", "NONE promises nothing: say so with acknowledge = false")
    if keyspace.acknowledge:
        return
    if level not in ("NONE", "QUORUM"):
        yield Refusal("replication.write", f"{level} waits for copies, acknowledge = false for none; leave one out")
    if keyspace.consistency not in ("", "eventual"):
        yield Refusal(
            "consistency",
            f"{keyspace.consistency} says what is seen of a write; with acknowledge = false it may be lost unseen",
            "lost write",
        )
    if keyspace.isolation == NO_LOST_UPDATES:
        yield Refusal("isolation", "with acknowledge = false a write may be lost and nobody is told", "lost write")


def _isolation(keyspace: Keyspace) -> Iterator[Refusal]:
    word, rule = keyspace.isolation, keyspace.rule
    if word in _UNAVAILABLE_ISOLATIONS:
        why = _UNAVAILABLE_ISOLATIONS[word]
        yield Refusal("isolation", f"{word} {why}; declare it on Raft (replication.by)", "lost update")
    elif word in _AVAILABLE_ISOLATIONS:
        yield Refusal("isolation", f"{word}: leaderless keyspaces have no transactions; each key stands for itself")
    elif word == NO_LOST_UPDATES and rule in ("lww", "crdt"):
        yield Refusal(
            "isolation",
            f"strings of {rule} keep one of two concurrent writes and drop the other, though both were acknowledged;"
            ' declare conflicts = "siblings"',
            "lost update",
        )


def _consistency(keyspace: Keyspace, n: int, r: int, w: int) -> Iterator[Refusal]:
    word, replication = keyspace.consistency, keyspace.replication
    if word not in ("linearizable", "sequential"):
        return
    if replication.sloppy:
        yield Refusal(
            "consistency",
            f"{word} with sloppy quorums: what stand-ins acknowledged is on none of the copies that a read asks",
            "stale read",
        )
    if r + w <= n:
        yield Refusal(
            "consistency",
            f"{word} with R + W <= N ({r} + {w} <= {n}): a read may ask only copies that a write has not reached",
            "stale read",
        )
    elif not replication.sloppy:
        yield Refusal(
            "consistency",
            f"{word} on leaderless: quorums overlap, but a later write through a node whose clock is behind has the"
            " older stamp and is swallowed, and a write that failed may be seen, then not; declare it on Raft",
            "swallowed write",
        )


def level_word(level: int | str) -> str:
    """Return a level as requests carry it: a word in upper case, or digits."""
    return str(level).upper()


def quorum_size(level: int | str, counts: Mapping[str, int]) -> int:
    """Return how many copies a level waits for, at least; 0 for one that promises none, or is not known."""
    n = sum(counts.values())
    word = level_word(level)
    if word.isdigit():
        return int(word)
    smallest = min(counts.values(), default=0)
    sizes = {
        "ONE": 1, "TWO": 2, "THREE": 3, "QUORUM": n // 2 + 1, "ALL": n, "LOCAL_ONE": 1,
        "LOCAL_QUORUM": smallest // 2 + 1, "EACH_QUORUM": sum(count // 2 + 1 for count in counts.values()),
    }  # fmt: skip
    return sizes.get(word, 0)


def _overlaps(keyspaces: Mapping[str, Keyspace]) -> Iterator[tuple[str, Refusal]]:
    """Yield (name, why) for every two keyspaces that claim the same keys of the Redis door."""
    chosen = [(name, one.database or 0, one.prefix) for name, one in sorted(keyspaces.items()) if one.is_selectable]
    for place, (name, database, prefix) in enumerate(chosen):
        for other, other_database, other_prefix in chosen[:place]:
            if database != other_database:
                continue
            if prefix.startswith(other_prefix) or other_prefix.startswith(prefix):
                key = "prefix" if prefix and other_prefix else "database"
                yield name, Refusal(key, f"database {database} with prefix {prefix!r} is also claimed by {other}")
