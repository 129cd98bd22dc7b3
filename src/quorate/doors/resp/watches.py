"""QUORATE.WATCH: tells connections which keys changed, as the changes are applied on this node."""

from typing import TYPE_CHECKING

from quorate.doors.resp.wire import Push, encode
from quorate.store import Backend, Change

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection


class Watches:
    """Prefixes with the connections that watch them.

    The backend is asked for changes only while somebody watches.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._watchers: dict[tuple[int, bytes], dict[Connection, None]] = {}

    def add(self, connection: "Connection", db: int, prefix: bytes) -> int:
        """Tell a connection of every change from now on; return the revision that this node has reached."""
        revision = self._backend.watch(self._on_change)
        connection.get_session().prefixes[db, prefix] = None
        self._watchers.setdefault((db, prefix), {})[connection] = None
        return revision

    def remove(self, connection: "Connection", db: int, prefix: bytes) -> None:
        """Tell a connection no more of a prefix; harmless when it does not watch it."""
        connection.get_session().prefixes.pop((db, prefix), None)
        watchers = self._watchers.get((db, prefix))
        if watchers is None:
            return
        watchers.pop(connection, None)
        if not watchers:
            del self._watchers[db, prefix]
        if not self._watchers:
            self._backend.unwatch(self._on_change)

    def leave(self, connection: "Connection") -> None:
        """Tell a connection no more of anything."""
        for db, prefix in list(connection.get_session().prefixes):
            self.remove(connection, db, prefix)

    def _on_change(self, change: Change) -> None:
        """Hand one change to all whose prefix it has.

        Complexity: O(prefixes watched) for each change.
        """
        kind = change.kind.encode()
        for (db, prefix), watchers in self._watchers.items():
            if db != change.db or not change.key.startswith(prefix):
                continue
            message = Push([b"quorate.change", prefix, kind, change.key, change.revision, change.db])
            for connection in watchers:
                connection.push(encode(message, connection.protocol))
                connection.server.flush_soon(connection)
