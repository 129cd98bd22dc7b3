"""Chen's detector: expects each heartbeat at a time estimated from the last ones, and adds a constant margin.

It needs no synchronized clocks: only the period of the sender and numbered heartbeats. A lost heartbeat does not
spoil the estimate, because the next one is expected by its number; so it stays sharp under loss, where detectors that
look at intervals learn to wait.

Source      Chen, Toueg & Aguilera 2002, section 4 (NFD-E): EA(l+1) = mean(A_i - i * period) + (l + 1) * period.
"""

from collections import deque

from quorate.kernel import SECOND, Duration, Instant
from quorate.kernel.errors import ConfigError
from quorate.protocols.detectors.detector import Detector


class ChenDetector(Detector):
    """Suspects when the next heartbeat is later than expected by more than a margin.

    Args:
        period: between heartbeats at the sender.
        margin: alpha; larger: fewer false suspicions, detection later by the same span.
        window_count: arrivals in the estimate; Chen: 1,000 at most, 30 suffice.

    Example:
        >>> detector = ChenDetector(period=Duration(100), margin=Duration(20))
        >>> detector.heard(Instant(1_010), 10)
        >>> detector.heard(Instant(1_130), 11)
        >>> detector.deadline()                       # sent at 100 * n, about 20 late: the 12th is expected at 1220
        1240
    """

    def __init__(self, *, period: Duration = SECOND, margin: Duration = SECOND, window_count: int = 100) -> None:
        super().__init__()
        if period < 1 or margin < 0 or window_count < 1:
            raise ConfigError("period: above 0; margin: 0 or more; window_count: 1 or more")
        self.period = period
        self.margin = margin
        self.window_count = window_count
        # Arrivals, each minus what its number says.
        self._offsets: deque[int] = deque()
        self._sum = 0
        self._last_sequence = -1

    def _note(self, at: Instant, sequence: int) -> None:
        if sequence <= self._last_sequence:
            # The sender began anew: its numbers say nothing about its former life.
            self._offsets.clear()
            self._sum, self._last_sequence = 0, -1
        self._last_sequence = max(self._last_sequence, sequence)
        offset = at - sequence * self.period
        self._offsets.append(offset)
        self._sum += offset
        if len(self._offsets) > self.window_count:
            self._sum -= self._offsets.popleft()

    @property
    def expected_at(self) -> Instant | None:
        """When the next heartbeat should arrive."""
        if not self._offsets:
            return None
        return Instant(self._sum // len(self._offsets) + (self._last_sequence + 1) * self.period)

    def deadline(self) -> Instant | None:
        """Return the expected arrival plus the margin."""
        expected = self.expected_at
        return None if expected is None else Instant(expected + self.margin)

    def level(self, at: Instant) -> float:
        """Return the silence as a share of that at the deadline."""
        deadline = self.deadline()
        if deadline is None or self.heard_at is None:
            return 0.0
        return (at - self.heard_at) / max(1, deadline - self.heard_at)
