"""The synchronous twin of `quorate.open`, `quorate.join` and `quorate.connect`, for scripts."""

from quorate.api import SyncDatabase, SyncTransaction
from quorate.api import connect_sync as connect
from quorate.api import join_sync as join
from quorate.api import open_sync as open  # noqa: A004  (quorate.sync.open reads like the builtin that it resembles)

__all__ = ["SyncDatabase", "SyncTransaction", "connect", "join", "open"]
