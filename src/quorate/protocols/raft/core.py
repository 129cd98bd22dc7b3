"""Raft: one leader orders commands; a majority makes them permanent.

Theory. A leader is elected for a term by a majority, and nobody votes twice in a term, so a term has at most one
leader. Only the leader adds entries, and a follower takes an entry only if it holds the one before, so two logs that
agree on an entry agree on all before it. An entry is committed when a majority has it on disk. A voter refuses a
candidate whose log ends before its own; any majority of voters meets any majority of holders, so every later leader
has every committed entry, and no node ever applies another one at that place.

States      Follower → PreCandidate → Candidate → Leader → Follower (TRANSITIONS; drawn in docs/protocols/raft.md).
Messages    RequestVote, VoteResult, AppendEntries, AppendResult, TimeoutNow, ReadIndexRequest, ReadIndexResponse.
Persists    HardState(term, voted_for), Append(entries), SnapshotMarker(index, term, configuration).
Invariants  Election safety, log matching, leader completeness, state machine safety, a committed prefix that never
            changes (invariants.py, checked after every simulated step).
Source      Ongaro & Ousterhout 2014 (sections cited as §n); Ongaro's thesis 2014 (cited as thesis §n).
Deviations  1. AppendEntries is heartbeat, probe, round of reads and news of commitment; snapshots travel outside.
            2. A node that holds no vote answers vote requests all the same: the candidate knows a newer configuration.
            3. Every change of members is joint. 4. Pre-vote and check-quorum are on by default.
            5. A leader sends entries while it writes them, and counts itself when they are stable (thesis §10.2.1).
            6. A snapshot of an old leader is used, because it is committed; its sender is not followed.
Limits      Tested to 5 voters; see RaftConfig for every bound.
"""

from collections.abc import Callable
from typing import Any, ClassVar, assert_never

from quorate.kernel import (
    Call,
    Called,
    Event,
    LogIndex,
    Message,
    NodeId,
    Persisted,
    Received,
    Started,
    TimerFired,
    marks,
)
from quorate.protocols.raft.calls import (
    Compact,
    PeerLost,
    Propose,
    Read,
    Reconfigure,
    SnapshotReceived,
    SnapshotSent,
    TransferLeadership,
)
from quorate.protocols.raft.elections import Elections
from quorate.protocols.raft.following import Following
from quorate.protocols.raft.membership import Membership
from quorate.protocols.raft.messages import (
    AppendEntries,
    AppendResult,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVote,
    TimeoutNow,
    VoteResult,
)
from quorate.protocols.raft.outputs import ReadFailed
from quorate.protocols.raft.progress import Probe, Snapshotting
from quorate.protocols.raft.reads import Reads
from quorate.protocols.raft.records import SnapshotMarker
from quorate.protocols.raft.roles import Candidate, Follower, Leader
from quorate.protocols.raft.state import ELECTION, HEARTBEAT, TRANSFER


