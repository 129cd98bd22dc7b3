"""Hybrid logical clock: wall time that respects causality.

Theory. A stamp is (wall, logical). `wall` is the largest wall time this actor has seen, its own or in a message;
`logical` counts events while `wall` stands still. So a stamp is never smaller than that of anything it may depend on,
stays within the clocks' mutual error of real time, and can be used like a timestamp in a store.

Backward jumps of the wall clock only stop `wall` (logical counts on). A remote stamp too far ahead is refused, else
one bad clock would drag everybody along. Restarts: stamps stay below a *ceiling* that was made durable ahead of use;
after a restart the clock begins at that ceiling, whatever the wall clock says.

Source      Kulkarni et al. 2014, "Logical physical clocks", figure 5; the durable ceiling as in CockroachDB.
Deviations  The actor is the last part of a stamp, so stamps are unique and totally ordered. When logical overflows,
            wall advances by one resolution step instead of wrapping.
Complexity  O(1) time and space for everything.
Bounds      0 ≤ logical < 65,536; wall - local wall time ≤ drift_max, for stamps taken from peers.
"""

from typing import Final, NamedTuple

from quorate.clocks.vectors import ACTOR_MAX, checked_actor
from quorate.kernel import BadPayload, Duration, Envelope, errors, milliseconds

LOGICAL_COUNT: Final = 1 << 16
PACKED_RESOLUTION_NS: Final = 1 << 16
DRIFT_MAX: Final = milliseconds(500)


class ClockTooFarAhead(errors.UsageError):
    """A stamp is further ahead of the local wall clock than the clocks may differ; it was not taken over."""

    code = "CLOCKAHEAD"


class CeilingReached(errors.UsageError):
    """No stamp may be given before a higher ceiling is durable."""

    code = "CEILING"


