"""Consistency levels: how many of which owners must have answered. Source: Cassandra's consistency levels."""

from collections.abc import Collection, Container
from typing import Final, TypeAlias

import msgspec

from quorate.kernel import NodeId
from quorate.kernel.errors import UsageError
from quorate.protocols.leaderless.calls import LEVELS

COUNTS: Final = {"ONE": 1, "TWO": 2, "THREE": 3}
READ_LEVELS: Final = tuple(level for level in LEVELS if level not in {"NONE", "ANY"})

Grouping: TypeAlias = tuple[tuple[str, tuple[NodeId, ...]], ...]
"""The owners of one key in one topology: data centre by data centre, in each the most preferred first."""


class Need(msgspec.Struct, frozen=True):
    """So many of these nodes must have answered."""

    nodes: tuple[NodeId, ...]
    count: int

    def is_met(self, answered: Container[NodeId]) -> bool:
        """Return whether enough of the nodes are among those that answered."""
        left = self.count
        for node in self.nodes:
            if node in answered:
                left -= 1
        return left <= 0


def check_level(level: str, *, is_read: bool) -> None:
    """Raise `UsageError` unless a word is a level for reads, or for writes."""
    if level in (READ_LEVELS if is_read else LEVELS) or (level.isascii() and level.isdigit() and int(level) > 0):
        return
    kind = "reads" if is_read else "writes"
    raise UsageError(f"level {level!r} is none of {', '.join(READ_LEVELS if is_read else LEVELS)} or a number ({kind})")


def needs_of(level: str, grouping: Grouping, datacenter: str) -> tuple[Need, ...]:
    """Return what a level asks of the owners of a key.

    Args:
        level: checked by `check_level`.
        grouping: the owners.
        datacenter: the coordinator's own, for the LOCAL_ levels.

    Returns:
        Needs, all of which must be met; none for NONE and ANY. One may ask for more nodes than there are: then the
        level cannot be met.
    """
    everybody = tuple(node for _, nodes in grouping for node in nodes)
    local = next((nodes for name, nodes in grouping if name == datacenter), ())
    match level:
        case "NONE" | "ANY":
            return ()
        case "QUORUM":
            return (Need(everybody, majority(everybody)),)
        case "ALL":
            return (Need(everybody, len(everybody)),)
        case "LOCAL_ONE":
            return (Need(local, 1),)
        case "LOCAL_QUORUM":
            return (Need(local, majority(local)),)
        case "EACH_QUORUM":
            return tuple(Need(nodes, majority(nodes)) for _, nodes in grouping)
        case _:
            return (Need(everybody, COUNTS.get(level) or int(level)),)


def majority(nodes: Collection[NodeId]) -> int:
    """Return how many are more than half; 1 of none, which cannot be met."""
    return len(nodes) // 2 + 1
