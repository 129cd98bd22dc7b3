"""One numbered database: a table of live values over the state at rest."""

from typing import TYPE_CHECKING, Final, Literal, cast

from sortedcontainers import SortedList

from quorate.store.reply import WRONG_TYPE, CommandError
from quorate.store.values import Entry, V, Value, decode_entry, encode_entry

if TYPE_CHECKING:
    from quorate.store.machine import KeyValueStore


class _Absent:
    """Marks a key that the table knows nothing of, apart from None, which marks one that is known not to exist."""


_ABSENT: Final = _Absent()


class WrongTypeError(CommandError):
    """The key holds a value of another type."""

    def __init__(self) -> None:
        super().__init__(WRONG_TYPE.code, WRONG_TYPE.text)


class NeedsLogError(Exception):
    """A read met a key that is due by the wall clock and not yet by log time."""


class Space:
    """Keys of one database.

    Invariants: `table` maps to None exactly where a key is known to be absent although the base may still have it;
    every key of `dirty` is in `table`; `count` counts the live keys, those that are due and not yet removed included;
    `due` holds exactly the live keys with an expiry.
    """

    def __init__(self, store: "KeyValueStore", db: int) -> None:
        self.store = store
        self.db = db
        self.prefix = bytes((db,))
        self.table: dict[bytes, Entry[Value] | None] = {}
        # Keys changed since the last freeze, in the order of their first change.
        self.dirty: dict[bytes, None] = {}
        self.count = 0
        # Due time in ms of every live key that has one.
        self.due: dict[bytes, int] = {}
        # The same for keys at rest, as the expiry index at rest has them.
        self.rested_due: dict[bytes, int] = {}
        # Whether the base's keys of this database are to be ignored: it was flushed since.
        self.is_flushed = False
        self.is_flushing = False
        # Keys that may not be at rest yet: those not sorted so far, and the sorted ones; repetitions are harmless.
        self.fresh: list[bytes] = []
        self.ordered: SortedList | None = None
        # While a checkpoint is under way: keys still to be encoded, the table they are in, and what is encoded.
        self.frozen: dict[bytes, None] | None = None
        self.frozen_table: dict[bytes, Entry[Value] | None] = {}
        self.settled: dict[bytes, bytes | None] = {}

    def find(self, key: bytes) -> Entry[Value] | None:
        """Return what a key holds; None when it does not exist or is due.

        Raises:
            NeedsLogError: in a query, when the key is due by the wall clock only.

        Complexity: O(1); a key that is only at rest costs a read of the base.
        """
        entry = self.table.get(key, _ABSENT)
        if entry is None:
            return None
        if isinstance(entry, _Absent):
            entry = self._load(key)
            if entry is None:
                return None
        if entry.expires_ms and entry.expires_ms <= self.store.horizon_ms:
            self._meet_due(key, entry)
            return None
        return entry

    def find_as(self, key: bytes, kind: type[V]) -> Entry[V] | None:
        """Return what a key holds, or None; raise WrongTypeError when it is of another type."""
        entry = self.find(key)
        if entry is not None and type(entry.value) is not kind:
            raise WrongTypeError
        return cast("Entry[V] | None", entry)

    def mutable(self, key: bytes, kind: type[V]) -> Entry[V] | None:
        """Return what a key holds, to be changed in place and then given to `changed`; see `find_as`."""
        entry = self.find_as(key, kind)
        if self.frozen is not None and key in self.frozen:
            self.settle(key)
        return entry

    def changed(self, key: bytes, entry: Entry[V]) -> None:
        """Note that a collection was changed in place; one that is empty is removed."""
        if not len(entry.value):
            self.remove(key)
            return
        store = self.store
        entry.version = store.revision + 1
        self.dirty[key] = None
        store.is_changed = True
        if store.on_change is not None:
            store.note_change(self.db, key, "put")

    def save(self, key: bytes, entry: Entry[V] | None, value: V) -> None:
        """Note that a collection was changed: in place when it had an entry, else a new one, which may be empty."""
        if entry is not None:
            self.changed(key, entry)
        elif len(value):
            self.put(key, value)

    def put(self, key: bytes, value: Value, expires_ms: int = 0) -> None:
        """Make a key hold a new value.

        Args:
            key: the key.
            value: belongs to the store from now on.
            expires_ms: when it ends, in ms since 1970; 0: never.
        """
        store = self.store
        old = self.find(key)
        if old is None:
            if len(key) > store.limits.key_bytes_max:
                raise CommandError("TOOLARGE", f"key is longer than {store.limits.key_bytes_max} bytes")
            self.count += 1
            self.fresh.append(key)
            if len(self.fresh) > 1024 + 2 * len(self.table):
                # A key that comes and goes all the time must not fill the list.
                self.fresh, self.ordered = list(self.table), None
        elif old.expires_ms and not expires_ms:
            del self.due[key]
        if self.frozen is not None and key in self.frozen:
            self.settle(key)
        self.table[key] = Entry(value, store.revision + 1, expires_ms)
        self.dirty[key] = None
        store.is_changed = True
        if expires_ms:
            self.due[key] = expires_ms
            store.expiries.add(expires_ms, self.db, key)
        if store.on_change is not None:
            store.note_change(self.db, key, "put")

    def set_expiry(self, key: bytes, expires_ms: int) -> None:
        """Make a key that was found end at another time, 0: never."""
        store = self.store
        if self.frozen is not None and key in self.frozen:
            self.settle(key)
        entry = self.table[key]
        assert entry is not None, "only what exists ends"
        entry.expires_ms = expires_ms
        entry.version = store.revision + 1
        self.dirty[key] = None
        store.is_changed = True
        if expires_ms:
            self.due[key] = expires_ms
            store.expiries.add(expires_ms, self.db, key)
        else:
            self.due.pop(key, None)
        if store.on_change is not None:
            store.note_change(self.db, key, "put")

    def remove(self, key: bytes, kind: Literal["delete", "expire"] = "delete") -> None:
        """Make a key that was found hold nothing."""
        store = self.store
        old = self.table[key]
        assert old is not None, "only what exists is removed"
        if old.expires_ms:
            del self.due[key]
        if self.frozen is not None and key in self.frozen:
            self.settle(key)
        self.table[key] = None
        self.dirty[key] = None
        self.count -= 1
        store.is_changed = True
        if store.on_change is not None:
            store.note_change(self.db, key, kind)

    def delete(self, key: bytes) -> bool:
        """Remove a key; return whether it was there."""
        if self.find(key) is None:
            return False
        self.remove(key)
        return True

    def flush(self) -> None:
        """Remove all keys; the caller tells the change hook.

        Complexity: O(1) but for giving memory back; what lies at rest goes with the next checkpoint.
        """
        store = self.store
        self.table = {}
        self.dirty = {}
        self.due = {}
        self.fresh = []
        self.ordered = None
        self.is_flushed = True
        self.count = 0
        store.is_changed = True

    def is_held(self, key: bytes) -> bool:
        """Return whether a checkpoint under way still needs the table's value of a key."""
        return self.frozen is not None and (key in self.frozen or key in self.settled)

    def settle(self, key: bytes) -> int:
        """Encode a frozen value for the checkpoint under way, because it is about to change; return its bytes."""
        assert self.frozen is not None, "only what is frozen is settled"
        del self.frozen[key]
        entry = self.frozen_table[key]
        if entry is None:
            self.settled[key] = None
            return 0
        data = self.settled[key] = encode_entry(entry)
        return len(data)

    def _load(self, key: bytes) -> Entry[Value] | None:
        if self.is_flushed or self.is_flushing:
            return None
        data = self.store.base.get(self.prefix + key)
        if data is None:
            return None
        entry = decode_entry(data)
        self.table[key] = entry
        self.store.cache.note_clean(self.db, key, len(data))
        return entry

    def _meet_due(self, key: bytes, entry: Entry[Value]) -> None:
        """Treat a key that is due as absent; where the log's time says so, remove it."""
        store = self.store
        if store.is_querying:
            if entry.expires_ms > store.time_ms:
                raise NeedsLogError
            return
        self.remove(key, "expire")
