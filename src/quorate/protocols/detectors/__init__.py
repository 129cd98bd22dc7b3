"""Failure detectors behind one interface. Source: Chandra & Toueg 1996; Hayashibara et al. 2004; Chen et al. 2002."""

from quorate.protocols.detectors.chen import ChenDetector
from quorate.protocols.detectors.detector import Detector, Intervals, TimeoutDetector
from quorate.protocols.detectors.heartbeats import (
    MESSAGES,
    TRANSITIONS,
    Heartbeat,
    Heartbeats,
    HeartbeatsConfig,
    Suspected,
    Trusted,
)
from quorate.protocols.detectors.phi import ExponentialPhi, NormalPhi

__all__ = [
    "MESSAGES",
    "TRANSITIONS",
    "ChenDetector",
    "Detector",
    "ExponentialPhi",
    "Heartbeat",
    "Heartbeats",
    "HeartbeatsConfig",
    "Intervals",
    "NormalPhi",
    "Suspected",
    "TimeoutDetector",
    "Trusted",
]
