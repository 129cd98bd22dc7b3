"""Named shapes of partitions, over the directed cuts of `Links`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from quorate.sim.choices import Stream

if TYPE_CHECKING:
    from quorate.sim.host import Host
    from quorate.sim.world import World

Groups = Sequence[Sequence[int]]


class Partitions:
    """Cuts and heals links by host number or host."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._cut = world.links.cut

    def cut(self, source: "Host | int", target: "Host | int") -> None:
        """Let nothing through in one direction."""
        self._cut[_number(source), _number(target)] = None

    def cut_both(self, one: "Host | int", other: "Host | int") -> None:
        """Let nothing through in either direction."""
        self.cut(one, other)
        self.cut(other, one)

    def split(self, groups: Iterable[Iterable["Host | int"]]) -> None:
        """Cut all links between groups; who is in none is left alone."""
        sides = [[_number(host) for host in group] for group in groups]
        for left in range(len(sides)):
            for right in range(left + 1, len(sides)):
                for one in sides[left]:
                    for other in sides[right]:
                        self.cut_both(one, other)

    def isolate(self, host: "Host | int", others: Iterable["Host | int"]) -> None:
        """Cut a host off from all others."""
        for other in others:
            if _number(other) != _number(host):
                self.cut_both(host, other)

    def heal(self) -> None:
        """Let everything through again."""
        self._cut.clear()


def shape(name: str, hosts: Sequence[int], dice: Stream) -> list[tuple[int, int]]:
    """Return the directed cuts of a named shape.

    Args:
        name: `halves` (majority against minority), `minority-third` (a third is cut off), `majorities-ring` (each host
            sees a majority, no two the same), `bridge` (two halves that see only one common host), `one-way` (one half
            hears the other and is not heard), `isolate` (one host alone).
        hosts: all hosts of the cluster; the first is the one that `isolate` cuts off and `bridge` spares, after a draw.
        dice: chooses who is where.

    Complexity: O(n²), n hosts.
    Source: the nemesis shapes of Jepsen.
    """
    members = shuffled(hosts, dice)
    half = len(members) // 2
    match name:
        case "halves":
            return _between(members[:half], members[half:])
        case "minority-third":
            third = max(1, (len(members) - 1) // 3)
            return _between(members[:third], members[third:])
        case "majorities-ring":
            return _ring(members)
        case "bridge":
            return _between(members[1 : 1 + half], members[1 + half :])
        case "one-way":
            return [(one, other) for one in members[:half] for other in members[half:]]
        case "isolate":
            return _between(members[:1], members[1:])
        case _:
            raise ValueError(f"no partition has the shape {name!r}")


SHAPES = ("halves", "minority-third", "majorities-ring", "bridge", "one-way", "isolate")


def shuffled(items: Sequence[int], dice: Stream) -> list[int]:
    """Return the items in a drawn order."""
    rest = list(items)
    return [rest.pop(dice.below(len(rest))) for _ in range(len(rest))]


def _between(one_side: Sequence[int], other_side: Sequence[int]) -> list[tuple[int, int]]:
    cuts = [(one, other) for one in one_side for other in other_side]
    return cuts + [(other, one) for one, other in cuts]


def _ring(members: Sequence[int]) -> list[tuple[int, int]]:
    """Let each see the next ones around it, a bare majority with itself."""
    count = len(members)
    reach = max(1, (count // 2 + 1) // 2)
    cuts: list[tuple[int, int]] = []
    for place, one in enumerate(members):
        cuts += [(one, members[(place + step) % count]) for step in range(reach + 1, count - reach)]
    return cuts


def _number(host: "Host | int") -> int:
    return host if isinstance(host, int) else host.number