class Raft(Elections, Membership, Reads, Following):
    """One node's Raft machine: `Raft(config, records, rng)`; the first event is `Started`.

    Example:
        >>> import random
        >>> from quorate.kernel import Instant
        >>> from quorate.protocols.raft import Configuration, RaftConfig
        >>> config = RaftConfig(node=NodeId(1), configuration=Configuration((NodeId(1),)))
        >>> machine = Raft(config, (), random.Random(7))
        >>> effects = machine.step(Started(), now=Instant(0))
        >>> machine.role_name
        'candidate'
    """

    # What a message or call leads to. Names, so that subclasses can override what is meant.
    _MESSAGE_HANDLERS: ClassVar[dict[type[Message], str]] = {
        AppendEntries: "_on_append_entries",
        AppendResult: "_on_append_result",
        RequestVote: "_on_request_vote",
        VoteResult: "_on_vote_result",
        TimeoutNow: "_on_timeout_now",
        ReadIndexRequest: "_on_read_index_request",
        ReadIndexResponse: "_on_read_index_response",
    }
    _CALL_HANDLERS: ClassVar[dict[type[Call], str]] = {
        Propose: "_on_propose",
        Read: "_on_read",
        Reconfigure: "_on_reconfigure",
        TransferLeadership: "_on_transfer_leadership",
        Compact: "_on_compact",
        SnapshotReceived: "_on_snapshot_received",
        SnapshotSent: "_on_snapshot_sent",
        PeerLost: "_on_peer_lost",
    }
    # A request for a vote or its result may carry a term that nobody has begun; both look at terms themselves.
    _JUDGE_TERMS: ClassVar[frozenset[type[Message]]] = frozenset({RequestVote, VoteResult})

    def _on_event(self, event: Event) -> None:
        match event:
            case Received(sender, message):
                self._on_message(sender, message)
            case Persisted(count):
                self._on_persisted(count)
            case Called(call):
                handler: Callable[[Any], None] = getattr(self, self._CALL_HANDLERS[type(call)])
                handler(call)
            case TimerFired(timer):
                self._on_timer(timer)
            case Started():
                self._on_started()
            case _:
                assert_never(event)
        self._flush_hard_state()
        self._announce()

    def _on_started(self) -> None:
        if not self._has_records and self.configuration.members:
            # With whom this node began must not depend on a configuration file that somebody edits later.
            self._persist((self.log.snapshot,))
        if self.config.lease_reads and isinstance(self.role, Follower):
            # A leader may hold a lease on a promise that this node gave before a crash and does not remember.
            self.role.heard_at = self.now
        self._arm_election(self._draw_election_timeout())
        if self._may_campaign and self.quorum.has((self.node,)):
            marks.hit("raft: a sole voter does not wait for anybody")
            self._campaign()

    def _on_message(self, sender: NodeId, message: Message) -> None:
        kind = type(message)
        name = self._MESSAGE_HANDLERS.get(kind)
        if name is None or sender == self.node:
            marks.hit("raft: ignored a message that is not Raft's")
            return
        term: int = message.term  # type: ignore[attr-defined]  # all messages of Raft have one
        if self.term < term and kind not in self._JUDGE_TERMS:
            # §5.1: whoever hears of a newer term follows it.
            self._become_follower(term, sender if kind is AppendEntries else None)
        handler: Callable[[NodeId, Any], None] = getattr(self, name)
        handler(sender, message)

    def _on_timer(self, timer: str) -> None:
        if timer == ELECTION:
            self._on_election_timeout()
        elif isinstance(self.role, Leader):
            if timer == HEARTBEAT:
                self._on_heartbeat_timeout(self.role)
            elif timer == TRANSFER:
                self._on_transfer_timeout(self.role)

    def _on_persisted(self, count: int) -> None:
        self._note_durable(count)
        match self.role:
            case Candidate():
                self._maybe_count_own_vote(self.role)
            case Leader():
                if self._maybe_commit(self.role):
                    self._on_commit(self.role)
            case _:
                pass  # others promised by messages that the outbox held back
        self._deliver_committed()

    def _on_append_result(self, sender: NodeId, message: AppendResult) -> None:
        role = self.role
        if not isinstance(role, Leader) or message.term < self.term:
            return
        progress = role.progress.get(sender)
        if progress is None:
            marks.hit("raft: ignored a result of a node that is no member")
            return
        if self._note_result(role, progress, message) and self._maybe_commit(role):
            self._on_commit(role)
            if self.role is not role:
                return
        self._confirm_reads(role)
        self._send_entries(role, sender, progress, {})
        self._maybe_finish_transfer(role, sender, progress)

    def _on_commit(self, role: Leader) -> None:
        """Pass on that more is committed: to the host, the peers, reads and changes that waited."""
        self._deliver_committed()
        self._notify_commit(role)
        self._start_waiting_reads(role)
        self._advance_membership(role)

    def _on_compact(self, call: Compact) -> None:
        """Cut the log behind a checkpoint (§7); the marker is what recovery begins with."""
        index = call.index
        if index <= self.log.snapshot.index or self.delivered_index < index:
            marks.hit("raft: nothing to compact")
            return
        term = self.log.term_at(index)
        assert term is not None, "what was delivered is held until it is compacted"
        marker = SnapshotMarker(index, term, self.log.configuration_at(index))
        self.log.compact(
            marker,
            trailing_entry_count=self.config.trailing_entry_count,
            trailing_bytes_max=self.config.trailing_bytes_max,
        )
        self._persist((marker,))

    def _on_snapshot_sent(self, call: SnapshotSent) -> None:
        """Go on with entries behind a snapshot that was sent; after a failure ask again at the next heartbeat."""
        role = self.role
        progress = role.progress.get(call.to) if isinstance(role, Leader) else None
        if not isinstance(role, Leader) or progress is None or not isinstance(progress.phase, Snapshotting):
            return
        reached = progress.phase.index if call.ok else progress.match_index
        self._probe_again(role, progress, LogIndex(reached + 1))
        progress.phase = Probe(is_waiting=True)

    def _on_peer_lost(self, call: PeerLost) -> None:
        """Take everything in flight on a broken link as lost."""
        role = self.role
        match role:
            case Leader(progress):
                lost = progress.get(call.peer)
                if lost is not None:
                    marks.hit("raft: the link to a peer broke")
                    self._probe_again(role, lost, LogIndex(lost.match_index + 1))
                    # Not before the next heartbeat: there is no link now.
                    lost.phase = Probe(is_waiting=True)
            case Follower(leader, _, reads) if leader == call.peer:
                for read in reads.values():
                    self._answer(ReadFailed(read.token))
                reads.clear()
            case _:
                pass  # a candidate asks again when its time is up
