"""What every Raft node holds, and the few ways in which it changes."""

import random
from collections import deque
from collections.abc import Iterable
from typing import assert_never

from quorate.kernel import (
    CancelTimer,
    Deliver,
    Duration,
    Instant,
    LogIndex,
    Machine,
    Message,
    NodeId,
    Output,
    Persist,
    Record,
    Send,
    SetTimer,
    later,
    marks,
)
from quorate.protocols.quorums import JointQuorum
from quorate.protocols.raft.config import RaftConfig
from quorate.protocols.raft.entries import CONFIGURATION, CONFIGURATIONS, Configuration, Entry
from quorate.protocols.raft.log import RaftLog
from quorate.protocols.raft.messages import ReadIndexResponse
from quorate.protocols.raft.outputs import (
    Committed,
    ReadFailed,
    Reconfigured,
    Refused,
    RoleChanged,
    SnapshotRefused,
    Transferred,
)
from quorate.protocols.raft.progress import Progress
from quorate.protocols.raft.records import Append, HardState, SnapshotMarker
from quorate.protocols.raft.roles import ROLE_NAMES, Candidate, Follower, Leader, PreCandidate, Role

ELECTION = "election"
"""Timer: a follower campaigns, a leader counts whom it heard."""
HEARTBEAT = "heartbeat"
"""Timer: a leader speaks to peers that it left alone."""
TRANSFER = "transfer"
"""Timer: a leader gives up handing over."""


