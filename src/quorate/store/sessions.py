"""Exactly once: what each client asked last, and what it was answered.

A client numbers its requests 1, 2, 3 … and sends the next one only after the last one was answered or given up. The
table remembers the last applied request of each client with its reply; a repetition gets that reply and changes
nothing. A request before the last one, or a first sight of a client with a sequence above 1 (its session was
forgotten), is refused with code SESSION: whether it was applied cannot be known any more.

The table is bounded: when there are too many clients the one whose last request was applied longest ago is forgotten.
All of this follows from the log alone, so it is the same on every replica.

Source: Liskov & Cowling 2012, section 4.1; Ongaro 2014 (thesis), section 6.3.
"""

from collections import OrderedDict
from collections.abc import Callable

from quorate.kernel import RequestKey, marks
from quorate.store.reply import Reply, ReplyError


class Sessions:
    """The client table."""

    def __init__(self, count_max: int) -> None:
        assert count_max > 0, "a table without room would refuse every second request"
        self._count_max = count_max
        # client → (sequence, reply), the one used longest ago first.
        self._last: OrderedDict[int, tuple[int, Reply]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def apply_once(self, key: RequestKey, run: Callable[[], Reply]) -> Reply:
        """Return the reply to a request, running it only if this is its first time."""
        last = self._last.get(key.client)
        if last is None:
            if key.sequence > 1:
                return ReplyError("SESSION", "the session is unknown: it was forgotten, or never began")
        elif key.sequence == last[0]:
            marks.hit("store: a repeated request was answered from its session")
            return last[1]
        elif key.sequence < last[0]:
            return ReplyError("SESSION", f"request {key.sequence} is older than the last one, {last[0]}")
        reply = run()
        self._last.pop(key.client, None)
        self._last[key.client] = (key.sequence, reply)
        if len(self._last) > self._count_max:
            marks.hit("store: the oldest session was forgotten")
            self._last.popitem(last=False)
        return reply

    def dump(self) -> list[tuple[int, int, Reply]]:
        """Return (client, sequence, reply), the one used longest ago first."""
        return [(client, sequence, reply) for client, (sequence, reply) in self._last.items()]

    def load(self, cells: list[tuple[int, int, Reply]]) -> None:
        """Take over what `dump` returned."""
        self._last = OrderedDict((client, (sequence, reply)) for client, sequence, reply in cells)
