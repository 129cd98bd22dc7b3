"""What a host asks of its machine."""

import msgspec

from quorate.kernel import Call, NodeId


class SharedRange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run of hashes that this node holds copies of, and who else does."""

    # From start, not including end.
    start: int
    end: int
    # Ascending, without this node.
    peers: tuple[NodeId, ...]


class Reshape(Call, frozen=True, gc=False, tag=True):
    """Compare these ranges from now on. Nodes with different versions do not compare."""

    version: int
    # Ascending, without overlaps.
    ranges: tuple[SharedRange, ...]


class Changed(Call, frozen=True, gc=False, tag=True):
    """Keys hold something else: each with its digest (`digest_of`), 0 for nothing."""

    entries: tuple[tuple[bytes, int], ...]


class PeerUp(Call, frozen=True, gc=False, tag=True):
    """A peer can be reached again: what is shared with it is compared first."""

    node: NodeId


class PeerDown(Call, frozen=True, gc=False, tag=True):
    """A peer cannot be reached: it is left out until `PeerUp`."""

    node: NodeId


class Tick(Call, frozen=True, gc=False, tag=True):
    """Tell the wall clock, about once a second; agreements are dated by it."""

    wall_ns: int


class CompareAll(Call, frozen=True, gc=False, tag=True):
    """Compare all ranges with all peers now, past the pace of intervals (an operator's repair).

    What is under way began earlier and ends: whatever agrees from now on was compared from now on.
    """


AntiEntropyCall = Reshape | Changed | PeerUp | PeerDown | Tick | CompareAll
