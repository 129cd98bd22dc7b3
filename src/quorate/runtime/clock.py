"""The clocks of this machine."""

import asyncio
import time
from collections.abc import Callable

from quorate.env import Timer
from quorate.kernel import Duration, Instant


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
        # Loops round to milliseconds and may wake a hair early; a hair is added so that `now` has passed.
        return asyncio.get_running_loop().call_later((after + 50_000) / 1e9, callback)
