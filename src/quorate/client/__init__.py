"""The Python API of a store, and how its commands travel."""

from quorate.client.database import Database, Item, Transaction, Versioned, end_of_prefix
from quorate.client.executor import Consistency, Executor, KeyChange
from quorate.client.keyspace import Keyspace, KeyspaceSession, Level, Siblings
from quorate.client.local import LocalExecutor
from quorate.client.remote import RemoteExecutor, SessionForgotten
from quorate.client.slots import SLOT_COUNT, named_keys, place_of, slot_of
from quorate.client.wire import Connection

__all__ = [
    "SLOT_COUNT",
    "Connection",
    "Consistency",
    "Database",
    "Executor",
    "Item",
    "KeyChange",
    "Keyspace",
    "KeyspaceSession",
    "Level",
    "LocalExecutor",
    "RemoteExecutor",
    "SessionForgotten",
    "Siblings",
    "Transaction",
    "Versioned",
    "end_of_prefix",
    "named_keys",
    "place_of",
    "slot_of",
]
