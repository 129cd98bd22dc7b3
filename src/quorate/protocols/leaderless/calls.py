"""What a host asks of a leaderless node's machine."""

from typing import Final

from quorate.kernel import Call, Duration, NodeId
from quorate.protocols.leaderless.changes import AnyChange
from quorate.protocols.leaderless.topology import Topology

LEVELS: Final = (
    # Answered at once, promises nothing: fire and forget.
    "NONE",
    # A hint on any node is enough (writes only).
    "ANY",
    "ONE",
    "TWO",
    "THREE",
    "QUORUM",
    "ALL",
    "LOCAL_ONE",
    "LOCAL_QUORUM",
    "EACH_QUORUM",
)
"""How many replicas must have answered: the words of Cassandra's consistency levels, and NONE."""


class Request(Call, frozen=True, gc=False, tag=True):
    """Read or change one key. Answered by exactly one `Answered` or `Failed` with the token, also after a timeout."""

    # The host's; comes back in the answer. Unique in one life of the host.
    token: int
    key: bytes
    # None: a read.
    change: AnyChange | None = None
    # A word of LEVELS, or a number of replicas as digits ("2"); empty: the keyspace's.
    level: str = ""
    # Writes: token of what the client had read of this key. Reads: ignored.
    context: bytes = b""
    # Reads: the answer must include all that this token stands for, else more replicas are asked; then STALE.
    at_least: bytes = b""
    # After this the request ends; 0: the configuration's.
    timeout: Duration = Duration(0)


class Batch(Call, frozen=True, gc=False, tag=True):
    """All requests of one turn of the loop."""

    requests: tuple[Request, ...]
    # This node's wall clock.
    wall_ns: int


class Tick(Call, frozen=True, gc=False, tag=True):
    """Tell the wall clock, about once a second: hints and tombstones grow old."""

    wall_ns: int


class PeerUp(Call, frozen=True, gc=False, tag=True):
    """A failure detector believes that a node can be reached again."""

    node: NodeId


class PeerDown(Call, frozen=True, gc=False, tag=True):
    """A failure detector believes that a node cannot be reached."""

    node: NodeId


class Reconcile(Call, frozen=True, gc=False, tag=True):
    """Exchange cells of these keys with a peer, both ways: anti-entropy found that they differ."""

    peer: NodeId
    keys: tuple[bytes, ...]


class Absorb(Call, frozen=True, gc=False, tag=True):
    """Merge these cells into this node's copies: of keys that it holds, from a backup."""

    # Keys and cells.
    cells: tuple[tuple[bytes, bytes], ...]


class Synchronized(Call, frozen=True, gc=False, tag=True):
    """All owners of a range agreed on it at some moment: tombstones that are older may go (purge by repair)."""

    # Hashes from start, not including end.
    start: int
    end: int
    # When the comparison began, this node's wall clock.
    wall_ns: int


class Reconfigure(Call, frozen=True, gc=False, tag=True):
    """Take a newer topology: ranges are streamed while both the old and the new owners are served."""

    topology: Topology
