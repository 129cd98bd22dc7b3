"""What four timestamps say about another clock, and how many such exchanges become one interval.

Theory. A request leaves at t1 (local), arrives at t2 (server), the answer leaves at t3 (server) and arrives at t4
(local). If both ways took equally long, the server is ahead by ((t2 - t1) + (t3 - t4)) / 2. They may not have, but
neither took less than nothing, so the error is at most half the time on the wire: an interval, not a guess. Of several
exchanges the one with the least delay is the best (clock filter); of several servers the region that a majority shares
is taken (Marzullo).

Source      RFC 5905, sections 8 and 10; Mills 1991.
Deviations  Local timestamps are of the monotonic clock, so a wall clock that somebody sets cannot disturb an exchange.
            Old samples are not discarded by dispersion but widened by the drift bound, and the narrowest one wins.
            Drift is the least-squares slope over the window. There is no clock discipline loop: time is read, not set.
Complexity  w samples a source, n sources: O(w) to add, O(n (w + log n)) for the interval.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from quorate.clocks.intervals import DRIFT_PPM, TimeInterval
from quorate.clocks.marzullo import Agreement, marzullo
from quorate.kernel import Instant, errors

FILTER_SAMPLE_COUNT: Final = 8
_MILLION: Final = 1_000_000


class BadExchange(errors.UsageError):
    """Four timestamps cannot be right: time ran backwards at one end, or the server was slower than the whole trip."""

    code = "BADEXCHANGE"


class Exchange(NamedTuple):
    """One request and its answer, as two clocks saw it. All in nanoseconds.

    Example:
        >>> trip = Exchange(sent=Instant(100), server_received_ns=1_150, server_sent_ns=1_160, received=Instant(180))
        >>> trip.offset_ns, trip.delay_ns
        (1015, 70)
        >>> trip.interval(server_error_ns=0)
        TimeInterval(earliest_ns=1160, latest_ns=1230)
    """

    # t1 and t4, local monotonic time.
    sent: Instant
    # t2 and t3, server's wall time.
    server_received_ns: int
    server_sent_ns: int
    received: Instant

    @property
    def offset_ns(self) -> int:
        """Server wall time minus local monotonic time, if both ways took equally long."""
        return ((self.server_received_ns - self.sent) + (self.server_sent_ns - self.received)) // 2

    @property
    def delay_ns(self) -> int:
        """Time on the wire, both ways."""
        return (self.received - self.sent) - (self.server_sent_ns - self.server_received_ns)

    def interval(self, *, server_error_ns: int) -> TimeInterval:
        """Return where true time was at the answer's arrival, however the delay was shared between the ways."""
        return TimeInterval(
            self.server_sent_ns - server_error_ns, self.server_sent_ns + self.delay_ns + server_error_ns
        )

    def checked(self) -> "Exchange":
        """Return the exchange, or raise `BadExchange` when no honest clocks can have made it."""
        if self.received < self.sent or self.server_sent_ns < self.server_received_ns or self.delay_ns < 0:
            raise BadExchange(f"these timestamps contradict each other: {self}")
        return self


