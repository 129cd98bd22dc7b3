"""Optimistic transactions and versions: what MULTI/WATCH and the Python API are made of.

Every key has a version, the revision of its last change, 0 when absent. A transaction carries the versions that its
reads saw; it is applied as one command, all or nothing, only if none has changed.
"""

from collections.abc import Sequence

import msgspec

from quorate.kernel import Codec, Malformed
from quorate.store.command import Command, command, find, keys_of
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import NIL_ARRAY, CommandError, Reply
from quorate.store.shapes import ALL, ONE
from quorate.store.space import Space
from quorate.store.strings import check_put


class Watch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A key and the version that it must still have."""

    db: int
    key: bytes
    # 0: absent.
    version: int


class _Transaction(msgspec.Struct, array_like=True, gc=False):
    watches: list[Watch]
    commands: list[Command]


_TRANSACTIONS: Codec[_Transaction] = Codec(_Transaction)


def transaction(db: int, watches: Sequence[tuple[int, bytes, int]], commands: Sequence[Command]) -> Command:
    """Return one command that runs all given ones atomically, if no watched key has changed.

    Args:
        db: database of the caller; the commands carry their own.
        watches: (database, key, version); see `Watch`.
        commands: run in order; their own request keys are ignored.

    Returns:
        A command whose reply is the list of replies, or NIL_ARRAY when a watched key has changed.
    """
    body = _Transaction([Watch(*watch) for watch in watches], list(commands))
    return Command(db, [b"QUORATE.EXEC", _TRANSACTIONS.encode(body)])


def transaction_parts(command: Command) -> list[Command]:
    """Return the commands inside a transaction, and a read of each watched key; none for one that cannot be decoded."""
    try:
        body = _TRANSACTIONS.decode(command.args[1])
    except (Malformed, IndexError):
        return []
    watched = [Command(watch.db, [b"QUORATE.VERSIONS", watch.key]) for watch in body.watches]
    return [*watched, *(inner for inner in body.commands if inner.args)]


def transaction_keys(command: Command) -> list[bytes]:
    """Return all keys that a transaction watches or touches; empty for one that cannot be decoded."""
    try:
        body = _TRANSACTIONS.decode(command.args[1])
    except (Malformed, IndexError):
        return []
    keys = [watch.key for watch in body.watches]
    for inner in body.commands:
        spec = find(inner.args[0]) if inner.args else None
        if spec is not None:
            keys.extend(keys_of(spec, inner.args))
    return keys


def version_of(space: Space, key: bytes) -> int:
    """Return the version of a key, 0 when absent."""
    entry = space.find(key)
    return 0 if entry is None else entry.version


@command("QUORATE.EXEC", 2, "write denyoom")
def exec_(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.EXEC body: see `transaction`."""
    try:
        body = _TRANSACTIONS.decode(args[1])
    except Malformed as cause:
        raise CommandError("ERR", "a transaction that cannot be decoded") from cause
    store = space.store
    for inner in body.commands:
        if inner.args and inner.args[0] == b"QUORATE.EXEC":
            raise CommandError("ERR", "a transaction within a transaction")
    for watch in body.watches:
        if not 0 <= watch.db < len(store.spaces):
            raise CommandError("ERR", "DB index is out of range")
        if version_of(store.spaces[watch.db], watch.key) != watch.version:
            return NIL_ARRAY
    return [store.run(inner) for inner in body.commands]


@command("QUORATE.VERSIONS", -2, "readonly", ALL)
def versions(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.VERSIONS key …: a list of versions."""
    return [version_of(space, key) for key in args[1:]]


@command("QUORATE.GET", 2, "readonly fast", ONE)
def get(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.GET key: value and version of a string; null and 0 when absent."""
    entry = space.find_as(args[1], bytes)
    return [None, 0] if entry is None else [entry.value, entry.version]


def _check_version(space: Space, key: bytes, version: int | None) -> None:
    found = version_of(space, key)
    if version is not None and version != found:
        raise CommandError("CONFLICT", f"the key has version {found}, not {version}")


@command("QUORATE.PUT", -3, "write denyoom", ONE)
def put(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.PUT key value [VERSION n] [TTL ms]: the new version; n = 0 means that the key must be absent."""
    version, expires_ms = None, 0
    if len(args) % 2 == 0:
        raise syntax_error()
    for word, text in zip(args[3::2], args[4::2], strict=True):
        match word.upper():
            case b"VERSION":
                version = integer(text)
            case b"TTL":
                ttl_ms = integer(text)
                if not 0 < ttl_ms < 1 << 62:
                    raise CommandError("ERR", "invalid expire time in 'quorate.put' command")
                expires_ms = space.store.horizon_ms + ttl_ms
            case _:
                raise syntax_error()
    check_put(space, args[1], args[2])
    _check_version(space, args[1], version)
    space.put(args[1], args[2], expires_ms)
    return space.store.revision + 1


@command("QUORATE.DELETE", -2, "write", ONE)
def delete(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.DELETE key [VERSION n]: 1 if the key was there, else 0."""
    if len(args) not in (2, 4) or (len(args) == 4 and args[2].upper() != b"VERSION"):
        raise syntax_error()
    _check_version(space, args[1], integer(args[3]) if len(args) == 4 else None)
    return int(space.delete(args[1]))


@command("QUORATE.TICK", 1, "write fast")
def tick(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.TICK: does nothing of its own; the batch that carries it advances time and removes what is due."""
    del space, args
    return 0
