"""Ring: a list goes round by successors, everybody who lives adds itself, and the highest on it leads.

Theory. The nodes are ordered in a circle. Whoever misses the leader sends a list with its own name to its successor; a
successor that does not acknowledge is skipped. When the list comes back, it names everybody who lives, and the highest
is told to lead. A list of a lower initiator dies at a higher one that is electing too, so few go all the way round.
Under partition each side closes its own, smaller circle: two leaders. With `quorum`, a short list elects nobody.

States      follower → electing → (claiming) → leader (TRANSITIONS; drawn in docs/protocols/election.md).
Messages    Circulate, CirculateResult, Elected, Lead, LeadResult.
Persists    Promised(token).
Invariants  As for bully.
Source      Le Lann 1977; Chang & Roberts 1979 (extinction); the list as in Garcia-Molina's and later accounts.
Deviations  1. The winner is told directly and beats to all directly. 2. Every leadership has a token. 3. `quorum`.
Limits      2n messages and n message delays for an election, more for every dead node that is skipped.
"""

from typing import Annotated, Final

import msgspec

from quorate.kernel import CancelTimer, Codec, Message, NodeId, SetTimer, marks
from quorate.protocols.election.elector import Elector, Lead, LeadResult
from quorate.protocols.election.tokens import Node

HOP: Final = "hop/"


class Circulate(Message, frozen=True, array_like=True, gc=False, tag=True):
    """The list on its way round."""

    origin: Node
    members: Annotated[tuple[Node, ...], msgspec.Meta(max_length=1_000)]


class CirculateResult(Message, frozen=True, array_like=True, gc=False, tag=True):
    """The list of this origin has arrived here."""

    origin: Node


class Elected(Message, frozen=True, array_like=True, gc=False, tag=True):
    """The list came back, and the receiver is the highest on it."""

    members: Annotated[tuple[Node, ...], msgspec.Meta(max_length=1_000)]


RING_MESSAGES: Final[Codec[Circulate | CirculateResult | Elected | Lead | LeadResult]] = Codec(
    Circulate | CirculateResult | Elected | Lead | LeadResult
)


class Hop(msgspec.Struct):
    """A list that was passed on and not yet acknowledged."""

    message: Circulate
    # How many successors were tried, this one among them.
    try_count: int


class Ring(Elector):
    """One node's machine: `Ring(config, records, rng)`; the first event is `Started`."""

    def _elect(self) -> None:
        self._pass_on(Circulate(self.node, (self.node,)), 1)

    @property
    def _hops(self) -> dict[int, Hop]:
        hops: dict[int, Hop] = self.__dict__.setdefault("hops", {})
        return hops

    def _successor(self, distance: int) -> NodeId:
        nodes = self.config.nodes
        return nodes[(nodes.index(self.node) + distance) % len(nodes)]

    def _pass_on(self, message: Circulate, try_count: int) -> None:
        """Send a list to the next successor that may live; a list that meets only its origin is back."""
        successor = self._successor(try_count)
        if successor == self.node:
            self._hops.pop(message.origin, None)
            if message.origin == self.node:
                self._on_return(message.members)
            return
        self._hops[message.origin] = Hop(message, try_count)
        self._send(successor, message)
        self._emit(SetTimer(f"{HOP}{message.origin}", self.config.answer_timeout))

    def _on_own_message(self, sender: NodeId, message: Message) -> None:
        match message:
            case Circulate(origin, members):
                self._send(sender, CirculateResult(origin))
                self._on_list(message, origin, members)
            case CirculateResult(origin):
                hop = self._hops.get(origin)
                if hop is not None and self._successor(hop.try_count) == sender:
                    del self._hops[origin]
                    self._emit(CancelTimer(f"{HOP}{origin}"))
            case Elected(members) if self.node in members and max(members) == self.node:
                self._lead_if_enough(members)
            case _:
                pass

    def _on_list(self, message: Circulate, origin: int, members: tuple[int, ...]) -> None:
        if origin == self.node:
            if self.role_name == "electing":
                self._on_return(members)
        elif self.node in members or origin not in self.config.nodes:
            marks.hit("election: a list that would go round for ever was dropped")
        elif self.role_name == "electing" and origin < self.node:
            marks.hit("election: a lower initiator's list died out")
        else:
            self._pass_on(Circulate(message.origin, (*members, self.node)), 1)

    def _on_return(self, members: tuple[int, ...]) -> None:
        winner = NodeId(max(members))
        if winner == self.node:
            self._lead_if_enough(members)
        elif winner in self.config.nodes:
            self._send(winner, Elected(members))

    def _lead_if_enough(self, members: tuple[int, ...]) -> None:
        known = [node for node in self.config.nodes if node in members]
        if self.config.quorum and not self._quorum.has(known):
            marks.hit("election: a short list elected nobody")
            return
        self._claim()

    def _on_own_timer(self, timer: str) -> None:
        if timer.startswith(HOP):
            hop = self._hops.get(int(timer[len(HOP) :]))
            if hop is not None:
                self._pass_on(hop.message, hop.try_count + 1)
