"""HELLO, AUTH, PING, ECHO, SELECT, QUIT, RESET."""

import hmac
from typing import TYPE_CHECKING, Final

from quorate.doors.resp.table import NO_REPLY, InMulti, NoReply, door_command
from quorate.doors.resp.version import REDIS_VERSION
from quorate.doors.resp.wire import DoorReply, encode
from quorate.store import OK, PONG, ReplyError, SimpleString, wrong_arity

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_WRONG_PASSWORD: Final = ReplyError("WRONGPASS", "invalid username-password pair or user is disabled.")
_NO_PASSWORD: Final = ReplyError(
    "ERR",
    "AUTH <password> called without any password configured for the default user. Are you sure your configuration is"
    " correct?",
)
_HELLO_NOAUTH: Final = ReplyError(
    "NOAUTH",
    "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option"
    " can be used to authenticate the client and select the RESP protocol version at the same time",
)
BAD_NAME: Final = ReplyError("ERR", "Client names cannot contain spaces, newlines or special characters.")


def is_name(text: bytes) -> bool:
    """Return whether a text can be a client's name: visible ASCII without spaces."""
    return all(0x21 <= byte <= 0x7E for byte in text)


def authenticate(connection: "Connection", user: bytes, password: bytes) -> ReplyError | None:
    """Let a client in, or return why not."""
    config = connection.server.config
    name = user.decode("utf-8", "replace")
    expected = config.password if name == "default" else config.users.get(name)
    is_open = name == "default" and config.password is None
    # Compared even when there is no such user, so that the time taken does not tell.
    is_right = hmac.compare_digest((expected or "").encode(), password) and expected is not None
    if not (is_right or is_open):
        return _WRONG_PASSWORD
    connection.get_session().user = name
    connection.set_authenticated(is_authenticated=True)
    return None


@door_command("AUTH", -2, "fast loading noscript stale no_auth", barrier=True, strangers=True)
def auth(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Says who the client is."""
    if len(args) > 3:
        return ReplyError("ERR", "syntax error")
    if len(args) == 2 and connection.server.config.password is None:
        return _NO_PASSWORD
    user, password = (b"default", args[1]) if len(args) == 2 else (args[1], args[2])
    return authenticate(connection, user, password) or OK


@door_command("HELLO", -1, "fast loading noscript stale no_auth", barrier=True, in_multi=InMulti.REFUSE, strangers=True)
def hello(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Chooses the dialect and tells what the server is."""
    protocol = connection.protocol
    if len(args) > 1:
        if not args[1].isdigit() or len(args[1]) > 9:
            return ReplyError("ERR", "Protocol version is not an integer or out of range")
        protocol = int(args[1])
        if protocol not in (2, 3):
            return ReplyError("NOPROTO", "unsupported protocol version")
    name: bytes | None = None
    credentials: tuple[bytes, bytes] | None = None
    offset = 2
    while offset < len(args):
        word = args[offset].upper()
        if word == b"AUTH" and offset + 2 < len(args):
            credentials = args[offset + 1], args[offset + 2]
            offset += 3
        elif word == b"SETNAME" and offset + 1 < len(args):
            name = args[offset + 1]
            offset += 2
        else:
            text = args[offset].decode("utf-8", "replace")
            return ReplyError("ERR", f"Syntax error in HELLO option '{text}'")
    if name is not None and not is_name(name):
        return BAD_NAME
    if credentials is not None:
        refusal = authenticate(connection, *credentials)
        if refusal is not None:
            return refusal
    if not connection.is_authenticated:
        return _HELLO_NOAUTH
    if name is not None:
        connection.get_session().name = name
    connection.protocol = protocol
    connection.update_plain()
    role = connection.server.backend.info().role
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": protocol,
        b"id": connection.id,
        b"mode": b"standalone",
        b"role": b"master" if role == "leader" else b"replica",
        b"modules": [],
    }


@door_command("PING", -1, "fast", subscribers=True)
def ping(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Answers, so that the client knows that the connection lives."""
    if len(args) > 2:
        return wrong_arity(b"ping")
    session = connection.session
    if connection.protocol == 2 and session is not None and (session.subscription_count or session.shard_channels):
        return [b"pong", args[1] if len(args) == 2 else b""]
    return args[1] if len(args) == 2 else PONG


@door_command("ECHO", 2, "fast loading stale")
def echo(_connection: "Connection", args: list[bytes]) -> DoorReply:
    """Answers with its argument."""
    return args[1]


@door_command("SELECT", 2, "fast loading stale")
def select(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Chooses the numbered database of the connection."""
    db = connection.server.database_number(args[1])
    if db is None:
        is_number = args[1].removeprefix(b"-").isdigit()
        return ReplyError("ERR", "DB index is out of range" if is_number else "value is not an integer or out of range")
    connection.db = db
    return OK


@door_command(
    "QUIT",
    -1,
    "fast loading noscript stale no_auth",
    barrier=True,
    in_multi=InMulti.NOW,
    subscribers=True,
    strangers=True,
)
def quit_(connection: "Connection", _args: list[bytes]) -> NoReply:
    """Answers OK and closes the connection."""
    connection.close_after(encode(OK, connection.protocol))
    return NO_REPLY


@door_command(
    "RESET",
    1,
    "fast loading noscript stale no_auth",
    barrier=True,
    in_multi=InMulti.NOW,
    subscribers=True,
    strangers=True,
)
def reset(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Makes the connection as it was when it was opened."""
    session = connection.session
    if session is not None:
        session.close()
        connection.session = None
    connection.set_muted(is_muted=False)
    connection.protocol = 2
    connection.db = 0
    connection.set_authenticated(is_authenticated=not connection.server.needs_password)
    return SimpleString("RESET")
