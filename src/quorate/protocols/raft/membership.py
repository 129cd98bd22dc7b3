"""Change of members by joint consensus (§6, thesis §4.3) and of the leader on request (thesis §3.10)."""

from quorate.kernel import LogIndex, NodeId, Send, SetTimer, marks
from quorate.protocols.raft.calls import Reconfigure, TransferLeadership
from quorate.protocols.raft.entries import CONFIGURATION, CONFIGURATIONS, Configuration
from quorate.protocols.raft.leading import Leading
from quorate.protocols.raft.messages import TimeoutNow
from quorate.protocols.raft.outputs import Proposed, Refused
from quorate.protocols.raft.progress import Progress
from quorate.protocols.raft.roles import Leader, Transfer
from quorate.protocols.raft.state import TRANSFER


class Membership(Leading):
    """Every change, of one voter or of all, goes through a joint configuration that needs both majorities.

    There is no single-server shortcut: that is where the bug of 2015 lived (two leaders of different terms each change
    one server, and their majorities need not meet).
    """

    def _on_reconfigure(self, call: Reconfigure) -> None:
        role = self.role
        voters, learners = tuple(sorted(set(call.voters))), tuple(sorted(set(call.learners)))
        wanted = Configuration(voters, learners)
        reason = self._why_not_reconfigure(wanted)
        if not isinstance(role, Leader) or reason:
            marks.hit("raft: change of members refused")
            self._refuse(call.token, reason or "not leader")
            return
        index = LogIndex(self.log.last_index + 1)
        joint = Configuration(voters, learners, outgoing=self.configuration.voters)
        self._append_own(role, CONFIGURATION, (CONFIGURATIONS.encode(joint),))
        self._replicate(role)
        self._answer(Proposed(call.token, index, self.term))

    def _why_not_reconfigure(self, wanted: Configuration) -> str:
        """Return why a change may not begin now, or nothing."""
        role = self.role
        if not isinstance(role, Leader):
            return "not leader"
        if not wanted.voters or not wanted.is_well_formed:
            return "a configuration needs a voter, ids from 1 on, and nobody is voter and learner at once"
        if role.transfer is not None:
            return "transfer in progress"
        if not self._may_reconfigure(role):
            return "no entry of this term is committed yet"
        if self.configuration.is_joint or self.commit_index < self.log.configuration_index:
            return "another change is in progress"
        return ""

    def _may_reconfigure(self, role: Leader) -> bool:
        """Return whether this leader knows everything that is committed, configurations among it."""
        return role.first_index <= self.commit_index

    def _advance_membership(self, role: Leader) -> None:
        """Take the next step of a change when the last one is committed."""
        if self.commit_index < self.log.configuration_index or self.commit_index < role.first_index:
            return
        configuration = self.configuration
        if configuration.is_joint:
            marks.hit("raft: leaves the joint configuration")
            final = Configuration(configuration.voters, configuration.learners)
            self._append_own(role, CONFIGURATION, (CONFIGURATIONS.encode(final),))
            self._replicate(role)
        elif not configuration.is_voter(self.node):
            self._hand_over(role)

    def _hand_over(self, role: Leader) -> None:
        """Step down, being no voter any more (§6), and let the best voter campaign without waiting."""
        marks.hit("raft: a leader that was removed steps down")
        best = max(self.configuration.voters, key=lambda voter: role.progress[voter].match_index)
        # Eager: it promises nothing.
        self._emit(Send(best, TimeoutNow(self.term), eager=True))
        self._become_follower(self.term, None)

    # Transfer.

    def _on_transfer_leadership(self, call: TransferLeadership) -> None:
        role = self.role
        if not isinstance(role, Leader):
            self._refuse(call.token, "not leader")
        elif role.transfer is not None:
            self._refuse(call.token, "transfer in progress")
        elif call.to == self.node or not self.configuration.is_voter(call.to):
            marks.hit("raft: transfer refused, not to another voter")
            self._refuse(call.token, "not another voter")
        else:
            role.transfer = Transfer(call.to, call.token)
            self._emit(SetTimer(TRANSFER, self.config.election_timeout))
            self._maybe_finish_transfer(role, call.to, role.progress[call.to])

    def _maybe_finish_transfer(self, role: Leader, peer: NodeId, progress: Progress) -> bool:
        """Tell the target to campaign when it holds everything; return whether it was told."""
        transfer = role.transfer
        if transfer is None or transfer.is_sent or transfer.to != peer or progress.match_index < self.log.last_index:
            return False
        marks.hit("raft: the target of a transfer is told to campaign")
        transfer.is_sent = True
        # It will be elected within the lease, by voters that are asked to overlook it.
        role.is_lease_void = True
        # Eager: it promises nothing.
        self._emit(Send(peer, TimeoutNow(self.term), eager=True))
        return True

    def _on_transfer_timeout(self, role: Leader) -> None:
        """Give up after an election timeout; this node leads on."""
        if role.transfer is not None:
            marks.hit("raft: transfer given up")
            # Eager: a refusal is about what did not happen in time.
            self._answer(Refused(role.transfer.token, self.node, "transfer timed out"))
            role.transfer = None
