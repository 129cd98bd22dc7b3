"""The clocks of this machine."""

import asyncio
import time
from collections.abc import Callable

from quorate.env import Timer
from quorate.kernel import Duration, Instant


class RealTimer:
    """A timer that asks the clock again: loops cache their time and round to milliseconds, so they wake early."""

    __slots__ = ("_callback", "_deadline_ns", "_handle", "_loop")

    def __init__(self, after: Duration, callback: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        self._deadline_ns = time.monotonic_ns() + after
        self._handle = self._loop.call_later(after / 1e9, self._wake)

    def _wake(self) -> None:
        missing_ns = self._deadline_ns - time.monotonic_ns()
        if missing_ns > 0:
            self._handle = self._loop.call_later(missing_ns / 1e9, self._wake)
        else:
            self._callback()

    def cancel(self) -> None:
        """Do not call back."""
        self._handle.cancel()


class RealClock:
    """Monotonic and wall clock of the operating system; timers of the running loop."""

    def now(self) -> Instant:
        """Return monotonic time in nanoseconds since the machine started."""
        return Instant(time.monotonic_ns())

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def call_after(self, after: Duration, callback: Callable[[], None]) -> Timer:
        """Call back once when the span has passed; never early by `now`."""
        return RealTimer(after, callback)
