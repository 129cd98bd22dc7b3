"""How a run of hashes is cut into pieces: by arithmetic alone, so that two nodes need not agree on any shape first."""

from itertools import pairwise
from typing import Annotated, Final, NamedTuple

import msgspec

# MessagePack has no larger integers than hashes.
Hash = Annotated[int, msgspec.Meta(ge=0)]

PIECE_BITS: Final = 4
# A run between two powers of two has one piece more, because its ends need not be multiples of the width.
PIECE_COUNT_MAX: Final = 2**PIECE_BITS + 1


class Interval(NamedTuple):
    """A run of hashes: from `start`, not including `end`; never empty."""

    start: int
    end: int

    @property
    def is_single(self) -> bool:
        """Whether it holds one hash and cannot be cut."""
        return self.end - self.start == 1


def pieces(whole: Interval) -> list[Interval]:
    """Return the parts of an interval, in order: 2 to 17 of them, cut at multiples of a power of two.

    Cutting pieces again and again meets the leaves of every index (runs of 2⁴⁸ hashes), so digests are sums of whole
    leaves but for the two ends of the range that was begun with.

    Complexity: O(pieces).

    Example:
        >>> pieces(Interval(0, 32))[:2], len(pieces(Interval(3, 35)))
        ([Interval(start=0, end=2), Interval(start=2, end=4)], 17)
    """
    start, end = whole
    assert start + 1 < end, "one hash cannot be cut"
    width = 1 << max(0, (end - start - 1).bit_length() - PIECE_BITS)
    cuts = [start, *range(start - start % width + width, end, width), end]
    return [Interval(first, behind) for first, behind in pairwise(cuts)]
