"""The replicated state machine: Redis data types, sessions, transactions; a memory table over state at rest."""

from quorate.store import strings as _strings  # noqa: F401  (entering the commands is what importing does)
from quorate.store.backend import Backend, Caller, LocalBackend, NodeInfo, PeerInfo
from quorate.store.base import Base, MemoryBase
from quorate.store.command import BATCHES, COMMANDS, Batch, Command, CommandSpec, find, keys_of
from quorate.store.limits import Limits
from quorate.store.machine import Change, KeyValueStore
from quorate.store.reply import (
    NEEDS_LOG,
    NIL_ARRAY,
    OK,
    PONG,
    QUEUED,
    NeedsLog,
    NilArray,
    Pairs,
    Reply,
    ReplyError,
    ReplySet,
    SimpleString,
    format_double,
    unknown_command,
    wrong_arity,
)
from quorate.store.transactions import Watch, transaction

__all__ = [
    "BATCHES",
    "COMMANDS",
    "NEEDS_LOG",
    "NIL_ARRAY",
    "OK",
    "PONG",
    "QUEUED",
    "Backend",
    "Base",
    "Batch",
    "Caller",
    "Change",
    "Command",
    "CommandSpec",
    "KeyValueStore",
    "Limits",
    "LocalBackend",
    "MemoryBase",
    "NeedsLog",
    "NilArray",
    "NodeInfo",
    "Pairs",
    "PeerInfo",
    "Reply",
    "ReplyError",
    "ReplySet",
    "SimpleString",
    "Watch",
    "find",
    "format_double",
    "keys_of",
    "transaction",
    "unknown_command",
    "wrong_arity",
]
