"""COMMAND: what commands there are, from the store's table and the door's own."""

from typing import TYPE_CHECKING, Final

from quorate.doors.resp.dispatch import find_command
from quorate.doors.resp.subcommand import Subcommands, list_subcommands, run_subcommand
from quorate.doors.resp.table import DOOR_COMMANDS, DoorCommand, NoReply, Route, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.store import NIL_ARRAY, CommandSpec, Glob, ReplyError, SimpleString, keys_of

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_CATEGORIES: Final = ("write", "readonly", "fast", "blocking", "admin", "pubsub")


def _all_commands(connection: "Connection") -> "dict[bytes, CommandSpec | DoorCommand]":
    """Return every command by name in upper case, sorted."""
    found: dict[bytes, CommandSpec | DoorCommand] = dict(DOOR_COMMANDS)
    for route in connection.server.routes.values():
        found[route.name] = route.spec
    return dict(sorted(found.items()))


def _entry(spec: "CommandSpec | DoorCommand") -> DoorReply:
    """Return one command as COMMAND INFO shows it."""
    categories = [f"@{'read' if word == 'readonly' else word}" for word in _CATEGORIES if word in spec.flags]
    if "fast" not in spec.flags:
        categories.append("@slow")
    return [
        spec.name.encode(),
        spec.arity,
        [SimpleString(word) for word in spec.flags],
        spec.first_key,
        spec.last_key,
        spec.step,
        [SimpleString(word) for word in categories],
        [],
        [],
        [],
    ]


def _find(connection: "Connection", name: bytes) -> "CommandSpec | DoorCommand | None":
    found = find_command(connection.server.routes, name)
    return found.spec if isinstance(found, Route) else found


def _count(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the number of commands."""
    return len(_all_commands(connection))


def _info(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns what is known of commands: COMMAND INFO [name ...]."""
    if len(args) == 2:
        return [_entry(spec) for spec in _all_commands(connection).values()]
    found = [_find(connection, name) for name in args[2:]]
    return [NIL_ARRAY if spec is None else _entry(spec) for spec in found]


def _docs(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns what commands are for: COMMAND DOCS [name ...]."""
    found = [_find(connection, name) for name in args[2:]] if len(args) > 2 else _all_commands(connection).values()
    docs: dict[bytes, DoorReply] = {}
    for spec in found:
        if spec is None:
            continue
        if isinstance(spec, DoorCommand):
            summary, group = spec.summary, "server"
        else:
            summary, group = (spec.handler.__doc__ or "").partition("\n")[0], "generic"
        docs[spec.name.encode()] = {
            b"summary": summary.encode(),
            b"since": b"1.0.0",
            b"group": group.encode(),
            b"complexity": b"see the documentation",
        }
    return docs


def _list(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the names of commands: COMMAND LIST [FILTERBY PATTERN|ACLCAT|MODULE what]."""
    commands = _all_commands(connection)
    if len(args) == 2:
        return [spec.name.encode() for spec in commands.values()]
    if len(args) != 5 or args[2].upper() != b"FILTERBY":
        return ReplyError("ERR", "syntax error")
    match args[3].upper():
        case b"PATTERN":
            matcher = Glob(args[4].lower())
            return [spec.name.encode() for spec in commands.values() if matcher.matches(spec.name.encode())]
        case b"ACLCAT":
            word = args[4].lower().decode("utf-8", "replace")
            flag = "readonly" if word == "read" else word
            return [spec.name.encode() for spec in commands.values() if flag in spec.flags]
        case b"MODULE":
            return []
        case _:
            return ReplyError("ERR", "syntax error")


def _getkeys(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the keys of a call: COMMAND GETKEYS command [arg ...]."""
    call = args[2:]
    found = find_command(connection.server.routes, call[0])
    if found is None:
        return ReplyError("ERR", "Invalid command specified")
    spec = found.spec if isinstance(found, Route) else found
    if not spec.accepts(len(call)):
        return ReplyError("ERR", "Invalid number of arguments specified for command")
    if isinstance(spec, CommandSpec):
        keys = keys_of(spec, call)
    else:
        last = spec.last_key if spec.last_key >= 0 else len(call) + spec.last_key
        keys = call[spec.first_key : last + 1 : spec.step] if spec.first_key else []
    if not keys:
        return ReplyError("ERR", "The command has no key arguments")
    return list(keys)


def _help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("COMMAND", _SUBCOMMANDS))


_SUBCOMMANDS: Subcommands = {
    b"COUNT": (2, _count),
    b"INFO": (-2, _info),
    b"DOCS": (-2, _docs),
    b"LIST": (-2, _list),
    b"GETKEYS": (-3, _getkeys),
    b"HELP": (2, _help),
}


@door_command("COMMAND", -1, "loading stale")
def command(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells which commands there are."""
    if len(args) == 1:
        return [_entry(spec) for spec in _all_commands(connection).values()]
    return run_subcommand(connection, args, "command", _SUBCOMMANDS)
