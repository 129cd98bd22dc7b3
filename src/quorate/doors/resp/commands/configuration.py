"""CONFIG GET, SET, RESETSTAT, REWRITE."""

from typing import TYPE_CHECKING

from quorate.doors.resp.subcommand import Subcommands, list_subcommands, run_subcommand
from quorate.doors.resp.table import NoReply, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.store import OK, Glob, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection


def _get(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns parameters by name or pattern."""
    matchers = [Glob(pattern.lower()) for pattern in args[2:]]
    found: dict[bytes, DoorReply] = {}
    for name, value in connection.server.knobs.get().items():
        if any(matcher.matches(name.encode()) for matcher in matchers):
            found[name.encode()] = value.encode()
    return found


def _set(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Changes parameters of this node, all or none."""
    if len(args) % 2:
        return ReplyError("ERR", "wrong number of arguments for 'config|set' command")
    changes: dict[str, str] = {}
    for name, value in zip(args[2::2], args[3::2], strict=True):
        text = name.decode("utf-8", "replace").lower()
        if text in changes:
            return ReplyError("ERR", f"CONFIG SET failed (possibly related to argument '{text}') - duplicate parameter")
        changes[text] = value.decode("utf-8", "replace")
    return connection.server.knobs.set(changes) or OK


def _resetstat(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Sets the counters of INFO stats to zero."""
    connection.server.reset_counters()
    return OK


def _rewrite(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is refused: the configuration file belongs to the operator."""
    return ReplyError("ERR", "The server is running without a config file that it may rewrite")


def _help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("CONFIG", _SUBCOMMANDS))


_SUBCOMMANDS: Subcommands = {
    b"GET": (-3, _get),
    b"SET": (-4, _set),
    b"RESETSTAT": (2, _resetstat),
    b"REWRITE": (2, _rewrite),
    b"HELP": (2, _help),
}


@door_command("CONFIG", -2, "admin noscript loading stale")
def config(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells and changes parameters of this node."""
    return run_subcommand(connection, args, "config", _SUBCOMMANDS)
