"""Who holds which keys: nodes in data centres, one ring per data centre, and the order in which nodes are preferred.

Theory. Every data centre has a hash ring of its own nodes and a number of copies of its own. The owners of a key are,
in each data centre, the first different nodes clockwise, in other zones and racks first. Behind them on the same walk
come the stand-ins of a sloppy quorum, in a fixed order that all nodes agree on without talking.

Source      Dynamo (2007), sections 4.3 and 4.6; one ring per data centre: Cassandra's NetworkTopologyStrategy.
Complexity  `owners` and `walk`: O(1) amortised, a dictionary look-up per run of the ring.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from quorate.kernel import HASH_COUNT, Codec, NodeId, errors, hash_key
from quorate.placement import Node, Ring

REPLICA_COUNT_MAX: Final = 15


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where one node stands."""

    node: NodeId
    # Data centres replicate to each other without waiting (the LOCAL_ levels); "" is the only one of most clusters.
    datacenter: str = ""
    # What fails together within a data centre: copies go to different zones first, then to different racks.
    zone: str = ""
    rack: str = ""
    # Share of the data relative to other nodes.
    weight: float = 1.0
    # Its places on the ring; empty: they follow from the other places (see `placement.Ring`).
    tokens: tuple[int, ...] = ()


class Topology(msgspec.Struct, frozen=True, array_like=True):
    """All nodes of a keyspace, and how many copies each data centre holds. A value; every change has a new version."""

    # Grows by one with every change; 1 is the first.
    version: int
    # By node, ascending.
    places: tuple[Place, ...]
    # Data centre → copies of every key there.
    replica_counts: dict[str, int]
    virtual_nodes: int = 16
    # Of several plans of one version the latest attempt wins: so a movement that cannot end is given up, or changed.
    attempt: int = 0

    def nodes(self) -> tuple[NodeId, ...]:
        """Return all nodes, ascending."""
        return tuple(place.node for place in self.places)

    def with_nodes(
        self,
        added: Iterable[Place] = (),
        removed: Iterable[NodeId] = (),
        *,
        replica_counts: Mapping[str, int] | None = None,
        instead_of: "Topology | None" = None,
    ) -> "Topology":
        """Return the next version with nodes more or less; those that stay keep their tokens, so little moves.

        With nothing but `instead_of` it gives up a movement that is under way.

        Args:
            added: nodes that come.
            removed: nodes that go.
            replica_counts: copies per data centre, if they change too.
            instead_of: the plan that is under way and cannot end (a node never came), to be replaced by this one.

        Raises:
            UsageError: a node is there already, or is not there, or too few are left for the copies.
        """
        coming, going = list(added), list(removed)
        for name in dict.fromkeys([*going, *(place.node for place in coming)]):
            is_there = name in self.nodes()
            if is_there != (name in going) or sum(place.node == name for place in coming) > 1:
                raise errors.UsageError(f"node {name} is {'there already' if is_there else 'not there'}")
        staying = [place for place in self._fixed().places if place.node not in going]
        counts = dict(self.replica_counts if replica_counts is None else replica_counts)
        places = tuple(sorted([*staying, *coming], key=lambda place: place.node))
        attempt = 0 if instead_of is None else instead_of.attempt + 1
        return Topology(self.version + 1, places, counts, self.virtual_nodes, attempt)._fixed()

    def with_replacement(self, gone: NodeId, place: Place) -> "Topology":
        """Return the next version in which a new node has the place on the ring of one that is gone.

        Raises:
            UsageError: the node is not there, or the new one is.
        """
        fixed = self._fixed()
        tokens = next((known.tokens for known in fixed.places if known.node == gone), None)
        if tokens is None or place.node in self.nodes():
            raise errors.UsageError(
                f"node {gone} is to be replaced by {place.node}: one is not there, or one is already"
            )
        heir = msgspec.structs.replace(place, tokens=tokens)
        places = sorted([heir, *(known for known in fixed.places if known.node != gone)], key=lambda known: known.node)
        return msgspec.structs.replace(fixed, version=self.version + 1, places=tuple(places), attempt=0)

    def _fixed(self) -> "Topology":
        """Return the same topology with all tokens written out."""
        tokens = Preferences(self).tokens()
        places = (msgspec.structs.replace(at, tokens=tokens.get(at.node, at.tokens)) for at in self.places)
        return msgspec.structs.replace(self, places=tuple(places))


_CODEC: Final[Codec[Topology]] = Codec(Topology)


