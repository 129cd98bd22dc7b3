"""Fencing tokens: what makes a leader's word worth something after somebody else was elected."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Node = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Token(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """Names one leadership; greater than every token that the leader had heard of. Two nodes never have the same.

    Example:
        >>> Token(2, 1) < Token(2, 3) < Token(3, 1)
        True
    """

    count: Count = 0
    node: Node = 0


class FencedResource:
    """A store that takes writes only from the newest leadership it has heard of.

    It needs no clock and asks nobody. It does not make leaders fewer: it makes the older ones harmless, from the
    moment at which the newest one first writes.

    Source: Gray & Cheriton 1989 for the danger; Burrows 2006 (Chubby's sequencers), section 2.4.
    """

    def __init__(self) -> None:
        self.highest = Token()
        self.writes: list[tuple[Token, bytes]] = []
        self.refused_count = 0

    def write(self, token: Token, value: bytes) -> bool:
        """Take a write unless a newer leadership wrote before; return whether it was taken. Complexity: O(1)."""
        if token < self.highest:
            self.refused_count += 1
            return False
        self.highest = token
        self.writes.append((token, value))
        return True
