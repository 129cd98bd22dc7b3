"""A whole member of a cluster: configuration, node, doors. The same in every world."""

from quorate.server.config import Config, Limits, Listen, Storage, Timing, check, load, parse_address
from quorate.server.node import Node
from quorate.server.replica import Replica, founding_mark, open_state
from quorate.server.server import Server

__all__ = [
    "Config",
    "Limits",
    "Listen",
    "Node",
    "Replica",
    "Server",
    "Storage",
    "Timing",
    "check",
    "founding_mark",
    "load",
    "open_state",
    "parse_address",
]
