"""Dissemination: gossip between the probes, comparison of whole tables, joining and leaving."""

from quorate.kernel import CancelTimer, Duration, NodeId, SetTimer, marks
from quorate.protocols.swim.calls import Join, Leave, UpdateMetadata
from quorate.protocols.swim.members import ALIVE, DEAD, LEFT, METADATA_BYTES_MAX, Member, supersedes
from quorate.protocols.swim.messages import Gossip, SyncRequest, SyncState
from quorate.protocols.swim.outputs import Departed, Joined, MemberChanged, Refused
from quorate.protocols.swim.state import GOSSIP, JOIN, SYNC, SwimState
from quorate.protocols.swim.suspicion import sync_span

# The pause between attempts to join doubles so often.
JOIN_DOUBLINGS_MAX = 5


class Spreading(SwimState):
    """Rumours, tables, and this node's own coming and going."""

    def _begin_spreading(self) -> None:
        self.seeds: tuple[NodeId, ...] = ()
        self.is_joining = False
        self.join_count = 0
        self.is_departed = False
        self._arm_sync(first=True)
        if self.config.seeds:
            self._join(self.config.seeds)

    # Gossip.

    def _on_gossip_timer(self) -> None:
        peers = self._draw_members(self.config.gossip_count, but=self.node, with_dead=True)
        for peer in peers:
            rumours = self._rumours_for(peer)
            if not rumours:
                break
            self._send(peer, Gossip(rumours))
        # With nobody to tell, the rumours wait for the next who comes.
        self.is_gossiping = bool(peers) and bool(self.rumours)
        if self.is_gossiping:
            self._emit(SetTimer(GOSSIP, self.config.gossip_interval))
        self._maybe_depart()

    def _on_gossip(self, _: NodeId, message: Gossip) -> None:
        self._hear(message.rumours)

    # Tables.

    def _arm_sync(self, *, first: bool = False) -> None:
        span = sync_span(self.config, self.members.active_count)
        # Spread over the interval, and jittered by a tenth ever after: tables compared in step would be a burst.
        span = Duration(
            self.rng.randrange(1, span + 1) if first else span - span // 20 + self.rng.randrange(span // 10)
        )
        self._emit(SetTimer(SYNC, span))

    def _on_sync_timer(self) -> None:
        self._forget_old()
        for peer in self._draw_members(1, but=self.node):
            self._send(peer, SyncRequest(self.members.digest, self.own))
        self._maybe_reconnect()
        self._arm_sync()

    def _maybe_reconnect(self) -> bool:
        """Now and then, compare tables with one that is believed dead: two halves of a cluster must meet again."""
        dead = [node for node in self.gone_at if self._status(node) == DEAD]
        if not dead:
            return False
        # As often, over all members, as there are dead: more would be a waste, none would split the cluster for good.
        if self.rng.random() * self.members.active_count >= len(dead):
            return False
        marks.hit("swim: one believed dead was asked again")
        self._send(dead[self.rng.randrange(len(dead))], SyncRequest(self.members.digest, self.own))
        return True

    def _status(self, node: NodeId) -> int:
        member = self.members.get(node)
        return ALIVE if member is None else member.status

    def _forget_old(self) -> None:
        old = [node for node, since in self.gone_at.items() if self.now - since > self.config.dead_retention]
        for node in old:
            member = self.members.get(node)
            del self.gone_at[node]
            self.members.remove(node)
            self.rumours.drop(node)
            if member is not None:
                self._output(MemberChanged("forgotten", member))

    def _on_sync_request(self, sender: NodeId, message: SyncRequest) -> None:
        if message.own.node == sender:
            self._learn(message.own)
        if message.is_joining or message.digest != self.members.digest:
            self._send(sender, SyncState(tuple(self.members), wants_answer=True))

    def _on_sync_state(self, sender: NodeId, message: SyncState) -> None:
        theirs = {told.node: told for told in message.members} if message.wants_answer else {}
        self._hear(message.members)
        if message.wants_answer:
            lacking = [mine for mine in self.members if _is_lacking(mine, theirs)]
            if lacking:
                self._send(sender, SyncState(tuple(lacking), wants_answer=False))
            self._finish_join()

    # Joining.

    def _on_join(self, call: Join) -> None:
        if self.node in call.seeds or not call.seeds:
            self._output(Refused("seeds: at least one, and not the node itself"))
            return
        self._join(call.seeds)

    def _join(self, seeds: tuple[NodeId, ...]) -> None:
        self.seeds, self.is_joining, self.join_count = seeds, True, 0
        self._on_join_timer()

    def _on_join_timer(self) -> None:
        if not self.is_joining:
            return
        for seed in self.seeds:
            self._send(seed, SyncRequest(self.members.digest, self.own, is_joining=True))
        pause = self.config.join_interval << min(self.join_count, JOIN_DOUBLINGS_MAX)
        self.join_count += 1
        # Jitter, because a thousand nodes may wait for the same seed.
        self._emit(SetTimer(JOIN, Duration(pause + self.rng.randrange(pause))))

    def _finish_join(self) -> None:
        if self.is_joining:
            self.is_joining = False
            self._emit(CancelTimer(JOIN))
            self._output(Joined(self.members.active_count))

    # Leaving, and saying something else.

    def _on_leave(self, _: Leave) -> None:
        if self.own.status == LEFT:
            return
        self.is_joining = False
        self._emit(CancelTimer(JOIN))
        self._say_of_self(Member(self.own.node, self.own.incarnation, LEFT, self.own.metadata))
        self._maybe_depart()

    def _maybe_depart(self) -> None:
        """Say that the leave has been told, once."""
        is_told = not self.rumours.has(self.node) or self.members.active_count == 0
        if self.own.status == LEFT and is_told and not self.is_departed:
            self.is_departed = True
            self._output(Departed())

    def _on_update_metadata(self, call: UpdateMetadata) -> None:
        if len(call.metadata) > METADATA_BYTES_MAX:
            self._output(Refused(f"metadata: at most {METADATA_BYTES_MAX} bytes"))
        elif self.own.status == LEFT:
            self._output(Refused("this node has left"))
        else:
            self._say_of_self(Member(self.own.node, self.own.incarnation + 1, ALIVE, call.metadata))


def _is_lacking(mine: Member, theirs: dict[int, Member]) -> bool:
    known = theirs.get(mine.node)
    return known is None or supersedes(mine, known)
