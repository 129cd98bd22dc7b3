"""The Python API of a store, and how its commands travel."""

from quorate.client.database import Database, Item, Transaction, Versioned, end_of_prefix
from quorate.client.executor import Consistency, Executor, KeyChange
from quorate.client.local import LocalExecutor
from quorate.client.remote import RemoteExecutor
from quorate.client.wire import Connection

__all__ = [
    "Connection",
    "Consistency",
    "Database",
    "Executor",
    "Item",
    "KeyChange",
    "LocalExecutor",
    "RemoteExecutor",
    "Transaction",
    "Versioned",
    "end_of_prefix",
]
