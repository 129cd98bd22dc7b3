"""What a node writes down for its own recovery; replayed in order."""

from typing import Final

from quorate.kernel import Codec, NodeId, Record
from quorate.protocols.raft.entries import Configuration, Entry, Index, Term


class HardState(Record, frozen=True, array_like=True, gc=False, tag=True):
    """The promises that must survive a crash; the last one counts (Figure 2, persistent state)."""

    term: Term
    # Who got this node's vote in this term; None: nobody yet.
    voted_for: NodeId | None


class Append(Record, frozen=True, array_like=True, gc=False, tag=True):
    """Entries, one after another; they replace everything from the first one's index on."""

    entries: tuple[Entry, ...]


class SnapshotMarker(Record, frozen=True, array_like=True, gc=False, tag=True):
    """A checkpoint of the state machine covers all entries up to an index.

    On replay: a log that holds this very entry keeps what follows; any other log is dropped, for it was replaced by a
    snapshot from a leader. The first record of a node's life is a marker at 0 with the initial configuration.
    """

    index: Index
    term: Term
    # In force at `index`.
    configuration: Configuration


RaftRecord = HardState | Append | SnapshotMarker

RECORDS: Final[Codec[RaftRecord]] = Codec(RaftRecord)
"""Encodes and decodes the records of a Raft node."""
