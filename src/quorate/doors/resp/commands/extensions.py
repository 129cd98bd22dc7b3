"""QUORATE.*: what Redis has no word for. Our own client speaks these through the same door."""

from typing import TYPE_CHECKING, Final

import msgspec

from quorate.doors.resp.dispatch import find_command
from quorate.doors.resp.table import NO_REPLY, NOT_YET, InMulti, NoReply, Route, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.kernel import RequestKey
from quorate.store import OK, Command, ReplyError, unknown_command

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_CLIENT_MAX: Final = (1 << 63) - 1


def _inner(connection: "Connection", call: list[bytes]) -> Route | ReplyError:
    """Return what is known of the command inside another, or why it cannot be there."""
    found = find_command(connection.server.routes, call[0])
    if found is None:
        return unknown_command(call)
    if not isinstance(found, Route):
        return ReplyError("ERR", f"'{found.name}' is answered by the node itself and cannot stand here")
    if not found.arity_min <= len(call) <= found.arity_max:
        return found.spec.arity_error()
    return found


def _number(text: bytes, minimum: int) -> int | None:
    value = int(text) if text.isdigit() and len(text) < 20 else -1
    return value if minimum <= value <= _CLIENT_MAX else None


@door_command("QUORATE.ONCE", -4, "write", in_multi=InMulti.REFUSE)
def once(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Applies a command once over all its attempts: QUORATE.ONCE client sequence command [arg ...]."""
    client, sequence = _number(args[1], 0), _number(args[2], 1)
    if client is None or sequence is None:
        return ReplyError("ERR", "client must be 0 to 2^63-1 and sequence 1 to 2^63-1")
    call = args[3:]
    found = _inner(connection, call)
    if isinstance(found, ReplyError):
        return found
    if connection.server.is_paused(is_write=True) or not connection.expect(is_write=True):
        return NOT_YET
    call[0] = found.name
    key = RequestKey(client, sequence)
    connection.server.backend.write(Command(connection.db, call, key), connection)
    return NO_REPLY


@door_command("QUORATE.READ", -3, "readonly", in_multi=InMulti.REFUSE)
def read(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Reads with a chosen consistency: QUORATE.READ linearizable|local command [arg ...]."""
    level = args[1].lower()
    if level not in (b"linearizable", b"local"):
        return ReplyError("ERR", "consistency must be 'linearizable' or 'local'")
    call = args[2:]
    found = _inner(connection, call)
    if isinstance(found, ReplyError):
        return found
    if found.is_write:
        return ReplyError("ERR", f"'{found.name.decode().lower()}' writes and cannot be read with")
    if level == b"linearizable":
        return NO_REPLY if connection.issue(Command(connection.db, call), found) else NOT_YET
    # Old answers have no place behind writes of the same connection, so these wait for them.
    if connection.has_writes_in_flight or not connection.expect(is_write=False):
        return NOT_YET
    call[0] = found.name
    connection.server.backend.read_local(Command(connection.db, call), connection)
    return NO_REPLY


@door_command("QUORATE.WATCH", -2, "pubsub noscript", barrier=True, in_multi=InMulti.REFUSE)
def watch(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Pushes changes of keys with a prefix: QUORATE.WATCH prefix [revision]. RESP3 only.

    The answer holds the revision from which on every change is told, and whether any was missed since the one given.
    """
    if connection.protocol != 3:
        return ReplyError("ERR", "QUORATE.WATCH needs RESP3: send HELLO 3 first")
    for keyspace in connection.server.backend.info().keyspaces:
        if keyspace.by == "leaderless" and keyspace.database == connection.db and not keyspace.prefix:
            return ReplyError("ERR", f"QUORATE.WATCH is refused in keyspace {keyspace.name}: its changes have no order")
    seen = _number(args[2], 0) if len(args) == 3 else None
    if len(args) > 3 or (len(args) == 3 and seen is None):
        return ReplyError("ERR", "revision is not an integer or out of range")
    revision = connection.server.watches.add(connection, connection.db, args[1])
    reply: dict[bytes, DoorReply] = {
        b"prefix": args[1],
        b"revision": revision,
        # Changes are not kept: whoever saw less must read again.
        b"missed": seen is not None and seen < revision,
    }
    return reply


@door_command("QUORATE.UNWATCH", -1, "pubsub noscript", barrier=True, in_multi=InMulti.REFUSE)
def unwatch(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Ends the pushing of changes: QUORATE.UNWATCH [prefix ...], all prefixes when none is named."""
    watches = connection.server.watches
    if len(args) == 1:
        watches.leave(connection)
    for prefix in args[1:]:
        watches.remove(connection, connection.db, prefix)
    return OK


@door_command("QUORATE.STATUS", 1, "fast loading stale")
def status(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns what this node knows of itself and its peers, as JSON."""
    return msgspec.json.encode(connection.server.backend.info())


def _admin(connection: "Connection", name: bytes, args: list[bytes]) -> "DoorReply | NoReply":
    if not connection.expect(is_write=True):
        return NOT_YET
    connection.server.backend.admin(name, args, connection)
    return NO_REPLY


@door_command("QUORATE.MEMBERS", -1, "admin noscript", in_multi=InMulti.REFUSE)
def members(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Lists or changes the members: QUORATE.MEMBERS [ADD id peer-address redis-address | REMOVE id]."""
    match [args[1].upper() if len(args) > 1 else b"", len(args)]:
        case [b"", 1]:
            return _admin(connection, b"MEMBERS", [])
        case [b"ADD", 5] | [b"REMOVE", 3] if _number(args[2], 1) is not None:
            return _admin(connection, args[1].upper(), args[2:])
        case _:
            return ReplyError("ERR", "QUORATE.MEMBERS [ADD id peer-address redis-address | REMOVE id]")


@door_command("QUORATE.TRANSFER", 2, "admin noscript", in_multi=InMulti.REFUSE)
def transfer(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Hands leadership to another node: QUORATE.TRANSFER id."""
    if _number(args[1], 1) is None:
        return ReplyError("ERR", "the id of a node is an integer, 1 or more")
    return _admin(connection, b"TRANSFER", args[1:])


@door_command("QUORATE.SNAPSHOT", 1, "admin noscript", in_multi=InMulti.REFUSE)
def snapshot(connection: "Connection", _args: list[bytes]) -> "DoorReply | NoReply":
    """Makes a checkpoint now, so that the log before it can go."""
    return _admin(connection, b"SNAPSHOT", [])


@door_command("QUORATE.REPAIR", -2, "admin noscript", in_multi=InMulti.REFUSE)
def repair(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Compares this node's copies of a leaderless keyspace with all others: QUORATE.REPAIR keyspace [timeout-ms]."""
    if len(args) > 3 or (len(args) == 3 and _number(args[2], 1) is None):
        return ReplyError("ERR", "QUORATE.REPAIR keyspace [timeout-ms]")
    return _admin(connection, b"REPAIR", args[1:])


@door_command("QUORATE.ABSORB", -3, "admin noscript", in_multi=InMulti.REFUSE)
def absorb(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Joins cells of a backup into this node's copies: QUORATE.ABSORB keyspace rule [key piece-count piece ...]."""
    return _admin(connection, b"ABSORB", args[1:])
