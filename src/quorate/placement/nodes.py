"""Who can own data: nodes with a weight and a place, checked once."""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec

from quorate.kernel import errors, hash_key

NodeName: TypeAlias = int | str
NODE_COUNT_MAX: Final = 100_000
WEIGHT_MIN: Final = 0.001
WEIGHT_MAX: Final = 1_000.0


class NoNodes(errors.UsageError):
    """There is nobody to own anything."""

    code = "NONODES"


class RepeatedNode(errors.UsageError):
    """A node is named twice, or is to be added although it is there."""

    code = "REPEATEDNODE"


class UnknownNode(errors.UsageError):
    """A node is named that is not there."""

    code = "UNKNOWNNODE"


class BadWeight(errors.UsageError):
    """A weight is not a number from 0.001 to 1,000, or this placement knows no weights."""

    code = "BADWEIGHT"


class TooFewNodes(errors.UsageError):
    """More owners are asked for than there are nodes."""

    code = "TOOFEWNODES"


class Node(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One node of a placement."""

    # Unique; all names of one placement are integers, or all are text.
    name: NodeName
    # Share of the data relative to other nodes; 0.001 to 1,000.
    weight: float = 1.0
    # What fails together: copies go to different zones first, then to different racks.
    rack: str = ""
    zone: str = ""


NodeLike: TypeAlias = Node | NodeName


def to_node(node: NodeLike) -> Node:
    """Return the node that is meant: a name alone has weight 1 and no place."""
    return node if isinstance(node, Node) else Node(node)


def checked_nodes(nodes: Iterable[NodeLike], *, are_sorted: bool = True) -> tuple[Node, ...]:
    """Return nodes by ascending name, or in their own order.

    Raises:
        NoNodes: there is none.
        RepeatedNode: a name occurs twice.
        BadWeight: a weight is not a number from 0.001 to 1,000.
        UsageError: names are of mixed or other types, or there are too many nodes.
    """
    checked = tuple(to_node(node) for node in nodes)
    if not checked:
        raise NoNodes("a placement needs at least one node")
    if len(checked) > NODE_COUNT_MAX:
        raise errors.UsageError(f"a placement has at most {NODE_COUNT_MAX} nodes, not {len(checked)}")
    kind = str if isinstance(checked[0].name, str) else int
    seen: dict[NodeName, None] = {}
    for node in checked:
        if not isinstance(node.name, kind) or isinstance(node.name, bool):
            raise errors.UsageError(f"node names are all integers or all text; {node.name!r} differs")
        if node.name in seen:
            raise RepeatedNode(f"node {node.name!r} is named twice")
        # Tokens and turns are in proportion to weights: a huge one, forged or mistyped, would never end.
        if not WEIGHT_MIN <= node.weight <= WEIGHT_MAX:
            raise BadWeight(f"node {node.name!r} has weight {node.weight}; it is from {WEIGHT_MIN} to {WEIGHT_MAX}")
        seen[node.name] = None
    return tuple(sorted(checked, key=_name)) if are_sorted else checked


def changed_nodes(
    nodes: tuple[Node, ...], *, added: Iterable[NodeLike], removed: Iterable[NodeName]
) -> tuple[tuple[Node, ...], tuple[Node, ...], tuple[Node, ...]]:
    """Return who stays, who comes and who goes, each in the order given.

    Raises:
        UnknownNode: a removed node is not there, or is named twice.
        RepeatedNode: an added node is there already and is not removed, or is named twice.
        NoNodes: nobody would be left.
    """
    there = {node.name: node for node in nodes}
    going: dict[NodeName, Node] = {}
    for name in removed:
        if name not in there or name in going:
            raise UnknownNode(f"node {name!r} cannot be removed: it is not there")
        going[name] = there[name]
    coming = tuple(to_node(node) for node in added)
    staying = tuple(node for node in nodes if node.name not in going)
    for node in coming:
        if node.name in there and node.name not in going:
            raise RepeatedNode(f"node {node.name!r} is there already")
        if node.name in going:
            raise RepeatedNode(f"node {node.name!r} is added and removed at once")
    if staying or coming:
        checked_nodes([*staying, *coming], are_sorted=False)
    else:
        raise NoNodes("nobody would be left")
    return staying, coming, tuple(going.values())


def name_hash(name: NodeName) -> int:
    """Return a node's own 64-bit hash."""
    return hash_key(name)


def spread(candidates: Iterable[int], nodes: tuple[Node, ...], owner_count: int, *, is_flat: bool) -> tuple[int, ...]:
    """Choose owners in order of preference, on different zones first, then different racks, then just different.

    Args:
        candidates: places of nodes, the most wanted first; may repeat.
        nodes: what the places mean.
        owner_count: how many are wanted; the candidates must hold as many different ones.
        is_flat: no two nodes are in different racks or zones.

    Returns:
        Places of nodes; the first candidate is always the first owner.

    Complexity: O(candidates looked at) without racks and zones, else O(nodes · owner_count) more.
    """
    # Walks are lazy and can be long: stop as soon as nothing new can come.
    chosen: dict[int, None] = {}
    for place in candidates:
        chosen[place] = None
        if len(chosen) == (owner_count if is_flat else len(nodes)):
            break
    if is_flat:
        return tuple(chosen)
    waiting = list(chosen)
    owners: list[int] = []
    used: dict[Any, int] = {}
    while len(owners) < owner_count:
        # Fewest copies in the zone, then in the rack, then first come; `min` keeps the first of equals.
        best = min(waiting, key=lambda place: _crowding(nodes[place], used))
        waiting.remove(best)
        owners.append(best)
        node = nodes[best]
        for where in (node.zone, (node.zone, node.rack)):
            used[where] = used.get(where, 0) + 1
    return tuple(owners)


def has_topology(nodes: tuple[Node, ...]) -> bool:
    """Return whether any two nodes are in different racks or zones."""
    first = nodes[0]
    return any((node.zone, node.rack) != (first.zone, first.rack) for node in nodes)


def _crowding(node: Node, used: dict[Any, int]) -> tuple[int, int]:
    return used.get(node.zone, 0), used.get((node.zone, node.rack), 0)


def _name(node: Node) -> Any:  # Any: integers or text, never both in one placement
    return node.name
