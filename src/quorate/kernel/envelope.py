"""One wrapper for every value that leaves as bytes: what it is, which version, whole or not.

Layout (all integers little endian):

    "Q"  version (1 byte)  kind length (1 byte)  kind (ASCII)  payload length (LEB128)  payload  CRC-32C (4 bytes)

The checksum covers everything before it. A small value costs 8 bytes and the letters of its kind. The version belongs
to the kind: a reader takes every version up to the newest it knows and refuses a later one by name.

Source: LEB128 as in DWARF 5, section 7.6; CRC-32C as in RFC 3720, section 12.1.
"""

from typing import Any, Final, Generic, TypeVar

import google_crc32c

from quorate.kernel.codec import Codec, Malformed
from quorate.kernel.errors import UsageError

T = TypeVar("T")

MAGIC: Final = 0x51
KIND_BYTES_MAX: Final = 32
VERSION_MAX: Final = 255
_CRC_BYTES: Final = 4
# Five groups of seven bits: payloads below 32 GiB, and a bound on what a hostile length can make us read.
_LENGTH_BYTES_MAX: Final = 5


class Undecodable(UsageError):
    """Bytes are not the value that the caller asked for; the subclass says why."""

    code = "UNDECODABLE"


class Truncated(Undecodable):
    """The bytes end before the value does."""

    code = "TRUNCATED"


class ForeignBytes(Undecodable):
    """The bytes are something else: another kind of value, or none of ours."""

    code = "FOREIGNBYTES"


class UnknownVersion(Undecodable):
    """The bytes are of the right kind, in an encoding newer than this program."""

    code = "UNKNOWNVERSION"


class Damaged(Undecodable):
    """The bytes are of the right kind and length, and were changed on the way."""

    code = "DAMAGED"


class BadPayload(Undecodable):
    """The bytes arrived whole and do not make sense as a value: a faulty or hostile writer."""

    code = "BADPAYLOAD"


def seal(kind: str, version: int, payload: bytes) -> bytes:
    """Return the payload with its kind, version, length and checksum around it.

    Args:
        kind: 1 to 32 ASCII characters, for example `"or-set"`.
        version: 1 to 255; of this kind's payload.
        payload: the value's own bytes.

    Complexity: O(len(payload)).

    Example:
        >>> unseal("note", seal("note", 1, b"hello"))
        (1, b'hello')
    """
    name = kind.encode("ascii")
    assert 1 <= len(name) <= KIND_BYTES_MAX, "a kind has 1 to 32 letters"
    assert 1 <= version <= VERSION_MAX, "a version fits one byte and begins at 1"
    body = bytes((MAGIC, version, len(name))) + name + _leb128(len(payload)) + payload
    return body + _crc(body)


def unseal(kind: str, data: bytes | bytearray | memoryview, *, newest: int = 1) -> tuple[int, bytes]:
    """Return version and payload of sealed bytes.

    Args:
        kind: the kind that the caller expects.
        data: exactly one sealed value.
        newest: the newest version that the caller can read; all from 1 to it are accepted.

    Raises:
        Truncated: the bytes end early.
        ForeignBytes: another kind, no envelope at all, or more bytes than one envelope.
        UnknownVersion: a version above `newest`, or 0.
        Damaged: the checksum does not match.

    Complexity: O(len(data)).
    """
    raw = bytes(data)
    name = kind.encode("ascii")
    if raw[:1] not in {b"", bytes((MAGIC,))}:
        raise ForeignBytes(f"expected a {kind}, found bytes that do not begin like one")
    if len(raw) < 3:
        raise Truncated(f"a {kind} needs at least {8 + len(name)} bytes, found {len(raw)}")
    version, name_end = raw[1], 3 + raw[2]
    if len(raw) < name_end and name.startswith(raw[3:]):
        raise Truncated(f"a {kind} ends within its own name")
    if raw[3:name_end] != name:
        raise ForeignBytes(f"expected a {kind}, found a {raw[3:name_end].decode('ascii', 'replace')!r}")
    payload_start, payload_bytes = _read_leb128(kind, raw, name_end)
    payload_end = payload_start + payload_bytes
    if len(raw) < payload_end + _CRC_BYTES:
        raise Truncated(f"a {kind} of {payload_end + _CRC_BYTES} bytes, of which {len(raw)} are here")
    if payload_end + _CRC_BYTES < len(raw):
        raise ForeignBytes(f"{len(raw) - payload_end - _CRC_BYTES} bytes follow the end of a {kind}")
    if _crc(raw[:payload_end]) != raw[payload_end:]:
        raise Damaged(f"a {kind} does not match its checksum")
    # Last, so that a damaged version byte is not reported as a newer program.
    if not 1 <= version <= newest:
        raise UnknownVersion(f"a {kind} of version {version}; this program reads 1 to {newest}")
    return version, raw[payload_start:payload_end]


class Envelope(Generic[T]):
    """Seals and opens values of one kind whose payload is the MessagePack of one type.

    Example:
        >>> notes = Envelope("note", 1, list[str])
        >>> notes.decode(notes.encode(["a", "b"]))
        ['a', 'b']
    """

    def __init__(self, kind: str, version: int, form: Any) -> None:  # Any: typing has no spelling for "a type form"
        self.kind = kind
        self.version = version
        self._codec: Codec[T] = Codec(form)

    def encode(self, value: T) -> bytes:
        """Return the sealed bytes of a value. Complexity: O(size of the value)."""
        return seal(self.kind, self.version, self._codec.encode(value))

    def decode(self, data: bytes | bytearray | memoryview) -> T:
        """Return the value in sealed bytes.

        Only the form is checked here; what else must hold of the value is its owner's to check.

        Raises:
            Undecodable: one of its subclasses, for anything that is not such a value.

        Complexity: O(len(data)).
        """
        _, payload = unseal(self.kind, data, newest=self.version)
        try:
            return self._codec.decode(payload)
        except Malformed as cause:
            raise BadPayload(f"a {self.kind} whose content does not make sense: {cause}") from cause


def _crc(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return checksum.to_bytes(_CRC_BYTES, "little")


def _leb128(value: int) -> bytes:
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    assert len(groups) <= _LENGTH_BYTES_MAX, "a payload is below 32 GiB"
    return bytes(groups)


def _read_leb128(kind: str, raw: bytes, start: int) -> tuple[int, int]:
    """Return where the number ends and its value."""
    value = 0
    for place, group in enumerate(raw[start : start + _LENGTH_BYTES_MAX]):
        value |= (group & 0x7F) << (7 * place)
        if group < 0x80:
            return start + place + 1, value
    if len(raw) < start + _LENGTH_BYTES_MAX:
        raise Truncated(f"a {kind} ends within its length")
    raise ForeignBytes(f"a {kind} claims more than 32 GiB")
