"""Which of a cluster's logs decides about a key: the same sum on both ends of a connection.

Source: Redis cluster specification, "Key distribution model"; CRC-16 as in XMODEM (polynomial 0x1021).
"""

import binascii
from typing import Final

from quorate.store import Command, find, keys_of, transaction_keys

SLOT_COUNT: Final = 16_384


def slot_of(key: bytes) -> int:
    """Return the hash slot of a key: only what stands in its first braces counts, if that is not empty."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOT_COUNT


def place_of(key: bytes, group_count: int) -> int:
    """Return the place, from 0, of the group that decides about a key."""
    return slot_of(key) * group_count // SLOT_COUNT


def named_keys(command: Command) -> list[bytes]:
    """Return the keys that a command names, those inside a transaction included; empty when it names none."""
    args = command.args
    if args[0] == b"QUORATE.EXEC":
        return transaction_keys(command)
    spec = find(args[0])
    return keys_of(spec, args) if spec is not None else []
