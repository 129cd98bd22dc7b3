"""Hinted handoff: cells for owners that cannot be reached, and their way home.

A hint is older than `hint_window` at some time; then it is dropped, whoever notices first: its keeper when it would
hand it over, or the owner when it arrives (the keeper may have slept in between). So no write arrives by a hint after
the tombstone that covers it can have been purged.

Source      Dynamo section 4.6; Cassandra's hints (window, throttle, idempotent replay).
"""

import random
from collections.abc import Iterable
from typing import Final

from quorate.kernel import MILLISECOND, Duration, Instant, NodeId, Record, SetTimer, later, marks, seconds
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.messages import HandOver, Keep
from quorate.protocols.leaderless.records import Hinted, HintGone
from quorate.protocols.leaderless.replica import Replica
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.state import HINTS, Hint

_PERIOD: Final = 100 * MILLISECOND
# A hint that was handed over and not confirmed goes again after this.
_AGAIN: Final = seconds(1)


class Hinting(Replica):
    """Keeps hints and hands them over."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        # Number of a `HandOver` → what it was.
        self._handed: dict[int, tuple[NodeId, bytes, bytes]] = {}
        # Key → the actor under which this node, standing in, gave dots that are in a hint here.
        self._guests: dict[bytes, int] = {}
        self._is_hinting = False
        self._expire_at = Instant(0)

    def _begin_hinting(self) -> None:
        self._wake_hints()

    def _wake_hints(self) -> None:
        if not self._is_hinting and any(self.hints[owner] for owner in self._awaited()):
            self._is_hinting = True
            self._emit(SetTimer(HINTS, _PERIOD))  # type: ignore[arg-type]

    def _awaited(self) -> list[NodeId]:
        return [owner for owner, kept in self.hints.items() if kept and owner not in self.down]

    # Keeping.

    def _keep_hint(self, owner: NodeId, key: bytes, cell: bytes, wall_ns: int) -> bool:
        """Keep a cell for an owner; return False when there are too many, or it is too old."""
        nodes = self._route(key).nodes
        if owner in nodes or self._sender_phase > self.phase:
            return self._keep_for(owner, key, cell, wall_ns)
        return self._keep_for_all(nodes, key, cell, wall_ns)

    def _keep_for_all(self, owners: tuple[NodeId, ...], key: bytes, cell: bytes, wall_ns: int) -> bool:
        """Keep a cell of an owner that owns no more for those that do: a sloppy write may be nowhere else."""
        marks.hit("leaderless: a hint is kept for the new owners")
        is_kept = True
        for owner in owners:
            if owner == self.node:
                self._take(key, cell)
            elif not self._keep_for(owner, key, cell, wall_ns):
                is_kept = False
        return is_kept

    def _keep_for(self, owner: NodeId, key: bytes, cell: bytes, wall_ns: int) -> bool:
        kept = self.hints.setdefault(owner, {})
        hint = kept.get(key)
        if self._is_beyond_window(wall_ns):
            marks.hit("leaderless: a hint beyond the window is not kept")
            return False
        if not self._has_room(owner, key):
            marks.hit("leaderless: a hint beyond the limit is not kept")
            return False
        if hint is not None:
            cell, wall_ns = self.rule.merge(hint.cell, cell), min(hint.wall_ns, wall_ns)
            if cell == hint.cell:
                return True
        self.hinted_count += 1
        kept[key] = Hint(cell, wall_ns)
        self._records.append(Hinted(owner, key, cell, wall_ns))
        self._wake_hints()
        return True

    def _has_room(self, owner: NodeId, key: bytes) -> bool:
        kept = self.hints.get(owner, {})
        return key in kept or len(kept) < self.config.hint_count_max

    def _drop_hint(self, owner: NodeId, key: bytes) -> None:
        self._guests.pop(key, None)
        del self.hints[owner][key]
        self._records.append(HintGone(owner, key))

    def _is_beyond_window(self, wall_ns: int) -> bool:
        now_ns = self.wall_ns
        return now_ns is not None and now_ns - wall_ns > self.config.hint_window

    def _on_keep(self, sender: NodeId, part: Keep) -> None:
        if not self._is_sized(part.key, part.cell):
            self._refuse("a cell beyond the limits is refused")
            return
        if self._is_sender_old:
            return
        # Checks the cell too, before it is kept for somebody else.
        self.rule.merge(b"", part.cell)
        if part.owner == self.node:
            if not self.holds(part.key) and self._sender_phase <= self.phase:
                return
            self._take(part.key, part.cell)
        elif part.owner not in self.peers or not self._keep_hint(part.owner, part.key, part.cell, part.wall_ns):
            return
        if part.number:
            self._say_written(sender, part.number, eager=False)

    # Handing over.

    def _on_hints_timer(self) -> None:
        self._is_hinting = False
        if self.wall_ns is None:
            marks.hit("leaderless: hints wait until the wall clock is known")
        else:
            budget = max(1, self.config.hint_rate * _PERIOD // seconds(1))
            for owner in self._awaited():
                self._hand_over(owner, budget)
        self._wake_hints()

    def _hand_over(self, owner: NodeId, budget: int) -> None:
        """Hand over the hints that have waited longest; none twice within a second. Complexity: O(budget)."""
        kept = self.hints[owner]
        due: list[bytes] = []
        for key, hint in kept.items():
            if len(due) == budget or hint.next_at > self.now:
                break
            due.append(key)
        for key in due:
            hint = kept[key]
            if self._is_beyond_window(hint.wall_ns):
                marks.hit("leaderless: a hint beyond the window is dropped")
                self._drop_hint(owner, key)
                continue
            # To the end: the front is always what has waited longest.
            del kept[key]
            kept[key] = Hint(hint.cell, hint.wall_ns, later(self.now, _AGAIN))
            number = self._number()
            self._handed[number] = (owner, key, hint.cell)
            self._due_in(number, later(self.now, _AGAIN))
            self._send(owner, HandOver(number, key, hint.cell, hint.wall_ns))

    def _on_hand_over(self, sender: NodeId, part: HandOver) -> None:
        now_ns = self.wall_ns
        if now_ns is None:
            return  # its age cannot be judged yet; it comes again
        if now_ns - part.wall_ns > self.config.hint_window:
            marks.hit("leaderless: a hint that arrives beyond the window is not taken")
            self._say_written(sender, part.number, eager=True)
            return
        self._on_write(sender, part)

    def _handed_over(self, number: int) -> bool:
        """Learn that a hint arrived; return whether it was one."""
        handed = self._handed.pop(number, None)
        if handed is None:
            return False
        self.delivered_count += 1
        owner, key, cell = handed
        self._forget_hint(owner, key, cell)
        return True

    def _forget_hint(self, owner: NodeId, key: bytes, cell: bytes) -> None:
        """Drop a hint that the owner does not need any more, unless it has grown since."""
        hint = self.hints.get(owner, {}).get(key)
        if hint is not None and hint.cell == cell:
            self._drop_hint(owner, key)

    def _maybe_expire_hints(self) -> bool:
        """Drop hints beyond the window, now and then. Complexity: O(hints)."""
        if self.now < self._expire_at:
            return False
        self._expire_at = later(self.now, Duration(self.config.hint_window // 16))
        for owner, kept in self.hints.items():
            for key in [key for key, hint in kept.items() if self._is_beyond_window(hint.wall_ns)]:
                marks.hit("leaderless: a hint grew older than the window")
                self._drop_hint(owner, key)
        return True

    def _on_peer_up(self, node: NodeId) -> None:
        self.down.pop(node, None)
        for hint in self.hints.get(node, {}).values():
            hint.next_at = Instant(0)
        self._wake_hints()
