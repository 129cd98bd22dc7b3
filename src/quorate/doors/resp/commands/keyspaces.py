"""QUORATE.KEYSPACES and QUORATE.LEVEL: which keyspaces there are, and how many copies must answer."""

from typing import TYPE_CHECKING

from quorate.doors.resp.table import InMulti, door_command
from quorate.doors.resp.wire import DoorReply
from quorate.store import OK, ReplyError, available

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_READS: tuple[str, ...] = ("NONE", "ANY", "EACH_QUORUM")
"""Levels that only writes have."""


@door_command("QUORATE.KEYSPACES", 1, "fast loading stale")
def keyspaces(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns one map per declared keyspace: name, design, database, prefix, conflicts, consistency, counters."""
    return [
        {
            b"name": one.name.encode(),
            b"by": one.by.encode(),
            b"database": one.database,
            b"prefix": one.prefix.encode(),
            b"design": one.design.encode(),
            b"conflicts": one.conflicts.encode(),
            b"consistency": one.consistency.encode(),
            b"read_repair": one.read_repair.encode(),
            b"counters": {name.encode(): value for name, value in sorted(one.counters.items())},
        }
        for one in connection.server.backend.info().keyspaces
    ]


@door_command("QUORATE.LEVEL", -1, "fast loading stale", barrier=True, in_multi=InMulti.REFUSE)
def level(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Sets or tells how many copies must answer on this connection: QUORATE.LEVEL [READ level] [WRITE level]."""
    session = connection.get_session()
    if len(args) == 1:
        return [b"read", session.read_level or b"DEFAULT", b"write", session.write_level or b"DEFAULT"]
    if len(args) % 2 == 0:
        return ReplyError("ERR", "syntax error")
    if not any(one.by == "leaderless" for one in connection.server.backend.info().keyspaces):
        return ReplyError("ERR", "levels are of leaderless keyspaces, and this node has none")
    wanted: dict[bytes, bytes] = {}
    for name, text in zip(args[1::2], args[2::2], strict=True):
        word = "" if text.upper() == b"DEFAULT" else available.level_of(text)
        if word is None or name.upper() not in (b"READ", b"WRITE"):
            return ReplyError(
                "ERR", "QUORATE.LEVEL [READ level] [WRITE level], a level being a word or a number of copies"
            )
        if name.upper() == b"READ" and word in _READS:
            return ReplyError("ERR", f"{word} is a level of writes")
        wanted[name.upper()] = word.encode()
    session.read_level = wanted.get(b"READ", session.read_level)
    session.write_level = wanted.get(b"WRITE", session.write_level)
    connection.update_plain()
    return OK
