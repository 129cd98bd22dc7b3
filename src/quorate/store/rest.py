"""What a checkpoint says beside the values: index, term, revision, time, key counts, sessions, and the host's bytes.

MessagePack of one flat list that begins with the format, now 1. Replies of sessions are plain values where MessagePack
has them, and a list that begins with a tag where it has not.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from quorate.kernel import Codec, Malformed, errors
from quorate.store.reply import NIL_ARRAY, NilArray, Pairs, Reply, ReplyError, ReplySet, SimpleString

FORMAT: Final = 1
_LIST, _MAP, _SET, _PAIRS, _SIMPLE, _ERROR, _NIL_ARRAY = range(7)


class Meta(msgspec.Struct, array_like=True):
    """The state of a store apart from its keys."""

    format: int
    applied_index: int
    applied_term: int
    revision: int
    # Log time, ms since 1970.
    time_ms: int
    # Keys of each database.
    key_counts: list[int]
    # (client, sequence, packed reply), the one used longest ago first.
    sessions: list[tuple[int, int, Any]]
    # Opaque: the host's own.
    host_bytes: bytes


_METAS: Codec[Meta] = Codec(Meta)


def encode_meta(meta: Meta) -> bytes:
    """Return the bytes that lie beside a checkpoint."""
    return _METAS.encode(meta)


def decode_meta(data: bytes) -> Meta:
    """Return what lies beside a checkpoint.

    Raises:
        ForeignData: a newer version wrote it.
        Corrupt: it is no meta at all.
    """
    try:
        (found, *_) = msgspec.msgpack.decode(data)
        if isinstance(found, int) and found > FORMAT:
            raise errors.ForeignData(f"the checkpoint has format {found}; this version reads up to {FORMAT}")
        return _METAS.decode(data)
    except (Malformed, msgspec.DecodeError, TypeError, ValueError) as cause:
        raise errors.Corrupt(f"the meta of the checkpoint cannot be decoded: {cause}") from cause


def pack_reply(reply: Reply) -> Any:
    """Return a reply as MessagePack can hold it."""
    match reply:
        case None | bytes() | int() | float():
            return reply
        case list():
            return [_LIST, [pack_reply(item) for item in reply]]
        case dict():
            return [_MAP, [pack_reply(part) for pair in reply.items() for part in pair]]
        case ReplySet():
            return [_SET, reply.items]
        case Pairs():
            return [_PAIRS, [part for pair in reply.items for part in pair]]
        case SimpleString():
            return [_SIMPLE, reply.text]
        case ReplyError():
            return [_ERROR, [reply.code, reply.text]]
        case NilArray():
            return [_NIL_ARRAY, None]


def _in_pairs(parts: Iterable[Any]) -> list[tuple[Any, Any]]:
    one = iter(parts)
    return list(zip(one, one, strict=True))


def unpack_reply(packed: Any) -> Reply:
    """Return the reply that was packed.

    Raises:
        Corrupt: the tag is unknown.
    """
    if not isinstance(packed, list):
        plain: Reply = packed
        return plain
    tag, body = packed
    match tag:
        case 0:
            return [unpack_reply(item) for item in body]
        case 1:
            return dict(_in_pairs(unpack_reply(part) for part in body))
        case 2:
            return ReplySet(body)
        case 3:
            return Pairs(_in_pairs(body))
        case 4:
            return SimpleString(body)
        case 5:
            return ReplyError(*body)
        case 6:
            return NIL_ARRAY
        case _:
            raise errors.Corrupt(f"a remembered reply has the unknown tag {tag!r}")
