"""CLIENT: who is connected, and what each of them wants."""

from typing import TYPE_CHECKING, Final

from quorate.doors.resp.commands.connecting import BAD_NAME, is_name
from quorate.doors.resp.subcommand import Subcommands, list_subcommands, run_subcommand
from quorate.doors.resp.table import NO_REPLY, NOT_YET, NoReply, door_command
from quorate.doors.resp.wire import DoorReply, Verbatim
from quorate.kernel import MILLISECOND, SECOND, Duration
from quorate.store import OK, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_SYNTAX: Final = ReplyError("ERR", "syntax error")
_TYPES: Final = (b"normal", b"master", b"replica", b"slave", b"pubsub")


def type_of(connection: "Connection") -> bytes:
    """Return the kind of a client as CLIENT LIST TYPE and CLIENT KILL TYPE name it."""
    session = connection.session
    return b"pubsub" if session is not None and session.subscription_count else b"normal"


def _address(connection: "Connection", name: str) -> str:
    transport = connection.transport
    found = transport.get_extra_info(name) if transport is not None else None
    if not found:
        return "?:0"
    host = f"[{found[0]}]" if ":" in str(found[0]) else found[0]
    return f"{host}:{found[1]}"


def describe(connection: "Connection") -> bytes:
    """Return one line of CLIENT LIST."""
    session = connection.session
    now = connection.server.clock.now()
    transport = connection.transport
    flags = ("P" if session is not None and session.subscription_count else "") + (
        "x" if session is not None and session.queue is not None else ""
    )
    name = session.name.decode() if session is not None else ""
    fields = {
        "id": connection.id,
        "addr": _address(connection, "peername"),
        "laddr": _address(connection, "sockname"),
        "fd": -1,
        "name": name,
        "age": (now - connection.made_ns) // SECOND,
        "idle": (now - connection.heard_ns) // SECOND,
        "flags": flags or "N",
        "db": connection.db,
        "sub": len(session.channels) if session is not None else 0,
        "psub": len(session.patterns) if session is not None else 0,
        "ssub": len(session.shard_channels) if session is not None else 0,
        "multi": len(session.queue) if session is not None and session.queue is not None else -1,
        "qbuf": connection.input_bytes,
        "omem": transport.get_write_buffer_size() if transport is not None else 0,
        "cmd": connection.last_command.decode("utf-8", "replace").lower(),
        "user": session.user if session is not None else "default",
        "resp": connection.protocol,
        "lib-name": session.library_name.decode() if session is not None else "",
        "lib-ver": session.library_version.decode() if session is not None else "",
    }
    return " ".join(f"{key}={value}" for key, value in fields.items()).encode()


