"""Maelstrom's protocol: our machines as its nodes, and its nodes under our router, faults and judges."""

from quorate.lab.maelstrom.gossip import GOSSIP_WORKLOADS, GossipNode
from quorate.lab.maelstrom.messages import BadMessage, Message, decode, encode
from quorate.lab.maelstrom.node import WORKLOADS, Disk, PlainNode, RaftNode
from quorate.lab.maelstrom.process import DESIGNS, RecordFile, serve
from quorate.lab.maelstrom.router import LATENCY_KINDS, Conditions, Router
from quorate.lab.maelstrom.run import FAULTS, RunOptions, RunResult, run_maelstrom

__all__ = [
    "DESIGNS",
    "FAULTS",
    "GOSSIP_WORKLOADS",
    "LATENCY_KINDS",
    "WORKLOADS",
    "BadMessage",
    "Conditions",
    "Disk",
    "GossipNode",
    "Message",
    "PlainNode",
    "RaftNode",
    "RecordFile",
    "Router",
    "RunOptions",
    "RunResult",
    "decode",
    "encode",
    "run_maelstrom",
    "serve",
]
