"""BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP, BZPOPMIN, BZPOPMAX, BZMPOP: see `quorate.doors.resp.blocking`."""

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from quorate.doors.resp.blocking import Waiter
from quorate.doors.resp.table import NO_REPLY, InMulti, NoReply, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.kernel import Duration, seconds
from quorate.store import NIL_ARRAY, Command, Pairs, Reply, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_FLAGS: Final = "write blocking noscript"
_SYNTAX: Final = ReplyError("ERR", "syntax error")
Reshape: TypeAlias = Callable[[Reply], DoorReply]


def _timeout(text: bytes) -> Duration | ReplyError:
    try:
        value = float(text)
    except ValueError:
        return ReplyError("ERR", "timeout is not a float or out of range")
    if not isfinite(value) or value > 1e9:
        return ReplyError("ERR", "timeout is out of range")
    if value < 0:
        return ReplyError("ERR", "timeout is negative")
    return Duration(0) if value == 0 else max(Duration(1), seconds(value))


def _as_is(reply: Reply) -> DoorReply:
    return cast("DoorReply", reply)


def _wait(
    connection: "Connection",
    timeout_text: bytes,
    keys: list[bytes],
    args: list[bytes],
    *,
    nothing: Reply = NIL_ARRAY,
    reshape: Reshape = _as_is,
) -> "DoorReply | NoReply":
    """Make a client wait for a command that takes something.

    Args:
        connection: of the client.
        timeout_text: as it came, in seconds.
        keys: that may hold something.
        args: the command that does not block.
        nothing: the answer when the time is over.
        reshape: makes the blocking command's answer of the other's.
    """
    timeout = _timeout(timeout_text)
    if isinstance(timeout, ReplyError):
        return timeout
    blocking = connection.server.blocking

    def attempt(waiter: Waiter) -> None:
        def settle(reply: Reply) -> "DoorReply | NoReply":
            is_empty = reply is None or reply is NIL_ARRAY
            is_failed = isinstance(reply, ReplyError)
            answer = _as_is(reply) if is_empty or is_failed else reshape(reply)
            ended = blocking.settle(waiter, answer, is_empty=is_empty)
            if ended is None:
                if waiter.is_woken:
                    connection.server.wake_soon(waiter)
                return NO_REPLY
            return ended

        is_expected = connection.expect(is_write=True, hook=settle)
        assert is_expected, "a waiting client has nothing else under way"
        connection.server.backend.write(Command(connection.db, list(args)), connection)

    blocking.begin(Waiter(connection, connection.db, keys, attempt, nothing), timeout)
    return NO_REPLY


def _first_element(reply: Reply) -> DoorReply:
    """Return [key, element] of LMPOP's [key, [element]]."""
    assert isinstance(reply, list), "what is not empty is a list"
    key, elements = reply
    assert isinstance(elements, list), "the elements are a list"
    return [cast("bytes", key), cast("bytes", elements[0])]


def _first_member(reply: Reply) -> DoorReply:
    """Return [key, member, score] of ZMPOP's [key, [[member, score]]]."""
    assert isinstance(reply, list), "what is not empty is a list"
    key, members = reply
    pair = members.items[0] if isinstance(members, Pairs) else cast("list[list[Reply]]", members)[0]
    return [cast("bytes", key), cast("bytes", pair[0]), cast("float", pair[1])]


def _pop(
    connection: "Connection", args: list[bytes], command: bytes, end: bytes, reshape: Reshape
) -> "DoorReply | NoReply":
    keys = args[1:-1]
    form = [command, b"%d" % len(keys), *keys, end, b"COUNT", b"1"]
    return _wait(connection, args[-1], keys, form, reshape=reshape)


@door_command("BLPOP", -3, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, keys=(1, -2, 1))
def blpop(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Takes the first element of the first list that has one; waits for it."""
    return _pop(connection, args, b"LMPOP", b"LEFT", _first_element)


@door_command("BRPOP", -3, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, keys=(1, -2, 1))
def brpop(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Takes the last element of the first list that has one; waits for it."""
    return _pop(connection, args, b"LMPOP", b"RIGHT", _first_element)


@door_command("BZPOPMIN", -3, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, keys=(1, -2, 1))
def bzpopmin(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Takes the member with the lowest score of the first sorted set that has one; waits for it."""
    return _pop(connection, args, b"ZMPOP", b"MIN", _first_member)


@door_command("BZPOPMAX", -3, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, keys=(1, -2, 1))
def bzpopmax(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Takes the member with the highest score of the first sorted set that has one; waits for it."""
    return _pop(connection, args, b"ZMPOP", b"MAX", _first_member)


@door_command("BLMOVE", 6, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, keys=(1, 2, 1))
def blmove(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Moves an element from a list to another; waits for it."""
    return _wait(connection, args[5], [args[1]], [b"LMOVE", *args[1:5]], nothing=None)


@door_command("BRPOPLPUSH", 4, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, keys=(1, 2, 1))
def brpoplpush(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Moves the last element of a list to the head of another; waits for it."""
    return _wait(connection, args[3], [args[1]], [b"RPOPLPUSH", args[1], args[2]], nothing=None)


def _pop_many(connection: "Connection", args: list[bytes], command: bytes) -> "DoorReply | NoReply":
    if not args[2].isdigit() or len(args[2]) > 6 or int(args[2]) == 0:
        return ReplyError("ERR", "numkeys should be greater than 0")
    key_count = int(args[2])
    if len(args) < 4 + key_count:
        return _SYNTAX
    return _wait(connection, args[1], args[3 : 3 + key_count], [command, *args[2:]])


@door_command("BLMPOP", -5, _FLAGS + " movablekeys", barrier=True, in_multi=InMulti.REFUSE)
def blmpop(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Takes elements of the first list that has any; waits for them."""
    return _pop_many(connection, args, b"LMPOP")


@door_command("BZMPOP", -5, _FLAGS + " movablekeys", barrier=True, in_multi=InMulti.REFUSE)
def bzmpop(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Takes members of the first sorted set that has any; waits for them."""
    return _pop_many(connection, args, b"ZMPOP")
