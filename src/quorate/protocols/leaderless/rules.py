"""What a keyspace does about concurrent writes: one interface, so that the protocol never looks into a cell.

A *cell* is all that a replica holds of one key, as bytes: the value or values, their stamps, or a tombstone. Cells of
one key form a join semilattice: `merge` is commutative, associative and idempotent, and equal cells are equal bytes, so
replicas compare cells by comparing bytes or their digests.
"""

from typing import Protocol

import msgspec

from quorate.clocks import HybridStamp
from quorate.kernel.errors import Refused
from quorate.protocols.leaderless.changes import AnyChange


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What a reader sees in a cell."""

    # In an order that is the same everywhere; empty for an absent or deleted key. string: the siblings (one for most
    # rules); counter: its sum in decimal; set: its members, ascending; hash: field, value, field, value …, ascending.
    values: tuple[bytes, ...] = ()
    # Strings: one note per value, as given to `Put`. Other kinds: none.
    notes: tuple[bytes, ...] = ()
    # "string", "counter", "set", "hash", "none" for a key that is absent or deleted, or "mixed" for one that was made
    # as two kinds at the same time: it has no values to show until it is deleted.
    kind: str = "none"


class ChangeRefused(Refused):
    """A change does not fit the cell or the rule (a counter is not a set); nothing happened."""

    def __init__(self, word: str, sentence: str) -> None:
        """Refuse with the first word on the wire (WRONGTYPE, TOOMANYSIBLINGS, TOOLARGE …) and a sentence."""
        super().__init__(sentence)
        self.word = word


class Rule(Protocol):
    """How cells are made, merged and read. Stateless; the same on every node of a keyspace."""

    # The word in the configuration: lww, siblings, merge:NAME, crdt.
    name: str
    # Whether a string may have several values side by side.
    keeps_siblings: bool

    def needs_dot(self, change: AnyChange) -> bool:
        """Return whether a change needs the coordinator's own copy and a dot of its own: then only owners coordinate.

        Such a change is on the coordinator's disk before anybody else hears of it, so a dot is never given twice.
        """

    def change(self, cell: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the cell after a change through this node; it contains the old one.

        Args:
            cell: what this node holds; empty for nothing. Of a change that needs a dot it holds every event that this
                actor ever gave for the key, but for those that a tombstone had covered before it was purged.
            change: what the client asks.
            actor: this node in this epoch of its disk; never used again after the node lost its cells.
            stamp: above every stamp that this node or the client has seen for this key, and unique. Its `wall_ns` is
                above every counter of a dot that this actor gave for a key it no longer holds: count on from there.
            context: the token of what the client had read; what it has seen is replaced. Empty: nothing was read.

        Raises:
            ChangeRefused: the change does not fit; with a code and a sentence.
        """

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the join of two cells of one key; either may be empty.

        Raises:
            Malformed: theirs is no cell of this rule (a peer may send anything).
        """

    def seen(self, cell: bytes) -> Seen:
        """Return what a reader sees. Of cells and tokens that `merge` or `token` gave, nothing here raises."""

    def sibling_count(self, cell: bytes) -> int:
        """Return how many living values a string has side by side; 0 or 1 for rules that keep one."""

    def token(self, cell: bytes) -> bytes:
        """Return the token of a cell: a client sends it back as context, or as the least that it wants to read."""

    def includes(self, cell: bytes, token: bytes) -> bool:
        """Return whether a cell contains all that a token stands for. A malformed token is included in nothing."""

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the largest stamp that a token carries; a coordinator's clock goes above it. None if there is none."""

    def deleted_at_ms(self, cell: bytes) -> int | None:
        """Return when a cell became a tombstone, wall clock; None while it holds anything alive."""
