"""The roles of a node, as data: what only a leader has, only a leader can hold."""

from collections import deque
from typing import Final

import msgspec

from quorate.kernel import Instant, LogIndex, NodeId
from quorate.protocols.raft.progress import Progress


class ForwardedRead(msgspec.Struct):
    """A read whose index the leader was asked for."""

    token: int
    asked_at: Instant


class PendingRead(msgspec.Struct):
    """A read at a leader, waiting until a quorum has answered a round that began after it."""

    round: int
    # The leader's commit index when the read came.
    index: LogIndex
    token: int
    # Who asked; None: this node's own host.
    requester: NodeId | None


class WaitingRead(msgspec.Struct):
    """A read at a leader that has not yet committed an entry of its own term."""

    token: int
    requester: NodeId | None


class Transfer(msgspec.Struct):
    """Leadership is being handed over; proposals are refused meanwhile."""

    to: NodeId
    token: int
    # The peer was told to campaign.
    is_sent: bool = False


class Follower(msgspec.Struct):
    """Follows a leader, or waits for one."""

    # Of this term; None: not known.
    leader: NodeId | None = None
    # When a leader was last heard, of this term or an earlier one; None: never in this life.
    heard_at: Instant | None = None
    # By number on the wire, oldest first.
    reads: dict[int, ForwardedRead] = msgspec.field(default_factory=dict)


class PreCandidate(msgspec.Struct):
    """Asks whether it would be elected, without disturbing anybody's term."""

    # Voter → granted; its own among them.
    votes: dict[NodeId, bool]


class Candidate(msgspec.Struct):
    """Stands for election in its term."""

    # Voter → granted; its own counts when it is on disk.
    votes: dict[NodeId, bool]
    # The write that holds its own vote.
    vote_ordinal: int
    # The old leader asked for this election.
    is_transfer: bool


class Leader(msgspec.Struct):
    """Orders commands for its term."""

    # All members but itself, in order of their ids.
    progress: dict[NodeId, Progress]
    # Its first entry; reads and changes of members wait until it is committed.
    first_index: LogIndex
    # Rounds of heartbeats begun; every AppendEntries that wants an answer carries the newest.
    round: int = 1
    # By round, ascending.
    reads: deque[PendingRead] = msgspec.field(default_factory=deque)
    waiting: list[WaitingRead] = msgspec.field(default_factory=list)
    # Payload bytes behind the commit index.
    uncommitted_bytes: int = 0
    transfer: Transfer | None = None
    # (round, when it was sent), for leases; ascending, not yet answered by a quorum.
    rounds: deque[tuple[int, Instant]] = msgspec.field(default_factory=deque)
    # When the newest round that a quorum answered was sent; None: no lease.
    leased_at: Instant | None = None
    # A peer was told to campaign, so a quorum may elect it within the lease: no leased read in this term any more.
    is_lease_void: bool = False


Role = Follower | PreCandidate | Candidate | Leader

ROLE_NAMES: Final[dict[type[Role], str]] = {
    Follower: "follower",
    PreCandidate: "pre_candidate",
    Candidate: "candidate",
    Leader: "leader",
}

TRANSITIONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("follower", "pre_candidate", "election timeout"),
    ("follower", "candidate", "election timeout without pre-vote, or TimeoutNow"),
    ("pre_candidate", "pre_candidate", "election timeout"),
    ("pre_candidate", "candidate", "a quorum would vote for it"),
    ("pre_candidate", "follower", "a leader, a newer term, or a quorum refuses"),
    ("candidate", "candidate", "election timeout without pre-vote"),
    ("candidate", "pre_candidate", "election timeout"),
    ("candidate", "leader", "votes of a quorum"),
    ("candidate", "follower", "a leader, a newer term, or a quorum refuses"),
    ("leader", "follower", "a newer term, no quorum heard, or it is no longer a voter"),
    ("follower", "follower", "a newer term, or a leader becomes known"),
)
"""(from, to, why): all changes of role there are; checked by every simulated step, drawn in docs/protocols/raft.md."""
