"""Replicated data types that merge without asking anybody; each usable alone."""

from quorate.crdt.base import CRDT, BadAmount, BadElement, BadValue, Element, NoActor, NotPresent, WrongCRDT
from quorate.crdt.causal import Causal
from quorate.crdt.counters import BoundedCounter, GCounter, NotEnoughRights, PNCounter
from quorate.crdt.delivery import CausalBroadcast, DeltaBuffer, Interval, Operation
from quorate.crdt.growing import GSet, TwoPhaseSet
from quorate.crdt.lastwriter import LWWMap, LWWRegister
from quorate.crdt.maps import NotNestable, ORMap
from quorate.crdt.observed import (
    DisableWinsFlag,
    EmbeddedCounter,
    EnableWinsFlag,
    MultiValueRegister,
    ORSet,
    RWSet,
)
from quorate.crdt.sequence import BadPosition, Deleted, ReplicatedList, Run, SequenceDelta, Text

__all__ = [
    "CRDT",
    "BadAmount",
    "BadElement",
    "BadPosition",
    "BadValue",
    "BoundedCounter",
    "Causal",
    "CausalBroadcast",
    "Deleted",
    "DeltaBuffer",
    "DisableWinsFlag",
    "Element",
    "EmbeddedCounter",
    "EnableWinsFlag",
    "GCounter",
    "GSet",
    "Interval",
    "LWWMap",
    "LWWRegister",
    "MultiValueRegister",
    "NoActor",
    "NotEnoughRights",
    "NotNestable",
    "NotPresent",
    "ORMap",
    "ORSet",
    "Operation",
    "PNCounter",
    "RWSet",
    "ReplicatedList",
    "Run",
    "SequenceDelta",
    "Text",
    "TwoPhaseSet",
    "WrongCRDT",
]
