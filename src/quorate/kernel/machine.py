"""The one shape of every protocol: events in, effects out."""

from abc import ABC, abstractmethod

from quorate.kernel.effects import Effect
from quorate.kernel.events import Event
from quorate.kernel.time import Instant


class Machine(ABC):
    """A protocol without a world: a function of its arguments, its random stream and its sequence of (event, now).

    State is plain data: picklable and comparable. A machine is made as `Machine(config, records, rng)` from what it
    persisted before; its first event is `Started`. Helpers call `_emit`; nothing is returned through them, so nothing
    can be dropped. Whatever a peer can send is data and never raises; whatever we broke is an assertion.
    """

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self.now: Instant = Instant(0)

    def step(self, event: Event, *, now: Instant) -> list[Effect]:
        """Take one event; return all effects in the order in which they must be performed.

        Args:
            event: what happened.
            now: this node's monotonic time; never smaller than at the last step.
        """
        assert not self._effects, "no effect is left from an earlier step"
        assert self.now <= now, "time never moves back"
        self.now = now
        self._on_event(event)
        effects, self._effects = self._effects, []
        return effects

    @abstractmethod
    def _on_event(self, event: Event) -> None:
        """Handle one event by changing state and emitting effects."""

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)
