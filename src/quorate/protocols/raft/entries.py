"""What a log is made of."""

from typing import Annotated, Final

import msgspec

from quorate.kernel import Codec, LogIndex, NodeId

# What may come over the wire or from a file: never negative, and small enough to count on for ever.
Index = Annotated[LogIndex, msgspec.Meta(ge=0, le=2**62)]
Term = Annotated[int, msgspec.Meta(ge=0, le=2**62)]

EMPTY: Final = 0
"""Kind of a leader's first entry: it carries nothing and commits what came before it."""
COMMAND: Final = 1
"""Kind of an entry that the state machine applies; a whole batch of commands, opaque here."""
CONFIGURATION: Final = 2
"""Kind of an entry that changes who takes part; its payload is an encoded `Configuration`."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A log cell. Index and term together name its content and everything before it (log matching, §5.3)."""

    # First is 1.
    index: Index
    # Of the leader that made it; never smaller than the term of the entry before.
    term: Term
    # EMPTY, COMMAND or CONFIGURATION.
    kind: Annotated[int, msgspec.Meta(ge=0, le=2)]
    payload: bytes


class Configuration(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A set of members; joint while `outgoing` is not empty. All tuples are sorted and without repetition."""

    # Have a vote.
    voters: tuple[NodeId, ...]
    # Get the log and have no vote. During a change, a voter that becomes a learner is also in `outgoing`.
    learners: tuple[NodeId, ...] = ()
    # The former voters, while a change is under way: both majorities must agree on everything.
    outgoing: tuple[NodeId, ...] = ()

    @property
    def is_joint(self) -> bool:
        """Whether a change is under way."""
        return bool(self.outgoing)

    @property
    def members(self) -> tuple[NodeId, ...]:
        """All nodes that get the log, sorted."""
        return tuple(sorted({*self.voters, *self.learners, *self.outgoing}))

    def is_voter(self, node: NodeId) -> bool:
        """Return whether a node has a vote in either half."""
        return node in self.voters or node in self.outgoing

    @property
    def is_well_formed(self) -> bool:
        """Whether all tuples are sorted sets of positive ids and nobody is a voter and a learner at once."""
        parts = (self.voters, self.learners, self.outgoing)
        are_sorted = all(list(part) == sorted(set(part)) for part in parts)
        are_ids = all(not part or part[0] > 0 for part in parts)
        return are_sorted and are_ids and not set(self.voters) & set(self.learners)


CONFIGURATIONS: Final[Codec[Configuration]] = Codec(Configuration)
"""Encodes the payload of CONFIGURATION entries."""
