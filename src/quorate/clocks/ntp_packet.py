"""NTP version 4 packets: the 48 bytes that clients and servers exchange.

Source      RFC 5905, sections 6 (formats) and 7.3 (packet header); era rules in section 6.
Deviations  Extension fields and authentication codes after the header are ignored.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from quorate.kernel import ForeignBytes, Truncated

PACKET_BYTES: Final = 48
# Seconds from 1900-01-01, where NTP begins, to 1970-01-01; and the length of one era of 32-bit seconds.
_UNIX_EPOCH_S: Final = 2_208_988_800
_ERA_S: Final = 1 << 32
_SECOND_NS: Final = 1_000_000_000
_HEADER: Final = struct.Struct(">BBbbII4sQQQQ")
_VERSION: Final = 4


class Mode(IntEnum):
    """Who speaks."""

    CLIENT = 3
    SERVER = 4


class NTPPacket(NamedTuple):
    """One packet. Timestamps are the 64-bit numbers of the wire; `to_ntp` and `from_ntp` convert."""

    mode: Mode
    # 0 unsynchronised, 1 has a reference clock, n asks a server of n - 1.
    stratum: int = 0
    # Longest interval between polls, and precision of the clock, both as powers of two in seconds.
    poll: int = 6
    precision: int = -20
    # Round trip to, and largest error against, the reference clock; 16.16 seconds.
    root_delay: int = 0
    root_dispersion: int = 0
    reference_id: bytes = b"\0\0\0\0"
    reference: int = 0
    # The client's transmit timestamp, sent back: it is how an answer is matched to its request.
    origin: int = 0
    receive: int = 0
    transmit: int = 0

    @property
    def root_distance_ns(self) -> int:
        """How far the server may be from true time: dispersion and half the delay."""
        return ((self.root_dispersion + self.root_delay // 2) * _SECOND_NS) >> 16

    def to_bytes(self) -> bytes:
        """Return the 48 bytes."""
        flags = _VERSION << 3 | self.mode
        return _HEADER.pack(flags, *self[1:])

    @classmethod
    def from_bytes(cls, data: bytes) -> "NTPPacket":
        """Return the packet at the beginning of a datagram.

        Raises:
            Truncated: fewer than 48 bytes.
            ForeignBytes: not version 3 or 4, or neither a client's nor a server's.
        """
        if len(data) < PACKET_BYTES:
            raise Truncated(f"an NTP packet has {PACKET_BYTES} bytes, found {len(data)}")
        flags, *fields = _HEADER.unpack_from(data)
        if flags >> 3 & 7 not in {3, 4} or flags & 7 not in {Mode.CLIENT, Mode.SERVER}:
            raise ForeignBytes("not an NTP packet of version 3 or 4, from client or server")
        return cls(Mode(flags & 7), *fields)


def to_ntp(wall_ns: int) -> int:
    """Return a Unix time as a 64-bit NTP timestamp (32.32 seconds since 1900, modulo an era of 136 years)."""
    seconds, rest_ns = divmod(wall_ns, _SECOND_NS)
    return ((seconds + _UNIX_EPOCH_S) % _ERA_S) << 32 | (rest_ns << 32) // _SECOND_NS


def from_ntp(timestamp: int, *, near_ns: int) -> int:
    """Return the Unix time of an NTP timestamp, in the era that brings it nearest to a time.

    Right to 1 ns (the format's step is 0.23 ns), while `near_ns` is within 68 years of the truth.
    """
    in_era_ns = (timestamp >> 32) * _SECOND_NS + -(-(timestamp & 0xFFFFFFFF) * _SECOND_NS >> 32)
    since_1900_ns = near_ns + _UNIX_EPOCH_S * _SECOND_NS
    era_ns = _ERA_S * _SECOND_NS
    era = (since_1900_ns - in_era_ns + era_ns // 2) // era_ns
    return in_era_ns + era * era_ns - _UNIX_EPOCH_S * _SECOND_NS


def to_short_format(span_ns: int) -> int:
    """Return a span as 16.16 seconds, rounded up, at most the largest that fits."""
    return min(-(-(span_ns << 16) // _SECOND_NS), 0xFFFFFFFF)
