"""Logical and physical time: what came before what, and how well anybody can know."""

from quorate.clocks.contexts import CausalContext
from quorate.clocks.hybrid import (
    DRIFT_MAX,
    LOGICAL_COUNT,
    PACKED_RESOLUTION_NS,
    CeilingReached,
    ClockTooFarAhead,
    HybridClock,
    HybridStamp,
)
from quorate.clocks.lamport import LamportClock, LamportStamp
from quorate.clocks.order import Order
from quorate.clocks.vectors import ACTOR_MAX, BadActor, BadCounter, Dot, VectorClock, VersionVector

__all__ = [
    "ACTOR_MAX",
    "DRIFT_MAX",
    "LOGICAL_COUNT",
    "PACKED_RESOLUTION_NS",
    "BadActor",
    "BadCounter",
    "CausalContext",
    "CeilingReached",
    "ClockTooFarAhead",
    "Dot",
    "HybridClock",
    "HybridStamp",
    "LamportClock",
    "LamportStamp",
    "Order",
    "VectorClock",
    "VersionVector",
]
