"""Topologies: which nodes hold a leaderless keyspace, agreed on in the log of the first Raft group.

Every node begins with the nodes of its configuration, so that nothing waits for a leader. From then on the leader
writes a new topology whenever the voters have changed, and every node takes over what it finds in its applied log. A
node that is removed hands over its ranges first: while they move, old and new owners are both asked.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quorate.kernel import Codec, Malformed, NodeId, milliseconds
from quorate.kernel.errors import Conflict, OperationError, Refused, TimedOut, UsageError
from quorate.protocols.leaderless import Place, Preferences, Topology
from quorate.server.keyspaces import Keyspace, Site, replica_counts
from quorate.server.replica import SYSTEM_DB
from quorate.store import Command

if TYPE_CHECKING:
    from quorate.server.available import AvailableReplica
    from quorate.server.node import Node

log = logging.getLogger("quorate.available")


class Agreed(msgspec.Struct, frozen=True, array_like=True):
    """What the log says of a keyspace: who shall hold it, and who did before."""

    before: Topology
    topology: Topology


_AGREED: Codec[Agreed] = Codec(Agreed)
_WATCH_INTERVAL: Final = milliseconds(200)
_MOVE_TIMEOUT_S: Final = 60


def place_of(node: NodeId, sites: dict[NodeId, Site]) -> Place:
    """Return where a node stands, as its configuration says."""
    site = sites.get(node, Site())
    return Place(node, site.datacenter, site.zone, site.rack, site.weight)


def first_topology(keyspace: Keyspace, nodes: tuple[NodeId, ...], sites: dict[NodeId, Site]) -> Topology:
    """Return what all nodes begin with that have the same configuration."""
    return Topology(
        1,
        tuple(place_of(node, sites) for node in sorted(nodes)),
        replica_counts(keyspace, nodes, sites),
        keyspace.placement.virtual_nodes,
    )


def next_topology(
    topology: Topology, nodes: tuple[NodeId, ...], sites: dict[NodeId, Site], *, instead_of: Topology | None = None
) -> Topology:
    """Return the topology after one that has exactly these nodes; those that stay keep their ranges as far as can be.

    Args:
        topology: in force.
        nodes: of the next.
        sites: where newcomers stand.
        instead_of: a next one that is under way and cannot end.

    Raises:
        Refused: too few nodes would be left for the copies.
    """
    held = topology.nodes()
    try:
        following = topology.with_nodes(
            [place_of(node, sites) for node in sorted(nodes) if node not in held],
            [node for node in held if node not in nodes],
            instead_of=instead_of,
        )
        Preferences(following)
    except UsageError as cause:
        raise Refused(str(cause)) from cause
    return following


class Topologies:
    """What the cluster's log says about who holds what, and the leader's part in it."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        # Being removed: not put back although they still vote.
        self._leaving: dict[NodeId, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._complaints: dict[str, None] = {}

    @property
    def sites(self) -> dict[NodeId, Site]:
        """Where nodes stand, as this node's configuration says."""
        return {NodeId(int(node)): site for node, site in self._node.config.nodes.items()}

    def agreed(self, name: str) -> Agreed | None:
        """Return the newest topology of a keyspace in this node's applied log; None when there is none."""
        return self._agreed(name)[0]

    def _newest(self, replica: "AvailableReplica") -> Topology | None:
        agreed = self.agreed(replica.name)
        return agreed.topology if agreed is not None else replica.topology

    def _agreed(self, name: str) -> tuple[Agreed | None, int]:
        reply: Any = self._node.first.state.query(Command(SYSTEM_DB, [b"QUORATE.GET", _key(name)]), 0)
        value, version = reply if isinstance(reply, list) else (None, 0)
        try:
            return (_AGREED.decode(value), version) if value else (None, version)
        except Malformed:
            log.error("the topology of keyspace %s in the log cannot be read", name)
            return None, version

    def watch(self) -> None:
        """Look now and then, from now on, whether the voters have changed."""
        if not self._is_stopped and not self._node.failed.done():
            self._look()
            self._node.env.clock.call_after(_WATCH_INTERVAL, self.watch)

    def _look(self) -> None:
        """Begin to write newer topologies where this node leads and the voters have changed."""
        node = self._node
        if not node.first.group.is_leader or (self._task is not None and not self._task.done()):
            return
        due = [replica for replica in node.available.values() if self._is_due(replica)]
        if due:
            self._task = asyncio.get_running_loop().create_task(self._follow_voters(due), name="topologies")

    def _voters(self) -> tuple[NodeId, ...]:
        voters = self._node.first.configuration.voters
        return tuple(node for node in voters if node not in self._leaving)

    def _is_due(self, replica: "AvailableReplica") -> bool:
        topology = self._newest(replica)
        if topology is None or self._node.first.configuration.outgoing or topology.nodes() == self._voters():
            return False
        # One movement at a time, but for one that waits for who is gone.
        return replica.settled_version >= topology.version or self._is_stuck(topology)

    def _is_stuck(self, topology: Topology) -> bool:
        """Whether a movement waits for a node that is no member any more."""
        voters = self._voters()
        return any(node not in voters and not self._node.links.is_up(node) for node in topology.nodes())

    async def _follow_voters(self, replicas: "list[AvailableReplica]") -> None:
        for replica in replicas:
            try:
                topology = self._newest(replica)
                is_stuck = topology is not None and self._is_stuck(topology)
                await self._propose(replica, self._voters(), may_replace=is_stuck)
            except OperationError as cause:
                if str(cause) not in self._complaints:
                    self._complaints[str(cause)] = None
                    log.warning("keyspace %s keeps its nodes: %s", replica.name, cause)

    async def _propose(self, replica: "AvailableReplica", nodes: tuple[NodeId, ...], *, may_replace: bool) -> Topology:
        """Agree on the next topology.

        Args:
            replica: of the keyspace, on this node.
            nodes: that shall hold it.
            may_replace: whether a movement under way, which cannot end, is replaced.

        Raises:
            Conflict: an earlier change is under way, or somebody else agreed on another meanwhile.
        """
        found, version = self._agreed(replica.name)
        topology = found.topology if found is not None else replica.topology
        if topology is None:
            raise Refused("this node does not know yet which nodes hold the keyspace")
        instead_of: Topology | None = None
        if replica.settled_version < topology.version:
            # Nobody could follow two steps at once.
            if not may_replace or found is None or replica.settled_version != found.before.version:
                raise Conflict("ranges of an earlier change are still moving")
            topology, instead_of = found.before, found.topology
        following = next_topology(topology, nodes, self.sites, instead_of=instead_of)
        value = _AGREED.encode(Agreed(topology, following))
        args = [b"QUORATE.PUT", _key(replica.name), value, b"VERSION", str(version).encode()]
        await self._node.run_system(args)
        return following

    async def remove(self, leaving: NodeId) -> None:
        """Let the other nodes take over what a node holds, before it is removed.

        Raises:
            Refused: too few nodes would be left for the copies of some keyspace; nothing was done.
            TimedOut: the ranges are still moving; ask again.
        """
        replicas = [
            replica
            for replica in self._node.available.values()
            if (topology := self._newest(replica)) is not None and leaving in topology.nodes()
        ]
        for replica in replicas:
            topology = self._newest(replica)
            assert topology is not None, "asked a moment ago"
            left = tuple(node for node in topology.nodes() if node != leaving)
            try:
                next_topology(topology, left, self.sites)
            except Refused as cause:
                raise Refused(f"keyspace {replica.name}: {cause}") from cause
        self._leaving[leaving] = None
        try:
            for replica in replicas:
                await self._move_away(replica, leaving)
        finally:
            # Whoever was removed is no voter any more; whoever was not is put back.
            self._node.env.clock.call_after(self._node.config.request_timeout, lambda: self._forget(leaving))

    def _forget(self, leaving: NodeId) -> None:
        self._leaving.pop(leaving, None)

    async def _move_away(self, replica: "AvailableReplica", leaving: NodeId) -> None:
        clock = self._node.env.clock
        deadline = clock.now() + _MOVE_TIMEOUT_S * 1_000_000_000
        following: Topology | None = None
        while following is None or replica.settled_version < following.version:
            if clock.now() > deadline:
                if following is not None and not self._node.links.is_up(leaving):
                    log.warning("keyspace %s: node %d is gone and is not waited for", replica.name, leaving)
                    return
                raise TimedOut(f"keyspace {replica.name}: ranges are still moving from node {leaving}; ask again")
            if following is None:
                following = await self._without(replica, leaving)
            await asyncio.sleep(0.05)

    async def _without(self, replica: "AvailableReplica", leaving: NodeId) -> Topology | None:
        """Agree on a topology without a node; None while an earlier change is under way."""
        topology = self._newest(replica)
        assert topology is not None, "asked before"
        if leaving not in topology.nodes():
            return topology
        left = tuple(node for node in topology.nodes() if node != leaving)
        try:
            return await self._propose(replica, left, may_replace=not self._node.links.is_up(leaving))
        except Conflict:
            return None

    async def stop(self) -> None:
        """Write nothing more."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _key(name: str) -> bytes:
    return b"keyspace:" + name.encode()
