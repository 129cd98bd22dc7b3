"""Bounded interval time: not what time it is, but between which two moments it is, for certain.

Theory. If every reading contains true time, then "after" and "before" can be known, not guessed: a moment has passed
once the earliest possible now lies behind it. A transaction that takes its timestamp from `latest` and answers only
when that timestamp has passed everywhere (commit-wait) is ordered by its timestamp for every observer.

Between synchronisations the interval grows by the local clock's drift bound. All arithmetic is in integers and rounds
outwards.

Source      Corbett et al. 2012 (Spanner), section 3 and 4.1.2; interval clocks: Marzullo 1984.
Deviations  `earliest` never moves back: a lower bound of true time stays one.
Complexity  O(1).
Bounds      drift_ppm below 1,000,000; right while each synchronisation contains true time and the drift bound holds.
"""

from typing import Final, NamedTuple

from quorate.kernel import Duration, Instant, errors

DRIFT_PPM: Final = 200
_MILLION: Final = 1_000_000


class NotSynchronized(errors.UsageError):
    """No interval was ever given, so nothing is known about true time."""

    code = "NOTSYNCED"


class ClocksDisagree(errors.UsageError):
    """Two intervals that both claim to contain true time have nothing in common: a source or a bound is wrong."""

    code = "CLOCKSDISAGREE"


class TimeInterval(NamedTuple):
    """Two moments, in nanoseconds since 1970-01-01 UTC, between which true time lies (both included)."""

    earliest_ns: int
    latest_ns: int

    @property
    def width_ns(self) -> int:
        """How much is not known."""
        return self.latest_ns - self.earliest_ns

    @property
    def middle_ns(self) -> int:
        """The best guess at a single moment."""
        return (self.earliest_ns + self.latest_ns) // 2


class IntervalClock:
    """A clock in TrueTime's form over a local monotonic clock. It reads nothing: every call is given the local instant.

    Example:
        >>> clock = IntervalClock(drift_ppm=1000)
        >>> clock.synchronize(TimeInterval(5_000, 5_010), at=Instant(0))
        >>> clock.now(at=Instant(1_001))
        TimeInterval(earliest_ns=6000, latest_ns=6013)
        >>> clock.after(5_999, at=Instant(1_001)), clock.before(6_013, at=Instant(1_001))
        (True, False)
    """

    def __init__(self, *, drift_ppm: int = DRIFT_PPM) -> None:
        """Make a clock that knows nothing yet.

        Args:
            drift_ppm: the local clock's rate is within so many millionths of true time's.
        """
        if not 0 <= drift_ppm < _MILLION:
            raise errors.UsageError(f"drift_ppm is from 0 to 999,999, not {drift_ppm}")
        self.drift_ppm = drift_ppm
        self._synced: TimeInterval | None = None
        self._synced_at = Instant(0)
        # The largest lower bound that was ever given out; valid for ever.
        self._floor_ns: int | None = None

    @property
    def is_synchronized(self) -> bool:
        """Whether anything is known about true time."""
        return self._synced is not None

    def synchronize(self, interval: TimeInterval, *, at: Instant) -> None:
        """Learn that true time lies in an interval; what was known before narrows it further.

        Raises:
            ClocksDisagree: it contradicts what was known; nothing changed. `reset` forgets what was known.
        """
        if interval.latest_ns < interval.earliest_ns:
            raise errors.UsageError(f"an interval's end lies before its beginning: {interval}")
        known = self.now(at=at) if self._synced is not None else interval
        narrowed = TimeInterval(max(known.earliest_ns, interval.earliest_ns), min(known.latest_ns, interval.latest_ns))
        if narrowed.latest_ns < narrowed.earliest_ns:
            raise ClocksDisagree(f"{interval} and {known} cannot both contain true time")
        self._synced, self._synced_at = narrowed, at

    def reset(self) -> None:
        """Forget everything: after a suspend, or when a source turned out to be wrong."""
        self._synced = self._floor_ns = None

    def now(self, *, at: Instant) -> TimeInterval:
        """Return the interval that contains true time; raise `NotSynchronized`."""
        synced = self._require_synced()
        assert self._synced_at <= at, "a monotonic clock never moves back"
        elapsed = at - self._synced_at
        earliest_ns = synced.earliest_ns + elapsed * _MILLION // (_MILLION + self.drift_ppm)
        latest_ns = synced.latest_ns - (-elapsed * _MILLION // (_MILLION - self.drift_ppm))
        if self._floor_ns is not None:
            earliest_ns = max(earliest_ns, self._floor_ns)
        self._floor_ns = earliest_ns
        return TimeInterval(earliest_ns, latest_ns)

    def after(self, moment_ns: int, *, at: Instant) -> bool:
        """Return whether a moment has passed for certain."""
        return self.now(at=at).earliest_ns > moment_ns

    def before(self, moment_ns: int, *, at: Instant) -> bool:
        """Return whether a moment has not come for certain."""
        return self.now(at=at).latest_ns < moment_ns

    def commit_wait(self, moment_ns: int, *, at: Instant) -> Duration:
        """Return the shortest local wait after which `after(moment_ns)` holds, if nothing better is learnt."""
        if self.after(moment_ns, at=at):
            return Duration(0)
        missing = moment_ns + 1 - self._require_synced().earliest_ns
        local = -(-missing * (_MILLION + self.drift_ppm) // _MILLION)
        return Duration(local - (at - self._synced_at))

    def _require_synced(self) -> TimeInterval:
        if self._synced is None:
            raise NotSynchronized("this clock was never synchronised")
        return self._synced
