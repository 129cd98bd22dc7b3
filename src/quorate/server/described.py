"""What a node says of its keyspaces: in QUORATE.KEYSPACES, `quorate status`, /status and /metrics."""

from collections.abc import Mapping

from quorate.kernel import NodeId
from quorate.server.available import AvailableReplica
from quorate.server.config import Config
from quorate.server.declared import level_word
from quorate.server.keyspaces import Keyspace, replica_counts
from quorate.store import KeyspaceInfo


def design_of(keyspace: Keyspace, config: Config) -> str:
    """Return copies and levels in words: `leaderless N=3 R=QUORUM W=1 sloppy`."""
    nodes = tuple(NodeId(int(node)) for node in sorted(config.peers))
    if not keyspace.is_leaderless:
        return f"{keyspace.replication.by} on {len(nodes)} nodes"
    sites = {NodeId(int(node)): site for node, site in config.nodes.items()}
    counts = replica_counts(keyspace, nodes, sites)
    copies = "+".join(f"{count}({name})" if name else str(count) for name, count in counts.items())
    write = level_word(keyspace.replication.write) if keyspace.acknowledge else "NONE"
    sloppy = " sloppy" if keyspace.replication.sloppy else ""
    return f"leaderless N={copies} R={level_word(keyspace.replication.read)} W={write}{sloppy}"


def keyspace_infos(config: Config, replicas: Mapping[str, AvailableReplica]) -> list[KeyspaceInfo]:
    """Return what a node knows of the declared keyspaces, by name."""
    return [
        KeyspaceInfo(
            name=name,
            by=keyspace.replication.by,
            database=(keyspace.database or 0) if keyspace.is_selectable else None,
            prefix=keyspace.prefix,
            design=design_of(keyspace, config),
            conflicts=keyspace.rule if keyspace.is_leaderless else "",
            consistency=keyspace.consistency or ("eventual" if keyspace.is_leaderless else "linearizable"),
            read_repair=keyspace.replication.read_repair if keyspace.is_leaderless else "",
            counters=replicas[name].counters() if name in replicas else {},
        )
        for name, keyspace in sorted(config.keyspaces.items())
    ]
