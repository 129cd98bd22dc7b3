"""The front door for Python programs: open an embedded store, join a cluster as a member, connect to one.

All three give the same `Database`. `quorate.sync` is the plain synchronous twin for scripts.
"""

from quorate.api.asynchronous import Member, connect, join, open_
from quorate.api.backup import restore_snapshot, save_snapshot
from quorate.api.declarations import Declared, judge_keyspaces
from quorate.api.joining import join_snapshots
from quorate.api.keyspaces import SyncKeyspace
from quorate.api.maintenance import examine
from quorate.api.process import load_config, run_local_cluster, run_node, serve_real, write_local_configs
from quorate.api.synchronous import SyncDatabase, SyncTransaction, connect_sync, join_sync, open_sync

__all__ = [
    "Declared",
    "Member",
    "SyncDatabase",
    "SyncKeyspace",
    "SyncTransaction",
    "connect",
    "connect_sync",
    "examine",
    "join",
    "join_snapshots",
    "join_sync",
    "judge_keyspaces",
    "load_config",
    "open_",
    "open_sync",
    "restore_snapshot",
    "run_local_cluster",
    "run_node",
    "save_snapshot",
    "serve_real",
    "write_local_configs",
]
