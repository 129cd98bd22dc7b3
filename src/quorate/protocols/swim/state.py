"""The state of a member, and what every piece of news goes through."""

import random
from collections.abc import Iterable
from typing import Final

import msgspec

from quorate.kernel import (
    CancelTimer,
    Deliver,
    Duration,
    Instant,
    Machine,
    Message,
    NodeId,
    Output,
    Record,
    Send,
    SetTimer,
    later,
    marks,
)
from quorate.protocols.swim.config import SwimConfig
from quorate.protocols.swim.members import (
    ALIVE,
    DEAD,
    INCARNATION_MAX,
    LEFT,
    SUSPECT,
    Member,
    Members,
    ProbeOrder,
    supersedes,
)
from quorate.protocols.swim.messages import Rumours as RumourList
from quorate.protocols.swim.outputs import MemberChanged
from quorate.protocols.swim.rumours import Rumours
from quorate.protocols.swim.suspicion import Suspicion, confirmations_wanted, retransmit_limit, suspicion_span

PROBE: Final = "probe"
GOSSIP: Final = "gossip"
SYNC: Final = "sync"
JOIN: Final = "join"
SUSPICION: Final = "suspect/"
RELAY: Final = "relay/"

# What a message takes beside its rumours.
HEADER_BYTES: Final = 40
# News that raises an incarnation by more than this cannot be true: it grows by one a refutation.
INCARNATION_LEAP_MAX: Final = 1 << 20
# Attempts to draw a member that fits, before giving up: in a cluster of the dead there is none.
DRAW_COUNT_MAX: Final = 16


