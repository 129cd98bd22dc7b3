"""What is done to a cluster, and who stands on which side of it. The same for every design.

The harm is aimed at node 1, which leads where a design has a leader: that is the worst case for such a design, and no
difference to the others. Nodes stand in three zones; partitions run between zones, as they do in practice.
"""

from typing import Final

import msgspec

from quorate.kernel import milliseconds
from quorate.kernel.errors import UsageError

ZONE_COUNT: Final = 3
# Four nodes in three zones would have half of them in one: no partition between zones would leave a majority.
NODE_COUNTS: Final = (3, 5, 6, 7, 8, 9)
# What the links of a slow node are like.
SLOW_LATENCY: Final = milliseconds(50)
SLOW_JITTER: Final = milliseconds(20)
# How far a skewed wall clock is behind.
SKEW: Final = milliseconds(300)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of harm done to one cluster."""

    name: str
    # In words, for the card.
    sentence: str
    # Name of the side → its nodes; clients stay on theirs. The first is the harmed one.
    sides: dict[str, tuple[int, ...]]
    # Directed pairs of nodes that carry nothing.
    cuts: tuple[tuple[int, int], ...] = ()
    # Killed processes; and machines that lose power. Their clients go to the next node that runs.
    killed: tuple[int, ...] = ()
    unpowered: tuple[int, ...] = ()
    # All links of these nodes are slow.
    slow: tuple[int, ...] = ()
    # Wall clocks of these nodes are behind.
    skewed: tuple[int, ...] = ()

    @property
    def is_between_zones(self) -> bool:
        """Whether it is a partition in which each side is whole zones, so that each may hold a copy of everything."""
        return bool(self.cuts) and self.name != "one-way"

    def side_of(self, node: int) -> str:
        """Return the side that the clients of a node count for."""
        return next(name for name, nodes in self.sides.items() if node in nodes)


def zone_of(node: int, node_count: int) -> int:
    """Return the zone of a node, from 0: equal zones, the first ones larger.

    Example:
        >>> [zone_of(node, 5) for node in range(1, 6)]
        [0, 0, 1, 1, 2]
    """
    return (node - 1) * ZONE_COUNT // node_count


def zone_nodes(zone: int, node_count: int) -> tuple[int, ...]:
    """Return the nodes of a zone."""
    return tuple([node for node in range(1, node_count + 1) if zone_of(node, node_count) == zone])


def scenario_named(name: str, node_count: int) -> Scenario:
    """Return what a scenario means for a cluster of so many nodes.

    Raises:
        UsageError: no such scenario, or too few or too many nodes.
    """
    if node_count not in NODE_COUNTS:
        raise UsageError(f"nodes: {', '.join(map(str, NODE_COUNTS))}; not {node_count}")
    if name not in SCENARIOS:
        raise UsageError(f"faults: {', '.join(SCENARIOS)}; not {name!r}")
    everyone = tuple(range(1, node_count + 1))
    first, second = zone_nodes(0, node_count), zone_nodes(1, node_count)
    sentence = SCENARIOS[name]
    match name:
        case "slow-link":
            return Scenario(name=name, sentence=sentence, sides=_against((1,), everyone, "slow", "rest"), slow=(1,))
        case "minority":
            sides = _against(second, everyone, "minority", "majority")
            return Scenario(name=name, sentence=sentence, sides=sides, cuts=_between(sides))
        case "majority":
            sides = _against(first, everyone, "minority", "majority")
            return Scenario(name=name, sentence=sentence, sides=sides, cuts=_between(sides))
        case "shatter":
            sides = {f"zone {zone + 1}": zone_nodes(zone, node_count) for zone in range(ZONE_COUNT)}
            return Scenario(name=name, sentence=sentence, sides=sides, cuts=_between(sides))
        case "one-way":
            cuts = tuple([(1, node) for node in everyone if node != 1])
            return Scenario(
                name=name, sentence=sentence, sides=_against((1,), everyone, "unheard", "rest"), cuts=cuts
            )  # fmt: skip
        case "skew":
            return Scenario(name=name, sentence=sentence, sides=_against((1,), everyone, "skewed", "rest"), skewed=(1,))
        case "kill":
            return Scenario(name=name, sentence=sentence, sides={"survivors": everyone}, killed=(1,))
        case "zone":
            return Scenario(name=name, sentence=sentence, sides={"survivors": everyone}, unpowered=first)
        case _:
            return Scenario(name=name, sentence=sentence, sides={"all": everyone})


SCENARIOS: Final = {
    "none": "nothing is broken",
    "slow-link": f"every link of node 1 takes {SLOW_LATENCY // 1_000_000} ms more, each way",
    "minority": "the second zone is cut off; node 1 stays with the majority",
    "majority": "the first zone, with node 1, is cut off from the majority",
    "one-way": "node 1 hears the others, and none of them hears node 1",
    "kill": "the process of node 1 is killed, and started again at the end",
    "zone": "the first zone loses power, with node 1, and comes back at the end",
    "skew": f"the wall clock of node 1 is {SKEW // 1_000_000} ms behind",
    "shatter": "all zones are cut off from each other: nobody has a majority",
}

SCENARIOS_DEFAULT: Final = ("none", "slow-link", "minority", "majority", "one-way", "kill", "zone")


def _against(harmed: tuple[int, ...], everyone: tuple[int, ...], name: str, other: str) -> dict[str, tuple[int, ...]]:
    return {name: harmed, other: tuple([node for node in everyone if node not in harmed])}


def _between(sides: dict[str, tuple[int, ...]]) -> tuple[tuple[int, int], ...]:
    groups = list(sides.values())
    return tuple(
        [
            (one, other)
            for place, group in enumerate(groups)
            for peers in (*groups[:place], *groups[place + 1 :])
            for one in group
            for other in peers
        ]
    )
