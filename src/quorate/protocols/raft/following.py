"""The follower's side of replication: taking entries and snapshots from the leader of the term (§5.3, §7)."""

from quorate.kernel import Deliver, LogIndex, NodeId, Send, marks
from quorate.protocols.raft.calls import SnapshotReceived
from quorate.protocols.raft.entries import Entry
from quorate.protocols.raft.log import is_sound
from quorate.protocols.raft.messages import AppendEntries, AppendResult
from quorate.protocols.raft.outputs import InstallSnapshot, ReadFailed
from quorate.protocols.raft.records import Append, SnapshotMarker
from quorate.protocols.raft.roles import Follower, Leader
from quorate.protocols.raft.state import RaftState


class Following(RaftState):
    """Makes this node's log equal to the leader's, and says how far it is."""

    def _on_append_entries(self, sender: NodeId, message: AppendEntries) -> None:
        if message.term < self.term:
            # §5.1, and it frees a node with a newer term that nobody elects: the old leader learns the term.
            marks.hit("raft: refused an old leader")
            self._send(sender, AppendResult(self.term, success=False, match_index=LogIndex(0), round=message.round))
        elif self._follows(sender):
            self._take_entries(sender, message)

    def _follows(self, sender: NodeId) -> bool:
        """Follow the leader of this term; return False for anybody else who claims to be it."""
        role = self.role
        if not isinstance(role, Follower) or role.leader != sender:
            if self.leader is not None:
                marks.hit("raft: ignored a second leader of a term")
                return False
            # §5.2: a candidate that hears of the term's leader gives up.
            self._become_follower(self.term, sender)
            role = self.role
            assert isinstance(role, Follower), "it just became one"
        role.heard_at = self.now
        self._postpone_election()
        if role.reads:
            self._expire_reads(role)
        return True

    def _expire_reads(self, role: Follower) -> None:
        """Give up reads whose question or answer was lost. Complexity: O(reads given up)."""
        while role.reads:
            number, read = next(iter(role.reads.items()))
            if self.now - read.asked_at < self.config.election_timeout:
                return
            marks.hit("raft: a forwarded read expired")
            del role.reads[number]
            self._answer(ReadFailed(read.token))

    def _take_entries(self, sender: NodeId, message: AppendEntries) -> None:
        prev_index, entries = message.prev_index, message.entries
        if not is_sound(entries, prev_index=prev_index, prev_term=message.prev_term, term=self.term):
            marks.hit("raft: ignored entries that make no sense")
            return
        known_count = self.commit_index - prev_index
        if known_count > 0:
            # What is committed here is in the log of every later leader (leader completeness): nothing to compare.
            entries = entries[known_count:]
            prev_index = LogIndex(prev_index + min(known_count, len(message.entries)))
            if entries and entries[0].term < (self.log.term_at(self.commit_index) or 0):
                marks.hit("raft: ignored entries that make no sense")
                return
        elif not self.log.has(prev_index, message.prev_term):
            self._refuse_entries(sender, message)
            return
        if entries:
            self._append_from_leader(entries)
        matched = LogIndex(max(prev_index + len(entries), self.commit_index))
        self._commit_from_leader(min(message.commit_index, matched))
        self._acknowledge(sender, message, matched)

    def _append_from_leader(self, entries: tuple[Entry, ...]) -> None:
        """Append what is not held yet; entries from a first real conflict on are replaced.

        Only a conflict truncates (§5.3, step 3 of AppendEntries in Figure 2): a late message whose entries are all held
        must not cut off what a newer one has appended.
        """
        held_count = self.log.first_conflict(entries)
        if held_count == len(entries):
            marks.hit("raft: entries were already held")
            return
        new = entries[held_count:]
        first_index = new[0].index
        configuration_index = self.log.configuration_index
        if first_index <= self.log.last_index:
            assert self.commit_index < first_index, "nothing committed is truncated"
            marks.hit("raft: conflicting entries replaced")
            self.log.truncate(first_index)
            self._truncated_to(LogIndex(first_index - 1))
        self.log.append(new)
        self._persist((Append(new),), durable_index=self.log.last_index)
        if first_index <= configuration_index or self.log.configuration_index != configuration_index:
            self._use_configuration()

    def _commit_from_leader(self, index: int) -> None:
        if self.commit_index < index:
            self._advance_commit(LogIndex(index))
            self._deliver_committed()

    def _acknowledge(self, sender: NodeId, message: AppendEntries, matched: LogIndex) -> None:
        """Say how much of the leader's log is held; never more than the disk has when it leaves."""
        if not message.entries:
            if message.round == 0:
                return
            # An answer to a heartbeat counts for reads, so it should not wait for the disk. Eager: it names only what
            # is durable already, and that this node has not seen a newer term, which no lost write can undo.
            matched = LogIndex(min(matched, self.durable_index))
        result = AppendResult(self.term, success=True, match_index=matched, round=message.round)
        if matched <= self.durable_index:
            self._emit(Send(sender, result, eager=True))
        else:
            self._send(sender, result)

    def _refuse_entries(self, sender: NodeId, message: AppendEntries) -> None:
        """Say that the logs do not join there, and where they may (§5.3)."""
        marks.hit("raft: refused entries that do not join the log")
        hint_index, hint_term = self.log.agreement_hint(message.prev_index, message.prev_term)
        result = AppendResult(
            self.term,
            success=False,
            match_index=LogIndex(0),
            hint_index=hint_index,
            hint_term=hint_term,
            round=message.round,
            refused_index=message.prev_index,
        )
        # Eager: a hint is a guess, and promises nothing about the disk.
        self._emit(Send(sender, result, eager=True))

    # Snapshots.

    def _on_snapshot_received(self, call: SnapshotReceived) -> None:
        marker = call.marker
        if marker.index < 1 or not marker.configuration.is_well_formed:
            marks.hit("raft: refused a snapshot that makes no sense")
            self._refuse_snapshot(marker)
            return
        if self.term < call.term:
            self._become_follower(call.term, call.sender)
        if isinstance(self.role, Leader):
            # A leader holds everything that is committed.
            self._refuse_snapshot(marker)
            return
        if call.term == self.term and self._follows(call.sender):
            self._take_snapshot(marker)
            # Behind the write: what was committed here may not be durable here yet.
            self._send(call.sender, AppendResult(self.term, success=True, match_index=self.commit_index))
            return
        # Its sender leads no more and is not followed, but what a snapshot covers is committed for ever; and the host
        # has replaced its state by it already.
        marks.hit("raft: took the snapshot of an old leader")
        self._take_snapshot(marker)
        self._send(call.sender, AppendResult(self.term, success=False, match_index=LogIndex(0)))

    def _take_snapshot(self, marker: SnapshotMarker) -> None:
        """Use what is news in a snapshot."""
        if marker.index <= self.commit_index:
            marks.hit("raft: a snapshot brings nothing new")
            self._refuse_snapshot(marker)
        elif self.log.has(marker.index, marker.term):
            marks.hit("raft: a snapshot only tells what is committed")
            self._refuse_snapshot(marker)
            self._commit_from_leader(marker.index)
        else:
            self._install(marker)

    def _install(self, marker: SnapshotMarker) -> None:
        """Replace log and state machine by a snapshot that is ahead of both (§7)."""
        marks.hit("raft: snapshot installed")
        self._truncated_to(self.commit_index)
        self.log.reset(marker)
        self._advance_commit(marker.index)
        self.delivered_index = marker.index
        self._persist((marker,), durable_index=marker.index)
        self._use_configuration()
        # Not eager: the host replaces its state only when the log can no longer come back.
        self._emit(Deliver(InstallSnapshot(marker)))
