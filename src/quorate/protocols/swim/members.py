"""Who is known, and the one order by which news about a member wins over older news."""

import random
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec

from quorate.kernel import NodeId, mix64

ALIVE: Final = 0
SUSPECT: Final = 1
DEAD: Final = 2
LEFT: Final = 3
STATUS_NAMES: Final = ("alive", "suspect", "dead", "left")

# A member counts up once per refutation or change of metadata: nobody honest comes near this.
INCARNATION_MAX: Final = 1 << 48
METADATA_BYTES_MAX: Final = 512
# MessagePack of a member without metadata, small ids; ids above 2^32 add a few bytes.
MEMBER_BYTES: Final = 20

Node = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Incarnation = Annotated[int, msgspec.Meta(ge=0, le=INCARNATION_MAX)]
Status = Annotated[int, msgspec.Meta(ge=ALIVE, le=LEFT)]
Metadata = Annotated[bytes, msgspec.Meta(max_length=METADATA_BYTES_MAX)]


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is said of one member: the unit of rumours, of exchanged state and of events."""

    node: Node
    # Grows only by the member's own word.
    incarnation: Incarnation
    # ALIVE, SUSPECT, DEAD or LEFT.
    status: Status
    # The member's own: address, role, version; empty in what others say about it.
    metadata: Metadata = b""
    # Who suspects it; 0: nobody.
    accuser: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0

    @property
    def status_name(self) -> str:
        """The status in words."""
        return STATUS_NAMES[self.status]


def supersedes(told: Member, known: Member) -> bool:
    """Return whether news wins over what is known: larger incarnation first, then the worse status.

    The order is total, so all nodes that hear the same news, in any order and any number of times, end up equal.

    Source: Das et al. 2002, section 4.2, with the change that a later incarnation revives the dead (memberlist).

    Example:
        >>> supersedes(Member(1, 4, ALIVE), Member(1, 3, DEAD)), supersedes(Member(1, 3, ALIVE), Member(1, 3, SUSPECT))
        (True, False)
    """
    if told.incarnation != known.incarnation:
        return told.incarnation > known.incarnation
    return told.status > known.status


def fingerprint(member: Member) -> int:
    """Return 63 bits of what `supersedes` looks at; a signed integer holds them on the wire."""
    return mix64(mix64(member.node) ^ (member.incarnation << 2 | member.status)) >> 1


class Known:
    """Members that are known from the start: made once, never changed, shared by many machines.

    Example:
        >>> known = Known([Member(1, 0, ALIVE), Member(2, 0, ALIVE)])
        >>> known.nodes, known.active_count
        ((1, 2), 2)
    """

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self.members: dict[NodeId, Member] = {NodeId(member.node): member for member in members}
        self.nodes = tuple(self.members)
        self.active_count = sum([member.status <= SUSPECT for member in self.members.values()])
        self.digest = 0
        for member in self.members.values():
            self.digest ^= fingerprint(member)


class Members:
    """The table of members: a shared beginning, and what this node learned beyond it.

    Ten thousand simulated nodes that begin with the same ten thousand members share one table; each pays only for
    what changed. `digest` is the exclusive or of all fingerprints, so two tables can be compared by one number.

    Invariants: `digest`, `count` and `active_count` are functions of the content.
    """

    def __init__(self, known: Known) -> None:
        self._base = known.members
        # None: forgotten.
        self._own: dict[NodeId, Member | None] = {}
        # Alive or suspect.
        self.active_count = known.active_count
        self.count = len(known.members)
        self.digest = known.digest

    def get(self, node: NodeId) -> Member | None:
        """Return what is known of a member."""
        own = self._own
        if own and node in own:
            return own[node]
        return self._base.get(node)

    def put(self, member: Member) -> None:
        """Know this of a member from now on."""
        node = NodeId(member.node)
        self._forget(node)
        self._own[node] = member
        self.digest ^= fingerprint(member)
        self.active_count += member.status <= SUSPECT
        self.count += 1

    def remove(self, node: NodeId) -> None:
        """Forget a member."""
        self._forget(node)
        if node in self._base:
            self._own[node] = None
        else:
            self._own.pop(node, None)

    def _forget(self, node: NodeId) -> None:
        known = self.get(node)
        if known is not None:
            self.digest ^= fingerprint(known)
            self.active_count -= known.status <= SUSPECT
            self.count -= 1

    def __iter__(self) -> Iterator[Member]:
        """Yield all members in a fixed order. Complexity: O(n)."""
        own = self._own
        for node, member in self._base.items():
            if node not in own:
                yield member
        for changed in own.values():
            if changed is not None:
                yield changed


class ProbeOrder:
    """Round-robin over a random order, drawn as it is needed: every member is met once per round.

    Nodes are swapped into place one at a time (Fisher-Yates), and only swapped places are stored. A node that joins is
    appended and so gets a uniformly random place in what is left of the round.

    Source: Das et al. 2002, section 4.3: detection within two rounds, at most.
    """

    def __init__(self, nodes: list[NodeId] | tuple[NodeId, ...], rng: random.Random) -> None:
        # May be shared between machines; a list of our own as soon as it changes.
        self._nodes: list[NodeId] | tuple[NodeId, ...] = nodes
        self._is_shared = True
        self._place = 0
        self._moved: dict[int, NodeId] = {}
        self._rng = rng

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def is_round_over(self) -> bool:
        """Whether everybody was met."""
        return self._place >= len(self._nodes)

    def next(self) -> NodeId:
        """Return the next node of this round. Complexity: O(1)."""
        assert not self.is_round_over, "a round ends when everybody was met"
        place, nodes, moved = self._place, self._nodes, self._moved
        chosen = place + int(self._rng.random() * (len(nodes) - place))
        here = moved.pop(place, nodes[place])
        self._place = place + 1
        if chosen == place:
            return here
        found = moved.get(chosen, nodes[chosen])
        moved[chosen] = here
        return found

    def add(self, node: NodeId) -> None:
        """Meet a node too, somewhere in the rest of this round."""
        if self._is_shared:
            self._nodes = list(self._nodes)
            self._is_shared = False
        assert isinstance(self._nodes, list), "it is our own now"
        self._nodes.append(node)

    def begin(self, nodes: list[NodeId] | None = None) -> None:
        """Begin a new round, over other nodes when they are given."""
        if nodes is not None:
            self._nodes, self._is_shared = nodes, False
        self._place = 0
        self._moved.clear()

    def draw(self) -> NodeId | None:
        """Return any node, uniformly; None when there is none."""
        nodes = self._nodes
        return nodes[int(self._rng.random() * len(nodes))] if nodes else None
