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
from quorate.kernel.hashing import HASH_COUNT, BadKey, Key, hash_array, hash_key, hash_list, is_array, mix64, mix_array
from quorate.kernel.ids import GroupId, LogIndex, NodeId, RequestKey
from quorate.kernel.machine import Machine
from quorate.kernel.outbox import Outbox
from quorate.kernel.seeds import Seeds
from quorate.kernel.time import MICROSECOND, MILLISECOND, SECOND, Duration, Instant, later, milliseconds, seconds

__all__ = [
    "HASH_COUNT",
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "BadKey",
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
    "Key",
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
    "hash_array",
    "hash_key",
    "hash_list",
    "is_array",
    "later",
    "marks",
    "milliseconds",
    "mix64",
    "mix_array",
    "seal",
    "seconds",
    "unseal",
]
