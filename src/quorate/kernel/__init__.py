"""What every floor speaks: ids, time, errors, events, effects, machines, codecs, marks, seeds."""

from quorate.kernel import errors, marks
from quorate.kernel.codec import Codec, Malformed
from quorate.kernel.effects import CancelTimer, Deliver, Effect, Persist, Send, SetTimer
from quorate.kernel.envelope import (
    BadPayload,
    Damaged,
    Envelope,
    ForeignBytes,
    Truncated,
    Undecodable,
    UnknownVersion,
    seal,
    unseal,
)
from quorate.kernel.events import (
    Call,
    Called,
    Event,
    Message,
    Output,
    Persisted,
    Received,
    Record,
    Started,
    TimerFired,
)
from quorate.kernel.ids import GroupId, LogIndex, NodeId, RequestKey
from quorate.kernel.machine import Machine
from quorate.kernel.outbox import Outbox
from quorate.kernel.seeds import Seeds
from quorate.kernel.time import MICROSECOND, MILLISECOND, SECOND, Duration, Instant, later, milliseconds, seconds

__all__ = [
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "BadPayload",
    "Call",
    "Called",
    "CancelTimer",
    "Codec",
    "Damaged",
    "Deliver",
    "Duration",
    "Effect",
    "Envelope",
    "Event",
    "ForeignBytes",
    "GroupId",
    "Instant",
    "LogIndex",
    "Machine",
    "Malformed",
    "Message",
    "NodeId",
    "Outbox",
    "Output",
    "Persist",
    "Persisted",
    "Received",
    "Record",
    "RequestKey",
    "Seeds",
    "Send",
    "SetTimer",
    "Started",
    "TimerFired",
    "Truncated",
    "Undecodable",
    "UnknownVersion",
    "errors",
    "later",
    "marks",
    "milliseconds",
    "seal",
    "seconds",
    "unseal",
]
