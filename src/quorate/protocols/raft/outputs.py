"""What a machine hands to its host."""

from quorate.kernel import LogIndex, NodeId, Output
from quorate.protocols.raft.entries import Configuration, Entry
from quorate.protocols.raft.records import SnapshotMarker


class Proposed(Output, frozen=True, gc=False, tag=True):
    """A proposal has a place in the leader's log; it may still be lost. Committed only if that index gets that term."""

    token: int
    # Of the first payload; the others follow.
    first_index: LogIndex
    term: int


class Refused(Output, frozen=True, gc=False, tag=True):
    """A call was refused: nothing happened (for a transfer: it did not happen in time)."""

    token: int
    # Who would know better; None: nobody is known.
    leader: NodeId | None
    # One of: not leader, overloaded, transfer in progress, …; for people and for tests.
    reason: str


class Committed(Output, frozen=True, gc=False, tag=True):
    """Entries to apply: in order, each once per life of the machine, all on this node's disk."""

    entries: tuple[Entry, ...]


class ReadReady(Output, frozen=True, gc=False, tag=True):
    """A read is linearizable on any state that includes the entry at `index`."""

    token: int
    index: LogIndex


class ReadFailed(Output, frozen=True, gc=False, tag=True):
    """No leader confirmed the read; try again."""

    token: int


class RoleChanged(Output, frozen=True, gc=False, tag=True):
    """Role, term or known leader changed."""

    # follower, pre_candidate, candidate or leader.
    role: str
    term: int
    leader: NodeId | None


class SendSnapshot(Output, frozen=True, gc=False, tag=True):
    """Stream the latest checkpoint (at `marker` or later) to a peer, then call `SnapshotSent`."""

    to: NodeId
    marker: SnapshotMarker


class InstallSnapshot(Output, frozen=True, gc=False, tag=True):
    """Replace the state machine by the received snapshot; its marker is already on disk."""

    marker: SnapshotMarker


class SnapshotRefused(Output, frozen=True, gc=False, tag=True):
    """A received snapshot is stale or not needed: its bytes may be thrown away.

    Unless another copy with the same marker is still to be installed (then it is the machine's `log.snapshot`).
    """

    marker: SnapshotMarker


class Reconfigured(Output, frozen=True, gc=False, tag=True):
    """A change of members is complete: this configuration is committed and not joint. On every node."""

    configuration: Configuration


class Transferred(Output, frozen=True, gc=False, tag=True):
    """A transfer ended this node's leadership."""

    token: int


RaftOutput = (
    Proposed
    | Refused
    | Committed
    | ReadReady
    | ReadFailed
    | RoleChanged
    | SendSnapshot
    | InstallSnapshot
    | SnapshotRefused
    | Reconfigured
    | Transferred
)
