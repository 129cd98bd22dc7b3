"""The coordinator of writes: all owners are told, and the level says how many must have it on disk.

Who is believed down is not written to: a stand-in gets the cell for it (sloppy), or this node keeps a hint. Who does
not answer within `hint_delay` gets a hint too, and is told again while the request is not answered.

Source      Dynamo sections 4.5 and 4.6; Cassandra's write path and hints.
"""

import random
from abc import abstractmethod
from collections.abc import Iterable
from typing import Final, assert_never

import msgspec

from quorate.clocks import HybridStamp
from quorate.kernel import Duration, Instant, NodeId, Record, later, marks
from quorate.protocols.leaderless.changes import Add, AnyChange, Count, Delete, Put, Remove, RemoveFields, SetFields
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.hints import Hinting
from quorate.protocols.leaderless.levels import Need
from quorate.protocols.leaderless.messages import Keep, Write
from quorate.protocols.leaderless.records import Born
from quorate.protocols.leaderless.routes import Route
from quorate.protocols.leaderless.rules import ChangeRefused, Rule
from quorate.protocols.leaderless.state import CELL_FACTOR, Origin

OWN_HINT: Final = NodeId(0)
"""In the place of an owner: the coordinator keeps a hint, and it is on disk."""


class PendingWrite(msgspec.Struct):
    """A write under way; kept after its answer until all owners have it or a hint is kept for them."""

    number: int
    origin: Origin
    key: bytes
    cell: bytes
    level: str
    needs: tuple[Need, ...]
    deadline: Instant
    wall_ns: int
    # Owner → who was told: itself, or its stand-in; None: nobody could be.
    told: dict[NodeId, NodeId | None]
    # Owners whose copy (or whose stand-in's) is on disk, in the order of their word.
    written: dict[NodeId, None]
    is_answered: bool = False

    @property
    def is_any(self) -> bool:
        """Return whether a hint anywhere is enough."""
        return self.level == "ANY"


