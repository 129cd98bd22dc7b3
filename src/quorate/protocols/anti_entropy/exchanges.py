"""One comparison with one peer, as the node that asked for it keeps it."""

from collections import deque
from typing import NamedTuple

import msgspec

from quorate.kernel import NodeId
from quorate.protocols.anti_entropy.intervals import Interval
from quorate.protocols.anti_entropy.messages import Ask


class Work(NamedTuple):
    """A run of hashes that is still to be looked at."""

    run: Interval
    # 0: a whole range, of which nothing is known yet; then one more for each cut.
    level: int


class Exchange(msgspec.Struct):
    """What is left of a comparison, and the question that is under way."""

    peer: NodeId
    # Drawn; names this exchange in all messages.
    number: int
    began_wall_ns: int
    work: deque[Work]
    step: int = 0
    attempt_count: int = 0
    # The question whose answer is awaited, with what it asks about, in its order; None: waiting for the budget.
    asked: Ask | None = None
    summed: list[Work] = []
    listed: list[Work] = []
