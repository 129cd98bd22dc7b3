"""Commands with a second word, such as CLIENT ID."""

from typing import TYPE_CHECKING

from quorate.doors.resp.table import DoorHandler, NoReply
from quorate.doors.resp.wire import DoorReply
from quorate.store import ReplyError, wrong_arity

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

# Second word in upper case → (number of arguments, both words included; negative: at least so many; handler).
Subcommands = dict[bytes, tuple[int, DoorHandler]]


def run_subcommand(
    connection: "Connection", args: list[bytes], name: str, subcommands: Subcommands
) -> "DoorReply | NoReply":
    """Run the handler of the second word, or answer as Redis does when there is none or its arity is wrong."""
    found = subcommands.get(args[1].upper())
    if found is None:
        word = args[1][:128].decode("utf-8", "replace")
        return ReplyError("ERR", f"unknown subcommand '{word}'. Try {name.upper()} HELP.")
    arity, handler = found
    if len(args) != arity if arity > 0 else len(args) < -arity:
        return wrong_arity(f"{name}|{args[1].decode('utf-8', 'replace').lower()}".encode())
    return handler(connection, args)


def list_subcommands(name: str, subcommands: Subcommands) -> list[bytes]:
    """Return what HELP answers: every second word with the first line of its handler's docstring."""
    lines = [f"{name.upper()} <subcommand> [<arg> ...]. Subcommands are:".encode()]
    for word, (_, handler) in sorted(subcommands.items()):
        summary = (handler.__doc__ or "").partition("\n")[0]
        lines += [word, b"    " + summary.encode()]
    return lines
