"""A whole member of a cluster: configuration, node, doors. The same in every world."""

from quorate.server.available import machine_config
from quorate.server.config import (
    Config,
    Limits,
    Listen,
    Storage,
    Timing,
    check,
    check_keyspaces,
    keyspace_problems,
    load,
    parse,
    parse_address,
    to_keyspaces,
)
from quorate.server.declared import Refusal
from quorate.server.keyspaces import Keyspace, Placement, Replication, Site, group_of, is_leaderless, replica_counts
from quorate.server.merges import load_merges
from quorate.server.node import Node
from quorate.server.replica import Replica, founding_mark, open_state
from quorate.server.rest import decoded, name_at_rest, records_at_rest, rule_at_rest
from quorate.server.saved import (
    Joined,
    Share,
    check_cells,
    found_keyspace,
    join_known,
    join_shares,
    load_share,
    share_chunks,
)
from quorate.server.server import Server
from quorate.server.topologies import first_topology

__all__ = [
    "Config",
    "Joined",
    "Keyspace",
    "Limits",
    "Listen",
    "Node",
    "Placement",
    "Refusal",
    "Replica",
    "Replication",
    "Server",
    "Share",
    "Site",
    "Storage",
    "Timing",
    "check",
    "check_cells",
    "check_keyspaces",
    "decoded",
    "first_topology",
    "found_keyspace",
    "founding_mark",
    "group_of",
    "is_leaderless",
    "join_known",
    "join_shares",
    "keyspace_problems",
    "load",
    "load_merges",
    "load_share",
    "machine_config",
    "name_at_rest",
    "open_state",
    "parse",
    "parse_address",
    "records_at_rest",
    "replica_counts",
    "rule_at_rest",
    "share_chunks",
    "to_keyspaces",
]
