"""Who owns which key, and what moves when nodes come and go."""

from quorate.placement.anchor import AnchorHash
from quorate.placement.bounded import BoundedLoad
from quorate.placement.comparison import (
    ComparisonRow,
    balance,
    compare,
    loss_probability,
    repair_fanout,
    replica_sets,
)
from quorate.placement.directory import Directory
from quorate.placement.fixed import FixedPartitions
from quorate.placement.functions import Jump, Modulo, Rendezvous
from quorate.placement.maglev import Maglev
from quorate.placement.nodes import (
    BadWeight,
    Node,
    NodeLike,
    NodeName,
    NoNodes,
    RepeatedNode,
    TooFewNodes,
    UnknownNode,
)
from quorate.placement.placement import HashPlacement, Placement
from quorate.placement.plans import Cell, Move, MovementPlan, Proof
from quorate.placement.plot import to_svg
from quorate.placement.ranges import BadRange, HotSpot, KeyRange, RangePlacement, ordered_key
from quorate.placement.ring import Allocation, Ring

__all__ = [
    "Allocation",
    "AnchorHash",
    "BadRange",
    "BadWeight",
    "BoundedLoad",
    "Cell",
    "ComparisonRow",
    "Directory",
    "FixedPartitions",
    "HashPlacement",
    "HotSpot",
    "Jump",
    "KeyRange",
    "Maglev",
    "Modulo",
    "Move",
    "MovementPlan",
    "NoNodes",
    "Node",
    "NodeLike",
    "NodeName",
    "Placement",
    "Proof",
    "RangePlacement",
    "Rendezvous",
    "RepeatedNode",
    "Ring",
    "TooFewNodes",
    "UnknownNode",
    "balance",
    "compare",
    "loss_probability",
    "ordered_key",
    "repair_fanout",
    "replica_sets",
    "to_svg",
]
