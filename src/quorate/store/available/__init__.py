"""Redis commands of leaderless keyspaces: which are honoured, what they ask of the machine, why others are refused."""

# Importing the files of the data types enters their commands into the table.
from quorate.store.available import collections as _collections
from quorate.store.available import strings as _strings
from quorate.store.available.jobs import Jobs
from quorate.store.available.options import ASK, DO, PLAIN, WRAPPERS, Options, level_of, unwrap
from quorate.store.available.refused import refusal
from quorate.store.available.work import ENTRIES, Entry

_DATA_TYPES = (_collections, _strings)

__all__ = [
    "ASK",
    "DO",
    "ENTRIES",
    "PLAIN",
    "WRAPPERS",
    "Entry",
    "Jobs",
    "Options",
    "level_of",
    "refusal",
    "unwrap",
]
