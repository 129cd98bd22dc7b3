"""Chance that is the same on every replica: a stream that follows from a seed alone."""

from typing import Final

_MASK: Final = (1 << 64) - 1


class Stream:
    """SplitMix64: small, fast to seed, good enough to pick members.

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", figure 17.
    """

    __slots__ = ("_state",)

    def __init__(self, *seeds: int) -> None:
        """Mix some numbers into a seed; their order matters."""
        self._state = 0
        for seed in seeds:
            self._state = (self._state ^ seed) & _MASK
            self._state = self.next()

    def next(self) -> int:
        """Return the next 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """Return a number in [0, bound); the bias, below bound / 2**64, is of no account here."""
        assert bound > 0, "there is something to choose from"
        return self.next() % bound

    def sample(self, count: int, bound: int) -> list[int]:
        """Return `count` distinct numbers below `bound`, in the order drawn.

        Complexity: O(count), by a Fisher-Yates shuffle that keeps only the cells it moved.
        """
        assert count <= bound, "no more can be drawn than there are"
        moved: dict[int, int] = {}
        drawn: list[int] = []
        for place in range(count):
            other = place + self.below(bound - place)
            drawn.append(moved.get(other, other))
            moved[other] = moved.get(place, place)
        return drawn
