"""The replicated state machine: commands of the log in, replies out, the same on every replica.

States      numbered databases of keys, client sessions, log time, revision.
Invariants  `apply` is total and a function of the log alone; time and revision never move back; a key's version is the
            revision of its last change; a command that is refused has changed nothing.
Source      Schneider 1990 (state machine approach); reply wording as Redis 7.0 gives it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from quorate.kernel import LogIndex
from quorate.store.cache import Cache
from quorate.store.chance import Stream
from quorate.store.checkpoint import read_checkpoint, write_checkpoint
from quorate.store.command import COMMANDS, Command
from quorate.store.expiry import Expiries
from quorate.store.limits import Limits
from quorate.store.ordered import Cursors
from quorate.store.reply import NEEDS_LOG, CommandError, NeedsLog, Reply, ReplyError, unknown_command
from quorate.store.sessions import Sessions
from quorate.store.space import NeedsLogError, Space

if TYPE_CHECKING:
    from quorate.storage import Base

ChangeKind = Literal["put", "delete", "expire"]


class Change(msgspec.Struct, frozen=True, gc=False):
    """One change of one key."""

    # Revision of the store after the command that made it.
    revision: int
    db: int
    key: bytes
    kind: ChangeKind


class KeyValueStore:
    """Databases of keys over a base; see the module.

    Example:
        >>> from quorate.store import Command, MemoryBase
        >>> store = KeyValueStore(MemoryBase())
        >>> store.apply(LogIndex(1), 1000, [Command(0, [b"SET", b"k", b"v"]), Command(0, [b"GET", b"k"])])
        [SimpleString(text='OK'), b'v']
    """

    def __init__(self, base: "Base", limits: Limits | None = None) -> None:
        """Take over what lies at rest, if anything does.

        Args:
            base: state at rest, of this store alone.
            limits: bounds; a database at rest must not lie beyond `database_count`.

        Raises:
            StorageError: what lies at rest cannot be read.
        """
        self.limits = limits or Limits()
        assert 0 < self.limits.database_count < 255, "a database fits into a byte, and 255 marks the expiry index"
        # Called for every change while somebody watches; must not touch the store.
        self.on_change: Callable[[Change], None] | None = None
        self._query_draw_count = 0
        self._begin(base)

    def _begin(self, base: "Base") -> None:
        self.base = base
        self.applied_index = LogIndex(0)
        # Term of the entry at `applied_index`; the host keeps it current.
        self.applied_term = 0
        # Grows by one with each command that changed something.
        self.revision = 0
        # Log time in ms since 1970: that of the newest batch, or of an older one if that was later.
        self.time_ms = 0
        # Keys due by this time are invisible: log time, and in a query also the wall clock.
        self.horizon_ms = 0
        self.is_querying = False
        # Whether the command being applied has changed something.
        self.is_changed = False
        self.spaces = [Space(self, db) for db in range(self.limits.database_count)]
        self.expiries = Expiries(self.spaces)
        self.cache = Cache(self.spaces, self.limits.cache_bytes_max)
        self.sessions = Sessions(self.limits.session_count_max)
        self.cursors = Cursors()
        # Opaque bytes of the host, kept with the checkpoint.
        self.host_bytes = b""
        self._draw_count = 0
        read_checkpoint(self)

    def apply(self, index: LogIndex, time_ms: int, commands: Sequence[Command]) -> list[Reply]:
        """Apply the commands of one log entry; return their replies in order.

        Args:
            index: of the entry; above `applied_index`.
            time_ms: as stamped by the leader, ms since 1970; never moves log time back.
            commands: any; what is wrong with one becomes its ReplyError.

        Raises:
            StorageError: the base could not be read; the node must stop.

        Complexity: that of the commands, and at most `expire_count_max` removals of due keys.
        """
        assert index > self.applied_index, "an entry is applied once"
        self.applied_index = index
        self._draw_count = 0
        self.time_ms = max(self.time_ms, time_ms)
        self.horizon_ms = self.time_ms
        self._remove_due()
        replies: list[Reply] = []
        for command in commands:
            key = command.key
            if key is None:
                replies.append(self.run(command))
            else:
                replies.append(self.sessions.apply_once(key, lambda command=command: self.run(command)))  # type: ignore[misc]
        self.cache.trim()
        return replies

    def query(self, command: Command, wall_ms: int) -> Reply | NeedsLog:
        """Answer a read-only command from the present state, without changing it.

        Args:
            command: one that the table calls readonly; any other is refused.
            wall_ms: this node's idea of the time, ms since 1970.

        Returns:
            The reply; or NEEDS_LOG when a key it met has ended by the wall clock and not yet by log time.

        Raises:
            StorageError: the base could not be read; the node must stop.
        """
        args = command.args
        spec = COMMANDS.get(args[0]) if args else None
        if spec is None or not spec.is_readonly:
            return ReplyError("ERR", "not a read-only command") if spec else unknown_command(args or [b""])
        if not spec.accepts(len(args)):
            return spec.arity_error()
        if not 0 <= command.db < len(self.spaces):
            return ReplyError("ERR", "DB index is out of range")
        self.is_querying = True
        self.horizon_ms = max(self.horizon_ms, wall_ms)
        try:
            return spec.handler(self.spaces[command.db], args)
        except CommandError as refused:
            return refused.reply
        except NeedsLogError:
            return NEEDS_LOG
        finally:
            self.is_querying = False
            self.horizon_ms = self.time_ms
            if self.cache.clean_bytes > self.limits.cache_bytes_max:
                self.cache.trim()

    def run(self, command: Command) -> Reply:
        """Apply one command without regard to its session; for this package."""
        args = command.args
        spec = COMMANDS.get(args[0]) if args else None
        if spec is None:
            return unknown_command(args or [b""])
        if not spec.accepts(len(args)):
            return spec.arity_error()
        if not 0 <= command.db < len(self.spaces):
            return ReplyError("ERR", "DB index is out of range")
        try:
            reply = spec.handler(self.spaces[command.db], args)
        except CommandError as refused:
            reply = refused.reply
        if self.is_changed:
            self.is_changed = False
            self.revision += 1
        return reply

    async def checkpoint(self) -> LogIndex:
        """Write what has changed since the last checkpoint to the base; return the index that it covers.

        Reads and applies go on meanwhile. `applied_term` and `host_bytes` are taken at the moment of the call. One at
        a time. When it fails, all changes are still here and the next one writes them.

        Raises:
            StorageError, DiskFull: from the base.

        Complexity: O(bytes of the changed values), in slices of about a millisecond.
        """
        return await write_checkpoint(self)

    def reload(self, base: "Base | None" = None) -> None:
        """Forget everything and take over what lies at rest, as after a snapshot replaced it.

        Args:
            base: the new state at rest; None: the same object, with other content.
        """
        assert all(space.frozen is None for space in self.spaces), "no checkpoint is under way"
        self._begin(base or self.base)

    @property
    def dirty_count(self) -> int:
        """How many keys have changed since the last checkpoint began."""
        return sum(len(space.dirty) for space in self.spaces)

    def next_expiry_ms(self) -> int | None:
        """Return when the next key ends, ms since 1970, so that a TICK can be proposed then; None when none will."""
        return self.expiries.next_ms()

    def key_counts(self) -> list[int]:
        """Return the number of keys of every database."""
        return [space.count for space in self.spaces]

    def stream(self) -> Stream:
        """Return a stream for one draw: the same on every replica in `apply`, a fresh one for each query."""
        if self.is_querying:
            self._query_draw_count += 1
            return Stream(self.revision, self._query_draw_count, 1)
        self._draw_count += 1
        return Stream(self.revision, self.applied_index, self._draw_count)

    def note_change(self, db: int, key: bytes, kind: ChangeKind) -> None:
        """Tell the watcher of a change; for this package."""
        if self.on_change is not None:
            self.on_change(Change(self.revision + 1, db, key, kind))

    def _remove_due(self) -> None:
        """Remove keys that are due, in the order of their due times, up to the limit."""
        for _ in range(self.limits.expire_count_max):
            due = self.expiries.pop_due(self.time_ms)
            if due is None:
                break
            db, key = due
            # Finding a key that is due removes it.
            found = self.spaces[db].find(key)
            assert found is None, "a key that is due is not found"
        if self.is_changed:
            self.is_changed = False
            self.revision += 1
