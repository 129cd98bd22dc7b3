"""Both majorities: what makes a change of members safe while it is under way."""

from collections.abc import Iterable, Mapping

from quorate.kernel import NodeId
from quorate.protocols.quorums.majority import MajorityQuorum, Vote


class JointQuorum:
    """A quorum that needs a majority of the incoming and, while a change is under way, of the outgoing voters.

    Source: Ongaro & Ousterhout 2014, §6; thesis §4.3.

    Example:
        >>> joint = JointQuorum((NodeId(1), NodeId(2)), outgoing=(NodeId(3),))
        >>> joint.commit_index({NodeId(1): 9, NodeId(2): 9, NodeId(3): 4})
        4
    """

    __slots__ = ("incoming", "outgoing")

    def __init__(self, incoming: Iterable[NodeId], outgoing: Iterable[NodeId] = ()) -> None:
        self.incoming = MajorityQuorum(incoming)
        former = tuple(outgoing)
        self.outgoing: MajorityQuorum | None = MajorityQuorum(former) if former else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JointQuorum) and (self.incoming, self.outgoing) == (other.incoming, other.outgoing)

    def __hash__(self) -> int:
        return hash((self.incoming, self.outgoing))

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """All nodes that have a vote in either configuration, sorted."""
        if self.outgoing is None:
            return self.incoming.voters
        return tuple(sorted({*self.incoming.voters, *self.outgoing.voters}))

    def commit_index(self, match_index: Mapping[NodeId, int]) -> int:
        """Return the highest number that both quorums have reached; see `MajorityQuorum.commit_index`.

        Complexity: O(n log n), n voters.
        """
        reached = self.incoming.commit_index(match_index)
        if self.outgoing is None:
            return reached
        return min(reached, self.outgoing.commit_index(match_index))

    def has(self, nodes: Iterable[NodeId]) -> bool:
        """Return whether these nodes hold both quorums. Complexity: O(n)."""
        present = frozenset(nodes)
        return self.incoming.has(present) and (self.outgoing is None or self.outgoing.has(present))

    def vote(self, votes: Mapping[NodeId, bool]) -> Vote:
        """Return how an election stands: won only in both, lost as soon as it is lost in one. Complexity: O(n)."""
        first = self.incoming.vote(votes)
        if self.outgoing is None:
            return first
        both = (first, self.outgoing.vote(votes))
        if Vote.LOST in both:
            return Vote.LOST
        return Vote.WON if both == (Vote.WON, Vote.WON) else Vote.PENDING
