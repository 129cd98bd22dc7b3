"""Decides what becomes of a request that cannot take the short path."""

from typing import TYPE_CHECKING, Final, assert_never

from quorate.doors.resp.parser import Request
from quorate.doors.resp.table import DOOR_COMMANDS, NO_REPLY, NOT_YET, DoorCommand, InMulti, Route
from quorate.store import QUEUED, Command, ReplyError, available, unknown_command, wrong_arity

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection
    from quorate.doors.resp.session import Session

_NOAUTH: Final = ReplyError("NOAUTH", "Authentication required.")
# What a browser sends first when a page makes it talk to this port: the connection ends without an answer.
_WEB_WORDS: Final = (b"POST", b"HOST:")


def find_command(routes: dict[bytes, Route], name: bytes) -> Route | DoorCommand | None:
    """Return what is known of a command, its name in any case."""
    upper = name.upper()
    return routes.get(upper) or DOOR_COMMANDS.get(upper)


def take(connection: "Connection", request: Request, route: Route | None) -> bool:
    """Begin a request that is not a plain one of the store; return False when it must wait.

    Args:
        connection: that it came from.
        request: name and arguments.
        route: of the store's command, if its name was found already.
    """
    if connection.is_closing:
        return True
    if connection.is_waiting or not connection.is_writable:
        return False
    found = route or find_command(connection.server.routes, request[0])
    if not connection.is_authenticated and not (isinstance(found, DoorCommand) and found.is_for_strangers):
        if request[0].upper() in _WEB_WORDS:
            connection.close_after(b"")
        else:
            connection.reply(_NOAUTH)
        return True
    session = connection.session
    refusal = _refusal(connection, request, found)
    if refusal is not None:
        if session is not None and session.queue is not None:
            session.is_dirty = True
        connection.reply(refusal)
        return True
    if found is None:
        connection.close_after(b"")
        return True
    if session is not None:
        if not _settle_skip(connection, session):
            return False
        if session.queue is not None and _queue(connection, session, request, found):
            return True
    return _begin(connection, request, found)


def _refusal(connection: "Connection", request: Request, found: Route | DoorCommand | None) -> ReplyError | None:
    """Return why a request is not even looked at; None too when the connection is to end without a word."""
    if found is None:
        return None if request[0].upper() in _WEB_WORDS else unknown_command(request)
    match found:
        case Route():
            if not found.arity_min <= len(request) <= found.arity_max:
                return found.spec.arity_error()
            is_allowed = False
        case DoorCommand():
            if not found.accepts(len(request)):
                return wrong_arity(found.name.encode())
            is_allowed = found.is_for_subscribers
        case _:
            assert_never(found)
    session = connection.session
    if session is None or is_allowed or connection.protocol == 3:
        return None
    if session.subscription_count or session.shard_channels:
        name = found.name.decode() if isinstance(found, Route) else found.name
        return ReplyError(
            "ERR",
            f"Can't execute '{name.lower()}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed"
            " in this context",
        )
    return None


def _settle_skip(connection: "Connection", session: "Session") -> bool:
    """Carry out CLIENT REPLY SKIP: mute the one request behind it. Return False when this request must wait."""
    if not (session.skips_next or session.is_skipping):
        return True
    if connection.in_flight_count > 0:
        return False
    session.is_skipping, session.skips_next = session.skips_next, False
    connection.set_muted(is_muted=session.is_skipping or session.is_muted)
    connection.update_plain()
    return True


def _queue(connection: "Connection", session: "Session", request: Request, found: Route | DoorCommand) -> bool:
    """Let a request wait for EXEC; return False when it is one that acts at once."""
    assert session.queue is not None, "only between MULTI and EXEC"
    if isinstance(found, DoorCommand):
        if found.in_multi is InMulti.NOW:
            return False
        if found.in_multi is InMulti.REFUSE:
            session.is_dirty = True
            connection.reply(ReplyError("ERR", f"Command '{found.name}' is not allowed inside a transaction"))
            return True
        if found.name == "select":
            # The commands behind it run in that database; a wrong number answers with an error and changes nothing.
            db = connection.server.database_number(request[1])
            session.queue_db = db if db is not None else session.queue_db
    else:
        request[0] = found.name
    session.queue.append((session.queue_db, request, found))
    connection.reply(QUEUED)
    return True


def _issue_with_levels(connection: "Connection", session: "Session", request: Request, found: Route) -> bool:
    """Give a command to the backend with the levels of its connection; return False when it must wait."""
    wrapper = connection.server.routes[available.DO if found.is_write else available.ASK]
    levels: list[bytes] = []
    if session.read_level:
        levels += [b"READ", session.read_level]
    if session.write_level:
        levels += [b"WRITE", session.write_level]
    return connection.issue(Command(connection.db, [wrapper.name, *levels, found.name, *request[1:]]), wrapper)


def _begin(connection: "Connection", request: Request, found: Route | DoorCommand) -> bool:
    """Run a request; return False when it must wait."""
    match found:
        case Route():
            if connection.server.is_paused(is_write=found.is_write):
                return False
            session = connection.session
            if session is not None and session.has_levels and found.name not in available.WRAPPERS:
                return _issue_with_levels(connection, session, request, found)
            return connection.issue(Command(connection.db, request), found)
        case DoorCommand():
            if found.is_barrier and connection.in_flight_count > 0:
                return False
            reply = found.handler(connection, request)
            if reply is NOT_YET:
                return False
            if reply is not NO_REPLY:
                connection.reply(reply)
            return True
        case _:
            assert_never(found)