def _id(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the number of the connection."""
    return connection.id


def _info(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns what is known of the connection."""
    return Verbatim(describe(connection) + b"\n")


def _list(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns what is known of all connections: CLIENT LIST [TYPE type] [ID id ...]."""
    chosen = list(connection.server.connections.values())
    if len(args) > 2:
        word = args[2].upper()
        if word == b"TYPE" and len(args) == 4:
            if args[3].lower() not in _TYPES:
                return ReplyError("ERR", f"Unknown client type '{args[3].decode('utf-8', 'replace')}'")
            chosen = [other for other in chosen if type_of(other) == args[3].lower()]
        elif word == b"ID" and len(args) > 3:
            if not all(text.isdigit() and len(text) < 19 for text in args[3:]):
                return ReplyError("ERR", "Invalid client ID")
            wanted = [int(text) for text in args[3:]]
            chosen = [other for other in chosen if other.id in wanted]
        else:
            return _SYNTAX
    return Verbatim(b"".join(describe(other) + b"\n" for other in chosen))


def _setname(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Gives the connection a name."""
    if not is_name(args[2]):
        return BAD_NAME
    connection.get_session().name = args[2]
    return OK


def _getname(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the name of the connection."""
    session = connection.session
    return session.name or None if session is not None else None


def _setinfo(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Notes the client's library: CLIENT SETINFO LIB-NAME|LIB-VER text."""
    word = args[2].upper()
    if not is_name(args[3]):
        text = args[2].decode("utf-8", "replace")
        return ReplyError("ERR", f"{text} cannot contain spaces, newlines or special characters.")
    match word:
        case b"LIB-NAME":
            connection.get_session().library_name = args[3]
        case b"LIB-VER":
            connection.get_session().library_version = args[3]
        case _:
            return ReplyError("ERR", f"Unrecognized option '{args[2].decode('utf-8', 'replace')}'")
    return OK


def _kill(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Closes connections: CLIENT KILL address, or filters ID, ADDR, LADDR, TYPE, USER, MAXAGE, SKIPME."""
    others = list(connection.server.connections.values())
    is_old_form = len(args) == 3
    skips_me = not is_old_form
    if is_old_form:
        chosen = [other for other in others if _address(other, "peername").encode() == args[2]]
        if not chosen:
            return ReplyError("ERR", "No such client")
    else:
        chosen = others
        if len(args) % 2:
            return _SYNTAX
        for word, value in zip(args[2::2], args[3::2], strict=True):
            if word.upper() == b"SKIPME" and value.upper() in (b"YES", b"NO"):
                skips_me = value.upper() == b"YES"
                continue
            kept = _filter(chosen, word.upper(), value)
            if isinstance(kept, ReplyError):
                return kept
            chosen = kept
    killed_count = 0
    ends_me = False
    for other in chosen:
        if other is connection:
            ends_me = not skips_me
            killed_count += ends_me
        else:
            other.abort()
            killed_count += 1
    reply: DoorReply = OK if is_old_form else killed_count
    if ends_me:
        connection.reply(reply)
        connection.close_after(b"")
        return NO_REPLY
    return reply


def _filter(chosen: "list[Connection]", word: bytes, value: bytes) -> "list[Connection] | ReplyError":
    match word:
        case b"ID" | b"MAXAGE":
            if not value.isdigit() or len(value) > 18 or (word == b"ID" and int(value) == 0):
                return ReplyError("ERR", "client-id should be greater than 0" if word == b"ID" else "syntax error")
            if word == b"ID":
                return [other for other in chosen if other.id == int(value)]
            return [other for other in chosen if other.server.clock.now() - other.made_ns >= int(value) * SECOND]
        case b"ADDR":
            return [other for other in chosen if _address(other, "peername").encode() == value]
        case b"LADDR":
            return [other for other in chosen if _address(other, "sockname").encode() == value]
        case b"TYPE":
            if value.lower() not in _TYPES:
                return ReplyError("ERR", f"Unknown client type '{value.decode('utf-8', 'replace')}'")
            return [other for other in chosen if type_of(other) == value.lower()]
        case b"USER":
            return [other for other in chosen if _user(other) == value]
        case _:
            return _SYNTAX


def _user(connection: "Connection") -> bytes:
    return connection.session.user.encode() if connection.session is not None else b"default"


def _pause(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Holds commands of all clients of this node: CLIENT PAUSE milliseconds [WRITE|ALL]."""
    mode = args[3].upper() if len(args) == 4 else b"ALL"
    if mode not in (b"WRITE", b"ALL") or len(args) > 4:
        return _SYNTAX
    if not args[2].isdigit() or len(args[2]) > 12:
        return ReplyError("ERR", "timeout is not an integer or out of range")
    connection.server.pause(Duration(int(args[2]) * MILLISECOND), holds_reads=mode == b"ALL")
    return OK


def _unpause(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Lets commands go on."""
    connection.server.unpause()
    return OK


def _reply(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Chooses whether answers are sent: CLIENT REPLY ON|OFF|SKIP."""
    if connection.in_flight_count > 0:
        return NOT_YET
    session = connection.get_session()
    match args[2].upper():
        case b"ON":
            session.is_muted = session.skips_next = False
            connection.set_muted(is_muted=False)
            connection.update_plain()
            return OK
        case b"OFF":
            session.is_muted = True
            connection.set_muted(is_muted=True)
        case b"SKIP":
            session.skips_next = not session.is_muted
            connection.update_plain()
        case _:
            return _SYNTAX
    return NO_REPLY


def _no_evict(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Is accepted: no client is ever evicted here."""
    return _switch(connection, args[2], "is_no_evict")


def _no_touch(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Is accepted: no key's age is kept here."""
    return _switch(connection, args[2], "is_no_touch")


def _switch(connection: "Connection", word: bytes, attribute: str) -> DoorReply:
    if word.upper() not in (b"ON", b"OFF"):
        return _SYNTAX
    setattr(connection.get_session(), attribute, word.upper() == b"ON")
    return OK


def _unblock(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Ends a blocking command of another client: CLIENT UNBLOCK id [TIMEOUT|ERROR]."""
    word = args[3].upper() if len(args) == 4 else b"TIMEOUT"
    if len(args) > 4 or word not in (b"TIMEOUT", b"ERROR"):
        return ReplyError("ERR", "CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    if not args[2].isdigit() or len(args[2]) > 18:
        return ReplyError("ERR", "value is not an integer or out of range")
    other = connection.server.connections.get(int(args[2]))
    return int(other is not None and other.server.blocking.release(other, is_error=word == b"ERROR"))


def _tracking(_connection: "Connection", args: list[bytes]) -> DoorReply:
    """Is refused, but for OFF: use QUORATE.WATCH, which tells of changes by prefix."""
    if args[2].upper() == b"OFF":
        return OK
    return ReplyError("ERR", "CLIENT TRACKING is not supported; QUORATE.WATCH tells of changes by prefix")


def _getredir(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns -1: no tracking."""
    return -1


def _trackinginfo(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns that nothing is tracked."""
    reply: dict[bytes, DoorReply] = {b"flags": [b"off"], b"redirect": -1, b"prefixes": []}
    return reply


def _help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("CLIENT", _SUBCOMMANDS))


_SUBCOMMANDS: Subcommands = {
    b"ID": (2, _id),
    b"INFO": (2, _info),
    b"LIST": (-2, _list),
    b"SETNAME": (3, _setname),
    b"GETNAME": (2, _getname),
    b"SETINFO": (4, _setinfo),
    b"KILL": (-3, _kill),
    b"PAUSE": (-3, _pause),
    b"UNPAUSE": (2, _unpause),
    b"REPLY": (3, _reply),
    b"NO-EVICT": (3, _no_evict),
    b"NO-TOUCH": (3, _no_touch),
    b"UNBLOCK": (-3, _unblock),
    b"TRACKING": (-3, _tracking),
    b"TRACKINGINFO": (2, _trackinginfo),
    b"GETREDIR": (2, _getredir),
    b"HELP": (2, _help),
}


@door_command("CLIENT", -2, "loading noscript stale")
def client(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells of connections and changes how they behave."""
    return run_subcommand(connection, args, "client", _SUBCOMMANDS)
