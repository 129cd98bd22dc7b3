"""Linearizable reads without a log entry: ReadIndex, and leases where they are allowed (thesis §6.4)."""

from quorate.kernel import LogIndex, NodeId, Send, marks
from quorate.protocols.raft.calls import Read
from quorate.protocols.raft.leading import Leading
from quorate.protocols.raft.messages import ReadIndexRequest, ReadIndexResponse
from quorate.protocols.raft.outputs import ReadFailed, ReadReady
from quorate.protocols.raft.roles import Follower, ForwardedRead, Leader, PendingRead, WaitingRead


class Reads(Leading):
    """Finds an index such that a state that includes it also includes every write that was answered before the read.

    A leader's commit index is such an index if it is still the leader when a quorum answers a round that began after
    the read, and if it has committed an entry of its own term (before that it may not know what is committed).
    """

    def _on_read(self, call: Read) -> None:
        role = self.role
        if isinstance(role, Leader):
            self._add_read(role, call.token, None)
        elif isinstance(role, Follower) and role.leader is not None and len(role.reads) < self.config.read_count_max:
            self._read_number += 1
            role.reads[self._read_number] = ForwardedRead(call.token, self.now)
            # Eager: a question promises nothing.
            self._emit(Send(role.leader, ReadIndexRequest(self.term, self._read_number), eager=True))
        else:
            marks.hit("raft: read failed, no leader is known")
            self._answer(ReadFailed(call.token))

    def _on_read_index_request(self, sender: NodeId, message: ReadIndexRequest) -> None:
        if isinstance(self.role, Leader) and message.term == self.term:
            self._add_read(self.role, message.token, sender)
        else:
            marks.hit("raft: refused a forwarded read")
            self._fail_read(message.token, sender)

    def _on_read_index_response(self, sender: NodeId, message: ReadIndexResponse) -> None:
        role = self.role
        if not isinstance(role, Follower) or role.leader != sender or message.term != self.term:
            return
        read = role.reads.pop(message.token, None)
        if read is None:
            marks.hit("raft: an answer to a read that nobody waits for")
        elif message.index == 0:
            self._answer(ReadFailed(read.token))
        else:
            marks.hit("raft: read served to a follower")
            # Eager: the index is committed on a quorum; this node's own writes have no part in it.
            self._answer(ReadReady(read.token, message.index))

    def _add_read(self, role: Leader, token: int, requester: NodeId | None) -> None:
        if len(role.reads) + len(role.waiting) >= self.config.read_count_max:
            marks.hit("raft: read refused, too many wait")
            self._fail_read(token, requester)
        elif self.commit_index < role.first_index:
            marks.hit("raft: read waits for the first commit of the term")
            role.waiting.append(WaitingRead(token, requester))
        elif self._has_lease(role):
            marks.hit("raft: read within the lease")
            self._answer_read(token, requester, self.commit_index)
        else:
            self._begin_round(role)
            role.reads.append(PendingRead(role.round, self.commit_index, token, requester))
            self._confirm_reads(role)

    def _start_waiting_reads(self, role: Leader) -> None:
        """Begin one round for all reads that waited for the first commit of the term."""
        if not role.waiting or self.commit_index < role.first_index:
            return
        self._begin_round(role)
        for read in role.waiting:
            role.reads.append(PendingRead(role.round, self.commit_index, read.token, read.requester))
        role.waiting.clear()
        self._confirm_reads(role)

    def _confirm_reads(self, role: Leader) -> None:
        """Answer the reads whose round a quorum has answered. Complexity: O(members + reads answered)."""
        if not role.reads and not role.rounds:
            return
        acknowledged = {peer: progress.acknowledged_round for peer, progress in role.progress.items()}
        acknowledged[self.node] = role.round
        confirmed = self.quorum.commit_index(acknowledged)
        while role.rounds and role.rounds[0][0] <= confirmed:
            role.leased_at = role.rounds.popleft()[1]
        while role.reads and role.reads[0].round <= confirmed:
            read = role.reads.popleft()
            self._answer_read(read.token, read.requester, read.index)

    def _answer_read(self, token: int, requester: NodeId | None, index: LogIndex) -> None:
        # Eager, both: what is committed is on the disks of a quorum, and this node's own writes have no part in it.
        if requester is None:
            self._answer(ReadReady(token, index))
        else:
            self._emit(Send(requester, ReadIndexResponse(self.term, token, index), eager=True))

    def _has_lease(self, role: Leader) -> bool:
        """Return whether nobody else can have been elected, by the clock alone.

        A quorum heard this leader at or after `leased_at` and grants no vote for T after that, by its own clocks.
        Source: thesis §6.4.1; the bound for drift is stated at `RaftConfig.lease_reads`.
        """
        if not self.config.lease_reads or role.is_lease_void or role.leased_at is None:
            return False
        return self.now - role.leased_at < self.config.lease
