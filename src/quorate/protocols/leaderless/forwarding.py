"""Changes that only an owner may coordinate, asked of another node: they go to an owner, and the answer comes back.

A change may be an addition to a counter, so it must not be applied twice, whatever the network repeats. Every forward
has a number and the receiver's *life*, drawn when it started. A receiver remembers the numbers of its life, and refuses
those of another life, which it has forgotten. So a silent forward may be sent again to the same life, and only to it;
if that life has ended, nobody knows whether it was applied, and the answer is TIMEDOUT, maybe.
"""

import random
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from quorate.kernel import Duration, Instant, NodeId, Record, later, marks
from quorate.kernel.errors import UsageError
from quorate.protocols.leaderless.changes import AnyChange
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.levels import check_level
from quorate.protocols.leaderless.messages import Forward, Forwarded
from quorate.protocols.leaderless.reading import Reading
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.state import Origin

# Results that are remembered per life of a sender, and lives that are remembered.
REMEMBERED_COUNT: Final = 4096
LIFE_COUNT: Final = 256
# Of those results, how many are remembered with the cell.
WHOLE_COUNT: Final = 256
WRONG_LIFE: Final = "WRONGLIFE"


class PendingForward(msgspec.Struct):
    """A change that went to an owner."""

    number: int
    origin: Origin
    to: NodeId
    key: bytes
    change: AnyChange
    level: str
    context: bytes
    deadline: Instant
    # The owner's life that it was sent to; 0: none yet, so it was certainly not applied.
    life: int = 0
    # Fire and forget: nobody waits.
    is_answered: bool = False


class Once(msgspec.Struct):
    """What one life of a sender has asked."""

    # Number → how it ended; None: under way. The oldest are forgotten.
    results: dict[int, Forwarded | None] = msgspec.field(default_factory=dict)
    # Numbers up to this may have been forgotten, and are refused.
    floor: int = -1
    # Numbers whose results are kept with their cells, the oldest first.
    whole: deque[int] = msgspec.field(default_factory=deque)


