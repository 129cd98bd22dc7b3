"""What a leaderless node's machine hands to its host."""

from typing import Literal

from quorate.kernel import Output


class Answered(Output, frozen=True, gc=False, tag=True):
    """A request is done: so many replicas as its level says have answered (and, writes, have it on disk)."""

    token: int
    # Reads: the merged cell, empty for nothing. Writes: the coordinator's new cell. `Rule.seen`, `Rule.token` read it.
    cell: bytes


class Failed(Output, frozen=True, gc=False, tag=True):
    """A request ended without its level."""

    token: int
    # UNREACHABLE (too few replicas), TIMEDOUT, STALE (no replica has what `at_least` asks), OVERLOADED, or the rule's.
    code: str
    sentence: str
    # "no": it did not and will not happen. "maybe": it may have, or may still (a hint, a replica that was late).
    happened: Literal["no", "maybe"]


class CellChanged(Output, frozen=True, gc=False, tag=True):
    """This node's copy of a key changed: for anti-entropy's trees and for watchers. Eager: memory, not disk."""

    key: bytes
    # Empty: there was none; there is none any more (purged, or moved away).
    before: bytes
    after: bytes


class Settled(Output, frozen=True, gc=False, tag=True):
    """This node uses a topology alone: all movement to it has ended."""

    version: int
