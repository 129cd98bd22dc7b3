"""Replicated data types that merge without asking anybody; each usable alone."""

from quorate.crdt.base import CRDT, BadAmount, BadElement, BadValue, Element, NoActor, NotPresent, WrongCRDT
from quorate.crdt.causal import Causal
from quorate.crdt.counters import BoundedCounter, GCounter, NotEnoughRights, PNCounter
from quorate.crdt.delivery import CausalBroadcast, DeltaBuffer, Interval, Operation
from quorate.crdt.document import Document
from quorate.crdt.growing import GSet, TwoPhaseSet
from quorate.crdt.jupiter import JupiterClient, JupiterServer, Ordered, Submission, TooFarBehind, Transformable
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
from quorate.crdt.ot_json import DeleteAt, Drop, InsertAt, JSONOperation, Put
from quorate.crdt.ot_text import Delete, Insert, Mismatch, Retain, Side, TextOperation
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
    "Delete",
    "DeleteAt",
    "Deleted",
    "DeltaBuffer",
    "DisableWinsFlag",
    "Document",
    "Drop",
    "Element",
    "EmbeddedCounter",
    "EnableWinsFlag",
    "GCounter",
    "GSet",
    "Insert",
    "InsertAt",
    "Interval",
    "JSONOperation",
    "JupiterClient",
    "JupiterServer",
    "LWWMap",
    "LWWRegister",
    "Mismatch",
    "MultiValueRegister",
    "NoActor",
    "NotEnoughRights",
    "NotNestable",
    "NotPresent",
    "ORMap",
    "ORSet",
    "Operation",
    "Ordered",
    "PNCounter",
    "Put",
    "RWSet",
    "ReplicatedList",
    "Retain",
    "Run",
    "SequenceDelta",
    "Side",
    "Submission",
    "Text",
    "TextOperation",
    "TooFarBehind",
    "Transformable",
    "TwoPhaseSet",
    "WrongCRDT",
]
