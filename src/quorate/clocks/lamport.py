"""Lamport clock: one counter that respects causality, and a total order made from it.

Theory. If one event can have caused another, its stamp is smaller. The reverse does not hold: a smaller stamp says only
"not caused by". Ties are broken by actor, which gives a total order that everyone agrees on.

Source      Lamport 1978, "Time, clocks, and the ordering of events in a distributed system".
Complexity  O(1) time and space for everything.
"""

from typing import NamedTuple

from quorate.clocks.vectors import checked_actor
from quorate.kernel import Envelope


class LamportStamp(NamedTuple):
    """A moment of one actor; ordered by counter, then actor."""

    counter: int
    actor: int

    def to_bytes(self) -> bytes:
        """Return the sealed bytes."""
        return _ENVELOPE.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "LamportStamp":
        """Return the stamp in sealed bytes; raise `Undecodable` for anything else."""
        return _ENVELOPE.decode(data)


_ENVELOPE: Envelope[LamportStamp] = Envelope("lamport", 1, LamportStamp)


class LamportClock:
    """One actor's counter.

    Example:
        >>> clock = LamportClock(actor=1)
        >>> clock.tick()
        LamportStamp(counter=1, actor=1)
        >>> clock.receive(LamportStamp(counter=7, actor=2))
        LamportStamp(counter=8, actor=1)
    """

    def __init__(self, *, actor: int, counter: int = 0) -> None:
        self.actor = checked_actor(actor)
        # The counter of the last event here, 0 before the first; persist it to stay monotonic through a restart.
        self.counter = counter

    def tick(self) -> LamportStamp:
        """Return the stamp of a local event or of a message about to leave."""
        self.counter += 1
        return LamportStamp(self.counter, self.actor)

    def receive(self, stamp: LamportStamp) -> LamportStamp:
        """Return the stamp of the arrival of a message that carried a stamp."""
        self.counter = max(self.counter, stamp.counter)
        return self.tick()