class ClockFilter:
    """The last exchanges with one server, and what the best of them says.

    Invariant: samples are in order of arrival, at most `sample_count` of them.
    """

    def __init__(self, *, sample_count: int = FILTER_SAMPLE_COUNT, drift_ppm: int = DRIFT_PPM) -> None:
        if sample_count < 1:
            raise errors.UsageError(f"sample_count is 1 or more, not {sample_count}")
        if not 0 <= drift_ppm < _MILLION:
            raise errors.UsageError(f"drift_ppm is from 0 to 999,999, not {drift_ppm}")
        self.drift_ppm = drift_ppm
        self._samples: deque[tuple[Exchange, int]] = deque(maxlen=sample_count)

    def __len__(self) -> int:
        """Return how many exchanges are held."""
        return len(self._samples)

    def add(self, exchange: Exchange, *, server_error_ns: int = 0) -> None:
        """Take an exchange in; the oldest falls out when the window is full. Raise `BadExchange`.

        Args:
            exchange: the four timestamps.
            server_error_ns: how far the server itself says it may be from true time (root distance).
        """
        if server_error_ns < 0:
            raise BadExchange(f"a server's error is 0 or more, not {server_error_ns}")
        self._samples.append((exchange.checked(), server_error_ns))

    def best(self) -> Exchange | None:
        """Return the exchange with the least delay, the latest of equals; None when there is none."""
        return min(reversed(self._samples), key=lambda sample: sample[0].delay_ns)[0] if self._samples else None

    def interval(self, *, now: Instant) -> TimeInterval | None:
        """Return the narrowest interval that one exchange gives for now, drift included; None when there is none."""
        aged = [self._aged(exchange, error_ns, now) for exchange, error_ns in self._samples]
        return min(aged, key=lambda interval: interval.width_ns) if aged else None

    def jitter_ns(self) -> int:
        """Return the root mean square distance of offsets from the best one; 0 with fewer than two exchanges."""
        best = self.best()
        if best is None or len(self._samples) < 2:
            return 0
        squares = sum((exchange.offset_ns - best.offset_ns) ** 2 for exchange, _ in self._samples)
        return math.isqrt(squares // (len(self._samples) - 1))

    def drift(self) -> float | None:
        """Return how many millionths the server's clock runs faster than the local one, by least squares.

        None while all exchanges are at one moment. Good to about jitter over the window's length.
        """
        if not self._samples:
            return None
        # Relative to the first sample, so that floats keep all digits that matter.
        first = self._samples[0][0]
        points = [(x.received - first.received, x.offset_ns - first.offset_ns) for x, _ in self._samples]
        mean_time = sum(time for time, _ in points) / len(points)
        mean_offset = sum(offset for _, offset in points) / len(points)
        spread = sum((time - mean_time) ** 2 for time, _ in points)
        if spread == 0:
            return None
        return _MILLION * sum((t - mean_time) * (o - mean_offset) for t, o in points) / spread

    def _aged(self, exchange: Exchange, server_error_ns: int, now: Instant) -> TimeInterval:
        assert exchange.received <= now, "a monotonic clock never moves back"
        then = exchange.interval(server_error_ns=server_error_ns)
        elapsed = now - exchange.received
        return TimeInterval(
            then.earliest_ns + elapsed * _MILLION // (_MILLION + self.drift_ppm),
            then.latest_ns - (-elapsed * _MILLION // (_MILLION - self.drift_ppm)),
        )


class TimeEstimator:
    """Several servers, one interval: the region that a majority of them shares.

    Example:
        >>> estimator = TimeEstimator(servers=["a", "b", "c"])
        >>> for server, ahead in [("a", 1_000), ("b", 1_010), ("c", 9_999)]:
        ...     trip = Exchange(Instant(0), ahead + 20, ahead + 20, Instant(40))
        ...     estimator.add(server, trip)
        >>> estimator.agreement(now=Instant(40)).interval
        TimeInterval(earliest_ns=1030, latest_ns=1060)
        >>> estimator.falsetickers(now=Instant(40))
        ['c']
    """

    def __init__(
        self,
        *,
        servers: Sequence[str],
        sample_count: int = FILTER_SAMPLE_COUNT,
        drift_ppm: int = DRIFT_PPM,
    ) -> None:
        if not servers or len(dict.fromkeys(servers)) != len(servers):
            raise errors.UsageError("an estimator needs servers, each named once")
        self._filters = {
            server: ClockFilter(sample_count=sample_count, drift_ppm=drift_ppm) for server in sorted(servers)
        }

    def add(self, server: str, exchange: Exchange, *, server_error_ns: int = 0) -> None:
        """Take an exchange with a server in. Raise `BadExchange`, or `UsageError` for a stranger."""
        self.filter(server).add(exchange, server_error_ns=server_error_ns)

    def filter(self, server: str) -> ClockFilter:
        """Return a server's clock filter."""
        if server not in self._filters:
            raise errors.UsageError(f"{server!r} is not one of the servers {list(self._filters)}")
        return self._filters[server]

    def agreement(self, *, now: Instant) -> Agreement | None:
        """Return what a majority of *all* servers, silent ones included, agrees on; None when there is no majority."""
        known = list(self._known(now).values())
        if not known:
            return None
        agreement = marzullo(known)
        return agreement if 2 * agreement.source_count > len(self._filters) else None

    def falsetickers(self, *, now: Instant) -> list[str]:
        """Return the servers whose intervals miss what the majority agrees on, sorted."""
        agreement = self.agreement(now=now)
        if agreement is None:
            return []
        agreed = agreement.interval
        return [
            server
            for server, interval in self._known(now).items()
            if interval.latest_ns < agreed.earliest_ns or agreed.latest_ns < interval.earliest_ns
        ]

    def _known(self, now: Instant) -> dict[str, TimeInterval]:
        intervals = {server: clock_filter.interval(now=now) for server, clock_filter in self._filters.items()}
        return {server: interval for server, interval in intervals.items() if interval is not None}
