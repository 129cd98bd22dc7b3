"""What travels: messages and bytes are counted where they are encoded, delays where links draw them."""

from typing import Any

from quorate.kernel import Codec
from quorate.sim import Links

# IPv4 and UDP headers, as the links of the world count them.
HEADER_BYTES = 28
# Delays that are kept for predictions.
SAMPLE_COUNT_MAX = 4_096


class Meter:
    """Counts what nodes send to each other."""

    def __init__(self) -> None:
        self.message_count = 0
        self.byte_count = 0
        # Kind of message → how many.
        self.kinds: dict[str, int] = {}

    def sent(self, kind: str, payload_bytes: int) -> None:
        """Count one message."""
        self.message_count += 1
        self.byte_count += payload_bytes + HEADER_BYTES
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


class MeteredCodec(Codec[Any]):
    """A codec that counts what it encodes; at core level every message is encoded once, when it is sent."""

    def __init__(self, inner: Codec[Any], meter: Meter) -> None:
        self._inner_encode = inner.encode
        self._inner_decode = inner.decode
        self._meter = meter
        self.encode = self._encode

    def _encode(self, message: Any, /) -> bytes:
        payload = self._inner_encode(message)
        self._meter.sent(type(message).__name__, len(payload))
        return payload

    def decode(self, data: bytes | memoryview) -> Any:
        """Return the message of a payload."""
        return self._inner_decode(data)


class SampledLinks(Links):
    """Links that keep a sample of the delays they drew, in nanoseconds: what predictions are made from."""

    samples: list[int]

    def datagram_delays(self, source: int, target: int, *, now: int, byte_count: int) -> tuple[int, ...]:
        """Return the delay of each copy of a datagram that arrives."""
        delays = super().datagram_delays(source, target, now=now, byte_count=byte_count)
        if delays and len(self.samples) < SAMPLE_COUNT_MAX:
            self.samples.append(delays[0])
        return delays