class Forwarding(Reading):
    """Sends changes to owners, and takes those of others."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        self.forwards: dict[int, PendingForward] = {}
        # Peer → its life, as last heard.
        self.lives: dict[NodeId, int] = {}
        self._once: dict[tuple[NodeId, int], Once] = {}

    def _forward(
        self, origin: Origin, key: bytes, change: AnyChange, *, level: str, context: bytes, timeout: Duration
    ) -> None:
        """Let an owner that can be reached coordinate a change."""
        route = self._route(key)
        able = [node for node in route.near if node in route.old_nodes and node not in self.down]
        owner = able[0] if able else None
        if owner is None:
            # As a stand-in, if it may.
            self._write(origin, key, change, level=level, context=context, timeout=timeout)
            return
        marks.hit("leaderless: a change is forwarded to an owner")
        number = self._number()
        life = self.lives.get(owner, 0)
        forward = PendingForward(number, origin, owner, key, change, level, context, later(self.now, timeout), life)
        self._send_forward(forward)
        if level == "NONE":
            # Still kept: the owner may say that it lives another life, and was not asked.
            forward.is_answered = True
            self._answer(origin, b"")
        self.forwards[number] = forward
        self._due_in(number, min(forward.deadline, later(self.now, self.config.hint_delay)))

    def _send_forward(self, forward: PendingForward) -> None:
        left = max(1, forward.deadline - self.now)
        part = Forward(forward.number, forward.life, forward.key, forward.change, forward.level, forward.context, left)
        # It promises nothing.
        self._send(forward.to, part, eager=True)

    def _on_forward_due(self, forward: PendingForward) -> None:
        if self.now < forward.deadline:
            self._send_forward(forward)
            self._due_in(forward.number, min(forward.deadline, later(self.now, self.config.hint_delay)))
            return
        marks.hit("leaderless: a forward ends without an answer")
        self._end_forward(forward, "TIMEDOUT", "the owner that coordinates the change did not answer in time")

    def _end_forward(self, forward: PendingForward, code: str, sentence: str) -> None:
        del self.forwards[forward.number]
        if not forward.is_answered:
            # What went to no life was applied by none.
            self._fail(forward.origin, code, sentence, is_maybe=forward.life != 0)

    def _on_forwarded(self, sender: NodeId, part: Forwarded) -> None:
        forward = self.forwards.get(part.number)
        if forward is None or forward.to != sender:
            return
        if part.code == WRONG_LIFE:
            self._on_wrong_life(forward)
            return
        del self.forwards[part.number]
        if forward.is_answered:
            return
        if part.code:
            self._fail(forward.origin, part.code, part.sentence, is_maybe=part.is_maybe)
        else:
            self._answer(forward.origin, part.cell)

    def _on_wrong_life(self, forward: PendingForward) -> None:
        """Learn an owner's life, or that the life that was asked has ended."""
        life = self.lives[forward.to]
        if forward.life == 0:
            forward.life = life
            self._send_forward(forward)
        elif forward.life != life:
            marks.hit("leaderless: the life of an owner that was asked has ended")
            self._end_forward(forward, "TIMEDOUT", "the owner that coordinated the change has started again")

    # Changes of others.

    def _on_forward(self, sender: NodeId, part: Forward, life: int) -> None:
        if part.life != self.life:
            marks.hit("leaderless: a forward to another life is refused")
            self._send(sender, Forwarded(part.number, code=WRONG_LIFE), eager=True)
            return
        # To the end: the front is the life that has been silent for longest.
        once = self._once.pop((sender, life), None) or Once()
        if len(self._once) >= LIFE_COUNT:
            del self._once[next(iter(self._once))]
        self._once[sender, life] = once
        if part.number in once.results:
            marks.hit("leaderless: a repeated forward is not applied again")
            result = once.results[part.number]
            if result is not None:
                self._send(sender, result, eager=True)
            return
        if part.number <= once.floor:
            return
        once.results[part.number] = None
        if len(once.results) > REMEMBERED_COUNT:
            oldest = next(iter(once.results))
            del once.results[oldest]
            once.floor = max(once.floor, oldest)
        self._coordinate_for(Origin(part.number, sender, life), part)

    def _coordinate_for(self, origin: Origin, part: Forward) -> None:
        if not self._is_sane(part):
            self._refuse("a forward that makes no sense is refused")
            self._fail(origin, "ERR", "the change is not one that can be forwarded")
        elif self.wall_ns is None or self.pending_count >= self.config.pending_count_max:
            self._fail(origin, "OVERLOADED", "the owner that should coordinate the change has no room")
        elif self.node not in self._route(part.key).old_nodes:
            marks.hit("leaderless: a forward to a node that is no owner is refused")
            self._fail(origin, "UNREACHABLE", "the key has moved; its owners are not known yet")
        else:
            timeout = Duration(part.timeout_ns)
            self._write(origin, part.key, part.change, level=part.level, context=part.context, timeout=timeout)

    def _is_sane(self, part: Forward) -> bool:
        """Return whether a peer's forward is one that this node could have been asked itself."""
        try:
            check_level(part.level, is_read=False)
        except UsageError:
            return False
        return len(part.key) <= self.config.key_bytes_max and 0 < part.timeout_ns <= 1 << 50

    def _answer(self, origin: Origin, cell: bytes, *, eager: bool = True) -> None:
        if origin.node:
            self._return(origin, Forwarded(origin.token, cell))
        else:
            super()._answer(origin, cell, eager=eager)

    def _fail(self, origin: Origin, code: str, sentence: str, *, is_maybe: bool = False) -> None:
        if origin.node:
            self._return(origin, Forwarded(origin.token, b"", code, sentence, is_maybe))
        else:
            super()._fail(origin, code, sentence, is_maybe=is_maybe)

    def _return(self, origin: Origin, result: Forwarded) -> None:
        """Give a result back, and remember it for a repeated question."""
        once = self._once.get((origin.node, origin.life))
        if once is not None and origin.token in once.results:
            once.results[origin.token] = result
            once.whole.append(origin.token)
            if len(once.whole) > WHOLE_COUNT:
                # Cells may be large. Not the cell of now instead: it may hold what nobody was promised yet.
                old = once.whole.popleft()
                if old in once.results:
                    once.results[old] = Forwarded(
                        old, b"", "TIMEDOUT", "the answer is not kept any more", is_maybe=True
                    )
        # The level is known to be met, or to be missed: nothing here waits for this node's disk.
        self._send(origin.node, result, eager=True)

    @property
    def pending_count(self) -> int:
        """How many requests this node coordinates."""
        return len(self.reads) + len(self.writes) + len(self.forwards)
