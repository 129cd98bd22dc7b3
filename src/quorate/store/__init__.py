"""The replicated state machine: Redis data types, sessions, transactions; a memory table over state at rest."""

# Importing the files of the data types enters their commands into the table.
from quorate.store import available
from quorate.store import bits as _bits
from quorate.store import counters as _counters
from quorate.store import expire as _expire
from quorate.store import hashes as _hashes
from quorate.store import keys as _keys
from quorate.store import keyspaces as _keyspaces
from quorate.store import lists as _lists
from quorate.store import sets as _sets
from quorate.store import sorted_algebra as _sorted_algebra
from quorate.store import sorted_ranges as _sorted_ranges
from quorate.store import sorted_sets as _sorted_sets
from quorate.store import sorting as _sorting
from quorate.store import strings as _strings
from quorate.store.backend import Backend, Caller, KeyspaceInfo, LocalBackend, NodeInfo, PeerInfo
from quorate.store.base import MemoryBase
from quorate.store.command import BATCHES, COMMANDS, Batch, Command, CommandSpec, find, keys_of
from quorate.store.glob import Glob
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
from quorate.store.transactions import Watch, transaction, transaction_keys, transaction_parts

_DATA_TYPES = (
    _bits,
    _counters,
    _expire,
    _hashes,
    _keys,
    _keyspaces,
    _lists,
    _sets,
    _sorted_algebra,
    _sorted_ranges,
    _sorted_sets,
    _sorting,
    _strings,
)

__all__ = [
    "BATCHES",
    "COMMANDS",
    "NEEDS_LOG",
    "NIL_ARRAY",
    "OK",
    "PONG",
    "QUEUED",
    "Backend",
    "Batch",
    "Caller",
    "Change",
    "Command",
    "CommandSpec",
    "Glob",
    "KeyValueStore",
    "KeyspaceInfo",
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
    "available",
    "find",
    "format_double",
    "keys_of",
    "transaction",
    "transaction_keys",
    "transaction_parts",
    "unknown_command",
    "wrong_arity",
]
