"""Bytes for messages and records: MessagePack by msgspec, validated at the boundary."""

from typing import Any, Generic, TypeVar

import msgspec

from quorate.kernel.errors import QuorateError

T = TypeVar("T")


class Malformed(QuorateError):
    """Bytes are not a value of the expected type. What a peer sends is data: callers count and ignore it."""

    code = "MALFORMED"


class Codec(Generic[T]):
    """Encodes and decodes one type (often a union of tagged structs).

    Example:
        >>> Codec(int).decode(Codec(int).encode(5))
        5
    """

    def __init__(self, kind: Any) -> None:  # Any: typing has no spelling for "a type form, unions included"
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self.encode = self._encoder.encode

    def decode(self, data: bytes | memoryview) -> T:
        """Return the value; raise `Malformed` for anything else.

        Complexity: O(len(data)).
        """
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
            raise Malformed(str(cause)) from cause
