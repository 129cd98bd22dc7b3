"""What two causal stamps can be to each other."""

from enum import Enum


class Order(Enum):
    """How the first of two stamps stands to the second, in the partial order of causality."""

    BEFORE = "before"
    AFTER = "after"
    EQUAL = "equal"
    CONCURRENT = "concurrent"

    def reversed(self) -> "Order":
        """Return how the second stands to the first."""
        if self is Order.BEFORE:
            return Order.AFTER
        return Order.BEFORE if self is Order.AFTER else self

    @classmethod
    def from_descents(cls, *, first_descends: bool, second_descends: bool) -> "Order":
        """Return the order of two stamps of which each may hold all that the other knows."""
        if first_descends:
            return cls.EQUAL if second_descends else cls.AFTER
        return cls.BEFORE if second_descends else cls.CONCURRENT
