"""What clients do: reads, writes, compare-and-set and increments over many keys that come and go.

A key lives for a bounded number of operations, so that judging one stays cheap even though calls of unknown outcome
stay open for ever; a new key takes its place. Every value is written once, so a read tells which write it saw.
"""

import random

import msgspec

from quorate.kernel import SECOND


class Intent(msgspec.Struct, frozen=True):
    """One operation to be made."""

    # read, write, cas or increment.
    f: str
    key: str
    # write: the value; cas: (expected, new); increment: 1; read: None.
    value: int | tuple[int, int] | None = None


class Workload:
    """Draws operations. Deterministic but for what `learn` is told.

    Args:
        rng: the stream for all choices.
        key_count: keys in use at a time; every fourth is a counter.
        operation_count_max: operations on one key until another replaces it.
    """

    def __init__(self, rng: random.Random, *, key_count: int = 16, operation_count_max: int = 120) -> None:
        assert key_count >= 1, "there is something to write to"
        self._rng = rng
        self._operation_count_max = operation_count_max
        self._made_count = 0
        self._last_value = 0
        self._left: dict[str, int] = {}
        self._known: dict[str, int] = {}
        self._active = [self._new_key() for _ in range(key_count)]
        # All keys ever used, for the final reads.
        self.keys: list[str] = list(self._active)

    def next(self) -> Intent:
        """Draw the next operation. Complexity: O(1)."""
        place = self._rng.randrange(len(self._active))
        key = self._active[place]
        self._left[key] -= 1
        if self._left[key] == 0:
            self._active[place] = self._new_key()
            self.keys.append(self._active[place])
        return self._intent(key)

    def learn(self, key: str, value: int) -> None:
        """Remember a value that was seen, so that a later compare-and-set has a chance."""
        self._known[key] = value

    def _intent(self, key: str) -> Intent:
        dice = self._rng.random()
        if key.startswith("counter"):
            return Intent("increment", key, 1) if dice < 0.6 else Intent("read", key)
        if dice < 0.4:
            return Intent("read", key)
        self._last_value += 1
        if dice < 0.7 or key not in self._known:
            return Intent("write", key, self._last_value)
        return Intent("cas", key, (self._known[key], self._last_value))

    def _new_key(self) -> str:
        self._made_count += 1
        key = f"{'counter' if self._made_count % 4 == 0 else 'register'}-{self._made_count}"
        self._left[key] = self._operation_count_max
        return key


class Bucket:
    """A bucket that fills with tokens at a rate; whoever takes one may send one operation.

    Pure: it is told the time and says how long to wait.

    Args:
        rate: tokens per second.
        burst: how many it holds.
    """

    def __init__(self, *, rate: float, burst: float = 1.0) -> None:
        assert rate > 0, "a bucket fills"
        self._interval_ns = SECOND / rate
        self._burst_ns = burst * self._interval_ns
        self._next_ns = 0.0

    def take(self, now_ns: int) -> int:
        """Take one token; return how long to wait until it is there, ns. Complexity: O(1)."""
        # What was not used beyond the burst is lost: after a stall there is no flood.
        self._next_ns = max(self._next_ns, now_ns - self._burst_ns)
        wait = max(0.0, self._next_ns - now_ns)
        self._next_ns += self._interval_ns
        return round(wait)