class HybridStamp(NamedTuple):
    """A moment: nanoseconds since 1970-01-01 UTC, a count within them, and the actor. Totally ordered, unique."""

    wall_ns: int
    logical: int
    actor: int

    def to_uint64(self) -> int:
        """Return wall time and logical in 64 bits, in stamp order; needs a clock of the packed resolution.

        Raises:
            UsageError: wall_ns is not a multiple of 65,536 ns (`PACKED_RESOLUTION_NS`).
        """
        if self.wall_ns % PACKED_RESOLUTION_NS:
            raise errors.UsageError("only a clock with resolution_ns=PACKED_RESOLUTION_NS makes stamps of 64 bits")
        return self.wall_ns | self.logical

    @classmethod
    def from_uint64(cls, packed: int, *, actor: int) -> "HybridStamp":
        """Return the stamp that was packed; the actor is not in the 64 bits."""
        return cls(packed & ~(LOGICAL_COUNT - 1), packed & (LOGICAL_COUNT - 1), actor)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array [wall_ns, logical, actor]."""
        return _ENVELOPE.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "HybridStamp":
        """Return the stamp in sealed bytes; raise `Undecodable` for anything else."""
        stamp = _ENVELOPE.decode(data)
        if not (
            0 <= stamp.wall_ns <= ACTOR_MAX and 0 <= stamp.logical < LOGICAL_COUNT and 0 <= stamp.actor <= ACTOR_MAX
        ):
            raise BadPayload("a hybrid stamp has a part out of range")
        return stamp


_ENVELOPE: Envelope[HybridStamp] = Envelope("hybrid-stamp", 1, HybridStamp)


class HybridClock:
    """One actor's hybrid clock. It never reads the world: every call is given the wall time.

    Example:
        >>> clock = HybridClock(actor=1)
        >>> clock.tick(wall_ns=1_000)
        HybridStamp(wall_ns=1000, logical=0, actor=1)
        >>> clock.tick(wall_ns=900)
        HybridStamp(wall_ns=1000, logical=1, actor=1)
    """

    def __init__(
        self,
        *,
        actor: int,
        drift_max: Duration = DRIFT_MAX,
        resolution_ns: int = 1,
        ceiling_ns: int | None = None,
    ) -> None:
        """Make a clock.

        Args:
            actor: who stamps.
            drift_max: how far ahead of the local wall clock a peer's stamp may be.
            resolution_ns: wall times are rounded down to a multiple; 65,536 makes stamps fit 64 bits.
            ceiling_ns: the ceiling that was last made durable; None keeps no ceiling. The first stamp is above it.
        """
        if drift_max < 0:
            raise errors.UsageError(f"drift_max is 0 or more, not {drift_max}")
        if resolution_ns < 1:
            raise errors.UsageError(f"resolution_ns is 1 or more, not {resolution_ns}")
        self.actor = checked_actor(actor)
        self.drift_max = drift_max
        self.resolution_ns = resolution_ns
        # Wall times below this may be given; None for no limit.
        self.ceiling_ns = ceiling_ns
        # One resolution step above what an earlier life can have given.
        self._wall_ns = 0 if ceiling_ns is None else -(-ceiling_ns // resolution_ns) * resolution_ns
        self._logical = -1

    @property
    def latest(self) -> HybridStamp | None:
        """The last stamp given, or None before the first of this life."""
        return None if self._logical < 0 else HybridStamp(self._wall_ns, self._logical, self.actor)

    def ahead_ns(self, wall_ns: int) -> int:
        """Return by how much stamps run ahead of the local wall clock; large after a backward jump."""
        return max(0, self._wall_ns - wall_ns)

    def tick(self, *, wall_ns: int) -> HybridStamp:
        """Return the stamp of a local event or of a message about to leave, above all given and received before.

        Raises:
            CeilingReached: the stamp would not be below the durable ceiling; nothing changed.
        """
        return self._advance(self._wall_ns, self._logical, wall_ns)

    def receive(self, stamp: HybridStamp, *, wall_ns: int) -> HybridStamp:
        """Return the stamp of the arrival of a message, above the stamp that it carried.

        Raises:
            ClockTooFarAhead: the stamp is more than `drift_max` ahead of `wall_ns`; nothing changed.
            CeilingReached: as for `tick`.
        """
        if not self.is_plausible(stamp, wall_ns=wall_ns):
            ahead_ns = stamp.wall_ns - wall_ns
            raise ClockTooFarAhead(f"a stamp of actor {stamp.actor} is {ahead_ns} ns ahead; at most {self.drift_max}")
        wall, logical = max((self._wall_ns, self._logical), (stamp.wall_ns, stamp.logical))
        return self._advance(wall, logical, wall_ns)

    def is_plausible(self, stamp: HybridStamp, *, wall_ns: int) -> bool:
        """Return whether `receive` would take a stamp: for callers to whom a peer's stamp is data, not an error."""
        return stamp.wall_ns - wall_ns <= self.drift_max

    def wanted_ceiling(self, *, wall_ns: int, ahead: Duration) -> int | None:
        """Return a ceiling that should be made durable now, or None while more than half of `ahead` is left.

        Make the value durable, then call `raise_ceiling`. Complexity: O(1); one write per `ahead / 2` of time.
        """
        latest = max(self._wall_ns, wall_ns)
        if self.ceiling_ns is not None and self.ceiling_ns - latest > ahead // 2:
            return None
        return latest + ahead

    def raise_ceiling(self, ceiling_ns: int) -> None:
        """Learn that a higher ceiling is durable."""
        if self.ceiling_ns is not None and ceiling_ns < self.ceiling_ns:
            raise errors.UsageError(f"a ceiling never comes down: {ceiling_ns} is below {self.ceiling_ns}")
        self.ceiling_ns = ceiling_ns

    def _advance(self, seen_wall_ns: int, seen_logical: int, wall_ns: int) -> HybridStamp:
        """Give the first stamp above what was seen, and not below the local wall clock."""
        rounded = wall_ns - wall_ns % self.resolution_ns
        if rounded > seen_wall_ns:
            wall, logical = rounded, 0
        elif seen_logical + 1 < LOGICAL_COUNT:
            wall, logical = seen_wall_ns, seen_logical + 1
        else:
            # A wall clock that stands still for 65,536 events: borrow a step from the future.
            wall, logical = seen_wall_ns - seen_wall_ns % self.resolution_ns + self.resolution_ns, 0
        if self.ceiling_ns is not None and wall >= self.ceiling_ns:
            raise CeilingReached(f"wall time {wall} is not below the durable ceiling {self.ceiling_ns}")
        self._wall_ns, self._logical = wall, logical
        return HybridStamp(wall, logical, self.actor)
