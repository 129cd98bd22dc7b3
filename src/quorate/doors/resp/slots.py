"""Hash slots, as cluster-aware clients compute them.

Source: Redis cluster specification, "Key distribution model"; CRC-16 as in XMODEM (polynomial 0x1021).
"""

import binascii
from typing import Final

SLOT_COUNT: Final = 16_384


def slot_of(key: bytes) -> int:
    """Return the slot of a key; only what stands between the first `{` and the next `}` counts, if it is not empty.

    Example:
        >>> slot_of(b"{user1000}.following") == slot_of(b"{user1000}.followers")
        True
    """
    opening = key.find(b"{")
    if opening >= 0:
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            key = key[opening + 1 : closing]
    return binascii.crc_hqx(key, 0) % SLOT_COUNT
