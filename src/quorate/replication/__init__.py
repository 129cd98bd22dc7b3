"""Between machines below and services above: hosts, links, groups, snapshots."""

from quorate.replication.available import MESSAGES as AVAILABLE_MESSAGES
from quorate.replication.available import Available, AvailableConfig, AvailableMessage, shared_ranges
from quorate.replication.frames import FRAME_BYTES_MAX, PROTOCOL_VERSION, FrameReader, Kind, frame
from quorate.replication.group import Group
from quorate.replication.host import Host
from quorate.replication.links import Links, LinksConfig
from quorate.replication.requests import Caller, Gathering, GroupConfig, StateMachine, Vocabulary
from quorate.replication.snapshots import PIECES, Sink, Snapshots, Source
from quorate.replication.turn import Turn

__all__ = [
    "AVAILABLE_MESSAGES",
    "FRAME_BYTES_MAX",
    "PIECES",
    "PROTOCOL_VERSION",
    "Available",
    "AvailableConfig",
    "AvailableMessage",
    "Caller",
    "FrameReader",
    "Gathering",
    "Group",
    "GroupConfig",
    "Host",
    "Kind",
    "Links",
    "LinksConfig",
    "Sink",
    "Snapshots",
    "Source",
    "StateMachine",
    "Turn",
    "Vocabulary",
    "frame",
    "shared_ranges",
]
