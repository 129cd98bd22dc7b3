"""A keyspace by its name: the same calls whether it is on Raft or leaderless, embedded, a member or remote."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self, TypeAlias

from quorate.client.executor import Executor
from quorate.client.marks import TOKENS_MAX, Guarantees, SessionMarks
from quorate.kernel.errors import OperationError, Overloaded, UsageError

Key: TypeAlias = str | bytes
Level: TypeAlias = int | str
"""How many copies must answer: a number, or a word such as ONE, QUORUM, ALL."""

NOTE_BYTES_MAX: Final = 4_096
"""What a causal session's values carry at most; beyond, it makes sure that all copies hold the older part."""

KEYS_MAX: Final = 100_000
"""Keys of one session; beyond, its writes and reads of further keys are refused."""


class Siblings(NamedTuple):
    """The concurrent values of a key, and what stands for having seen them."""

    values: list[bytes]
    token: bytes


class Described(NamedTuple):
    """What a client must know of a keyspace."""

    is_leaderless: bool
    keeps_siblings: bool
    is_causal: bool
    repairs_first: bool


def to_bytes(data: Key | int) -> bytes:
    """Return a key or value as bytes: text as UTF-8, whole numbers in decimal."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, int) and not isinstance(data, bool):
        return str(data).encode()
    raise UsageError(f"keys and values are bytes, str or int, not {type(data).__name__}")


class Keyspace:
    """One keyspace of a cluster; keys are named without its prefix.

    Every method may raise DefiniteError (it did not happen) or IndefiniteError (it may have). In a leaderless keyspace
    a write that may have happened is not sent again by itself: a counter would count twice.

    Example:
        carts = db.keyspace("carts")
        await carts.put("alice", "apples", level="ONE")
        await carts.increment("visits")
    """

    def __init__(self, executor: Executor, name: str) -> None:
        self.name = name
        self._executor = executor
        self._described: Described | None = None

    # -- strings --------

    async def get(self, key: Key, *, level: Level = "") -> bytes | None:
        """Return the value of a key, or the sum of a counter; None when absent. Raise SiblingsFound for several."""
        value: bytes | None = await self._ask([b"GET", to_bytes(key)], level)
        return value

    async def put(self, key: Key, value: Key | int, *, level: Level = "", token: bytes = b"") -> None:
        """Set a key.

        Args:
            key: text or bytes.
            value: text, bytes or a whole number.
            level: how many copies must have it on disk; empty: what the keyspace declares.
            token: of what was read: that is replaced. Where values stay side by side, all others are kept.
        """
        await self._do([b"SET", to_bytes(key), to_bytes(value)], level, token)

    async def delete(self, key: Key, *, level: Level = "", token: bytes = b"") -> bool:
        """Remove a key, whatever it holds; return whether the nearest copy held it."""
        return bool(await self._do([b"DEL", to_bytes(key)], level, token))

    async def siblings(self, key: Key, *, level: Level = "") -> Siblings:
        """Return all concurrent values of a key."""
        token, values = await self._ask([b"QUORATE.SIBLINGS", to_bytes(key)], level)
        return Siblings(list(values), token)

    async def resolve(self, key: Key, token: bytes, value: Key | int | None, *, level: Level = "") -> int:
        """Replace what a token has seen by one value, or by nothing; return how many values there are then."""
        args = [b"QUORATE.RESOLVE", to_bytes(key), token, *([to_bytes(value)] if value is not None else [])]
        return int(await self._do(args, level, token))

    # -- counters --------

    async def increment(self, key: Key, by: int = 1, *, level: Level = "") -> int:
        """Add to a counter; return the sum as the node asked knows it."""
        return int(await self._do([b"INCRBY", to_bytes(key), str(by).encode()], level))

    # -- sets --------

    async def add(self, key: Key, *members: Key, level: Level = "") -> int:
        """Put members into a set; return how many the nearest copy did not hold."""
        return int(await self._do([b"SADD", to_bytes(key), *map(to_bytes, members)], level))

    async def remove(self, key: Key, *members: Key, level: Level = "") -> int:
        """Take members out of a set; what is added at the same time stays."""
        return int(await self._do([b"SREM", to_bytes(key), *map(to_bytes, members)], level))

    async def members(self, key: Key, *, level: Level = "") -> list[bytes]:
        """Return the members of a set, ascending."""
        return sorted(await self._ask([b"SMEMBERS", to_bytes(key)], level))

    # -- hashes --------

    async def set_fields(self, key: Key, fields: Mapping[Key, Key | int], *, level: Level = "") -> None:
        """Set fields of a hash."""
        args = [to_bytes(part) for pair in fields.items() for part in pair]
        if not args:
            raise UsageError("set_fields: which fields?")
        await self._do([b"HSET", to_bytes(key), *args], level)

    async def remove_fields(self, key: Key, *fields: Key, level: Level = "") -> int:
        """Take fields out of a hash; return how many the nearest copy held."""
        return int(await self._do([b"HDEL", to_bytes(key), *map(to_bytes, fields)], level))

    async def fields(self, key: Key, *, level: Level = "") -> dict[bytes, bytes]:
        """Return all fields of a hash."""
        return dict(await self._ask([b"HGETALL", to_bytes(key)], level))

    # -- sessions --------

    def session(
        self,
        *,
        read_your_writes: bool = True,
        monotonic_reads: bool = True,
        monotonic_writes: bool = True,
        writes_follow_reads: bool = True,
        causal: bool = False,
        resume: bytes = b"",
    ) -> "KeyspaceSession":
        """Return a session: the same calls, with guarantees from one to the next, whichever nodes answer.

        Args:
            read_your_writes: a read shows the session's own writes, or something newer.
            monotonic_reads: a read shows nothing older than an earlier read of the same key.
            monotonic_writes: a write to a key comes after the session's earlier ones.
            writes_follow_reads: a write to a key comes after what the session read of it.
            causal: all of these, and across keys: who reads a value finds what its writer had seen.
            resume: an exported session to go on with.
        """
        guarantees = Guarantees(
            read_your_writes=read_your_writes,
            monotonic_reads=monotonic_reads,
            monotonic_writes=monotonic_writes,
            writes_follow_reads=writes_follow_reads,
            causal=causal,
        )
        return KeyspaceSession(self._executor, self.name, guarantees, resume)

    # -- how it travels --------

    async def describe(self) -> Described:
        """Return what the cluster declares; asked once. Raise UsageError when there is no such keyspace."""
        if self._described is None:
            listed = await self._executor.admin([b"KEYSPACES"])
            found = next((one for one in listed if one[b"name"] == self.name.encode()), None)
            if found is None:
                known = ", ".join(one[b"name"].decode() for one in listed)
                raise UsageError(f"there is no keyspace {self.name!r}; known are: {known or 'none'}")
            self._described = Described(
                is_leaderless=found[b"by"] == b"leaderless",
                keeps_siblings=found[b"conflicts"] == b"siblings" or found[b"conflicts"].startswith(b"merge:"),
                is_causal=found[b"consistency"] == b"causal",
                repairs_first=found[b"read_repair"] == b"blocking",
            )
        return self._described

    async def _ask(self, args: list[bytes], level: Level = "") -> Any:
        """Read."""
        described = await self.describe()
        if described.is_leaderless:
            return await self._executor.send(self._wrapped(b"QUORATE.ASK", args, level, []), is_write=False)
        self._refuse_on_raft(level)
        return await self._executor.read(self._wrapped(b"QUORATE.ASK", args, "", []), "linearizable")

    async def _do(self, args: list[bytes], level: Level = "", token: bytes = b"") -> Any:
        """Write; the token is of what was read."""
        described = await self.describe()
        if described.is_leaderless:
            options = [b"CONTEXT", token] if token else []
            return await self._executor.send(self._wrapped(b"QUORATE.DO", args, level, options), is_write=True)
        self._refuse_on_raft(level or token)
        return await self._executor.write(self._wrapped(b"QUORATE.DO", args, "", []))

    def _wrapped(self, wrapper: bytes, args: list[bytes], level: Level, options: list[bytes]) -> list[bytes]:
        levels = [b"LEVEL", str(level).encode()] if level != "" else []
        return [wrapper, b"KEYSPACE", self.name.encode(), *levels, *options, *args]

    def _refuse_on_raft(self, what: Level | bytes) -> None:
        if what not in ("", b""):
            raise UsageError(f"keyspace {self.name} is on Raft: levels and tokens are of leaderless keyspaces")


class KeyspaceSession(Keyspace):
    """The calls of a keyspace with guarantees from one to the next. For one task at a time.

    A read for which no copy can be found that has what the session must see raises Stale, definitely.
    """

    def __init__(self, executor: Executor, name: str, guarantees: Guarantees, resume: bytes = b"") -> None:
        super().__init__(executor, name)
        self._guarantees = guarantees
        self._resume = resume
        self._marks: SessionMarks | None = None

    def export(self) -> bytes:
        """Return the session as bytes, for `session(resume=...)` of another process."""
        return self._marks.export() if self._marks is not None else self._resume

    async def _begin(self) -> tuple[Described, SessionMarks]:
        described = await self.describe()
        if self._marks is None:
            guarantees = Guarantees(causal=True) if described.is_causal else self._guarantees
            marks = SessionMarks(guarantees, keeps_siblings=described.keeps_siblings)
            if self._resume:
                marks.resume(self._resume)
            self._marks = marks
        return described, self._marks

    async def _ask(self, args: list[bytes], level: Level = "") -> Any:
        described, marks = await self._begin()
        if not described.is_leaderless:  # linearizable: more than any session asks
            return await super()._ask(args, level)
        self._check_room(marks, args[1])
        wanted = marks.for_read(args[1])
        if len(wanted) > TOKENS_MAX:
            wanted = (await self._cover(marks, args[1], wanted),)
        reply, _ = await self._read(marks, args, level, wanted)
        return reply

    async def _read(
        self, marks: SessionMarks, args: list[bytes], level: Level, wanted: tuple[bytes, ...]
    ) -> tuple[Any, bytes]:
        options = [part for one in wanted for part in (b"ATLEAST", one)]
        wrapped = self._wrapped(b"QUORATE.ASK", args, level, [*options, b"TOKEN"])
        reply, token, notes = await self._executor.send(wrapped, is_write=False)
        marks.was_read(args[1], token, notes, included=wanted)
        return reply, token

    async def _do(self, args: list[bytes], level: Level = "", token: bytes = b"") -> Any:
        described, marks = await self._begin()
        if not described.is_leaderless:
            return await super()._do(args, level, token)
        key = args[1]
        if marks.guarantees.causal and args[0] not in (b"SET", b"DEL", b"QUORATE.RESOLVE"):
            raise UsageError(
                "a causal session writes strings: counters, sets and hashes carry no note of what was seen"
            )
        self._check_room(marks, key)
        after = (token,) if token else marks.for_write(key)
        if len(after) > 1:
            after = (await self._cover(marks, key, after),)
        note = await self._note(described, marks, key)
        options = [part for one in after for part in (b"CONTEXT", one)]
        options += [b"NOTE", note] if note else []
        wrapped = self._wrapped(b"QUORATE.DO", args, level, [*options, b"TOKEN"])
        reply, written, notes = await self._executor.send(wrapped, is_write=True)
        marks.was_written(key, written, len(notes), after=after)
        return reply

    async def _cover(self, marks: SessionMarks, key: bytes, tokens: tuple[bytes, ...]) -> bytes:
        """Return one token that includes several, by reads that must."""
        token = b""
        for place in range(0, len(tokens), TOKENS_MAX):
            wanted = (*([token] if token else []), *tokens[place : place + TOKENS_MAX])
            _, token = await self._read(marks, [b"TYPE", key], "", wanted)
        return token

    async def _note(self, described: Described, marks: SessionMarks, key: bytes) -> bytes:
        """Return what the value carries, within its bound: what all copies hold needs not be carried.

        Raises:
            Overloaded: the session depends on too many writes that not all copies can be made to hold now.
        """
        note = marks.note(key)
        while len(note) > NOTE_BYTES_MAX:
            others = [other for other in {**marks.known, **marks.seen, **marks.own} if other != key]
            for other in others[: max(1, len(others) // 2)]:
                await self._make_stable(described, marks, other)
            note = marks.note(key)
        return note

    async def _make_stable(self, described: Described, marks: SessionMarks, key: bytes) -> None:
        if not described.repairs_first:
            raise Overloaded(
                f"this session depends on more writes than {NOTE_BYTES_MAX} bytes can name, and without"
                ' read_repair = "blocking" nothing makes all copies hold them; nothing was written'
            )
        try:
            await self._read(marks, [b"TYPE", key], "ALL", marks.for_read(key))
        except OperationError as cause:
            raise Overloaded(
                f"this session depends on more writes than {NOTE_BYTES_MAX} bytes can name, and not all copies of them"
                f" can be reached ({cause}); nothing was written"
            ) from cause
        marks.forget(key)

    @staticmethod
    def _check_room(marks: SessionMarks, key: bytes) -> None:
        if len(marks.seen) + len(marks.own) >= KEYS_MAX and key not in marks.seen and key not in marks.own:
            raise Overloaded(f"a session remembers {KEYS_MAX} keys; begin another one")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._marks = None
