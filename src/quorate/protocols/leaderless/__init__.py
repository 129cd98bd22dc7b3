"""Leaderless replication: quorums, hints, repair, conflict rules. Source: DeCandia et al. 2007 (Dynamo)."""

from quorate.protocols.leaderless.calls import (
    LEVELS,
    Batch,
    PeerDown,
    PeerUp,
    Reconcile,
    Reconfigure,
    Request,
    Synchronized,
    Tick,
)
from quorate.protocols.leaderless.cells import COUNTER, HASH, LWW, MIXED, SET, SIBLINGS, CellRule, Kind
from quorate.protocols.leaderless.changes import (
    Add,
    AnyChange,
    Change,
    Count,
    Delete,
    Put,
    Remove,
    RemoveFields,
    SetFields,
)
from quorate.protocols.leaderless.config import LeaderlessConfig, Purge, ReadRepair
from quorate.protocols.leaderless.outputs import Answered, CellChanged, Failed, Settled
from quorate.protocols.leaderless.records import RECORDS, Adopted, Born, Hinted, HintGone, Stored, canonical
from quorate.protocols.leaderless.rulebook import MERGES, rule_named
from quorate.protocols.leaderless.rules import ChangeRefused, Rule, Seen
from quorate.protocols.leaderless.siblings import MergeFunction
from quorate.protocols.leaderless.topology import REPLICA_COUNT_MAX, Place, Preferences, Topology, topology_of

__all__ = [
    "COUNTER",
    "HASH",
    "LEVELS",
    "LWW",
    "MERGES",
    "MIXED",
    "RECORDS",
    "REPLICA_COUNT_MAX",
    "SET",
    "SIBLINGS",
    "Add",
    "Adopted",
    "Answered",
    "AnyChange",
    "Batch",
    "Born",
    "CellChanged",
    "CellRule",
    "Change",
    "ChangeRefused",
    "Count",
    "Delete",
    "Failed",
    "HintGone",
    "Hinted",
    "Kind",
    "LeaderlessConfig",
    "MergeFunction",
    "PeerDown",
    "PeerUp",
    "Place",
    "Preferences",
    "Purge",
    "Put",
    "ReadRepair",
    "Reconcile",
    "Reconfigure",
    "Remove",
    "RemoveFields",
    "Request",
    "Rule",
    "Seen",
    "SetFields",
    "Settled",
    "Stored",
    "Synchronized",
    "Tick",
    "Topology",
    "canonical",
    "rule_named",
    "topology_of",
]
