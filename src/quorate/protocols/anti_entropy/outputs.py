"""What a machine hands to its host."""

from quorate.kernel import NodeId, Output


class Divergent(Output, frozen=True, gc=False, tag=True):
    """This node and a peer hold different things under these keys, and under no others of what was listed."""

    peer: NodeId
    keys: tuple[bytes, ...]


class Agreed(Output, frozen=True, gc=False, tag=True):
    """A peer held the same as this node in a run of hashes: at some moments after the comparison began."""

    peer: NodeId
    # From start, not including end: a whole range, or neighbouring pieces of one whose other pieces differ.
    start: int
    end: int
    # This node's wall clock at the `Tick` before.
    began_wall_ns: int


AntiEntropyOutput = Divergent | Agreed
