"""The state of one node's anti-entropy, and its counters."""

import random
from collections import deque
from collections.abc import Iterable
from typing import Final

from quorate.kernel import Deliver, Machine, Message, NodeId, Output, Record, Send
from quorate.protocols.anti_entropy.calls import SharedRange
from quorate.protocols.anti_entropy.config import AntiEntropyConfig
from quorate.protocols.anti_entropy.exchanges import Exchange
from quorate.protocols.anti_entropy.index import Index
from quorate.protocols.anti_entropy.intervals import Interval

BEGIN: Final = "begin"
ANSWER: Final = "answer/"


class AntiEntropyState(Machine):
    """What the parts share. Nothing is persisted: a node that comes back is told its keys, and compares anew."""

    def __init__(self, config: AntiEntropyConfig, records: Iterable[Record], rng: random.Random) -> None:
        super().__init__()
        assert not list(records), "anti-entropy persists nothing"
        self.config = config
        self.rng = rng
        self.node = config.node
        self.index = Index()
        self.version = 0
        self.ranges: tuple[SharedRange, ...] = ()
        self.wall_ns = 0
        self.down: dict[NodeId, None] = {}
        # What the cycle has still to compare, in its random order.
        self.queue: deque[tuple[NodeId, Interval]] = deque()
        # Intervals left until a new cycle may begin.
        self.cycle_wait_count = 0
        # An operator waits: what is queued begins as soon as its peer is free, not so many ranges in an interval.
        self.is_hurried = False
        # Peer → the comparison with it that is under way.
        self.exchanges: dict[NodeId, Exchange] = {}
        # Keys that may still be named in this interval.
        self.key_budget = 0
        # Counters for the status, since the start of this life.
        self.compared_count = 0  # ranges
        self.agreed_count = 0  # ranges
        self.divergent_count = 0  # keys
        self.abandoned_count = 0  # exchanges without an answer
        self.declined_count = 0  # exchanges refused by the peer, another topology
        self.refused_count = 0  # messages that make no sense

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing waits to begin."""
        return not self.queue and not self.exchanges

    def _send(self, to: NodeId, message: Message) -> None:
        # Eager: what is compared is in memory, and promises nothing about any disk.
        self._emit(Send(to, message, eager=True))

    def _output(self, output: Output) -> None:
        self._emit(Deliver(output, eager=True))
