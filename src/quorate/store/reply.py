"""What a command answers: plain values that a door can write for RESP2 and for RESP3 without asking back.

value            RESP2                      RESP3
bytes            bulk string                bulk string
int              integer                    integer
None             null bulk string (`$-1`)   null (`_`)
NIL_ARRAY        null array (`*-1`)         null (`_`)
bool             integer 0 or 1             boolean
float            bulk string                double
list             array                      array
dict             flat array                 map
ReplySet         array                      set
Pairs            flat array                 array of two-element arrays
SimpleString     simple string              simple string
ReplyError       error                      error
"""

from collections.abc import Sequence
from enum import Enum
from math import isinf
from typing import Final, TypeAlias

import msgspec


class SimpleString(msgspec.Struct, frozen=True, gc=False):
    """A status such as `OK`: printable, without line ends."""

    text: str


class ReplyError(msgspec.Struct, frozen=True, gc=False):
    """A refusal. On the wire: `-code text`."""

    # The first word, which clients switch on: ERR, WRONGTYPE, CONFLICT, SESSION, TOOLARGE …
    code: str
    # A sentence without line ends.
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class ReplySet(msgspec.Struct, frozen=True):
    """Members without order or repetition; held in the order in which they are sent."""

    items: list[bytes]


class Pairs(msgspec.Struct, frozen=True):
    """Pairs such as member and score: flat for RESP2, nested for RESP3."""

    items: list[tuple[bytes, "bytes | float"]]


class NilArray(Enum):
    """Has one value, `NIL_ARRAY`: nothing, where an array was to be expected (an EXEC whose watch failed)."""

    NIL_ARRAY = 0


class NeedsLog(Enum):
    """Has one value, `NEEDS_LOG`: a read cannot be answered before time advances in the log. Not a reply."""

    NEEDS_LOG = 0


Reply: TypeAlias = (
    bytes
    | int
    | float
    | list["Reply"]
    | dict["Reply", "Reply"]
    | SimpleString
    | ReplyError
    | ReplySet
    | Pairs
    | NilArray
    | None
)

NIL_ARRAY: Final = NilArray.NIL_ARRAY
NEEDS_LOG: Final = NeedsLog.NEEDS_LOG
OK: Final = SimpleString("OK")
PONG: Final = SimpleString("PONG")
QUEUED: Final = SimpleString("QUEUED")


def format_double(value: float) -> bytes:
    """Return a float as Redis 7.0 prints scores: up to 17 significant digits, `inf`, `-inf`.

    Example:
        >>> format_double(1.0), format_double(0.1)
        (b'1', b'0.10000000000000001')
    """
    if isinf(value):
        return b"inf" if value > 0 else b"-inf"
    return b"%.17g" % value


class CommandError(Exception):
    """Leaves a handler with its refusal; caught by the state machine and nowhere seen outside of this package."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.reply = ReplyError(code, text)


WRONG_TYPE: Final = ReplyError("WRONGTYPE", "Operation against a key holding the wrong kind of value")


def printable(data: bytes) -> str:
    """Return bytes of a caller so that they fit into an error: at most 128, line ends replaced."""
    return data[:128].decode("utf-8", "replace").replace("\r", " ").replace("\n", " ")


def unknown_command(args: Sequence[bytes]) -> ReplyError:
    """Return the refusal of a command that is not in the table; `args` are all arguments, name first."""
    shown = ""
    for arg in args[1:]:
        if len(shown) >= 128:
            break
        shown += f"'{printable(arg)[: 128 - len(shown)]}' "
    return ReplyError("ERR", f"unknown command '{printable(args[0])}', with args beginning with: {shown}")


def wrong_arity(name: bytes) -> ReplyError:
    """Return the refusal of a call with too few or too many arguments."""
    return ReplyError("ERR", f"wrong number of arguments for '{printable(name).lower()}' command")
