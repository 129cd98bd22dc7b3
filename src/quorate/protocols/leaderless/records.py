"""What a leaderless node writes down for its own recovery; replayed in order, the last one of a key counts."""

from collections.abc import Iterable
from typing import Final

from quorate.kernel import Codec, NodeId, Record
from quorate.protocols.leaderless.topology import Topology


class Born(Record, frozen=True, array_like=True, gc=False, tag=True):
    """Who this node stamps as: chosen anew when there are no records, so that no dot is used again after a lost disk.

    Source: Riak's key epochs.
    """

    actor: int
    # No stamp above this was given before; a higher ceiling is written ahead of use.
    ceiling_ns: int


class Stored(Record, frozen=True, array_like=True, gc=False, tag=True):
    """A key has this cell; empty: it is held no more (purged, or moved away)."""

    key: bytes
    cell: bytes


class Hinted(Record, frozen=True, array_like=True, gc=False, tag=True):
    """A cell is kept for a node that could not be reached; a later one for the same node and key holds both."""

    owner: NodeId
    key: bytes
    cell: bytes
    # Wall clock of the oldest write in it.
    wall_ns: int


class HintGone(Record, frozen=True, array_like=True, gc=False, tag=True):
    """A hint was delivered, or grew too old."""

    owner: NodeId
    key: bytes


class Adopted(Record, frozen=True, array_like=True, gc=False, tag=True):
    """This node works with a topology: until `Settled` beside the one before it."""

    topology: Topology
    is_settled: bool


class Streamed(Record, frozen=True, array_like=True, gc=False, tag=True):
    """What this node gains in a topology has come from one source up to a hash; it goes on there after a crash."""

    # `topology.name_of`.
    plan: int
    # First and last hash of the range.
    start: int
    last: int
    source: NodeId
    # Hashes up to this one have come.
    through: int


class Gathered(Record, frozen=True, array_like=True, gc=False, tag=True):
    """This node holds all that it gains in a topology."""

    # `topology.name_of`.
    plan: int


LeaderlessRecord = Born | Stored | Hinted | HintGone | Adopted | Streamed | Gathered
RECORDS: Final[Codec[LeaderlessRecord]] = Codec(LeaderlessRecord)


def canonical(records: Iterable[Record]) -> list[Record]:
    """Return the shortest list that means the same; what a host keeps at a checkpoint.

    Complexity: O(records).
    """
    born: Born | None = None
    adopted: list[Adopted] = []
    cells: dict[bytes, Stored] = {}
    hints: dict[tuple[NodeId, bytes], Hinted] = {}
    # Of the movement under way.
    streams: dict[tuple[int, NodeId], Streamed] = {}
    gathered: Gathered | None = None
    for record in records:
        match record:
            case Born():
                born = record
            case Stored(key, cell):
                if cell:
                    cells[key] = record
                else:
                    cells.pop(key, None)
            case Hinted(owner, key):
                hints[owner, key] = record
            case HintGone(owner, key):
                hints.pop((owner, key), None)
            case Adopted():
                adopted = [record] if record.is_settled else [*(old for old in adopted if old.is_settled), record]
                streams, gathered = {}, None
            case Streamed(_, start, _, source):
                streams[start, source] = record
            case Gathered():
                gathered = record
            case _:
                pass
    movement = [*streams.values(), *([gathered] if gathered else [])]
    return [*([born] if born else []), *adopted, *movement, *cells.values(), *hints.values()]
