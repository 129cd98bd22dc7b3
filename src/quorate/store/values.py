"""What a key can hold, and how it lies at rest.

At rest: type and format (1 byte: high nibble format, now 1; low nibble type), expiry in ms since 1970 (8 bytes, 0:
never), version (8 bytes), all big endian, then the payload: the bytes of a string, or MessagePack of a flat list (hash:
field, value, …; list and set: members in their order; sorted set: score, member, … in rank order).
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec
from sortedcontainers import SortedList

from quorate.kernel import errors


class Hash(dict[bytes, bytes]):
    """Field to value, in the order in which fields were first set."""

    __slots__ = ()


class List(deque[bytes]):
    """Elements from head to tail."""

    __slots__ = ()


class Set:
    """Members in an order that is a function of what was done to it; any member can be drawn in O(1).

    A member that leaves is replaced by the last one, so the order is that of insertion until the first removal.
    """

    __slots__ = ("_members", "_places")

    def __init__(self, members: Iterable[bytes] = ()) -> None:
        self._places: dict[bytes, int] = dict.fromkeys(members, 0)
        self._members: list[bytes] = list(self._places)
        for place, member in enumerate(self._members):
            self._places[member] = place

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._places

    def __getitem__(self, place: int) -> bytes:
        return self._members[place]

    def add(self, member: bytes) -> bool:
        """Add a member; return whether it was new."""
        if member in self._places:
            return False
        self._places[member] = len(self._members)
        self._members.append(member)
        return True

    def discard(self, member: bytes) -> bool:
        """Remove a member; return whether it was there."""
        place = self._places.pop(member, None)
        if place is None:
            return False
        last = self._members.pop()
        if place < len(self._members):
            self._members[place] = last
            self._places[last] = place
        return True


class SortedSet:
    """Members with scores, in the order of (score, member)."""

    __slots__ = ("order", "scores")

    def __init__(self, pairs: Iterable[tuple[float, bytes]] = ()) -> None:
        """Take (score, member) pairs; members are distinct."""
        self.order: SortedList = SortedList(pairs)
        self.scores: dict[bytes, float] = {member: score for score, member in self.order}

    def __len__(self) -> int:
        return len(self.scores)

    def set(self, member: bytes, score: float) -> None:
        """Give a member, new or not, a score."""
        old = self.scores.get(member)
        if old is not None:
            if old == score:
                return
            self.order.remove((old, member))
        self.scores[member] = score
        self.order.add((score, member))

    def discard(self, member: bytes) -> bool:
        """Remove a member; return whether it was there."""
        old = self.scores.pop(member, None)
        if old is None:
            return False
        self.order.remove((old, member))
        return True


Value: TypeAlias = bytes | Hash | List | Set | SortedSet
V = TypeVar("V", bound=Value)

TYPE_NAMES: Final[dict[type[object], str]] = {
    bytes: "string",
    Hash: "hash",
    List: "list",
    Set: "set",
    SortedSet: "zset",
}


class Entry(msgspec.Struct, Generic[V], gc=False, eq=False):
    """What one key holds. Not followed by the garbage collector, which would pause for a million of them."""

    value: V
    # Revision of the last change.
    version: int
    # ms since 1970, 0: never.
    expires_ms: int


def copy_value(value: Value) -> Value:
    """Return a value that shares nothing that can change."""
    match value:
        case bytes():
            return value
        case Hash():
            return Hash(value)
        case List():
            return List(value)
        case Set():
            return Set(value)
        case SortedSet():
            return SortedSet(value.order)


_HEADER: Final = struct.Struct(">BQQ")
_NEVER: Final = bytes(8)
HEADER_BYTES: Final = _HEADER.size
_FORMAT: Final = 1 << 4
_STRING, _HASH, _LIST, _SET, _SORTED_SET = range(5)
_FLAT: Final = msgspec.msgpack.Decoder(list[bytes])
_SCORED: Final = msgspec.msgpack.Decoder(list[float | bytes])
_encode: Final = msgspec.msgpack.Encoder().encode


def encode_entry(entry: Entry[Value]) -> bytes:
    """Return an entry as it lies at rest.

    Complexity: O(size of the value).
    """
    value = entry.value
    if type(value) is bytes:  # the commonest by far
        return _HEADER.pack(_FORMAT, entry.expires_ms, entry.version) + value
    match value:
        case bytes():
            kind, payload = _STRING, value
        case Hash():
            kind, payload = _HASH, _encode([part for pair in value.items() for part in pair])
        case List():
            kind, payload = _LIST, _encode(list(value))
        case Set():
            kind, payload = _SET, _encode(list(value))
        case SortedSet():
            kind, payload = _SORTED_SET, _encode([part for pair in value.order for part in pair])
    return _HEADER.pack(_FORMAT | kind, entry.expires_ms, entry.version) + payload


def decode_entry(data: bytes) -> Entry[Value]:
    """Return the entry that lies at rest as `data`.

    Raises:
        Corrupt: the bytes are not those of an entry, or of a newer format.
    """
    (
        tag,
        expires_ms,
        version,
    ) = _unpack_header(data)
    payload = memoryview(data)[HEADER_BYTES:]
    try:
        return Entry(_decode_payload(tag & 15, payload), version, expires_ms)
    except (msgspec.DecodeError, ValueError, TypeError) as cause:
        raise errors.Corrupt(f"a value at rest cannot be decoded: {cause}") from cause


def is_lasting(data: bytes | None) -> bool:
    """Return whether a value at rest has no expiry; true of one that is gone."""
    return data is None or data[1:9] == _NEVER


def due_of(data: bytes | None) -> int:
    """Return when a value at rest ends, in ms since 1970; 0: never, or it is gone."""
    return 0 if data is None else int.from_bytes(data[1:9], "big")


def decode_header(data: bytes) -> tuple[int, int]:
    """Return expiry and version of a value at rest, without its payload."""
    _, expires_ms, version = _unpack_header(data)
    return expires_ms, version


def _unpack_header(data: bytes) -> tuple[int, int, int]:
    if len(data) < HEADER_BYTES or data[0] & 0xF0 != _FORMAT or data[0] & 15 > _SORTED_SET:
        raise errors.Corrupt("a value at rest has an unknown format; was it written by a newer version?")
    tag, expires_ms, version = _HEADER.unpack_from(data)
    return int(tag), int(expires_ms), int(version)


def _decode_payload(kind: int, payload: memoryview) -> Value:
    if kind == _STRING:
        return bytes(payload)
    if kind == _SORTED_SET:
        scored = iter(_SCORED.decode(payload))
        return SortedSet((float(score), bytes(member)) for score, member in zip(scored, scored, strict=True))  # type: ignore[arg-type]
    parts = _FLAT.decode(payload)
    if kind == _HASH:
        pairs = iter(parts)
        return Hash(zip(pairs, pairs, strict=True))
    return List(parts) if kind == _LIST else Set(parts)
