"""SWIM with Lifeguard: who is a member, and who is alive. Source: Das et al. 2002; Dadgar et al. 2018."""

from quorate.protocols.swim.calls import Join, Leave, SwimCall, UpdateMetadata
from quorate.protocols.swim.config import PROFILES, SwimConfig
from quorate.protocols.swim.core import TRANSITIONS, Swim
from quorate.protocols.swim.invariants import InvariantBroken, MemberHistory, check_members
from quorate.protocols.swim.members import (
    ALIVE,
    DEAD,
    INCARNATION_MAX,
    LEFT,
    METADATA_BYTES_MAX,
    STATUS_NAMES,
    SUSPECT,
    Known,
    Member,
    Members,
    ProbeOrder,
    supersedes,
)
from quorate.protocols.swim.messages import (
    MESSAGES,
    Ack,
    Gossip,
    Nack,
    Ping,
    PingRequest,
    SwimMessage,
    SyncRequest,
    SyncState,
)
from quorate.protocols.swim.outputs import Departed, Joined, MemberChanged, Refused, SwimOutput
from quorate.protocols.swim.rumours import Rumours
from quorate.protocols.swim.sealing import SEAL_BYTES, Keyring, SealedCodec
from quorate.protocols.swim.suspicion import (
    confirmations_wanted,
    retransmit_limit,
    suspicion_min,
    suspicion_span,
    sync_span,
)

__all__ = [
    "ALIVE",
    "DEAD",
    "INCARNATION_MAX",
    "LEFT",
    "MESSAGES",
    "METADATA_BYTES_MAX",
    "PROFILES",
    "SEAL_BYTES",
    "STATUS_NAMES",
    "SUSPECT",
    "TRANSITIONS",
    "Ack",
    "Departed",
    "Gossip",
    "InvariantBroken",
    "Join",
    "Joined",
    "Keyring",
    "Known",
    "Leave",
    "Member",
    "MemberChanged",
    "MemberHistory",
    "Members",
    "Nack",
    "Ping",
    "PingRequest",
    "ProbeOrder",
    "Refused",
    "Rumours",
    "SealedCodec",
    "Swim",
    "SwimCall",
    "SwimConfig",
    "SwimMessage",
    "SwimOutput",
    "SyncRequest",
    "SyncState",
    "UpdateMetadata",
    "check_members",
    "confirmations_wanted",
    "retransmit_limit",
    "supersedes",
    "suspicion_min",
    "suspicion_span",
    "sync_span",
]
