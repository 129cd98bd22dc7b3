"""Why a command cannot be honoured by a leaderless keyspace: one sentence for each."""

from typing import Final

from quorate.store.reply import ReplyError, printable

_ORDER: Final = "it needs one order of all writes, which a leaderless keyspace does not have"
_EXPIRY: Final = "keys of a leaderless keyspace do not end by themselves"
_KIND: Final = "a leaderless keyspace holds strings, counters, sets and hashes"
_MOMENT: Final = "it needs several keys as of one moment, and each key is replicated for itself"
_ALL_KEYS: Final = "no node holds all keys, so no node can speak for all of them at one moment"
_API: Final = "in Python, use db.keyspace(name)"
_TRANSACTION: Final = "there are no transactions in a leaderless keyspace: no order of all writes to check against"

_REASONS: Final = {
    _ORDER: (
        "APPEND SETRANGE GETSET GETDEL SETNX MSETNX INCRBYFLOAT HINCRBY HINCRBYFLOAT HSETNX SETBIT BITOP RENAME"
        " RENAMENX COPY MOVE SMOVE SPOP"
    ),
    _EXPIRY: "EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST SETEX PSETEX GETEX",
    _MOMENT: "SINTER SINTERCARD SUNION SDIFF SINTERSTORE SUNIONSTORE SDIFFSTORE SORT SORT_RO",
    _ALL_KEYS: "FLUSHDB FLUSHALL RANDOMKEY",
    _API: "QUORATE.GET QUORATE.PUT QUORATE.DELETE QUORATE.SCAN",
    _TRANSACTION: "QUORATE.EXEC QUORATE.VERSIONS",
}
_SHOWN: Final = {b"QUORATE.EXEC": "MULTI/EXEC", b"QUORATE.VERSIONS": "WATCH"}
_REASON_OF: Final = {name.encode(): reason for reason, names in _REASONS.items() for name in names.split()}


def refusal(name: bytes, keyspace: str) -> ReplyError:
    """Return why a command, its name in upper case, is not honoured in a keyspace."""
    reason = _REASON_OF.get(name)
    if reason is None:
        is_other_kind = name[:1] in (b"L", b"R", b"Z", b"B")
        reason = _KIND if is_other_kind else "it is not among the commands that a leaderless keyspace honours"
    shown = _SHOWN.get(name) or printable(name)
    return ReplyError("ERR", f"{shown} is refused in keyspace {keyspace}: {reason}")
