"""The coordinator of reads: one full cell, digests of others, and repair of who is behind.

A read asks as many owners as its level needs, one of them (this node, if it is an owner) for the cell. When digests
differ, the cells are fetched and merged, and who is behind gets the merged cell: `blocking` answers only after the
level holds it, so a later read of a crossing quorum sees no less; `background` answers first; `none` leaves it.
Whoever has not answered after `speculative_delay` costs one more owner to be asked.

Source      Dynamo section 5 (read coordination, read repair); Cassandra (digests, speculative retry, blocking repair).
"""

import random
from collections.abc import Iterable

import msgspec

from quorate.kernel import Duration, Instant, NodeId, Record, later, marks
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.levels import Need
from quorate.protocols.leaderless.messages import Ask, Keep, Told, ToldDigest, Write
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.state import Origin
from quorate.protocols.leaderless.writing import Writing


class PendingRead(msgspec.Struct):
    """A read under way; kept after its answer until all who were asked have said something, for their repair."""

    number: int
    origin: Origin
    key: bytes
    level: str
    needs: tuple[Need, ...]
    at_least: bytes
    deadline: Instant
    # Who was asked and has not answered → the owner that it stands for (mostly itself).
    asked: dict[NodeId, NodeId]
    # Who could still be asked → the owner that it stands for; the best first.
    others: dict[NodeId, NodeId]
    # Who has answered → the owner that it stands for.
    answered: dict[NodeId, NodeId]
    # By who answered.
    cells: dict[NodeId, bytes]
    digests: dict[NodeId, int]
    # The merge of all cells so far.
    merged: bytes = b""
    # Whose disk holds the merged cell; None: no repair is waited for.
    holders: dict[NodeId, None] | None = None
    # Between attempts to hear of more nodes.
    patience: Duration = Duration(0)
    is_answered: bool = False


