"""Commands for whoever runs a server: DEBUG, MEMORY, SLOWLOG, LATENCY, WAIT, SHUTDOWN and others."""

from typing import TYPE_CHECKING, Final

from quorate.doors.resp.subcommand import Subcommands, list_subcommands, run_subcommand
from quorate.doors.resp.table import NO_REPLY, InMulti, NoReply, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.kernel import MILLISECOND, Duration
from quorate.store import COMMANDS, OK, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_WAIT_INTERVAL: Final = Duration(5 * MILLISECOND)


if b"TIME" not in COMMANDS:

    @door_command("TIME", 1, "fast loading stale")
    def time(connection: "Connection", _args: list[bytes]) -> DoorReply:
        """Returns this node's wall clock: seconds and microseconds since 1970."""
        microseconds = connection.server.clock.wall_ns() // 1000
        return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]


@door_command("DEBUG", -2, "admin noscript loading stale")
def debug(_connection: "Connection", args: list[bytes]) -> DoorReply:
    """Is refused, but for what changes nothing here."""
    word = args[1].upper()
    if word in (b"SET-ACTIVE-EXPIRE", b"JMAP", b"STRINGMATCH-LEN", b"QUICKLIST-PACKED-THRESHOLD", b"LISTPACK"):
        return OK
    text = args[1][:64].decode("utf-8", "replace")
    return ReplyError("ERR", f"DEBUG {text} is not supported")


def _slowlog_get(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns nothing: slow commands are not recorded (slowlog-log-slower-than is -1)."""
    return []


def _slowlog_len(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns 0: slow commands are not recorded."""
    return 0


def _slowlog_reset(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is accepted: there is nothing to forget."""
    return OK


def _slowlog_help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("SLOWLOG", _SLOWLOG))


_SLOWLOG: Subcommands = {
    b"GET": (-2, _slowlog_get),
    b"LEN": (2, _slowlog_len),
    b"RESET": (2, _slowlog_reset),
    b"HELP": (2, _slowlog_help),
}


@door_command("SLOWLOG", -2, "admin loading stale")
def slowlog(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells that slow commands are not recorded."""
    return run_subcommand(connection, args, "slowlog", _SLOWLOG)


def _latency_list(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns nothing: latencies are not recorded here; see the metrics of the HTTP door."""
    return []


def _latency_reset(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns 0: there is nothing to forget."""
    return 0


def _latency_help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("LATENCY", _LATENCY))


_LATENCY: Subcommands = {
    b"LATEST": (2, _latency_list),
    b"HISTORY": (3, _latency_list),
    b"RESET": (-2, _latency_reset),
    b"HELP": (2, _latency_help),
}


@door_command("LATENCY", -2, "admin noscript loading stale")
def latency(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells that latencies are not recorded here."""
    return run_subcommand(connection, args, "latency", _LATENCY)


@door_command("SHUTDOWN", -1, "admin noscript loading stale", in_multi=InMulti.REFUSE)
def shutdown(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is refused: stop the node's process."""
    return ReplyError("ERR", "SHUTDOWN is not supported: stop the node with a signal, or `quorate down`")


def _refuse(name: str, reason: str) -> None:
    """Enter a command that is understood and refused with a reason."""

    def handler(_connection: "Connection", _args: list[bytes]) -> DoorReply:
        return ReplyError("ERR", f"{name} is not supported: {reason}")

    handler.__doc__ = f"Is refused: {reason}."
    door_command(name, -1, "admin noscript loading stale", in_multi=InMulti.REFUSE)(handler)


_refuse("MONITOR", "it would show every client's data to every other")
_refuse("SAVE", "every write is on the disks of a majority before it is answered")
_refuse("BGSAVE", "every write is on the disks of a majority before it is answered; see QUORATE.SNAPSHOT")
_refuse("BGREWRITEAOF", "the log compacts itself; see QUORATE.SNAPSHOT")
_refuse("REPLICAOF", "members are changed with QUORATE.MEMBERS")
_refuse("SLAVEOF", "members are changed with QUORATE.MEMBERS")
_refuse("FAILOVER", "leadership is moved with QUORATE.TRANSFER")
_refuse("PSYNC", "nodes replicate by their own protocol")
_refuse("SYNC", "nodes replicate by their own protocol")


def held_count(connection: "Connection") -> int:
    """Return how many other nodes hold all writes of this connection that were answered, at least.

    What was answered is committed, so a majority holds it; a leader also knows which of the others hold more.
    """
    info = connection.server.backend.info()
    majority = (len(info.peers) + 1) // 2 + 1
    known = sum(peer.match_index >= info.commit_index for peer in info.peers) if info.role == "leader" else 0
    return max(majority - 1, known)


@door_command("WAIT", 3, "blocking noscript", barrier=True)
def wait(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Returns how many other nodes hold the writes of this connection; a majority always does."""
    if not args[1].removeprefix(b"-").isdigit() or not args[2].removeprefix(b"-").isdigit():
        return ReplyError("ERR", "value is not an integer or out of range")
    wanted, timeout_ms = int(args[1][:18]), int(args[2][:18])
    if timeout_ms < 0:
        return ReplyError("ERR", "timeout is negative")
    info = connection.server.backend.info()
    count = held_count(connection)
    session = connection.session
    is_queued = session is not None and session.queue is not None
    # Nobody is made to wait for more nodes than there are, or for what only the leader can see.
    if count >= wanted or wanted > len(info.peers) or info.role != "leader" or is_queued or connection.is_waiting:
        return count
    clock = connection.server.clock
    deadline = clock.now() + timeout_ms * MILLISECOND if timeout_ms else None

    def look() -> None:
        held = held_count(connection)
        if connection.transport is None:
            return
        if held >= wanted or (deadline is not None and clock.now() >= deadline):
            connection.set_waiting(is_waiting=False)
            connection.reply(held)
            connection.resume()
        else:
            clock.call_after(_WAIT_INTERVAL, look)

    connection.set_waiting(is_waiting=True)
    clock.call_after(_WAIT_INTERVAL, look)
    return NO_REPLY
