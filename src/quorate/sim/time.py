"""A host's clocks: a monotonic one that drifts and a wall clock that may jump."""

from typing import Final

BILLION: Final = 1_000_000_000
# 2026-01-01 00:00:00 UTC: where the wall clocks of every world begin.
WALL_ORIGIN_NS: Final = 1_767_225_600 * BILLION


class HostTime:
    """Maps the world's true time to one host's monotonic clock and back, in integers.

    Args:
        origin_ns: what the monotonic clock shows at true time 0.
        drift_ppb: nanoseconds gained per second of true time; above -1,000,000,000.
    """

    __slots__ = ("_base_local", "_base_true", "drift_ppb", "wall_offset_ns")

    def __init__(self, *, origin_ns: int = 0, drift_ppb: int = 0) -> None:
        self._base_true = 0
        self._base_local = origin_ns
        self.drift_ppb = drift_ppb
        # What the wall clock shows beyond the monotonic one.
        self.wall_offset_ns = WALL_ORIGIN_NS - origin_ns

    def local(self, true: int) -> int:
        """Return the monotonic time at a true time."""
        span = true - self._base_true
        if not self.drift_ppb:
            return self._base_local + span
        return self._base_local + span + span * self.drift_ppb // BILLION

    def true(self, local: int) -> int:
        """Return the first true time at which the monotonic clock shows at least this."""
        span = local - self._base_local
        if not self.drift_ppb:
            return self._base_true + span
        # Ceiling division: a timer never fires early by its own clock.
        return self._base_true - (-span * BILLION // (BILLION + self.drift_ppb))

    def set_drift(self, true_now: int, drift_ppb: int) -> None:
        """Change the rate from now on; the clock itself does not jump."""
        assert drift_ppb > -BILLION, "a monotonic clock moves forward"
        self._base_local = self.local(true_now)
        self._base_true = true_now
        self.drift_ppb = drift_ppb
