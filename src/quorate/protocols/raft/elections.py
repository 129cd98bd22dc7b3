"""Who leads: pre-votes, votes and the check of the quorum (§5.2, §5.4.1, thesis §9.6, §6.2)."""

from typing import assert_never

from quorate.kernel import CancelTimer, LogIndex, NodeId, Send, marks
from quorate.protocols.quorums import Vote
from quorate.protocols.raft.entries import EMPTY
from quorate.protocols.raft.leading import Leading
from quorate.protocols.raft.messages import RequestVote, TimeoutNow, VoteResult
from quorate.protocols.raft.progress import Progress
from quorate.protocols.raft.roles import Candidate, Follower, Leader, PreCandidate
from quorate.protocols.raft.state import ELECTION, entries_bytes


class Elections(Leading):
    """At most one leader per term, and only one that holds everything committed."""

    def _on_election_timeout(self) -> None:
        match self.role:
            case Leader():
                self._check_quorum(self.role)
            case Follower() if self.now < self._election_deadline:
                # A leader was heard since the timer was set; it is moved here, not at every message.
                self._arm_rest()
            case Follower() | PreCandidate() | Candidate():
                if self._may_campaign:
                    self._campaign()
                else:
                    self._arm_election(self._draw_election_timeout())
            case _:
                assert_never(self.role)

    def _campaign(self) -> None:
        if self.config.pre_vote:
            self._become_pre_candidate()
        else:
            self._become_candidate(is_transfer=False)

    def _become_pre_candidate(self) -> None:
        """Ask whether an election could be won; terms stay as they are (thesis §9.6)."""
        self._leave_role()
        self.role = PreCandidate({self.node: True})
        self._arm_election(self._draw_election_timeout())
        request = RequestVote(self.term + 1, self.log.last_index, self.log.last_term, pre=True)
        for voter in self.quorum.voters:
            if voter != self.node:
                # Eager: it announces nothing but the wish.
                self._emit(Send(voter, request, eager=True))
        self._tally_pre_votes(self.role)

    def _become_candidate(self, *, is_transfer: bool) -> None:
        """Begin a new term and vote for itself (§5.2); requests leave when that is on disk."""
        assert self._may_campaign, "only a node that may have a vote stands for election"
        self._leave_role()
        self._adopt_term(self.term + 1)
        self.voted_for = self.node
        self._flush_hard_state()
        self.role = Candidate({}, self._persist_count, is_transfer)
        self._arm_election(self._draw_election_timeout())
        request = RequestVote(self.term, self.log.last_index, self.log.last_term, transfer=is_transfer)
        for voter in self.quorum.voters:
            if voter != self.node:
                self._send(voter, request)
        self._maybe_count_own_vote(self.role)

    def _maybe_count_own_vote(self, role: Candidate) -> bool:
        """Count this node's vote for itself when it is stable; return whether it is.

        A sole voter would otherwise lead, and speak, in a term that a crash could make it begin again.
        """
        if self._persisted_count < role.vote_ordinal or self.node in role.votes:
            return False
        role.votes[self.node] = True
        self._tally_votes(role)
        return True

    def _become_leader(self) -> None:
        assert isinstance(self.role, Candidate), "leaders are elected"
        start = LogIndex(self.log.last_index + 1)
        peers = [peer for peer in self.configuration.members if peer != self.node]
        role = Leader({peer: Progress(start) for peer in peers}, first_index=start)
        if self.commit_index < self.log.last_index:
            role.uncommitted_bytes = entries_bytes(self.log.slice(self.commit_index + 1, self.log.last_index))
        self.role = role
        if self.config.check_quorum:
            self._arm_election(self.config.election_timeout)
        else:
            self._emit(CancelTimer(ELECTION))
        # §8: an entry of its own term commits what earlier leaders left, and shows what is committed.
        self._append_own(role, EMPTY, (b"",))
        self._replicate(role)
        self._arm_heartbeat()

    def _check_quorum(self, role: Leader) -> None:
        """Step down when no quorum was heard for an election timeout (thesis §6.2): clients should look elsewhere."""
        active = [self.node]
        for peer, progress in role.progress.items():
            if progress.is_active:
                active.append(peer)
            progress.is_active = False
        if self.quorum.has(active):
            self._arm_election(self.config.election_timeout)
        else:
            marks.hit("raft: leader steps down, no quorum heard")
            self._become_follower(self.term, None)

    # Requests.

    def _on_request_vote(self, sender: NodeId, message: RequestVote) -> None:
        if message.term < self.term:
            marks.hit("raft: vote refused, old term")
            self._send(sender, VoteResult(self.term, granted=False, pre=message.pre))
        elif self._is_leased(message):
            # Thesis §4.2.3: a node that was removed, or cut off, must not depose a leader that does its work.
            marks.hit("raft: vote request ignored, a leader was heard just now")
        elif message.pre:
            self._answer_pre_vote(sender, message)
        else:
            if self.term < message.term:
                self._become_follower(message.term, None)
            self._answer_vote(sender, message)

    def _is_leased(self, message: RequestVote) -> bool:
        """Return whether this node leads, or heard a leader less than an election timeout ago."""
        if message.transfer or not (self.config.check_quorum or message.pre):
            return False
        role = self.role
        if isinstance(role, Leader):
            return True
        heard_at = role.heard_at if isinstance(role, Follower) else None
        return heard_at is not None and self.now - heard_at < self.config.election_timeout

    def _answer_pre_vote(self, sender: NodeId, message: RequestVote) -> None:
        granted = self.term < message.term and self._is_up_to_date(message)
        term = message.term if granted else self.term
        # Eager: no promise is made, any number of nodes may get this answer.
        self._emit(Send(sender, VoteResult(term, granted, pre=True), eager=True))

    def _answer_vote(self, sender: NodeId, message: RequestVote) -> None:
        assert message.term == self.term, "votes are given in the present term"
        granted = self._may_vote_for(sender) and self._is_up_to_date(message)
        if granted:
            self._grant_vote(sender)
        else:
            marks.hit("raft: vote refused")
            if not self._is_up_to_date(message):
                marks.hit("raft: vote refused, the log is not up to date")
        # Behind the write: a vote that is said and forgotten elects two leaders.
        self._send(sender, VoteResult(self.term, granted))

    def _may_vote_for(self, candidate: NodeId) -> bool:
        """Return whether this node's vote of the term is free, or already this candidate's (§5.2)."""
        return self.leader is None and self.voted_for in {None, candidate}

    def _grant_vote(self, candidate: NodeId) -> None:
        if self.voted_for != candidate:
            self.voted_for = candidate
            self._hard_state_is_stale = True
        self._postpone_election()

    def _is_up_to_date(self, message: RequestVote) -> bool:
        """Return whether a candidate's log has all that may be committed (§5.4.1)."""
        return (message.last_term, message.last_index) >= (self.log.last_term, self.log.last_index)

    # Results.

    def _on_vote_result(self, sender: NodeId, message: VoteResult) -> None:
        # A granted pre-vote names the term that would be; it is not one that anybody has seen.
        is_promise = message.pre and message.granted
        if self.term < message.term and not is_promise:
            self._become_follower(message.term, None)
        role = self.role
        if sender not in self.quorum.voters:
            return
        if isinstance(role, PreCandidate) and message.pre:
            if not message.granted or message.term == self.term + 1:
                role.votes.setdefault(sender, message.granted)
                self._tally_pre_votes(role)
        elif isinstance(role, Candidate) and not message.pre and message.term == self.term:
            role.votes.setdefault(sender, message.granted)
            self._tally_votes(role)

    def _tally_pre_votes(self, role: PreCandidate) -> None:
        match self.quorum.vote(role.votes):
            case Vote.WON:
                self._become_candidate(is_transfer=False)
            case Vote.LOST:
                marks.hit("raft: pre-vote lost")
                self._become_follower(self.term, None)
            case Vote.PENDING:
                pass

    def _tally_votes(self, role: Candidate) -> None:
        match self.quorum.vote(role.votes):
            case Vote.WON:
                self._become_leader()
            case Vote.LOST:
                marks.hit("raft: election lost")
                self._become_follower(self.term, None)
            case Vote.PENDING:
                pass

    def _on_timeout_now(self, sender: NodeId, message: TimeoutNow) -> None:
        """Campaign at once, at the wish of the leader (thesis §3.10)."""
        is_leaders_wish = message.term == self.term and self.leader == sender
        if isinstance(self.role, Follower) and is_leaders_wish and self._may_campaign:
            marks.hit("raft: campaigns at the leader's wish")
            self._become_candidate(is_transfer=True)
