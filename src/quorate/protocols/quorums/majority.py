"""More than half: any two majorities share a node, which is the whole trick of consensus."""

from collections.abc import Iterable, Mapping
from enum import Enum

from quorate.kernel import NodeId


class Vote(Enum):
    """How an election stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


class MajorityQuorum:
    """A quorum of more than half of the voters.

    Example:
        >>> MajorityQuorum((NodeId(1), NodeId(2), NodeId(3))).commit_index({NodeId(1): 12, NodeId(2): 5})
        5
    """

    __slots__ = ("size", "voters")

    def __init__(self, voters: Iterable[NodeId]) -> None:
        self.voters: tuple[NodeId, ...] = tuple(sorted(set(voters)))
        # How many voters are enough; never reached by an empty configuration.
        self.size: int = len(self.voters) // 2 + 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MajorityQuorum) and self.voters == other.voters

    def __hash__(self) -> int:
        return hash(self.voters)

    def commit_index(self, match_index: Mapping[NodeId, int]) -> int:
        """Return the highest number that a quorum has reached.

        Args:
            match_index: voter → highest index known to be on its disk (or highest round it acknowledged). Voters that
                are absent count as 0; nodes that are not voters are ignored.

        Returns:
            A value of the mapping, or 0. Never smaller for a larger input (monotone). 0 for an empty configuration.

        Complexity: O(n log n), n voters.
        Source: Ongaro & Ousterhout 2014, §5.3 and §5.4.2.
        """
        if not self.voters:
            return 0
        reached = sorted([match_index.get(voter, 0) for voter in self.voters], reverse=True)
        return reached[self.size - 1]

    def has(self, nodes: Iterable[NodeId]) -> bool:
        """Return whether these nodes hold a quorum. Complexity: O(n)."""
        present = frozenset(nodes)
        return sum(voter in present for voter in self.voters) >= self.size

    def vote(self, votes: Mapping[NodeId, bool]) -> Vote:
        """Return how an election stands.

        Args:
            votes: node → granted. Absent voters have not answered; nodes that are not voters are ignored.

        Complexity: O(n).
        """
        granted_count = sum(votes.get(voter) is True for voter in self.voters)
        refused_count = sum(votes.get(voter) is False for voter in self.voters)
        if granted_count >= self.size:
            return Vote.WON
        if len(self.voters) - refused_count < self.size:
            return Vote.LOST
        return Vote.PENDING
