"""A keyspace and its sessions for plain synchronous programs: the same calls, run on a loop in another thread."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from quorate.client import Keyspace, KeyspaceSession, Level, Siblings

Key = str | bytes
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class SyncKeyspace:
    """See `Keyspace`."""

    def __init__(self, run: Run, inner: Keyspace) -> None:
        self._run = run
        self._inner = inner

    @property
    def name(self) -> str:
        """Its name."""
        return self._inner.name

    def get(self, key: Key, *, level: Level = "") -> bytes | None:
        """Return the value of a key, or the sum of a counter; None when absent."""
        value: bytes | None = self._run(self._inner.get(key, level=level))
        return value

    def put(self, key: Key, value: Key | int, *, level: Level = "", token: bytes = b"") -> None:
        """Set a key."""
        self._run(self._inner.put(key, value, level=level, token=token))

    def delete(self, key: Key, *, level: Level = "", token: bytes = b"") -> bool:
        """Remove a key; return whether the nearest copy held it."""
        return bool(self._run(self._inner.delete(key, level=level, token=token)))

    def siblings(self, key: Key, *, level: Level = "") -> Siblings:
        """Return all concurrent values of a key."""
        found: Siblings = self._run(self._inner.siblings(key, level=level))
        return found

    def resolve(self, key: Key, token: bytes, value: Key | int | None, *, level: Level = "") -> int:
        """Replace what a token has seen by one value, or by nothing; return how many values there are then."""
        return int(self._run(self._inner.resolve(key, token, value, level=level)))

    def increment(self, key: Key, by: int = 1, *, level: Level = "") -> int:
        """Add to a counter; return the sum as the node asked knows it."""
        return int(self._run(self._inner.increment(key, by, level=level)))

    def add(self, key: Key, *members: Key, level: Level = "") -> int:
        """Put members into a set; return how many the nearest copy did not hold."""
        return int(self._run(self._inner.add(key, *members, level=level)))

    def remove(self, key: Key, *members: Key, level: Level = "") -> int:
        """Take members out of a set."""
        return int(self._run(self._inner.remove(key, *members, level=level)))

    def members(self, key: Key, *, level: Level = "") -> list[bytes]:
        """Return the members of a set, ascending."""
        return list(self._run(self._inner.members(key, level=level)))

    def set_fields(self, key: Key, fields: Mapping[Key, Key | int], *, level: Level = "") -> None:
        """Set fields of a hash."""
        self._run(self._inner.set_fields(key, fields, level=level))

    def remove_fields(self, key: Key, *fields: Key, level: Level = "") -> int:
        """Take fields out of a hash; return how many the nearest copy held."""
        return int(self._run(self._inner.remove_fields(key, *fields, level=level)))

    def fields(self, key: Key, *, level: Level = "") -> dict[bytes, bytes]:
        """Return all fields of a hash."""
        return dict(self._run(self._inner.fields(key, level=level)))

    def session(
        self,
        *,
        read_your_writes: bool = True,
        monotonic_reads: bool = True,
        monotonic_writes: bool = True,
        writes_follow_reads: bool = True,
        causal: bool = False,
        resume: bytes = b"",
    ) -> "SyncKeyspaceSession":
        """Return a session; see `Keyspace.session`."""
        inner = self._inner.session(
            read_your_writes=read_your_writes,
            monotonic_reads=monotonic_reads,
            monotonic_writes=monotonic_writes,
            writes_follow_reads=writes_follow_reads,
            causal=causal,
            resume=resume,
        )
        return SyncKeyspaceSession(self._run, inner)


class SyncKeyspaceSession(SyncKeyspace):
    """See `KeyspaceSession`."""

    def __init__(self, run: Run, inner: KeyspaceSession) -> None:
        super().__init__(run, inner)
        self._session = inner

    def export(self) -> bytes:
        """Return the session as bytes, for `session(resume=...)` of another process."""
        return self._session.export()
