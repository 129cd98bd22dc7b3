"""What a host asks of its machine."""

from quorate.kernel import Call, LogIndex, NodeId
from quorate.protocols.raft.records import SnapshotMarker


class Propose(Call, frozen=True, gc=False, tag=True):
    """Put payloads into the log, one COMMAND entry each. Answered by `Proposed` or `Refused`."""

    payloads: tuple[bytes, ...]
    # The host's; comes back in the answer.
    token: int
    # The peer on whose behalf it is: it is told of the commitment at once. None: this node.
    origin: NodeId | None = None


class Read(Call, frozen=True, gc=False, tag=True):
    """Ask for an index that makes a read of the state machine linearizable. Answered by `ReadReady` or `ReadFailed`."""

    token: int


class Reconfigure(Call, frozen=True, gc=False, tag=True):
    """Change the members, by joint consensus. Answered by `Proposed` or `Refused`, finished by `Reconfigured`."""

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...]
    token: int


class TransferLeadership(Call, frozen=True, gc=False, tag=True):
    """Hand leadership to a voter. Answered by `Transferred` or `Refused` (also when it did not happen in time)."""

    to: NodeId
    token: int


class Compact(Call, frozen=True, gc=False, tag=True):
    """Say that the state up to an applied index is durably checkpointed, so that the log may be cut."""

    index: LogIndex


class SnapshotReceived(Call, frozen=True, gc=False, tag=True):
    """Say that all bytes of a snapshot are here, verified and durable.

    Answered by `InstallSnapshot` or `SnapshotRefused`.
    """

    sender: NodeId
    marker: SnapshotMarker
    # The sender's term when the stream began.
    term: int


class SnapshotSent(Call, frozen=True, gc=False, tag=True):
    """Say that the stream asked for by `SendSnapshot` has ended, well or not."""

    to: NodeId
    ok: bool


class PeerLost(Call, frozen=True, gc=False, tag=True):
    """Say that the link to a peer broke: what was in flight may be lost."""

    peer: NodeId


RaftCall = Propose | Read | Reconfigure | TransferLeadership | Compact | SnapshotReceived | SnapshotSent | PeerLost
