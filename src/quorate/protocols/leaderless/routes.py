"""Who must be asked about a key while one topology holds, or two."""

from quorate.kernel import NodeId
from quorate.protocols.leaderless.levels import Grouping, Need, needs_of
from quorate.protocols.leaderless.topology import Preferences


class Route:
    """The owners of a run of keys; shared by all of them."""

    __slots__ = ("_datacenter", "_needs", "groupings", "nodes")

    def __init__(self, groupings: tuple[Grouping, ...], datacenter: str) -> None:
        # By topology: of one, or of the old and the new.
        self.groupings = groupings
        # All owners, each once.
        self.nodes: tuple[NodeId, ...] = tuple(
            dict.fromkeys(node for grouping in groupings for _, nodes in grouping for node in nodes)
        )
        self._datacenter = datacenter
        self._needs: dict[str, tuple[Need, ...]] = {}

    def needs(self, level: str) -> tuple[Need, ...]:
        """Return what a level asks; in every topology, as in joint consensus."""
        found = self._needs.get(level)
        if found is None:
            needs = (need for grouping in self.groupings for need in needs_of(level, grouping, self._datacenter))
            found = self._needs[level] = tuple(dict.fromkeys(needs))
        return found

    @property
    def old_nodes(self) -> tuple[NodeId, ...]:
        """The owners of the older topology: those that certainly hold what was written before."""
        return tuple(node for _, nodes in self.groupings[0] for node in nodes)


class Router:
    """Finds routes and stand-ins. Made anew when the topology changes."""

    def __init__(self, preferences: tuple[Preferences, ...], node: NodeId) -> None:
        self.preferences = preferences
        self.node = node
        self.datacenter = self.datacenter_of(node)
        self._routes: dict[tuple[Grouping, ...], Route] = {}

    def route(self, key: bytes) -> Route:
        """Return who holds a key. Complexity: O(log tokens + owners)."""
        groupings = tuple(each.grouping(key) for each in self.preferences)
        found = self._routes.get(groupings)
        if found is None:
            found = self._routes[groupings] = Route(groupings, self.datacenter)
        return found

    def datacenter_of(self, node: NodeId) -> str:
        """Return where a node stands, in the newest topology that has it."""
        return next((each.datacenter_of[node] for each in reversed(self.preferences) if node in each.datacenter_of), "")

    def stand_ins(self, key: bytes, owner: NodeId) -> tuple[NodeId, ...]:
        """Return who may stand in for an owner: the nodes behind the owners on the walk of its data centre."""
        for each in reversed(self.preferences):
            datacenter = each.datacenter_of.get(owner)
            if datacenter is not None and datacenter in each.topology.replica_counts:
                return each.walk(key, datacenter)[each.topology.replica_counts[datacenter] :]
        return ()
