"""Phi accrual: suspicion as the negative logarithm of the chance that the silence is innocent.

Phi 1 means: one suspicion in ten at this level is wrong, if intervals behave as they did; phi 8: one in 10^8. What
"behave" means differs: Cassandra takes intervals as exponentially distributed, which knows only their mean and waits
for 18 of them at phi 8; Akka takes them as normal, which also knows how regular they are, and adds a pause it accepts.

Source      Hayashibara, Défago, Yared & Katayama 2004; Cassandra's FailureDetector.java; Akka's
            PhiAccrualFailureDetector.scala.
Deviations  The deadline is computed instead of polled, so detection times have no grain.
"""

import math
from typing import Final

from quorate.kernel import Duration, Instant, milliseconds, seconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.detectors.detector import WINDOW_COUNT, Detector, Intervals

THRESHOLD: Final = 8.0
# Cassandra: twice its gossip interval.
CASSANDRA_FIRST_INTERVAL: Final = seconds(2)
AKKA_FIRST_INTERVAL: Final = seconds(1)
AKKA_DEVIATION_MIN: Final = milliseconds(100)
AKKA_PAUSE_ACCEPTED: Final = seconds(3)
_LN10: Final = math.log(10)
# Coefficients of the logistic approximation to the normal distribution that Akka uses (error below 1.4e-4).
_LINEAR: Final = 1.5976
_CUBIC: Final = 0.070566


class ExponentialPhi(Detector):
    """Phi over exponential intervals, as in Cassandra: phi = silence / mean / ln 10.

    Args:
        threshold: phi at which the peer is suspected.
        first_interval: taken as the first interval; Cassandra: twice the gossip interval of 1 s.
        interval_max: longer intervals are not learned, so that an outage does not teach patience; None: the first
            interval, as in Cassandra.
        window_count: intervals that are remembered.

    Example:
        >>> detector = ExponentialPhi(threshold=1.0, first_interval=Duration(100))
        >>> detector.heard(Instant(0), 1)
        >>> detector.deadline()
        230
    """

    def __init__(
        self,
        *,
        threshold: float = THRESHOLD,
        first_interval: Duration = CASSANDRA_FIRST_INTERVAL,
        interval_max: Duration | None = None,
        window_count: int = WINDOW_COUNT,
    ) -> None:
        super().__init__()
        _check(threshold, first_interval)
        self.threshold = threshold
        self.first_interval = first_interval
        self.interval_max = interval_max or first_interval
        self._intervals = Intervals(window_count)

    def _note(self, at: Instant, sequence: int) -> None:
        if self.heard_at is None:
            self._intervals.add(self.first_interval)
        elif at - self.heard_at <= self.interval_max:
            self._intervals.add(at - self.heard_at)

    def deadline(self) -> Instant | None:
        """Return when phi reaches the threshold: ln 10 * threshold mean intervals after the last arrival."""
        if self.heard_at is None:
            return None
        return Instant(self.heard_at + int(self._intervals.mean * self.threshold * _LN10))

    def phi(self, at: Instant) -> float:
        """Return phi now."""
        if self.heard_at is None:
            return 0.0
        return (at - self.heard_at) / max(1.0, self._intervals.mean) / _LN10

    def level(self, at: Instant) -> float:
        """Return phi as a share of the threshold."""
        return self.phi(at) / self.threshold


class NormalPhi(Detector):
    """Phi over normal intervals, as in Akka.

    Args:
        threshold: phi at which the peer is suspected; Akka: 8, and 10 to 12 in clouds.
        first_interval: the mean before anything is learned; the deviation is a quarter of it.
        deviation_min: of the intervals, so that perfect regularity does not make one late heartbeat a death.
        pause_accepted: added to the mean: a garbage collection, a lost heartbeat or two. Akka: 3 s in a cluster.
        window_count: intervals that are remembered.
    """

    def __init__(
        self,
        *,
        threshold: float = THRESHOLD,
        first_interval: Duration = AKKA_FIRST_INTERVAL,
        deviation_min: Duration = AKKA_DEVIATION_MIN,
        pause_accepted: Duration = AKKA_PAUSE_ACCEPTED,
        window_count: int = WINDOW_COUNT,
    ) -> None:
        super().__init__()
        _check(threshold, first_interval)
        if deviation_min < 1 or pause_accepted < 0:
            raise ConfigError("deviation_min: above 0; pause_accepted: 0 or more")
        self.threshold = threshold
        self.first_interval = first_interval
        self.deviation_min = deviation_min
        self.pause_accepted = pause_accepted
        self._intervals = Intervals(window_count)
        # How many deviations behind the mean phi reaches the threshold: a constant of the threshold.
        self._reach = _deviations_at(threshold)

    def _note(self, at: Instant, sequence: int) -> None:
        if self.heard_at is None:
            quarter = self.first_interval // 4
            self._intervals.add(self.first_interval - quarter)
            self._intervals.add(self.first_interval + quarter)
        else:
            self._intervals.add(at - self.heard_at)

    def _bell(self) -> tuple[float, float]:
        """Return the mean, with the accepted pause, and the deviation."""
        return self._intervals.mean + self.pause_accepted, max(self.deviation_min, self._intervals.deviation)

    def deadline(self) -> Instant | None:
        """Return when phi reaches the threshold."""
        if self.heard_at is None:
            return None
        mean, deviation = self._bell()
        return Instant(self.heard_at + max(0, int(mean + self._reach * deviation)))

    def phi(self, at: Instant) -> float:
        """Return phi now; Akka's formula, kept from running over at large silences."""
        if self.heard_at is None:
            return 0.0
        mean, deviation = self._bell()
        y = (at - self.heard_at - mean) / deviation
        return _phi_of(y)

    def level(self, at: Instant) -> float:
        """Return phi as a share of the threshold."""
        return self.phi(at) / self.threshold


def _check(threshold: float, first_interval: Duration) -> None:
    if not 0 < threshold < 1_000:
        raise ConfigError("threshold: above 0 and below 1000")
    if first_interval < 1:
        raise ConfigError("first_interval: above 0")


def _phi_of(y: float) -> float:
    """Return -log10 of the normal tail beyond y, by the logistic approximation: log10(1 + e^x) with x = y(a + b y²)."""
    x = y * (_LINEAR + _CUBIC * y * y)
    # Two forms, because e^x runs over on the one side and vanishes beside 1 on the other.
    return (x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(max(-700.0, x)))) / _LN10


def _deviations_at(phi: float) -> float:
    """Return the y with that phi, by halving. Complexity: about 60 steps, once per detector."""
    low, high = -40.0, 40.0
    while _phi_of(high) < phi:
        high *= 2
    for _ in range(64):
        middle = (low + high) / 2
        if _phi_of(middle) < phi:
            low = middle
        else:
            high = middle
    return high
