"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: gathered here, applied by the store as one command.

WATCH reads the versions of keys; EXEC sends them along, and the store applies all commands of the transaction or, when
a version has changed, none. So a transaction holds over nodes and over a change of leader.
"""

from typing import TYPE_CHECKING, cast

from quorate.doors.resp.table import NO_REPLY, NOT_YET, DoorCommand, InMulti, NoReply, Route, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.store import COMMANDS, OK, Command, Reply, ReplyError, transaction

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection
    from quorate.doors.resp.session import QueuedCommand

_VERSIONS = Route(b"QUORATE.VERSIONS", COMMANDS[b"QUORATE.VERSIONS"])


@door_command("MULTI", 1, "fast loading noscript stale", in_multi=InMulti.NOW)
def multi(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Begins a transaction."""
    session = connection.get_session()
    if session.queue is not None:
        return ReplyError("ERR", "MULTI calls can not be nested")
    session.queue = []
    session.queue_db = connection.db
    session.is_dirty = False
    connection.update_plain()
    return OK


@door_command("DISCARD", 1, "fast loading noscript stale", in_multi=InMulti.NOW)
def discard(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Drops the commands queued since MULTI, and all watches."""
    session = connection.session
    if session is None or session.queue is None:
        return ReplyError("ERR", "DISCARD without MULTI")
    session.end_transaction()
    return OK


@door_command("WATCH", -2, "fast loading noscript stale", in_multi=InMulti.NOW, keys=(1, -1, 1))
def watch(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Makes the next EXEC depend on these keys not changing."""
    session = connection.get_session()
    if session.queue is not None:
        return ReplyError("ERR", "WATCH inside MULTI is not allowed")
    db, keys, generation = connection.db, args[1:], session.watch_generation

    def note(reply: Reply) -> DoorReply:
        session.watch_pending_count -= 1
        if not isinstance(reply, list):
            return cast("DoorReply", reply)
        if generation == session.watch_generation:
            for key, version in zip(keys, reply, strict=True):
                # The first look counts: whoever watches again has already acted on it.
                session.watches.setdefault((db, key), cast("int", version))
        return OK

    session.watch_pending_count += 1
    if not connection.issue_hooked(Command(db, [b"QUORATE.VERSIONS", *keys]), _VERSIONS, note):
        session.watch_pending_count -= 1
        return NOT_YET
    return NO_REPLY


@door_command("UNWATCH", 1, "fast loading noscript stale")
def unwatch(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Makes the next EXEC depend on nothing."""
    if connection.session is not None:
        connection.session.forget_watches()
    return OK


@door_command("EXEC", 1, "loading noscript stale", in_multi=InMulti.NOW)
def exec_(connection: "Connection", _args: list[bytes]) -> "DoorReply | NoReply":
    """Applies the queued commands, all or none."""
    session = connection.session
    if session is None or session.queue is None:
        return ReplyError("ERR", "EXEC without MULTI")
    if session.is_dirty:
        session.end_transaction()
        return ReplyError("EXECABORT", "Transaction discarded because of previous errors.")
    if session.watch_pending_count > 0:
        return NOT_YET
    if connection.server.is_paused(is_write=True):
        return NOT_YET
    queue = session.queue
    commands = [Command(db, request) for db, request, found in queue if isinstance(found, Route)]
    watches = [(db, key, version) for (db, key), version in session.watches.items()]
    if not commands and not watches:
        if connection.in_flight_count > 0:
            return NOT_YET
        session.end_transaction()
        return _merge(connection, queue, [])

    def finish(reply: Reply) -> "DoorReply | NoReply":
        return _merge(connection, queue, reply) if isinstance(reply, list) else cast("DoorReply", reply)

    if not connection.expect(is_write=True, hook=finish):
        return NOT_YET
    session.end_transaction()
    connection.server.backend.write(transaction(connection.db, watches, commands), connection)
    return NO_REPLY


def _merge(connection: "Connection", queue: "list[QueuedCommand]", replies: list[Reply]) -> DoorReply:
    """Return the answers of all queued commands in order, running those of the door at their places."""
    merged: list[DoorReply] = []
    remaining = iter(replies)
    for _, request, found in queue:
        if not isinstance(found, DoorCommand):
            merged.append(next(remaining))
            continue
        reply = found.handler(connection, request)
        # Only commands that answer at once may be queued.
        merged.append(None if isinstance(reply, NoReply) else reply)
    return merged