class Reading(Writing):
    """Coordinates reads."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        self.reads: dict[int, PendingRead] = {}

    def _read(self, origin: Origin, key: bytes, *, level: str, at_least: bytes, timeout: Duration) -> None:
        """Read a key through this node."""
        route = self._route(key)
        needs = route.needs(level)
        if self._read_here(origin, key, needs, at_least):
            return
        told = self._recipients(key, route)
        if not self._can_meet(needs, told):
            marks.hit("leaderless: a read is refused beforehand")
            self._fail(origin, "UNREACHABLE", f"level {level} cannot be met: too few owners of the key are reachable")
            return
        others = {target: owner for owner in route.near if (target := told[owner]) is not None}
        deadline = later(self.now, timeout)
        read = PendingRead(self._number(), origin, key, level, needs, at_least, deadline, {}, others, {}, {}, {})
        self.reads[read.number] = read
        self._ask_first(read)
        self._progress(read)
        if read.number in self.reads:
            read.patience = self.config.speculative_delay or self.config.hint_delay
            self._due_in(read.number, min(read.deadline, later(self.now, read.patience)))

    def _read_here(self, origin: Origin, key: bytes, needs: tuple[Need, ...], at_least: bytes) -> bool:
        """Answer at once where this node's own copy is all that the level asks; return whether it is."""
        if not self.config.speculative_delay or any(need.count > 1 or self.node not in need.nodes for need in needs):
            return False
        cell = self._view(key)
        if at_least and not self._is_fresh(at_least, cell):
            return False
        self._answer(origin, cell, eager=key not in self.unstable)
        return True

    def _ask_first(self, read: PendingRead) -> None:
        """Ask those who are needed: the nearest for the cell, the others for a digest."""
        wanted: list[NodeId] = []
        chosen: dict[NodeId, None] = {}
        for target, owner in read.others.items():
            is_needed = any(owner in need.nodes and not need.is_met(chosen) for need in read.needs)
            if is_needed or self.config.speculative_delay == 0:
                wanted.append(target)
                chosen[owner] = None
        for place, target in enumerate(wanted):
            self._ask(read, target, is_digest=self.config.digest_reads and place > 0)

    def _ask(self, read: PendingRead, target: NodeId, *, is_digest: bool) -> None:
        owner = read.others.get(target) or read.asked.get(target) or read.answered[target]
        if target in read.others:
            del read.others[target]
        if target == self.node:
            read.answered[target] = owner
            read.cells[target] = self._view(read.key)
            return
        read.asked[target] = owner
        # A question promises nothing.
        self._send(target, Ask(read.number, read.key, is_digest), eager=True)

    # Answers.

    def _on_told(self, sender: NodeId, part: Told) -> None:
        read = self.reads.get(part.number)
        if read is None or (sender not in read.asked and sender not in read.digests):
            return
        if part.cell and not self._is_sized(read.key, part.cell):
            self._refuse("a cell beyond the limits is refused")
            return
        # Checked before anything is noted: garbage is no answer.
        self.rule.merge(b"", part.cell)
        if sender in read.asked:
            read.answered[sender] = read.asked.pop(sender)
        read.digests.pop(sender, None)
        if read.is_answered:
            self._on_late(read, sender, part.cell)
        elif read.holders is not None:
            self._on_told_while_repairing(read, sender, part.cell)
        else:
            read.cells[sender] = part.cell
            self._progress(read)

    def _on_told_digest(self, sender: NodeId, part: ToldDigest) -> None:
        read = self.reads.get(part.number)
        if read is None or sender not in read.asked or sender in read.cells:
            return
        read.answered[sender] = read.asked.pop(sender)
        if read.is_answered:
            if part.digest != self._digest(read.merged):
                self._ask(read, sender, is_digest=False)
            else:
                self._maybe_forget(read)
            return
        read.digests[sender] = part.digest
        self._progress(read)

    def _progress(self, read: PendingRead) -> None:
        """Look what is known: wait, fetch what differs, repair, or answer."""
        if read.holders is not None:
            self._progress_repair(read)
            return
        owners = {read.answered[node]: None for node in (*read.cells, *read.digests)}
        if not all(need.is_met(owners) for need in read.needs):
            return
        merged = self._merged(read)
        digest = self._digest(merged)
        differing = [node for node, theirs in read.digests.items() if theirs != digest]
        known = {owner: None for node, owner in read.answered.items() if node in read.cells or node not in differing}
        for node in differing:
            if node not in read.asked:
                marks.hit("leaderless: digests differ")
                self._ask(read, node, is_digest=False)
        if not all(need.is_met(known) for need in read.needs):
            return
        if read.at_least and not self._is_fresh(read.at_least, merged):
            merged = self._ask_everybody(read)
            if not self._is_fresh(read.at_least, merged):
                if not read.asked:
                    self._fail_stale(read)
                return
        self._finish(read, merged)

    def _merged(self, read: PendingRead) -> bytes:
        merged = read.merged
        for cell in read.cells.values():
            merged = self.rule.merge(merged, cell)
        read.merged = merged
        return merged

    def _is_fresh(self, at_least: bytes, merged: bytes) -> bool:
        """Return whether what was read is as new as the reader asks."""
        if self.rule.includes(merged, at_least):
            return True
        stamp, wall_ns = self.rule.stamp(at_least), self.wall_ns or 0
        # What the reader saw last may be a tombstone that has been purged since: nothing is left that could include it.
        return (
            not merged
            and self.config.purge != "never"
            and stamp is not None
            and wall_ns - stamp.wall_ns > self._purge_age()
        )

    def _ask_everybody(self, read: PendingRead) -> bytes:
        """Ask all other owners for what the reader has seen before; return the merge of what is known."""
        for target in list(read.others):
            marks.hit("leaderless: more replicas are asked for what the reader has seen")
            self._ask(read, target, is_digest=False)
        for node in list(read.digests):
            if node not in read.asked:
                self._ask(read, node, is_digest=False)
        return self._merged(read)

    def _fail_stale(self, read: PendingRead) -> None:
        marks.hit("leaderless: no replica has what the reader has seen")
        del self.reads[read.number]
        self._fail(read.origin, "STALE", "no reachable replica has what this session has seen")

    # Repair.

    def _finish(self, read: PendingRead, merged: bytes) -> None:
        """Repair who is behind, and answer: after that, or before."""
        stale = [node for node, cell in read.cells.items() if cell != merged]
        if stale and self.config.read_repair == "blocking":
            digest = self._digest(merged)
            read.holders = {
                owner: None
                for node, owner in read.answered.items()
                if read.cells.get(node) == merged or read.digests.get(node) == digest
            }
        if self.config.read_repair != "none":
            for node in stale:
                self._repair(read, node)
        if read.holders is not None:
            self._progress_repair(read)
        else:
            self._answer_read(read)

    def _repair(self, read: PendingRead, node: NodeId) -> None:
        """Give a node the merged cell: an owner merges it, a stand-in keeps it."""
        marks.hit("leaderless: read repair")
        self.repair_count += 1
        owner = read.answered[node]
        number = 0 if read.holders is None or read.is_answered else read.number
        keep = Keep(number, owner, read.key, read.merged, self.wall_ns or 0)
        if node == self.node:
            if owner == self.node:
                # Unless the key moved away since it was asked.
                if self.holds(read.key):
                    self._take(read.key, read.merged)
            else:
                self._keep_hint(owner, read.key, read.merged, keep.wall_ns)
            if read.holders is not None:
                # Not stable yet, but the answer waits for that, see `_answer_read`.
                read.holders[owner] = None
        else:
            part = Write(number, read.key, read.merged) if owner == node else keep
            self._send(node, part, eager=read.key not in self.unstable)

    def _on_told_while_repairing(self, read: PendingRead, node: NodeId, cell: bytes) -> None:
        assert read.holders is not None, "a repair is waited for"
        read.cells[node] = cell
        if self.rule.merge(read.merged, cell) == cell:
            read.holders[read.answered[node]] = None
            self._progress_repair(read)
        else:
            self._repair(read, node)

    def _on_repaired(self, number: int, node: NodeId) -> None:
        read = self.reads.get(number)
        if read is None or read.holders is None or read.is_answered:
            return
        owner = read.answered.get(node) or read.asked.get(node)
        if owner is not None:
            read.holders[owner] = None
            self._progress_repair(read)

    def _progress_repair(self, read: PendingRead) -> None:
        assert read.holders is not None, "a repair is waited for"
        if all(need.is_met(read.holders) for need in read.needs):
            self._answer_read(read)

    def _answer_read(self, read: PendingRead) -> None:
        read.is_answered = True
        # What only this node's memory holds might be lost: who has read it could then read something older.
        is_stable = self.node not in read.answered or read.key not in self.unstable
        self._answer(read.origin, read.merged, eager=is_stable)
        self._maybe_forget(read)

    def _maybe_forget(self, read: PendingRead) -> None:
        if not read.asked or self.config.read_repair == "none":
            self.reads.pop(read.number, None)

    def _on_late(self, read: PendingRead, node: NodeId, cell: bytes) -> None:
        """Repair after the answer: whoever answers late may be behind, or ahead. Source: Dynamo section 5."""
        merged = self.rule.merge(read.merged, cell)
        if cell != merged:
            marks.hit("leaderless: a late answer is repaired")
            self.repair_count += 1
            self._send(node, Write(0, read.key, merged), eager=read.key not in self.unstable)
        if merged != read.merged:
            read.merged = merged
            for other in read.answered:
                if other != node:
                    self._repair(read, other)
        self._maybe_forget(read)

    # Time.

    def _on_read_due(self, read: PendingRead) -> None:
        """Ask one more replica, or those that are silent again; give up at the deadline."""
        if self.now >= read.deadline:
            self._end_read(read)
            return
        if read.is_answered:
            self._due_in(read.number, read.deadline)
            return
        if read.holders is not None:
            self._repair_more(read)
        elif read.others:
            marks.hit("leaderless: a speculative retry")
            self._ask(read, next(iter(read.others)), is_digest=False)
            self._progress(read)
        else:
            for node in list(read.asked):
                self._ask(read, node, is_digest=False)
        if read.number in self.reads:
            read.patience = Duration(2 * read.patience)
            self._due_in(read.number, min(read.deadline, later(self.now, read.patience)))

    def _replan_read(self, read: PendingRead) -> None:
        """Ask owners of a newer topology too."""
        route = self._route(read.key)
        told = self._recipients(read.key, route)
        read.needs = route.needs(read.level)
        known = dict.fromkeys([*read.asked.values(), *read.answered.values()])
        for owner in route.near:
            target = told[owner]
            if owner not in known and target is not None and target not in read.asked and target not in read.answered:
                read.others[target] = owner
        for target in list(read.others):
            self._ask(read, target, is_digest=False)
        self._progress(read)

    def _on_asked_down(self, node: NodeId) -> None:
        """Ask others in the place of a node that went down. Complexity: O(reads under way)."""
        for read in list(self.reads.values()):
            if node in read.asked and read.others and not read.is_answered:
                self._ask(read, next(iter(read.others)), is_digest=False)
                self._progress(read)

    def _repair_more(self, read: PendingRead) -> None:
        """Repair again who is silent, and one more replica (Cassandra 4 speculates on repairs too)."""
        assert read.holders is not None, "a repair is waited for"
        for node, owner in read.answered.items():
            if owner not in read.holders:
                self._repair(read, node)
        if read.others:
            node, owner = next(iter(read.others.items()))
            del read.others[node]
            read.answered[node] = owner
            self._repair(read, node)

    def _end_read(self, read: PendingRead) -> None:
        if not read.is_answered:
            if read.at_least and read.cells and not self._is_fresh(read.at_least, read.merged):
                self._fail_stale(read)
                return
            marks.hit("leaderless: a read ends without its level")
            self._fail(read.origin, "TIMEDOUT", "too few owners answered the read in time")
        self.reads.pop(read.number, None)
