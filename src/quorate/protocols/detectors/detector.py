"""One interface for failure detectors: when did it last speak, and how sure is it that it is gone."""

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from quorate.kernel import Duration, Instant
from quorate.kernel.errors import ConfigError

WINDOW_COUNT: Final = 1_000


class Detector(ABC):
    """Judges one peer by the arrival of its heartbeats.

    A detector never decides what follows from its suspicion, and takes it back when a heartbeat arrives (it is
    "eventually" accurate at best: Chandra & Toueg 1996).
    """

    def __init__(self) -> None:
        # When the last heartbeat arrived; None: none yet, and nobody is suspected.
        self.heard_at: Instant | None = None

    def heard(self, at: Instant, sequence: int) -> None:
        """Take a heartbeat.

        Args:
            at: arrival, by the watcher's clock; never before the last one.
            sequence: of the heartbeat; grows by one with each that is sent.
        """
        self._note(at, sequence)
        self.heard_at = at

    @abstractmethod
    def _note(self, at: Instant, sequence: int) -> None:
        """Learn from an arrival; `heard_at` is still that of the one before."""

    @abstractmethod
    def deadline(self) -> Instant | None:
        """Return when the peer becomes suspected unless it is heard; None: nothing is known yet. Complexity: O(1)."""

    @abstractmethod
    def level(self, at: Instant) -> float:
        """Return how suspect the peer is: 0 when just heard, 1 at the deadline; only the order above means anything."""

    def is_suspected(self, at: Instant) -> bool:
        """Return whether the peer is suspected now."""
        deadline = self.deadline()
        return deadline is not None and deadline <= at


class Intervals:
    """The last intervals between arrivals, with exact sums. Complexity: O(1) for everything."""

    def __init__(self, window_count: int) -> None:
        if window_count < 2:
            raise ConfigError("window_count: 2 or more")
        self._intervals: deque[int] = deque()
        self._window_count = window_count
        self._sum = 0
        self._sum_of_squares = 0

    def add(self, interval: int) -> None:
        """Take an interval in nanoseconds, and forget the oldest beyond the window."""
        self._intervals.append(interval)
        self._sum += interval
        self._sum_of_squares += interval * interval
        if len(self._intervals) > self._window_count:
            oldest = self._intervals.popleft()
            self._sum -= oldest
            self._sum_of_squares -= oldest * oldest

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._intervals)

    @property
    def mean(self) -> float:
        """The mean in nanoseconds."""
        return self._sum / len(self._intervals)

    @property
    def deviation(self) -> float:
        """The standard deviation of the window, in nanoseconds."""
        count = len(self._intervals)
        # Integers, so that nothing cancels.
        return math.sqrt(self._sum_of_squares * count - self._sum * self._sum) / count


class TimeoutDetector(Detector):
    """Suspects after a fixed silence.

    Example:
        >>> detector = TimeoutDetector(timeout=Duration(30))
        >>> detector.heard(Instant(100), 1)
        >>> detector.is_suspected(Instant(129)), detector.is_suspected(Instant(130))
        (False, True)
    """

    def __init__(self, *, timeout: Duration) -> None:
        super().__init__()
        if timeout < 1:
            raise ConfigError("timeout: above 0")
        self.timeout = timeout

    def _note(self, at: Instant, sequence: int) -> None:
        pass  # it learns nothing

    def deadline(self) -> Instant | None:
        """Return the last arrival plus the timeout."""
        return None if self.heard_at is None else Instant(self.heard_at + self.timeout)

    def level(self, at: Instant) -> float:
        """Return the share of the timeout that has passed."""
        return 0.0 if self.heard_at is None else (at - self.heard_at) / self.timeout