class Writing(Hinting):
    """Coordinates writes."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        self.writes: dict[int, PendingWrite] = {}

    def _write(
        self, origin: Origin, key: bytes, change: AnyChange, *, level: str, context: bytes, timeout: Duration
    ) -> None:
        """Change a key through this node."""
        route = self._route(key)
        told = self._recipients(key, route)
        needs = route.needs(level)
        if not self._can_meet(needs, told) or (level == "ANY" and not self._can_keep(told)):
            marks.hit("leaderless: a write is refused beforehand")
            self._fail(origin, "UNREACHABLE", f"level {level} cannot be met: too few owners of the key are reachable")
            return
        actor = self.stamper.actor
        if self.rule.needs_dot(change) and self.node not in route.old_nodes:
            guest = self._become_guest(key, told)
            if guest is None:
                self._fail(origin, "UNREACHABLE", "no owner of the key is reachable, and the change needs one")
                return
            actor = guest
        try:
            cell, is_firm = self._changed(self._view(key), change, context, actor=actor)
        except ChangeRefused as refused:
            self._fail(origin, refused.word, str(refused))
            return
        self._spread(origin, key, cell, level=level, told=told, needs=needs, is_firm=is_firm, timeout=timeout)

    def _become_guest(self, key: bytes, told: dict[NodeId, NodeId | None]) -> int | None:
        """Stand in for an owner of a key, of which none can be reached, and return who gives the dots.

        An actor's dots must all be in its own copy. This node's only copy is a hint, which goes when it is handed over;
        so its dots are given under a name of this hint's own. None: it may keep no hint.
        """
        away = [owner for owner in told if owner in self.down]
        mine = [owner for owner in away if told[owner] == self.node] or away
        if not self.config.sloppy or not mine or not self._has_room(mine[0], key):
            return None
        marks.hit("leaderless: a stand-in gives dots")
        told[mine[0]] = self.node
        return self._guests.setdefault(key, self._new_actor())

    def _spread(
        self,
        origin: Origin,
        key: bytes,
        cell: bytes,
        *,
        level: str,
        told: dict[NodeId, NodeId | None],
        needs: tuple[Need, ...],
        is_firm: bool,
        timeout: Duration,
    ) -> None:
        """Tell all owners of a new cell."""
        number = 0 if level == "NONE" else self._number()
        wall_ns = self.wall_ns or 0
        write = PendingWrite(number, origin, key, cell, level, needs, later(self.now, timeout), wall_ns, told, {})
        if number:
            self.writes[number] = write
        for owner, target in told.items():
            if target is None:
                if number:
                    self._hint_for(write, owner)
            elif target == self.node:
                self._write_here(write, owner)
            else:
                self._tell(write, owner, target, is_firm=is_firm)
        if number:
            self._due_in(number, min(write.deadline, later(self.now, self.config.hint_delay)))
        else:
            # Fire and forget: nobody is waited for, no hint is kept.
            self._answer(origin, cell)

    def _tell(self, write: PendingWrite, owner: NodeId, target: NodeId, *, is_firm: bool) -> None:
        if target == owner:
            part: Write | Keep = Write(write.number, write.key, write.cell)
        else:
            marks.hit("leaderless: a stand-in is asked to keep a hint")
            part = Keep(write.number, owner, write.key, write.cell, write.wall_ns)
        # A firm cell needs nothing of this node's disk: should a crash take it back here, it is still a write that
        # was asked for, under a stamp that is never given again.
        self._send(target, part, eager=is_firm)

    def _write_here(self, write: PendingWrite, owner: NodeId) -> None:
        """Store a cell in this node's copy, or keep it for an owner; counted when it is stable."""
        if owner == self.node:
            if self.cells.get(write.key) != write.cell:
                self._hold(write.key, write.cell)
            ordinal = self.unstable.get(write.key, 0)
        elif self._keep_hint(owner, write.key, write.cell, write.wall_ns):
            ordinal = self._ordinal()
        else:
            return
        self._count_when_stable(ordinal, write.number, owner)

    def _count_when_stable(self, ordinal: int, number: int, owner: NodeId) -> None:
        if ordinal <= self.persisted_count:
            self._on_written_by(number, owner)
        else:
            # Never before what was queued earlier: the queue is sorted.
            self._waiting.append((max(ordinal, self._waiting[-1][0] if self._waiting else 0), number, owner))

    def _recipients(self, key: bytes, route: Route) -> dict[NodeId, NodeId | None]:
        """Return for each owner whom to tell: itself, a stand-in for one that is down, or nobody."""
        if not self.down:
            return {owner: owner for owner in route.nodes}
        told: dict[NodeId, NodeId | None] = {}
        used = dict.fromkeys(route.nodes)
        for owner in route.nodes:
            told[owner] = owner if owner not in self.down else self._stand_in(key, owner, used)
        return told

    def _stand_in(self, key: bytes, owner: NodeId, used: dict[NodeId, None]) -> NodeId | None:
        """Return the first node behind the owners that is reachable and not used yet; note that it is."""
        if self.config.sloppy:
            for node in self.router.stand_ins(key, owner):
                if node not in used and node not in self.down:
                    used[node] = None
                    return node
        return None

    def _can_meet(self, needs: tuple[Need, ...], told: dict[NodeId, NodeId | None]) -> bool:
        if None not in told.values():
            return all(len(need.nodes) >= need.count for need in needs)
        return all(sum(told[node] is not None for node in need.nodes) >= need.count for need in needs)

    def _can_keep(self, told: dict[NodeId, NodeId | None]) -> bool:
        """Return whether anybody can be told, or a hint be kept here."""
        return any(target is not None or self._has_room(owner, b"") for owner, target in told.items())

    # Making the cell.

    def _changed(self, mine: bytes, change: AnyChange, context: bytes, *, actor: int) -> tuple[bytes, bool]:
        """Return the new cell, and whether others may hear of it before it is stable here.

        Raises:
            ChangeRefused: it does not fit.
        """
        self._check_change(change)
        wall_ns = self.wall_ns
        assert wall_ns is not None, "a batch tells the time"
        seen = [
            stamp
            for token in (self.rule.token(mine) if mine else b"", context)
            if token and (stamp := self.rule.stamp(token)) is not None
        ]
        stamp = self._stamp(wall_ns, seen)
        cell = self.rule.change(mine, change, actor=actor, stamp=stamp, context=context)
        if len(cell) > CELL_FACTOR * self.config.value_bytes_max:
            raise ChangeRefused("TOOLARGE", "the key would hold more than it may")
        if self.rule.keeps_siblings:
            self._check_siblings(mine, cell)
        # With a dot, a crash that took the cell back would let the dot be given again.
        is_firm = not self.rule.needs_dot(change) and stamp.wall_ns < self.stamper.firm_ns
        return cell, is_firm

    def _check_siblings(self, mine: bytes, cell: bytes) -> None:
        count = self.rule.sibling_count(cell)
        if count > self.config.sibling_count_max and count > self.rule.sibling_count(mine):
            marks.hit("leaderless: a sibling beyond the limit is refused")
            raise ChangeRefused("TOOMANYSIBLINGS", f"the key has {count - 1} values; read them and write one")

    def _stamp(self, wall_ns: int, seen: list[HybridStamp]) -> HybridStamp:
        ceiling_ns = self.stamper.wanted_ceiling(wall_ns, seen)
        if ceiling_ns is not None:
            self._records.append(Born(self.stamper.actor, ceiling_ns))
            self._firm.append((self.persist_count + 1, ceiling_ns))
        return self.stamper.stamp(wall_ns, seen)

    def _check_change(self, change: AnyChange) -> None:
        config = self.config
        if isinstance(change, Put | Delete) and len(change.note) > config.key_bytes_max:
            raise ChangeRefused("TOOLARGE", f"a note has at most {config.key_bytes_max} bytes")
        if _bytes_in(change) > config.value_bytes_max:
            raise ChangeRefused("TOOLARGE", f"a value has at most {config.value_bytes_max} bytes")

    # What happens next.

    def _on_written(self, sender: NodeId, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            write = self.writes.get(number)
            if write is None:
                if not self._handed_over(number):
                    self._on_repaired(number, sender)
                continue
            if sender in write.told:
                self._on_written_by(number, sender)
            else:
                for owner in [owner for owner, target in write.told.items() if target == sender]:
                    self._on_written_by(number, owner)

    @abstractmethod
    def _on_repaired(self, number: int, node: NodeId) -> None:
        """Learn that a repair is on a node's disk."""

    def _on_written_by(self, number: int, owner: NodeId) -> None:
        write = self.writes.get(number)
        if write is None or owner in write.written:
            return
        if owner == OWN_HINT:
            # Not even a stand-in's: it counts for nothing but ANY.
            if write.is_any:
                self._answer_write(write)
            return
        write.written[owner] = None
        if write.told[owner] == owner != self.node:
            self._forget_hint(owner, write.key, write.cell)
        if not write.is_answered and (write.is_any or all(need.is_met(write.written) for need in write.needs)):
            self._answer_write(write)
        # Hints are kept already for owners that nobody could be told for.
        if write.is_answered and len(write.written) + list(write.told.values()).count(None) >= len(write.told):
            del self.writes[number]

    def _answer_write(self, write: PendingWrite) -> None:
        if not write.is_answered:
            write.is_answered = True
            self._answer(write.origin, write.cell)

    def _hint_for(self, write: PendingWrite, owner: NodeId) -> None:
        """Keep a hint for an owner that cannot be told, or does not answer; this node's own copy is being written."""
        if owner == self.node:
            return
        if self._keep_hint(owner, write.key, write.cell, write.wall_ns) and write.is_any:
            self._count_when_stable(self._ordinal(), write.number, OWN_HINT)

    def _on_write_due(self, write: PendingWrite) -> None:
        """Look at a write that some owner has not confirmed: keep hints, tell them again, or give up."""
        # For its own slow disk nobody stands in.
        missing = [owner for owner in write.told if owner not in write.written and owner != self.node]
        for owner in missing:
            self._hint_for(write, owner)
        if self.now >= write.deadline:
            if not write.is_answered:
                marks.hit("leaderless: a write ends without its level")
                self._fail(write.origin, "TIMEDOUT", "too few owners confirmed the write in time", is_maybe=True)
            del self.writes[write.number]
            return
        if not write.is_answered:
            for owner in missing:
                self._tell_again(write, owner)
        self._due_in(write.number, min(write.deadline, later(self.now, self.config.hint_delay)))

    def _tell_again(self, write: PendingWrite, owner: NodeId) -> None:
        """Tell a silent owner again, or another node in its place."""
        target = write.told[owner]
        if target is not None and target != self.node and target not in self.down:
            self._tell(write, owner, target, is_firm=False)
        if target == owner or target is None:
            used = dict.fromkeys([*write.told, *(node for node in write.told.values() if node is not None)])
            stand_in = self._stand_in(write.key, owner, used)
            if stand_in is None:
                return
            marks.hit("leaderless: a stand-in takes the place of a silent owner")
            write.told[owner] = stand_in
            if stand_in == self.node:
                self._write_here(write, owner)
            else:
                self._tell(write, owner, stand_in, is_firm=False)

    def _replan_write(self, write: PendingWrite) -> None:
        """Tell owners of a newer topology too, and wait for what it needs."""
        marks.hit("leaderless: a write under way goes to new owners too")
        route = self._route(write.key)
        write.needs = route.needs(write.level)
        for owner, target in self._recipients(write.key, route).items():
            if owner in write.told:
                continue
            write.told[owner] = target
            if target == self.node:
                self._write_here(write, owner)
            elif target is not None:
                self._tell(write, owner, target, is_firm=False)
        if write.number in self.writes and all(need.is_met(write.written) for need in write.needs) and not write.is_any:
            self._answer_write(write)

    def _on_owner_down(self, node: NodeId) -> None:
        """Hint at once what a node that went down has not confirmed. Complexity: O(writes under way)."""
        for write in self.writes.values():
            for owner, target in write.told.items():
                if target == node and owner not in write.written:
                    self._hint_for(write, owner)
                    if not write.is_answered:
                        self._tell_again(write, owner)


def _bytes_in(change: AnyChange) -> int:
    """Return how many bytes of values a change carries."""
    match change:
        case Put(value):
            return len(value)
        case Add(items) | Remove(items) | RemoveFields(items):
            return sum(map(len, items))
        case SetFields(pairs):
            return sum(len(field) + len(value) for field, value in pairs)
        case Delete() | Count():
            return 0
        case _:
            assert_never(change)
