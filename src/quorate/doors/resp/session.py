"""What is only known of a connection that asked for more than plain commands."""

from typing import TYPE_CHECKING, TypeAlias

from quorate.doors.resp.parser import Request
from quorate.doors.resp.table import DoorCommand, Route

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

QueuedCommand: TypeAlias = "tuple[int, Request, Route | DoorCommand]"
"""Database, arguments and what is known of the command."""


class Session:
    """Names, a transaction being gathered, watched keys, subscriptions, and whether answers are wanted."""

    __slots__ = (
        "channels",
        "connection",
        "is_dirty",
        "is_muted",
        "is_no_evict",
        "is_no_touch",
        "is_skipping",
        "library_name",
        "library_version",
        "name",
        "patterns",
        "prefixes",
        "queue",
        "queue_db",
        "read_level",
        "shard_channels",
        "skips_next",
        "user",
        "watch_generation",
        "watch_pending_count",
        "watches",
        "write_level",
    )

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.name = b""
        self.library_name = b""
        self.library_version = b""
        self.user = "default"
        self.is_no_evict = False
        self.is_no_touch = False
        # CLIENT REPLY: nothing is sent / nothing is sent for the next request / for the one under way.
        self.is_muted = False
        self.skips_next = False
        self.is_skipping = False
        # Commands between MULTI and EXEC; None outside. The database the next one runs in. Whether one was refused.
        self.queue: list[QueuedCommand] | None = None
        self.queue_db = 0
        self.is_dirty = False
        # (database, key) → version seen by WATCH; how many WATCH are still being answered; which of them still count.
        self.watches: dict[tuple[int, bytes], int] = {}
        self.watch_pending_count = 0
        self.watch_generation = 0
        # What is subscribed to, in order (dictionaries without values).
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shard_channels: dict[bytes, None] = {}
        # QUORATE.LEVEL: how many copies must answer in leaderless keyspaces; empty: what they declare.
        self.read_level = b""
        self.write_level = b""
        # Prefixes of QUORATE.WATCH, each with its database.
        self.prefixes: dict[tuple[int, bytes], None] = {}

    @property
    def subscription_count(self) -> int:
        """Channels and patterns subscribed to, without those of shards."""
        return len(self.channels) + len(self.patterns)

    @property
    def is_subscriber(self) -> bool:
        """Whether messages may come at any time."""
        return bool(self.channels or self.patterns or self.shard_channels or self.prefixes)

    @property
    def has_levels(self) -> bool:
        """Whether commands go with levels of this connection."""
        return bool(self.read_level or self.write_level)

    def is_plain(self, protocol: int) -> bool:
        """Return whether a command means the same as on a fresh connection."""
        if self.queue is not None or self.skips_next or self.is_skipping or self.has_levels:
            return False
        return protocol == 3 or not (self.channels or self.patterns or self.shard_channels)

    def forget_watches(self) -> None:
        """Drop all watched keys, those whose versions are still on their way too."""
        self.watches.clear()
        self.watch_generation += 1

    def end_transaction(self) -> None:
        """Leave MULTI and drop what was queued and watched."""
        self.queue = None
        self.is_dirty = False
        self.forget_watches()
        self.connection.update_plain()

    def close(self) -> None:
        """Give up every subscription, when the connection is gone or reset."""
        connection = self.connection
        pubsub = connection.server.pubsub
        pubsub.leave(connection)
        self.prefixes.clear()
        connection.server.watches.leave(connection)