class SwimState(Machine):
    """What the parts of a member share.

    Nothing is persisted: a member that comes back hears that it was declared dead, and says something newer.
    """

    def __init__(self, config: SwimConfig, records: Iterable[Record], rng: random.Random) -> None:
        super().__init__()
        assert not list(records), "SWIM persists nothing"
        self.config = config
        self.rng = rng
        self.node = config.node
        self.members = Members(config.known)
        before = self.members.get(config.node)
        self.own = Member(config.node, 0 if before is None else before.incarnation, ALIVE, config.metadata)
        if before != self.own:
            self.members.put(self.own)
        # May hold this node and the dead: whoever draws looks.
        self.order = ProbeOrder(config.known.nodes, rng)
        self.is_order_stale = False
        self.rumours = Rumours()
        self.suspicions: dict[NodeId, Suspicion] = {}
        # Dead and left members → since when they are known to be.
        self.gone_at: dict[NodeId, Instant] = {}
        # 0: healthy; up to health_max - 1: this node misses what it should not miss, and gives others more time.
        self.health = 0
        self.is_gossiping = False
        # News that was refused: absurd incarnations, more members than are allowed.
        self.refused_count = 0
        self._limit_for = 0
        self._limit = 0

    # Sending.

    def _send(self, to: NodeId, message: Message) -> None:
        self._emit(Send(to, message))

    def _output(self, output: Output) -> None:
        self._emit(Deliver(output))

    def _rumours_for(self, peer: NodeId) -> RumourList:
        """Return what rides on a message to a peer; that it is suspected itself comes first (Lifeguard's buddy)."""
        if (self.suspicions or self.gone_at) and self.config.buddy:
            known = self.members.get(peer)
            if known is not None and known.status != ALIVE:
                rest = self._take_rumours(HEADER_BYTES + 2 * HEADER_BYTES)
                return (known, *[rumour for rumour in rest if rumour.node != peer])
        return self._take_rumours(HEADER_BYTES) if self.rumours else ()

    def _take_rumours(self, taken_bytes: int) -> RumourList:
        count = self.members.active_count
        if count != self._limit_for:
            self._limit_for, self._limit = count, retransmit_limit(self.config, max(1, count))
        return self.rumours.take(bytes_max=self.config.message_bytes_max - taken_bytes, limit=self._limit)

    def _tell(self, member: Member) -> None:
        """Spread news; the gossip timer runs only while there is something to tell."""
        self.rumours.put(member)
        if not self.is_gossiping:
            self.is_gossiping = True
            self._emit(SetTimer(GOSSIP, self.config.gossip_interval))

    # Hearing.

    def _hear(self, rumours: RumourList) -> None:
        for told in rumours:
            self._learn(told)

    def _learn(self, told: Member) -> bool:
        """Take one piece of news; return whether it was new.

        Complexity: O(1), O(n) in a node's first change of a shared table of nodes.
        """
        node = NodeId(told.node)
        if node == self.node:
            return self._hear_of_self(told)
        known = self.members.get(node)
        if known is None:
            return self._meet(node, told)
        if not supersedes(told, known):
            if told.status == SUSPECT == known.status and told.incarnation == known.incarnation:
                self._confirm(node, told)
            return False
        if not self._is_plausible(told, known.incarnation):
            return False
        self._replace(node, known, told)
        return True

    def _is_plausible(self, told: Member, incarnation: int) -> bool:
        if told.incarnation <= min(INCARNATION_MAX, incarnation + INCARNATION_LEAP_MAX):
            return True
        marks.hit("swim: an absurd incarnation was refused")
        self.refused_count += 1
        return False

    def _meet(self, node: NodeId, told: Member) -> bool:
        """Hear of a member for the first time."""
        if not self._is_plausible(told, 0):
            return False
        if self.members.count >= self.config.member_count_max:
            marks.hit("swim: a member beyond the limit was refused")
            self.refused_count += 1
            return False
        self.members.put(told)
        if told.status >= DEAD:
            # Kept, so that an older rumour of its life is not believed; told on by exchanged tables, not as a rumour.
            self.gone_at[node] = self.now
            return True
        self.order.add(node)
        self._output(MemberChanged("joined", told))
        self._tell(told)
        if told.status == SUSPECT:
            self._begin_suspicion(node, told)
        return True

    def _replace(self, node: NodeId, known: Member, told: Member) -> None:
        """Let news win over what was known, with all that follows."""
        if told.status != ALIVE and not told.metadata and known.metadata:
            told = msgspec.structs.replace(told, metadata=known.metadata)
        self.members.put(told)
        if known.status == SUSPECT:
            self._end_suspicion(node)
        match told.status:
            case 0:
                kind = ("updated", "refuted", "rejoined", "rejoined")[known.status]
                self._maybe_revive(node)
            case 1:
                kind = "suspected"
                self._maybe_revive(node)
                self._begin_suspicion(node, told)
            case _:
                kind = "failed" if told.status == DEAD else "left"
                self.gone_at[node] = self.now
                self.is_order_stale = True
        if kind != "updated" or told.metadata != known.metadata:
            self._output(MemberChanged(kind, told))
        self._tell(told)

    def _maybe_revive(self, node: NodeId) -> bool:
        """Meet a member again that was gone."""
        if self.gone_at.pop(node, None) is None:
            return False
        self.order.add(node)
        # It may now stand there twice, until the next round begins.
        self.is_order_stale = True
        return True

    def _hear_of_self(self, told: Member) -> bool:
        """Refute whatever is worse than what this node says of itself."""
        own = self.own
        is_former_self = told.incarnation == own.incarnation and told.status == ALIVE and told.metadata != own.metadata
        if own.status == LEFT or not (is_former_self or supersedes(told, own)):
            return False
        if not self._is_plausible(told, own.incarnation):
            return False
        if told.incarnation >= INCARNATION_MAX:
            self.refused_count += 1
            return False
        if told.status != ALIVE:
            marks.hit("swim: a member refuted what was said of it")
            # Somebody could not reach us: the fault may be ours (Lifeguard).
            self._change_health(1)
        self._say_of_self(msgspec.structs.replace(own, incarnation=told.incarnation + 1))
        return True

    def _say_of_self(self, own: Member) -> None:
        assert supersedes(own, self.own), "what a member says of itself only gets newer"
        self.own = own
        self.members.put(own)
        self._tell(own)

    # Suspicion.

    def _suspect(self, node: NodeId) -> None:
        """Accuse a member that did not answer."""
        known = self.members.get(node)
        if known is None or known.status >= DEAD:
            return
        told = Member(known.node, known.incarnation, SUSPECT, known.metadata, self.node)
        if known.status == SUSPECT:
            self._confirm(node, told)
        else:
            self._replace(node, known, told)

    def _begin_suspicion(self, node: NodeId, told: Member) -> None:
        span = suspicion_span(self.config, self.members.active_count, 0)
        accusers = [NodeId(told.accuser)] if told.accuser else []
        self.suspicions[node] = Suspicion(told.incarnation, self.now, later(self.now, span), accusers)
        self._emit(SetTimer(f"{SUSPICION}{node}", span))

    def _end_suspicion(self, node: NodeId) -> None:
        if self.suspicions.pop(node, None) is not None:
            self._emit(CancelTimer(f"{SUSPICION}{node}"))

    def _confirm(self, node: NodeId, told: Member) -> None:
        """Count a further accuser: the more agree, the shorter the wait (Lifeguard)."""
        suspicion = self.suspicions.get(node)
        accuser = NodeId(told.accuser)
        if suspicion is None or not accuser or accuser in suspicion.accusers or not self.config.dynamic_suspicion:
            return
        count = self.members.active_count
        if len(suspicion.accusers) > confirmations_wanted(self.config, count):
            return
        suspicion.accusers.append(accuser)
        span = suspicion_span(self.config, count, len(suspicion.accusers) - 1)
        deadline = later(suspicion.began_at, span)
        if deadline < suspicion.deadline:
            marks.hit("swim: a confirmation shortened a suspicion")
            suspicion.deadline = deadline
            self._emit(SetTimer(f"{SUSPICION}{node}", Duration(max(0, deadline - self.now))))
        # A new accuser is news: others need it to shorten their own wait.
        self._tell(told)

    def _on_suspicion_timeout(self, node: NodeId) -> None:
        suspicion = self.suspicions.get(node)
        known = self.members.get(node)
        if suspicion is None or known is None:
            return
        assert known.status == SUSPECT, "only suspects have a window"
        if self._was_away(suspicion.deadline):
            # This process stood still, so the refutation may wait among what arrived meanwhile.
            suspicion.deadline = later(self.now, self.config.probe_interval)
            self._emit(SetTimer(f"{SUSPICION}{node}", self.config.probe_interval))
            return
        self._replace(node, known, Member(known.node, known.incarnation, DEAD, known.metadata, self.node))

    # Health.

    def _was_away(self, due_at: Instant) -> bool:
        """Return whether a timer is so late that this process cannot have been running; then it blames itself."""
        if not self.config.local_health or self.now - due_at <= self.config.probe_timeout:
            return False
        marks.hit("swim: a member that stood still blames itself")
        self._change_health(1)
        return True

    def _change_health(self, step: int) -> None:
        if self.config.local_health:
            self.health = min(self.config.health_max - 1, max(0, self.health + step))

    # Choosing.

    def _draw_members(self, count: int, *, but: NodeId, with_dead: bool = False) -> list[NodeId]:
        """Return distinct random members that may be alive, without this node and another.

        Args:
            count: how many, at most.
            but: left out; this node itself, to leave out nobody else.
            with_dead: also those who died so recently that they may not know it.
        """
        drawn: list[NodeId] = []
        for _ in range(DRAW_COUNT_MAX + 2 * count):
            if len(drawn) == count:
                break
            node = self.order.draw()
            if node is None:
                break
            member = self.members.get(node)
            if member is None or node in {but, self.node} or node in drawn:
                continue
            if member.status < DEAD or (with_dead and member.status == DEAD and self._died_recently(node)):
                drawn.append(node)
        return drawn

    def _died_recently(self, node: NodeId) -> bool:
        return self.now - self.gone_at.get(node, self.now) <= self.config.dead_gossip_span
