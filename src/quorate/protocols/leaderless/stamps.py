"""Stamps of writes: above all that this node or the client has seen of a key, and never given twice.

A stamp is below a ceiling that is on disk before anybody else hears of the stamp, so a node that starts again begins
above all that it ever said. The ceiling is only half a second ahead: so far may the first stamps of a new life run
ahead of the wall clock, and writes through others be swallowed meanwhile.

A stamp that somebody's broken clock set far into the future is not taken over into this node's clock. But a write that
follows it must win over it, so it gets the next one above; the key stays ahead of time, and no other key does. The
ceiling does not reach so far, so these stamps carry a name that was drawn for this life alone.
"""

from collections.abc import Iterable
from typing import Final

from quorate.clocks import ACTOR_MAX, LOGICAL_COUNT, HybridClock, HybridStamp
from quorate.kernel import marks, milliseconds
from quorate.protocols.leaderless.rules import ChangeRefused

_AHEAD: Final = milliseconds(500)


class Stamper:
    """Gives the stamps of one node."""

    def __init__(self, *, actor: int, ceiling_ns: int, far_actor: int) -> None:
        """Make a stamper.

        Args:
            actor: who stamps, in this epoch of its disk.
            ceiling_ns: on disk; below it stamps may have been given before.
            far_actor: who stamps beyond the ceiling, in this life.
        """
        self.actor = actor
        self.far_actor = far_actor
        # Stable; stamps below it may be told to others at once.
        self.firm_ns = ceiling_ns
        self._clock = HybridClock(actor=actor, ceiling_ns=ceiling_ns)
        self._far: HybridStamp | None = None

    def as_actor(self, actor: int) -> "Stamper":
        """Return a stamper that goes on under another name, above all that this one gave."""
        heir = Stamper(actor=actor, ceiling_ns=self.ceiling_ns, far_actor=self.far_actor)
        heir.firm_ns, heir._far = self.firm_ns, self._far
        return heir

    @property
    def ceiling_ns(self) -> int:
        """The ceiling that was last asked for."""
        return self._clock.ceiling_ns or 0

    def wanted_ceiling(self, wall_ns: int, seen: Iterable[HybridStamp]) -> int | None:
        """Return a ceiling that must be written down with the next stamp; None while the present one is high enough."""
        latest = self._clock.latest
        near = [stamp.wall_ns for stamp in seen if self._clock.is_plausible(stamp, wall_ns=wall_ns)]
        top = max(wall_ns, 0 if latest is None else latest.wall_ns, *near)
        # After a start the clock stands at the ceiling itself.
        top = max(top, self.ceiling_ns) if latest is None else top
        if self.ceiling_ns - top > _AHEAD // 2:
            return None
        self._clock.raise_ceiling(top + _AHEAD)
        return top + _AHEAD

    def stamp(self, wall_ns: int, seen: Iterable[HybridStamp]) -> HybridStamp:
        """Return a stamp above what was seen; ask `wanted_ceiling` first.

        Raises:
            ChangeRefused: CLOCKAHEAD: what was seen stands at the end of time.
        """
        given: HybridStamp | None = None
        for stamp in seen:
            if self._clock.is_plausible(stamp, wall_ns=wall_ns):
                given = self._clock.receive(stamp, wall_ns=wall_ns)
            else:
                marks.hit("leaderless: a write above a stamp from the future")
                self._far = stamp if self._far is None else max(self._far, stamp)
                given = self._far = self._after(self._far)
        return given or self._clock.tick(wall_ns=wall_ns)

    def _after(self, stamp: HybridStamp) -> HybridStamp:
        if stamp.logical + 1 < LOGICAL_COUNT:
            return HybridStamp(stamp.wall_ns, stamp.logical + 1, self.far_actor)
        if stamp.wall_ns + 1 > ACTOR_MAX:
            raise ChangeRefused("CLOCKAHEAD", "the key's last write was stamped at the end of time")
        return HybridStamp(stamp.wall_ns + 1, 0, self.far_actor)
