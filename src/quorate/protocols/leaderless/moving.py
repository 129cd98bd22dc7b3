"""Changing the topology: two at a time, as in joint consensus, until all that moves has arrived.

Theory. A node is *settled* on a topology, or *joint* on it and the next. Joint, it reads and writes quorums of the old
and of the new owners, so it gets along with settled ones of both. Those two phases apart are not served by each other
(`core._on_message`). A joint replica takes no more writes of nodes that are still settled on the old topology: so all
old writes that will ever count are on the old owners when a range is read from them.

A node settles on the new topology when every node is joint and has gathered what it gains, or when it hears that
another one has settled. A node that is removed and believed dead is not waited for: whoever removes it must see to it
that it does not come back (Cassandra's `removenode` asks the same).

Whoever hears a node of an earlier phase tells it its topologies, so one `Reconfigure` anywhere is enough. Two different
plans of one version are a mistake of the operators, or the later attempt is there to end the earlier; the larger one
wins, which is safe, as nobody settles before all nodes are joint on the same.

Source      Ongaro & Ousterhout 2014, §6 (joint consensus); Cassandra's pending ranges.
"""

import random
from abc import abstractmethod
from collections.abc import Iterable
from typing import Final

from quorate.kernel import Instant, NodeId, Record, SetTimer, later, marks, milliseconds
from quorate.kernel.errors import UsageError
from quorate.protocols.leaderless.calls import Reconfigure
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.forwarding import Forwarding
from quorate.protocols.leaderless.messages import Plan, Stage
from quorate.protocols.leaderless.movement import Gain, gains_of, gives_away
from quorate.protocols.leaderless.outputs import Settled
from quorate.protocols.leaderless.records import Adopted, Born, Gathered
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.state import MOVE
from quorate.protocols.leaderless.topology import Preferences, Topology, name_of

PERIOD: Final = milliseconds(100)
_TELL_EVERY: Final = milliseconds(100)
_STAGE_EVERY: Final = milliseconds(500)
# Keys that are looked at, and cells that are dropped, per period after a move.
_LOOK_COUNT: Final = 20_000
_DROP_COUNT: Final = 1_000


