"""Happened-before over recorded events: who can have caused what, and a picture of it.

Source      Lamport 1978; vector stamps: Fidge 1988, Mattern 1989; consistent cuts: Chandy & Lamport 1985.
Complexity  a actors, e events: O(a) to record, O(1) for `happened_before`, O(e) for past, future and cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.clocks.order import Order
from quorate.clocks.vectors import Dot, VersionVector
from quorate.kernel import errors


@dataclass(frozen=True)
class RecordedEvent:
    """One event of the graph."""

    # Place in the record, from 0; also the event's name in every call.
    index: int
    # Place of the actor among the graph's actors, from 0.
    actor: int
    label: str
    # The event that sent what was received here; None for others.
    sent_by: int | None
    # All events that this one can depend on, itself included; actors by their places.
    stamp: VersionVector

    @property
    def dot(self) -> Dot:
        """The event as the so-and-so-manieth of its actor."""
        return Dot(self.actor, self.stamp[self.actor])


class HappenedBefore:
    """A growing record of events of named actors, in any order in which a cause comes before its effect.

    Example:
        >>> graph = HappenedBefore(["alice", "bob"])
        >>> ask = graph.record("alice", "ask")
        >>> think = graph.record("bob", "think")
        >>> answer = graph.record("bob", "answer", sent_by=ask)
        >>> graph.happened_before(ask, answer), graph.happened_before(ask, think)
        (True, False)
        >>> graph.compare(ask, think)
        <Order.CONCURRENT: 'concurrent'>
    """

    def __init__(self, actors: Sequence[str]) -> None:
        if not actors or len(dict.fromkeys(actors)) != len(actors):
            raise errors.UsageError("a graph needs actors, each named once")
        self.actors = tuple(actors)
        self.events: list[RecordedEvent] = []
        self._places = {actor: place for place, actor in enumerate(actors)}
        self._known = [VersionVector() for _ in actors]

    def record(self, actor: str, label: str = "", *, sent_by: int | None = None) -> int:
        """Record an event; return its index.

        Args:
            actor: where it happened.
            label: a word or two, for the picture.
            sent_by: index of the event that sent the message received here; None for a local event or a send.

        Raises:
            UsageError: the actor or the sending event is not known.
        """
        if actor not in self._places:
            raise errors.UsageError(f"{actor!r} is not one of the actors {list(self.actors)}")
        place = self._places[actor]
        known = self._known[place]
        if sent_by is not None:
            known = known.merge(self.event(sent_by).stamp)
        self._known[place] = known.increment(place)
        self.events.append(RecordedEvent(len(self.events), place, label, sent_by, self._known[place]))
        return len(self.events) - 1

    def event(self, index: int) -> RecordedEvent:
        """Return an event; raise `UsageError` for an index that was never given."""
        if not 0 <= index < len(self.events):
            raise errors.UsageError(f"there is no event {index}; there are {len(self.events)}")
        return self.events[index]

    def happened_before(self, first: int, second: int) -> bool:
        """Return whether the first event can have caused the second."""
        return first != second and self.event(first).dot in self.event(second).stamp

    def compare(self, first: int, second: int) -> Order:
        """Return how two events stand to each other."""
        return self.event(first).stamp.compare(self.event(second).stamp)

    def past(self, index: int) -> list[int]:
        """Return all events that can have caused one, ascending."""
        return [event.index for event in self.events if self.happened_before(event.index, index)]

    def future(self, index: int) -> list[int]:
        """Return all events that one can have caused, ascending."""
        return [event.index for event in self.events if self.happened_before(index, event.index)]

    def concurrent(self, index: int) -> list[int]:
        """Return all events that can neither have caused one nor been caused by it, ascending."""
        return [e.index for e in self.events if self.compare(e.index, index) is Order.CONCURRENT]

    def is_consistent_cut(self, cut: VersionVector) -> bool:
        """Return whether a cut (per actor's place, how many of its events) holds the cause of all that it holds."""
        return all(cut.descends(event.stamp) for event in self.events if event.dot in cut)