class Preferences:
    """Answers, for one topology, who holds a key. Built once per topology.

    Raises:
        UsageError: a data centre has fewer nodes than copies, or no copies at all are asked for.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.datacenter_of: dict[NodeId, str] = {place.node: place.datacenter for place in topology.places}
        self._rings: dict[str, Ring] = {}
        self._walks: dict[tuple[str, tuple[int, ...]], tuple[NodeId, ...]] = {}
        for name, count in sorted(topology.replica_counts.items()):
            members = [place for place in topology.places if place.datacenter == name]
            if not 1 <= count <= REPLICA_COUNT_MAX:
                raise errors.UsageError(f"replicas: data centre {name!r} holds 1 to {REPLICA_COUNT_MAX} copies")
            if count > len(members):
                raise errors.UsageError(f"replicas: {count} copies need as many nodes; {name!r} has {len(members)}")
            nodes = [Node(int(at.node), at.weight, at.rack, at.zone) for at in members]
            tokens: dict[int | str, tuple[int, ...]] = {int(at.node): at.tokens for at in members if at.tokens}
            self._rings[name] = Ring(nodes, virtual_nodes=topology.virtual_nodes, tokens=tokens)
        if not self._rings:
            raise errors.UsageError("replicas: no data centre holds any copy")

    def owners(self, key: bytes) -> tuple[NodeId, ...]:
        """Return all nodes that hold a key: data centres by name, in each the most preferred first."""
        return tuple(node for _, nodes in self.grouping(key) for node in nodes)

    def grouping(self, key: bytes) -> tuple[tuple[str, tuple[NodeId, ...]], ...]:
        """Return the owners of a key, data centre by data centre."""
        key_hash = hash_key(key)
        return tuple((name, self.owners_of_hash(key_hash, name)) for name in self._rings)

    def walk(self, key: bytes, datacenter: str) -> tuple[NodeId, ...]:
        """Return all nodes of a data centre in the order of preference for a key: owners first, then stand-ins."""
        ring = self._rings[datacenter]
        places = ring.places_of_hash(hash_key(key), len(ring.nodes))
        found = self._walks.get((datacenter, places))
        if found is None:
            found = tuple(NodeId(int(ring.names[place])) for place in places)
            self._walks[datacenter, places] = found
        return found

    def runs(self) -> list[tuple[int, int, tuple[NodeId, ...]]]:
        """Return all runs of hashes (start, end, owners ascending), in order; neighbours have different owners.

        Complexity: O(tokens · copies).
        """
        starts = sorted(dict.fromkeys(start for ring in self._rings.values() for start in ring.cell_starts()))
        runs: list[tuple[int, int, tuple[NodeId, ...]]] = []
        for start, end in zip(starts, [*starts[1:], HASH_COUNT], strict=True):
            owners = tuple(
                sorted(
                    NodeId(int(ring.names[place]))
                    for name, ring in self._rings.items()
                    for place in ring.places_of_hash(start, self.topology.replica_counts[name])
                )
            )
            if runs and runs[-1][2] == owners:
                runs[-1] = (runs[-1][0], end, owners)
            else:
                runs.append((start, end, owners))
        return runs

    def owners_of_hash(self, key_hash: int, datacenter: str) -> tuple[NodeId, ...]:
        """Return the owners in one data centre of the keys with a hash; nobody where no copies are held."""
        ring = self._rings.get(datacenter)
        if ring is None:
            return ()
        places = ring.places_of_hash(key_hash, self.topology.replica_counts[datacenter])
        return tuple(NodeId(int(ring.names[place])) for place in places)

    def cell_starts(self, datacenter: str) -> list[int]:
        """Return the first hashes of the runs with the same owners in a data centre, ascending."""
        ring = self._rings.get(datacenter)
        return [0] if ring is None else ring.cell_starts()

    def tokens(self) -> dict[NodeId, tuple[int, ...]]:
        """Return where each node that holds copies stands on its ring."""
        return {NodeId(int(name)): own for ring in self._rings.values() for name, own in ring.tokens.items()}

    @property
    def datacenters(self) -> tuple[str, ...]:
        """The data centres that hold copies, by name."""
        return tuple(self._rings)


def name_of(topology: Topology) -> int:
    """Return what tells one topology from another, the same on all nodes."""
    # Through the decoder, as peers see it: a weight of 1 is one of 1.0.
    plain = _CODEC.decode(_CODEC.encode(topology))
    return hash_key(msgspec.msgpack.encode(plain, order="deterministic"))


def topology_of(
    nodes: Iterable[NodeId], *, replica_count: int = 3, places: Mapping[NodeId, Place] | None = None
) -> Topology:
    """Return the first topology of nodes in one data centre (or where `places` says)."""
    known = places or {}
    listed = tuple(known.get(node, Place(node)) for node in sorted(nodes))
    counts = dict.fromkeys(sorted({place.datacenter for place in listed}), replica_count)
    return Topology(1, listed, counts)
