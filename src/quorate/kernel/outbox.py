"""The durability barrier: which effects may leave now, and which wait for a write.

Pure, so that every host, real or simulated, keeps the same promise with the same code.
"""

from collections import deque

from quorate.kernel.effects import Deliver, Effect, Persist, Send


class Outbox:
    """Holds back each `Send` and `Deliver` until all `Persist`s before it are stable.

    The rule works across steps: an answer that needs no new write, given while an older write is in flight, waits for
    that older write too (a repeated vote request must not be answered before the vote is on disk).

    Invariants: effects of one kind of barrier leave in the order of arrival; `persisted_count <= persist_count`.
    """

    def __init__(self) -> None:
        # Persist effects seen / known stable since the start.
        self.persist_count = 0
        self.persisted_count = 0
        self._held: deque[tuple[int, Send | Deliver]] = deque()

    @property
    def held_count(self) -> int:
        """How many effects wait for a write."""
        return len(self._held)

    def push(self, effects: list[Effect]) -> list[Effect]:
        """Take the effects of one step; return those to perform now, in order (writes and timers among them).

        Complexity: O(len(effects)).
        """
        if self.persisted_count == self.persist_count:
            # Nothing waits: most steps of most machines ask for no write, and then nothing changes either.
            for effect in effects:
                if isinstance(effect, Persist):
                    break
            else:
                return effects
        now: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Persist):
                self.persist_count += 1
                now.append(effect)
            # The comparison comes first: most machines wait for no write most of the time.
            elif self.persisted_count < self.persist_count and isinstance(effect, Send | Deliver) and not effect.eager:
                self._held.append((self.persist_count, effect))
            else:
                now.append(effect)
        return now

    def persisted(self, count: int) -> list[Send | Deliver]:
        """Learn that the first `count` writes are stable; return what may leave, in order.

        Complexity: O(effects released).
        """
        assert self.persisted_count <= count, "stable writes never become unstable"
        assert count <= self.persist_count, "only what was asked can become stable"
        self.persisted_count = count
        released: list[Send | Deliver] = []
        while self._held and self._held[0][0] <= count:
            released.append(self._held.popleft()[1])
        return released