class Moving(Forwarding):
    """Goes from one topology to the next."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        # What this node gains in the next topology.
        self.gains: list[Gain] = []
        # Nodes known to be joint on the plan of this node → whether they have gathered theirs.
        self.stages: dict[NodeId, bool] = {}
        # Peer → when it is told the topologies again.
        self._tell_at: dict[NodeId, Instant] = {}
        self._stage_at = Instant(0)
        # Keys still to be looked at for what this node does not own any more; the last ones first.
        self._leftovers: list[bytes] = []
        self._is_moving = False

    def _begin_moving(self) -> None:
        if self.next_topology is not None:
            self._begin_gathering()
            self._wake_moving()
        elif self.topology != self.config.topology:
            # A crash may have come between settling and dropping.
            self._begin_dropping()

    def _wake_moving(self) -> None:
        if not self._is_moving:
            self._is_moving = True
            self._emit(SetTimer(MOVE, PERIOD))

    @property
    def is_joint(self) -> bool:
        """Return whether this node works with two topologies."""
        return self.next_topology is not None

    # Learning of topologies.

    def _on_reconfigure(self, call: Reconfigure) -> None:
        if call.topology.version != self.topology.version + 1 or not self._may_adopt(self.topology, call.topology):
            self._refuse("a topology that does not follow the present one is refused")

    def _on_plan(self, plan: Plan) -> None:
        if plan.topology.version > self.topology.version:
            self._jump(plan)
        elif plan.topology.version == self.topology.version and plan.next_topology is not None:
            self._may_adopt(plan.topology, plan.next_topology)

    def _may_adopt(self, topology: Topology, following: Topology) -> bool:
        """Become joint on the present topology and the next; return whether this node is, or was already."""
        if following == self.next_topology:
            return True
        if following.version != topology.version + 1 or not _is_possible(following):
            return False
        if self.next_topology is not None:
            if _rank_of(following) < _rank_of(self.next_topology):
                return False
            marks.hit("leaderless: of two plans the larger one wins")
        self.next_topology = following
        self._records.append(Adopted(following, is_settled=False))
        self._start_phase()
        self._begin_gathering()
        for peer in self.peers:
            self._tell_plan(peer)
        return True

    def _jump(self, plan: Plan) -> None:
        """Take over what others have settled on: this node missed it, and was not waited for."""
        if not _is_possible(plan.topology):
            self._refuse("a topology that cannot be is refused")
            return
        marks.hit("leaderless: a node that missed a movement takes over its end")
        self.next_topology = plan.topology
        self._settle()
        if plan.next_topology is not None:
            self._may_adopt(plan.topology, plan.next_topology)

    def _start_phase(self) -> None:
        """Use other topologies from now on; requests under way go by the new routes too."""
        self._use_topologies()
        self.stages.clear()
        self._tell_at.clear()
        self._stage_at = self.now
        self._replan()
        self._wake_moving()

    def _replan(self) -> None:
        """Let requests under way ask what the present topologies ask. Complexity: O(requests)."""
        for write in list(self.writes.values()):
            if not write.is_answered:
                self._replan_write(write)
        for read in list(self.reads.values()):
            if not read.is_answered:
                self._replan_read(read)

    def _tell_plan(self, peer: NodeId) -> None:
        """Tell a peer the topologies, not too often."""
        if self.now >= self._tell_at.get(peer, Instant(0)):
            self._tell_at[peer] = later(self.now, _TELL_EVERY)
            self._send(peer, Plan(self.topology, self.next_topology))

    # Coming to an end.

    def _begin_gathering(self) -> None:
        """Find out what this node must fetch."""
        assert self.next_topology is not None, "only a joint node gathers"
        old, new = self.router.preferences
        self.gains = gains_of(old, new, self.node)
        self._begin_streams()

    @abstractmethod
    def _begin_streams(self) -> None:
        """Begin to fetch what this node gains."""

    def _gathered(self) -> None:
        """All that this node gains is here."""
        assert self.next_topology is not None, "only a joint node gathers"
        if not self.has_gathered:
            self.gathered_plan = self.plans[1]
            self._records.append(Gathered(self.gathered_plan))
        self._stage_at = self.now
        self._wake_moving()
        self._maybe_settle()

    @property
    def has_gathered(self) -> bool:
        """Return whether this node holds all that it gains in the next topology."""
        return self.next_topology is not None and self.gathered_plan == self.plans[1]

    def _on_stage(self, sender: NodeId, stage: Stage) -> None:
        if self.next_topology is None:
            if not stage.is_settled:
                # Behind: it may have missed that this one has settled.
                self._send(sender, Stage(self.plans[1], is_gathered=True, is_settled=True))
        elif stage.plan == self.plans[1]:
            self.stages[sender] = stage.is_gathered
            if stage.is_settled and self.has_gathered:
                self._settle()
            else:
                self._maybe_settle()

    def _maybe_settle(self) -> bool:
        """Settle when everybody is joint and has what it gains; return whether it did."""
        if not self.has_gathered or not all(self.stages.get(peer) for peer in self.peers if self._is_awaited(peer)):
            return False
        self._settle()
        return True

    def _is_awaited(self, peer: NodeId) -> bool:
        assert self.next_topology is not None, "only a joint node waits"
        return peer not in self.down or peer in self.next_topology.nodes()

    def _settle(self) -> None:
        """Use the next topology alone."""
        assert self.next_topology is not None, "there is one to settle on"
        old, new = Preferences(self.topology), Preferences(self.next_topology)
        if gives_away(old, new, self.node):
            # Its dots are elsewhere now. Should the keys come back, without some of them, no dot may be given again.
            self._be_born_again()
        self.topology, self.next_topology = self.next_topology, None
        self._records.append(Adopted(self.topology, is_settled=True))
        self.gains = []
        self._start_phase()
        self._outputs.append(Settled(self.topology.version))
        self._reroute_hints()
        self._begin_dropping()

    def _reroute_hints(self) -> None:
        """Keep hints of owners that own no more for those that own now."""
        for owner, kept in list(self.hints.items()):
            for key, hint in list(kept.items()):
                nodes = self._route(key).nodes
                if owner in nodes:
                    continue
                self._drop_hint(owner, key)
                self._keep_for_all(nodes, key, hint.cell, hint.wall_ns)

    # Dropping what moved away.

    def _begin_dropping(self) -> None:
        """Look at all cells in the time to come. Complexity: O(cells), a copy of references."""
        self._leftovers = list(self.cells)
        if self._leftovers:
            self._wake_moving()

    def _drop_some(self) -> None:
        dropped_count = 0
        for _ in range(min(_LOOK_COUNT, len(self._leftovers))):
            key = self._leftovers.pop()
            if key in self.cells and not self.holds(key):
                self._hold(key, b"")
                dropped_count += 1
                if dropped_count == _DROP_COUNT:
                    return

    def _be_born_again(self) -> None:
        self._born = Born(self._new_actor(), self.stamper.ceiling_ns)
        self._records.append(self._born)
        self.stamper = self.stamper.as_actor(self._born.actor)

    # Time.

    def _on_move_timer(self) -> None:
        self._is_moving = False
        self._drop_some()
        if self.is_joint:
            self._stream_some()
        if self.is_joint and self.now >= self._stage_at:
            self._say_stage()
        if self.is_joint or self._leftovers:
            self._wake_moving()

    @abstractmethod
    def _stream_some(self) -> None:
        """Send and ask for what is due."""

    def _say_stage(self) -> None:
        assert self.next_topology is not None, "only a joint node has a stage"
        self._stage_at = later(self.now, _STAGE_EVERY)
        for peer in self.peers:
            if peer not in self.stages:
                self._tell_plan(peer)
            self._send(peer, Stage(self.plans[1], is_gathered=self.has_gathered, is_settled=False))
        self._maybe_settle()


def _rank_of(topology: Topology) -> tuple[int, int]:
    return topology.attempt, name_of(topology)


def _is_possible(topology: Topology) -> bool:
    try:
        Preferences(topology)
    except UsageError:
        return False
    return True
