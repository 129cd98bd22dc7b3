"""The leader's side of replication: proposals, sending, counting (§5.3, §5.4)."""

from quorate.kernel import Duration, LogIndex, NodeId, Send, SetTimer, marks
from quorate.protocols.raft.calls import Propose
from quorate.protocols.raft.entries import COMMAND, CONFIGURATION, Entry
from quorate.protocols.raft.messages import AppendEntries, AppendResult
from quorate.protocols.raft.outputs import Proposed, SendSnapshot
from quorate.protocols.raft.progress import Probe, Progress, Replicate, Snapshotting
from quorate.protocols.raft.records import Append
from quorate.protocols.raft.roles import Leader
from quorate.protocols.raft.state import HEARTBEAT, RaftState, entries_bytes

Shared = dict[tuple[LogIndex, int], tuple[AppendEntries, int]]
"""Messages of one broadcast by (first index, round): peers at the same place get the very same object, encoded once."""


class Leading(RaftState):
    """Puts entries into the log, brings them to the peers and decides what is committed."""

    def _on_propose(self, call: Propose) -> None:
        role = self.role
        if not isinstance(role, Leader):
            self._refuse(call.token, "not leader")
        elif role.transfer is not None:
            marks.hit("raft: proposal refused during a transfer")
            self._refuse(call.token, "transfer in progress")
        elif self._is_overloaded(role, call.payloads):
            marks.hit("raft: proposal refused, too much is uncommitted")
            self._refuse(call.token, "overloaded")
        elif not call.payloads:
            self._refuse(call.token, "nothing proposed")
        else:
            first_index = LogIndex(self.log.last_index + 1)
            self._append_own(role, COMMAND, call.payloads)
            if call.origin in role.progress:
                role.progress[call.origin].awaited_index = self.log.last_index
            self._replicate(role)
            # Eager: it names a place, and promises nothing before that place is committed.
            self._answer(Proposed(call.token, first_index, self.term))

    def _is_overloaded(self, role: Leader, payloads: tuple[bytes, ...]) -> bool:
        added_bytes = sum([len(payload) for payload in payloads])
        return role.uncommitted_bytes > 0 and (self.config.uncommitted_bytes_max < role.uncommitted_bytes + added_bytes)

    def _append_own(self, role: Leader, kind: int, payloads: tuple[bytes, ...]) -> None:
        """Append entries of this term and start the write; the caller sends them at the same time."""
        index = self.log.last_index
        term = self.term
        entries = tuple(
            [Entry(LogIndex(index + place), term, kind, payload) for place, payload in enumerate(payloads, 1)]
        )
        self.log.append(entries)
        role.uncommitted_bytes += entries_bytes(entries)
        self._persist((Append(entries),), durable_index=self.log.last_index)
        if kind == CONFIGURATION:
            # §6: a configuration is used from the moment it is in the log.
            self._use_configuration()

    # Sending.

    def _replicate(self, role: Leader) -> None:
        """Send what each peer lacks, where the window allows."""
        shared: Shared = {}
        for peer, progress in role.progress.items():
            self._send_entries(role, peer, progress, shared)

    def _send_entries(self, role: Leader, peer: NodeId, progress: Progress, shared: Shared) -> bool:
        """Send to one peer all that the window allows; return whether anything was sent."""
        phase = progress.phase
        if isinstance(phase, Probe) and not phase.is_waiting:
            return self._send_probe(role, peer, progress)
        if not isinstance(phase, Replicate):
            return False
        config = self.config
        sent = False
        while progress.next_index <= self.log.last_index:
            if progress.next_index <= self.log.base_index:
                return self._send_snapshot(peer, progress)
            if not progress.has_room(phase, count_max=config.inflight_count_max, bytes_max=config.inflight_bytes_max):
                marks.hit("raft: the window to a peer is full")
                break
            key = (progress.next_index, role.round)
            if key not in shared:
                entries, payload_bytes = self.log.slice_bytes(progress.next_index, config.append_bytes_max)
                shared[key] = (self._append_message(role, progress.next_index, entries, role.round), payload_bytes)
            message, payload_bytes = shared[key]
            progress.sent(phase, message.entries[-1].index, payload_bytes)
            self._send_append(peer, progress, message)
            sent = True
        return sent

    def _send_probe(self, role: Leader, peer: NodeId, progress: Progress) -> bool:
        """Ask a peer whether it holds the entry before `next_index`."""
        if progress.next_index <= self.log.base_index:
            return self._send_snapshot(peer, progress)
        progress.phase = Probe(is_waiting=True)
        self._send_append(peer, progress, self._append_message(role, progress.next_index, (), role.round))
        return True

    def _send_snapshot(self, peer: NodeId, progress: Progress) -> bool:
        """Let the host stream its checkpoint: the entries that the peer needs are compacted."""
        marks.hit("raft: a peer needs a snapshot")
        marker = self.log.snapshot
        progress.phase = Snapshotting(marker.index)
        # Eager: the host has the checkpoint on disk already, or it would not have asked to compact.
        self._answer(SendSnapshot(peer, marker))
        return True

    def _send_beat(self, role: Leader, peer: NodeId, progress: Progress, round_number: int) -> None:
        """Send an empty AppendEntries: heartbeat, probe, round of reads or news of commitment.

        Its `prev_index` is the end of what was sent, so that a lost message is noticed at the next beat.
        """
        if progress.next_index <= self.log.base_index:
            # Nothing is known to be held in common: just be heard. Every log begins with (0, 0).
            message = AppendEntries(self.term, LogIndex(0), 0, (), LogIndex(0), round_number)
        else:
            message = self._append_message(role, progress.next_index, (), round_number)
        self._send_append(peer, progress, message)

    def _append_message(
        self, role: Leader, next_index: LogIndex, entries: tuple[Entry, ...], round_number: int
    ) -> AppendEntries:
        prev_index = LogIndex(next_index - 1)
        prev_term = self.log.term_at(prev_index)
        assert prev_term is not None, "only peers that need no compacted entry are sent entries"
        assert role.first_index <= self.log.last_index, "a leader's log begins its term with an entry of its own"
        return AppendEntries(self.term, prev_index, prev_term, entries, self.commit_index, round_number)

    def _send_append(self, peer: NodeId, progress: Progress, message: AppendEntries) -> None:
        progress.is_fresh = True
        # Eager (thesis §10.2.1): entries may reach peers before this node's own disk, for it counts itself only when
        # they are stable here; and this term is stable, for its own vote counted only then.
        self._emit(Send(peer, message, eager=True))

    def _begin_round(self, role: Leader) -> None:
        """Start a round of heartbeats that a quorum must answer."""
        role.round += 1
        if self.config.lease_reads:
            role.rounds.append((role.round, self.now))
        for peer, progress in role.progress.items():
            self._send_beat(role, peer, progress, role.round)

    def _on_heartbeat_timeout(self, role: Leader) -> None:
        """Speak to peers that were left alone since the last beat; repeat questions without an answer."""
        role.round += 1
        if self.config.lease_reads:
            role.rounds.append((role.round, self.now))
        for peer, progress in role.progress.items():
            if isinstance(progress.phase, Probe):
                self._send_probe(role, peer, progress)
                continue
            if progress.next_index <= self.log.base_index and isinstance(progress.phase, Replicate):
                # What it needs next is gone, whatever becomes of the messages in its window.
                self._send_snapshot(peer, progress)
            is_fresh, progress.is_fresh = progress.is_fresh, False
            # Leases live on fresh rounds, so they need every beat.
            if self.config.lease_reads or not is_fresh:
                self._send_beat(role, peer, progress, role.round)
        self._arm_heartbeat()

    def _arm_heartbeat(self) -> None:
        """Beat at the next multiple of the interval: all groups of a node in one turn, one frame per peer."""
        interval = self.config.heartbeat_interval
        self._emit(SetTimer(HEARTBEAT, Duration(interval - self.now % interval)))

    # Answers.

    def _note_result(self, role: Leader, progress: Progress, message: AppendResult) -> bool:
        """Take a peer's answer to entries; return whether it holds more than was known."""
        progress.is_active = True
        if role.round < message.round or self.log.last_index < message.match_index:
            marks.hit("raft: a peer claims what was never sent")
            return False
        progress.acknowledged_round = max(progress.acknowledged_round, message.round)
        if not message.success:
            self._note_refusal(role, progress, message)
            return False
        is_news = progress.matched(message.match_index)
        match progress.phase:
            case Probe():
                # An answer to the question, or news of exactly the place before the next entry (a snapshot installed).
                if progress.since_round <= message.round or (
                    is_news and progress.next_index == message.match_index + 1
                ):
                    progress.phase = Replicate()
            case Replicate():
                pass
            case Snapshotting():
                # What counts is what the peer really installed, which may be newer or older than what was asked.
                if self.log.base_index < progress.next_index and is_news:
                    progress.phase = Replicate()
        return is_news

    def _note_refusal(self, role: Leader, progress: Progress, message: AppendResult) -> None:
        """Go back to where the logs can agree, in one jump over whole terms."""
        refused = message.refused_index
        is_late = message.round < progress.since_round or refused <= progress.match_index
        if is_late or isinstance(progress.phase, Snapshotting):
            # One lost message makes all behind it refused; only the first refusal is news.
            marks.hit("raft: a refusal came too late")
            return
        hint_index = LogIndex(min(message.hint_index, refused - 1))
        agreed, agreed_term = self.log.agreement_hint(hint_index, message.hint_term)
        if hint_index < self.log.base_index or message.hint_term < agreed_term:
            # They part before anything that is kept, so it gets a snapshot.
            agreed = LogIndex(self.log.base_index - 1)
        self._probe_again(role, progress, LogIndex(agreed + 1))

    def _probe_again(self, role: Leader, progress: Progress, next_index: LogIndex) -> None:
        """Ask anew where the logs agree; answers to what was sent before this moment are known by their round."""
        role.round += 1
        progress.since_round = role.round
        progress.become_probe(next_index)

    # Commitment.

    def _maybe_commit(self, role: Leader) -> bool:
        """Commit what a quorum holds on disk; return whether that was more than before.

        §5.4.2, Figure 8: an entry of an older term can be on a majority and still be overwritten by a later leader, so
        holders are counted only for entries of the leader's own term; what is before them is committed with them.
        """
        match_index = {peer: progress.match_index for peer, progress in role.progress.items()}
        # The leader counts itself for what its own disk holds, and only if it has a vote (the quorum looks).
        match_index[self.node] = self.durable_index
        reached = LogIndex(self.quorum.commit_index(match_index))
        if reached <= self.commit_index or not self._may_commit(role, reached):
            return False
        role.uncommitted_bytes -= entries_bytes(self.log.slice(self.commit_index + 1, reached))
        self._advance_commit(reached)
        return True

    def _may_commit(self, role: Leader, index: LogIndex) -> bool:
        """Return whether counting holders of this entry decides anything: only from this term's first entry on."""
        return role.first_index <= index

    def _notify_commit(self, role: Leader) -> None:
        """Send news of commitment to peers that wait for it, with nothing else on the way to them."""
        shared: Shared = {}
        for peer, progress in role.progress.items():
            if not isinstance(progress.phase, Replicate) or self._send_entries(role, peer, progress, shared):
                continue
            is_awaited = progress.awaited_index > 0
            if progress.awaited_index <= self.commit_index:
                progress.awaited_index = LogIndex(0)
            if (is_awaited or self.config.notify_commit) and self.log.base_index < progress.next_index:
                key = (progress.next_index, 0)
                if key not in shared:
                    shared[key] = (self._append_message(role, progress.next_index, (), 0), 0)
                self._emit(Send(peer, shared[key][0], eager=True))