class RaftState(Machine):
    """Term, vote, log, commitment and role; effects on disk, wire and host."""

    def __init__(self, config: RaftConfig, records: Iterable[Record], rng: random.Random) -> None:
        super().__init__()
        self.config = config
        self.rng = rng
        self.node: NodeId = config.node
        # Figure 2, persistent state: changed only together with `_hard_state_is_stale`.
        self.term = 0
        self.voted_for: NodeId | None = None
        self.log = RaftLog.empty(config.configuration)
        # Whether this node lived before; a founder's first record says with which members it began.
        self._has_records = False
        for record in records:
            self._has_records = True
            self._replay(record)
        self.role: Role = Follower()
        self.quorum = JointQuorum((), ())
        # Agreed / handed to the host / on this node's disk. delivered <= commit, durable <= last.
        self.commit_index: LogIndex = self.log.snapshot.index
        self.delivered_index: LogIndex = self.log.snapshot.index
        self.durable_index: LogIndex = self.log.last_index
        # Persist effects so far, and those known stable; (ordinal, last index that it makes durable) of the others.
        self._persist_count = 0
        self._persisted_count = 0
        self._writes: deque[tuple[int, LogIndex]] = deque()
        self._hard_state_is_stale = False
        # The current draw from [T, 2T), and when it runs out.
        self._election_timeout: Duration = config.election_timeout
        self._election_deadline: Instant = Instant(0)
        # Numbers of reads on the wire begin at random: an answer to an earlier life must not be taken for ours.
        self._read_number = rng.getrandbits(48)
        self._announced: tuple[str, int, NodeId | None] = ("follower", self.term, None)
        self._use_configuration()

    def __eq__(self, other: object) -> bool:
        """Return whether two machines would behave the same from here on."""
        if type(self) is not type(other):
            return False
        mine, theirs = dict(vars(self)), dict(vars(other))
        are_draws_equal = bool(mine.pop("rng").getstate() == theirs.pop("rng").getstate())
        return are_draws_equal and mine == theirs

    # A machine changes with every step, so it is no key.
    __hash__ = None  # type: ignore[assignment]

    # What hosts may read.

    @property
    def role_name(self) -> str:
        """One of follower, pre_candidate, candidate, leader."""
        return ROLE_NAMES[type(self.role)]

    @property
    def leader(self) -> NodeId | None:
        """The leader of this term, as far as this node knows."""
        match self.role:
            case Follower(leader):
                return leader
            case Leader():
                return self.node
            case PreCandidate() | Candidate():
                return None
            case _:
                assert_never(self.role)

    @property
    def configuration(self) -> Configuration:
        """The members in force at this node: the newest configuration in its log, committed or not."""
        return self.log.configuration

    def recovery_records(self) -> tuple[Record, ...]:
        """Return records that, replayed alone, reproduce what this node has persisted or asked to persist.

        Complexity: O(entries kept).
        """
        head = (HardState(self.term, self.voted_for), self.log.snapshot)
        if not self.log.entries:
            return head
        return (*head, Append(tuple(self.log.entries)))

    # Disk.

    def _replay(self, record: Record) -> None:
        match record:
            case HardState(term, voted_for):
                self.term, self.voted_for = term, voted_for
            case Append():
                self.log.replay_append(record)
            case SnapshotMarker():
                self.log.replay_marker(
                    record,
                    trailing_entry_count=self.config.trailing_entry_count,
                    trailing_bytes_max=self.config.trailing_bytes_max,
                )
            case _:
                raise TypeError(f"not a record of Raft: {record!r}")

    def _persist_hard_state(self) -> tuple[Record, ...]:
        """Return the record that makes term and vote durable; it goes before anything that depends on them."""
        return (HardState(self.term, self.voted_for),)

    def _flush_hard_state(self) -> None:
        if self._hard_state_is_stale:
            self._hard_state_is_stale = False
            self._persist(self._persist_hard_state())

    def _persist(self, records: tuple[Record, ...], *, durable_index: LogIndex | None = None) -> None:
        """Start a write; `durable_index` is what the log reaches on disk when it is stable."""
        if self._hard_state_is_stale:
            self._hard_state_is_stale = False
            records = self._persist_hard_state() + records
        if not records:
            return
        self._emit(Persist(records))
        self._persist_count += 1
        if durable_index is not None:
            self._writes.append((self._persist_count, durable_index))

    def _truncated_to(self, index: LogIndex) -> None:
        """Note that entries behind an index are gone: writes under way made others durable than the log now holds."""
        self.durable_index = min(self.durable_index, index)
        self._writes = deque((ordinal, min(reached, index)) for ordinal, reached in self._writes)

    def _note_durable(self, count: int) -> None:
        """Learn that the first writes are stable. Complexity: O(writes that became stable)."""
        self._persisted_count = count
        writes = self._writes
        while writes and writes[0][0] <= count:
            self.durable_index = max(self.durable_index, writes.popleft()[1])
        assert self.durable_index <= self.log.last_index, "nothing is durable that is not held"

    # Wire and host.

    def _send(self, to: NodeId, message: Message) -> None:
        """Send behind all writes, this step's term and vote among them."""
        self._flush_hard_state()
        self._emit(Send(to, message))

    def _answer(self, output: Output) -> None:
        """Hand something to the host at once: it promises nothing about writes still in flight."""
        self._emit(Deliver(output, eager=True))

    def _refuse(self, token: int, reason: str) -> None:
        # Eager: a refusal is about what did not happen.
        self._answer(Refused(token, self.leader, reason))

    def _refuse_snapshot(self, marker: SnapshotMarker) -> None:
        # Not eager: an earlier copy of the same snapshot may be waiting for its marker's write; it must be used first.
        self._emit(Deliver(SnapshotRefused(marker)))

    def _announce(self) -> None:
        """Tell the host of a new role, term or leader. Eager: it is news, not a promise."""
        current = (self.role_name, self.term, self.leader)
        if current != self._announced:
            self._announced = current
            self._answer(RoleChanged(*current))

    # Commitment.

    def _advance_commit(self, index: LogIndex) -> None:
        assert self.commit_index <= index, "a commit index never moves back"
        assert index <= self.log.last_index, "nothing is committed that is not held"
        self.commit_index = index

    def _deliver_committed(self) -> None:
        """Hand to the host what is committed and on this node's own disk."""
        reached = LogIndex(min(self.commit_index, self.durable_index))
        if reached <= self.delivered_index:
            return
        entries = self.log.slice(self.delivered_index + 1, reached)
        self.delivered_index = reached
        # Eager: the entries are stable here and on a quorum, so no write in flight can change them.
        self._answer(Committed(entries))
        for entry in entries:
            if entry.kind == CONFIGURATION:
                configuration = CONFIGURATIONS.decode(entry.payload)
                if not configuration.is_joint:
                    self._answer(Reconfigured(configuration))

    # Roles and members.

    @property
    def _may_campaign(self) -> bool:
        """Whether this node has a vote, or may still have one.

        Thesis §4.2.2: a node that a configuration removes still campaigns until it knows that it is committed. It may
        be the only one that holds that entry, and the others may need its vote, which it must refuse them.
        """
        configurations = self.log.configurations
        if configurations[-1][1].is_voter(self.node):
            return True
        is_open = self.commit_index < configurations[-1][0] and len(configurations) > 1
        return is_open and configurations[-2][1].is_voter(self.node)

    def _adopt_term(self, term: int) -> None:
        assert self.term < term, "terms only grow"
        self.term = term
        self.voted_for = None
        self._hard_state_is_stale = True

    def _become_follower(self, term: int, leader: NodeId | None) -> None:
        """Follow a leader of this or a newer term, or wait for one."""
        assert self.term <= term, "nobody follows the past"
        if self.term < term:
            self._adopt_term(term)
        former = self.role
        if isinstance(former, Leader):
            marks.hit("raft: a leader was deposed")
        self._leave_role()
        if isinstance(former, Follower):
            self.role = Follower(leader, former.heard_at)
            if leader is None:
                # A newer term alone is no reason to wait longer: a candidate that cannot win must not keep others back.
                return
        else:
            self.role = Follower(leader)
        self._arm_election(self._draw_election_timeout())

    def _leave_role(self) -> None:
        """Answer what only the present role could have answered."""
        match self.role:
            case Follower(_, _, reads):
                for read in reads.values():
                    self._answer(ReadFailed(read.token))
                reads.clear()
            case PreCandidate() | Candidate():
                pass
            case Leader():
                self._leave_leadership(self.role)
            case _:
                assert_never(self.role)

    def _leave_leadership(self, role: Leader) -> None:
        self._emit(CancelTimer(HEARTBEAT))
        for read in role.reads:
            self._fail_read(read.token, read.requester)
        for waiting in role.waiting:
            self._fail_read(waiting.token, waiting.requester)
        if role.transfer is not None:
            self._emit(CancelTimer(TRANSFER))
            self._answer(Transferred(role.transfer.token))
            marks.hit("raft: a transfer ended this leadership")

    def _fail_read(self, token: int, requester: NodeId | None) -> None:
        if requester is None:
            self._answer(ReadFailed(token))
        else:
            self._send(requester, ReadIndexResponse(self.term, token, LogIndex(0)))

    def _use_configuration(self) -> None:
        """Count by the newest configuration; a leader speaks to exactly its members."""
        configuration = self.log.configuration
        self.quorum = JointQuorum(configuration.voters, configuration.outgoing)
        if isinstance(self.role, Leader):
            known = self.role.progress
            start = LogIndex(self.log.last_index + 1)
            peers = [peer for peer in configuration.members if peer != self.node]
            self.role.progress = {peer: known.get(peer) or Progress(start) for peer in peers}

    # Timers.

    def _draw_election_timeout(self) -> Duration:
        span = self.config.election_timeout
        return Duration(self.rng.randrange(span, 2 * span))

    def _arm_election(self, after: Duration) -> None:
        self._election_timeout = after
        self._election_deadline = later(self.now, after)
        self._emit(SetTimer(ELECTION, after))

    def _arm_rest(self) -> None:
        """Wait until the deadline that was moved since the timer was set."""
        self._emit(SetTimer(ELECTION, Duration(self._election_deadline - self.now)))

    def _postpone_election(self) -> None:
        """Move the deadline without touching the timer: it looks at the deadline when it fires."""
        self._election_deadline = later(self.now, self._election_timeout)


def entries_bytes(entries: tuple[Entry, ...]) -> int:
    """Return the payload bytes of entries. Complexity: O(n)."""
    return sum([len(entry.payload) for entry in entries])
