"""Time, as one node sees it."""

from collections.abc import Callable
from typing import Protocol

from quorate.kernel import Duration, Instant


class Timer(Protocol):
    """A callback that has been asked for."""

    def cancel(self) -> None:
        """Do not call it; harmless when it already ran."""


class Clock(Protocol):
    """One node's clocks.

    Guarantees: `now` never moves back within a boot and its rate may drift from true time by a bounded share;
    `wall_ns` may jump either way at any moment; a callback never runs early by `now`, and may run arbitrarily late.
    """

    def now(self) -> Instant:
        """Return monotonic time in nanoseconds; its origin is arbitrary and differs between nodes and boots."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC as this node believes them. Never use it to measure a span."""

    def call_after(self, after: Duration, callback: Callable[[], None]) -> Timer:
        """Call back once, on this node's loop, when the span has passed by `now`."""
