"""The rumours that this node still tells: each a limited number of times, the least told first."""

from quorate.kernel import NodeId
from quorate.protocols.swim.members import MEMBER_BYTES, Member


class Rumours:
    """A rumour per member, newer ones replacing older ones.

    Source: Das et al. 2002, section 4.1: fewer-told first, each told a multiple of log n times.
    """

    def __init__(self) -> None:
        # By how often they were told; in each, the newest last.
        self._told: list[dict[NodeId, Member]] = [{}]
        self._count_of: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._count_of)

    def __bool__(self) -> bool:
        return bool(self._count_of)

    def put(self, member: Member) -> None:
        """Tell this from now on, and no longer what was told of the same member before."""
        node = NodeId(member.node)
        self.drop(node)
        self._told[0][node] = member
        self._count_of[node] = 0

    def drop(self, node: NodeId) -> None:
        """Tell nothing of a member any more."""
        count = self._count_of.pop(node, None)
        if count is not None:
            del self._told[count][node]

    def has(self, node: NodeId) -> bool:
        """Return whether there is still something to tell of a member."""
        return node in self._count_of

    def take(self, *, bytes_max: int, limit: int) -> tuple[Member, ...]:
        """Return what goes into the next message, and count it as told once.

        Args:
            bytes_max: room in the message.
            limit: a rumour that was told so often is dropped.

        Complexity: O(rumours taken + limit).
        """
        if not self._count_of:
            return ()
        taken: list[tuple[int, Member]] = []
        room = bytes_max
        for count, rumours in enumerate(self._told):
            for member in reversed(rumours.values()):
                room -= MEMBER_BYTES + len(member.metadata)
                if room < 0:
                    break
                taken.append((count, member))
            if room < 0:
                break
        for count, member in taken:
            self._count_told(member, count, limit)
        return tuple([member for _, member in taken])

    def _count_told(self, member: Member, count: int, limit: int) -> None:
        node = NodeId(member.node)
        del self._told[count][node]
        if count + 1 >= limit:
            del self._count_of[node]
            return
        if count + 1 == len(self._told):
            self._told.append({})
        self._told[count + 1][node] = member
        self._count_of[node] = count + 1
