"""The synchronous twin of `quorate.open` and `quorate.connect`, for scripts."""

from quorate.api import SyncDatabase, SyncTransaction
from quorate.api import connect_sync as connect
from quorate.api import open_sync as open  # noqa: A001

__all__ = ["SyncDatabase", "SyncTransaction", "connect", "open"]
