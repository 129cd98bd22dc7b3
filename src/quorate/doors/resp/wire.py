"""Writes replies as bytes, for RESP2 and RESP3.

The commonest replies are met first and cost a few hundred nanoseconds; the table of the two dialects stands in
`quorate.store.reply`.

Source: Redis serialization protocol specification, versions 2 and 3.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isinf, isnan
from typing import Any, Final, TypeAlias

import msgspec

from quorate.store import OK, NilArray, Pairs, Reply, ReplyError, ReplySet, SimpleString, format_double

RESP2: Final = 2
RESP3: Final = 3

# Lengths and integers up to here have their headers ready.
_TABLE_COUNT: Final = 4096
_BULK_HEADERS: Final = [b"$%d\r\n" % length for length in range(_TABLE_COUNT)]
_INTEGERS: Final = [b":%d\r\n" % value for value in range(_TABLE_COUNT)]
_OK_BYTES: Final = b"+OK\r\n"


class Verbatim(msgspec.Struct, frozen=True, gc=False):
    """A text for a person to read: `=` with format `txt` in RESP3, a bulk string in RESP2."""

    text: bytes


class Push(msgspec.Struct, frozen=True, gc=False):
    """Something the client did not ask for now: `>` in RESP3, a plain array in RESP2."""

    items: "Sequence[DoorReply]"


DoorReply: TypeAlias = Reply | Verbatim | Push | Sequence["DoorReply"] | Mapping[bytes, "DoorReply"]
"""What this door writes: the store's replies, and two kinds of its own."""


def encode(reply: DoorReply, protocol: int) -> bytes:
    r"""Return a reply as a client that speaks RESP2 or RESP3 expects it.

    Complexity: O(bytes returned).

    Example:
        >>> encode([b"a", 1, None], RESP2), encode([b"a", 1, None], RESP3)
        (b'*3\r\n$1\r\na\r\n:1\r\n$-1\r\n', b'*3\r\n$1\r\na\r\n:1\r\n_\r\n')
    """
    if reply is OK:
        return _OK_BYTES
    if type(reply) is bytes:
        length = len(reply)
        if length < _TABLE_COUNT:
            return _BULK_HEADERS[length] + reply + b"\r\n"
        return b"$%d\r\n%b\r\n" % (length, reply)
    if reply is None:
        return b"$-1\r\n" if protocol == RESP2 else b"_\r\n"
    if type(reply) is int:
        return _INTEGERS[reply] if 0 <= reply < _TABLE_COUNT else b":%d\r\n" % reply
    out: list[bytes] = []
    _ENCODERS[type(reply)](reply, protocol, out.append)
    return b"".join(out)


Append: TypeAlias = Callable[[bytes], None]


def _text(text: str) -> bytes:
    """Return a line's worth of text: what would end the line early is replaced."""
    return text.encode("utf-8", "replace").replace(b"\r", b" ").replace(b"\n", b" ")


def _put_many(items: Sequence[Any], protocol: int, append: Append) -> None:
    for item in items:
        if type(item) is bytes:
            append(b"$%d\r\n%b\r\n" % (len(item), item))
        else:
            _ENCODERS[type(item)](item, protocol, append)


def _put_bytes(reply: bytes, _protocol: int, append: Append) -> None:
    append(b"$%d\r\n%b\r\n" % (len(reply), reply))


def _put_int(reply: int, _protocol: int, append: Append) -> None:
    append(b":%d\r\n" % reply)


def _put_none(_reply: None, protocol: int, append: Append) -> None:
    append(b"$-1\r\n" if protocol == RESP2 else b"_\r\n")


def _put_nil_array(_reply: NilArray, protocol: int, append: Append) -> None:
    append(b"*-1\r\n" if protocol == RESP2 else b"_\r\n")


def _put_bool(reply: bool, protocol: int, append: Append) -> None:  # noqa: FBT001 - a value, not a switch
    if protocol == RESP2:
        append(b":1\r\n" if reply else b":0\r\n")
    else:
        append(b"#t\r\n" if reply else b"#f\r\n")


def _put_float(reply: float, protocol: int, append: Append) -> None:
    digits = b"nan" if isnan(reply) else format_double(reply)
    if protocol == RESP2:
        append(b"$%d\r\n%b\r\n" % (len(digits), digits))
    elif isinf(reply) or isnan(reply):
        append(b",%b\r\n" % digits)
    else:
        # The shortest digits that read back as the same number.
        append(b",%b\r\n" % (digits if reply == int(reply) else repr(reply).encode()))


def _put_list(reply: list[Any], protocol: int, append: Append) -> None:
    append(b"*%d\r\n" % len(reply))
    _put_many(reply, protocol, append)


def _put_dict(reply: dict[Any, Any], protocol: int, append: Append) -> None:
    append(b"*%d\r\n" % (2 * len(reply)) if protocol == RESP2 else b"%%%d\r\n" % len(reply))
    for pair in reply.items():
        _put_many(pair, protocol, append)


def _put_set(reply: ReplySet, protocol: int, append: Append) -> None:
    append((b"*%d\r\n" if protocol == RESP2 else b"~%d\r\n") % len(reply.items))
    _put_many(reply.items, protocol, append)


def _put_pairs(reply: Pairs, protocol: int, append: Append) -> None:
    if protocol == RESP2:
        append(b"*%d\r\n" % (2 * len(reply.items)))
        for pair in reply.items:
            _put_many(pair, protocol, append)
        return
    append(b"*%d\r\n" % len(reply.items))
    for pair in reply.items:
        append(b"*2\r\n")
        _put_many(pair, protocol, append)


def _put_simple(reply: SimpleString, _protocol: int, append: Append) -> None:
    append(b"+%b\r\n" % _text(reply.text))


def _put_error(reply: ReplyError, _protocol: int, append: Append) -> None:
    append(b"-%b\r\n" % _text(f"{reply.code} {reply.text}"))


def _put_verbatim(reply: Verbatim, protocol: int, append: Append) -> None:
    if protocol == RESP2:
        _put_bytes(reply.text, protocol, append)
    else:
        append(b"=%d\r\ntxt:%b\r\n" % (len(reply.text) + 4, reply.text))


def _put_push(reply: Push, protocol: int, append: Append) -> None:
    append((b"*%d\r\n" if protocol == RESP2 else b">%d\r\n") % len(reply.items))
    _put_many(reply.items, protocol, append)


_ENCODERS: Final[dict[type, Callable[[Any, int, Append], None]]] = {
    bytes: _put_bytes,
    int: _put_int,
    type(None): _put_none,
    NilArray: _put_nil_array,
    bool: _put_bool,
    float: _put_float,
    list: _put_list,
    tuple: _put_list,
    dict: _put_dict,
    ReplySet: _put_set,
    Pairs: _put_pairs,
    SimpleString: _put_simple,
    ReplyError: _put_error,
    Verbatim: _put_verbatim,
    Push: _put_push,
}
