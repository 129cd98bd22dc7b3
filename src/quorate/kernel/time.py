"""Time in integer nanoseconds: points are `Instant`s, spans are `Duration`s.

Floats of seconds exist only at the edges (asyncio, the public API): an integer cannot fire an ulp early.
"""

from typing import Final, NewType

Instant = NewType("Instant", int)
"""Nanoseconds on one node's monotonic clock. Comparable only with instants of the same node and boot."""

Duration = NewType("Duration", int)
"""A span in nanoseconds."""

MICROSECOND: Final = Duration(1_000)
MILLISECOND: Final = Duration(1_000_000)
SECOND: Final = Duration(1_000_000_000)


def milliseconds(value: float) -> Duration:
    """Return a span of so many milliseconds, rounded to a nanosecond."""
    return Duration(round(value * 1_000_000))


def seconds(value: float) -> Duration:
    """Return a span of so many seconds, rounded to a nanosecond."""
    return Duration(round(value * 1_000_000_000))


def later(instant: Instant, span: Duration) -> Instant:
    """Return the instant that lies a span after another."""
    return Instant(instant + span)
