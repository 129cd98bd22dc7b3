"""Who must be asked about a key while one topology holds, or two."""

from bisect import bisect_right

from quorate.kernel import NodeId, hash_key
from quorate.protocols.leaderless.levels import Grouping, Need, needs_of
from quorate.protocols.leaderless.topology import Preferences


class Route:
    """The owners of a run of keys; shared by all of them."""

    __slots__ = ("_needs", "_router", "groupings", "near", "nodes", "old_nodes")

    def __init__(self, groupings: tuple[Grouping, ...], router: "Router") -> None:
        # By topology: of one, or of the old and the new.
        self.groupings = groupings
        # All owners, each once.
        self.nodes: tuple[NodeId, ...] = tuple(
            dict.fromkeys(node for grouping in groupings for _, nodes in grouping for node in nodes)
        )
        # The owners of the older topology: those that certainly hold what was written before.
        self.old_nodes: tuple[NodeId, ...] = tuple(node for _, nodes in groupings[0] for node in nodes)
        # All owners: the node that asks first, then its data centre, then the others.
        own, here = router.node, router.datacenter
        self.near: tuple[NodeId, ...] = tuple(
            sorted(self.nodes, key=lambda node: (node != own, router.datacenter_of(node) != here))
        )
        self._router = router
        self._needs: dict[str, tuple[Need, ...]] = {}

    def needs(self, level: str) -> tuple[Need, ...]:
        """Return what a level asks; in every topology, as in joint consensus."""
        found = self._needs.get(level)
        if found is None:
            here = self._router.datacenter
            needs = (need for grouping in self.groupings for need in needs_of(level, grouping, here))
            found = self._needs[level] = tuple(dict.fromkeys(needs))
        return found


class Router:
    """Finds routes and stand-ins. Made anew when the topology changes."""

    def __init__(self, preferences: tuple[Preferences, ...], node: NodeId) -> None:
        self.preferences = preferences
        self.node = node
        self.datacenter = self.datacenter_of(node)
        edges = [start for each in preferences for name in each.datacenters for start in each.cell_starts(name)]
        # First hashes of runs with the same owners, and the routes of those runs that somebody asked for.
        self._starts = sorted(dict.fromkeys(edges))
        self._routes: list[Route | None] = [None] * len(self._starts)

    def route(self, key: bytes) -> Route:
        """Return who holds a key. Complexity: O(log tokens)."""
        place = bisect_right(self._starts, hash_key(key)) - 1
        found = self._routes[place]
        if found is None:
            found = self._routes[place] = Route(tuple(each.grouping(key) for each in self.preferences), self)
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
