"""Logical and physical time: what came before what, and how well anybody can know."""

from quorate.clocks.contexts import CausalContext
from quorate.clocks.diagrams import to_svg, to_text
from quorate.clocks.dotted import DottedVersion, DottedVersionSet
from quorate.clocks.happened import HappenedBefore, RecordedEvent
from quorate.clocks.hybrid import (
    DRIFT_MAX,
    LOGICAL_COUNT,
    PACKED_RESOLUTION_NS,
    CeilingReached,
    ClockTooFarAhead,
    HybridClock,
    HybridStamp,
)
from quorate.clocks.intervals import DRIFT_PPM, ClocksDisagree, IntervalClock, NotSynchronized, TimeInterval
from quorate.clocks.itc import IntervalTreeStamp, NoShare, OverlappingShares, TooManyForks
from quorate.clocks.lamport import LamportClock, LamportStamp
from quorate.clocks.marzullo import Agreement, marzullo
from quorate.clocks.matrix import MatrixClock
from quorate.clocks.ntp import BadExchange, ClockFilter, Exchange, TimeEstimator
from quorate.clocks.ntp_packet import PACKET_BYTES, Mode, NTPPacket, from_ntp, to_ntp, to_short_format
from quorate.clocks.order import Order
from quorate.clocks.siblings import SiblingReport, Stamping, measure_siblings
from quorate.clocks.vectors import ACTOR_MAX, BadActor, BadCounter, Dot, VectorClock, VersionVector

__all__ = [
    "ACTOR_MAX",
    "DRIFT_MAX",
    "DRIFT_PPM",
    "LOGICAL_COUNT",
    "PACKED_RESOLUTION_NS",
    "PACKET_BYTES",
    "Agreement",
    "BadActor",
    "BadCounter",
    "BadExchange",
    "CausalContext",
    "CeilingReached",
    "ClockFilter",
    "ClockTooFarAhead",
    "ClocksDisagree",
    "Dot",
    "DottedVersion",
    "DottedVersionSet",
    "Exchange",
    "HappenedBefore",
    "HybridClock",
    "HybridStamp",
    "IntervalClock",
    "IntervalTreeStamp",
    "LamportClock",
    "LamportStamp",
    "MatrixClock",
    "Mode",
    "NTPPacket",
    "NoShare",
    "NotSynchronized",
    "Order",
    "OverlappingShares",
    "RecordedEvent",
    "SiblingReport",
    "Stamping",
    "TimeEstimator",
    "TimeInterval",
    "TooManyForks",
    "VectorClock",
    "VersionVector",
    "from_ntp",
    "marzullo",
    "measure_siblings",
    "to_ntp",
    "to_short_format",
    "to_svg",
    "to_text",
]
