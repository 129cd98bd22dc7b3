"""An operator's repair: this node compares all that it holds of a keyspace with everybody else's, now, and waits.

Copies mend themselves in the background. A repair is for when somebody must know: after a disk was lost, before a node
is removed, before tombstones outgrow their grace. Done means: since it began, each peer held at some moment the same as
this node, in every piece of every range. What is written meanwhile differs for a moment and is no harm: its piece is
compared again.

Source: Cassandra's `nodetool repair`, without its trees that are built for the occasion.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from quorate.kernel import Duration, NodeId, hash_key, milliseconds
from quorate.kernel.errors import Conflict, Refused
from quorate.protocols.anti_entropy import CompareAll, Interval, SharedRange, pieces
from quorate.server.keyspaces import group_of
from quorate.store import Reply

if TYPE_CHECKING:
    from quorate.server.available import AvailableReplica
    from quorate.server.node import Node

TIMEOUT_MS: Final = 300_000
TIMEOUT_MS_MAX: Final = 24 * 3_600_000

_LOOK_S: Final = 0.1
"""What did not agree is compared again after this: its cells are on their way."""


class _Unit(msgspec.Struct):
    """A piece of a range, and the peers that have not agreed on it yet."""

    start: int
    end: int
    left: dict[NodeId, None]


class Repair:
    """What has agreed since a repair began.

    Memory: O(pieces of the ranges + keys that differed).
    """

    def __init__(self, ranges: Sequence[SharedRange]) -> None:
        """Begin with everything open."""
        self.peers = tuple(sorted({peer for shared in ranges for peer in shared.peers}))
        self._ranges: list[list[_Unit]] = []
        for shared in ranges:
            whole = Interval(shared.start, shared.end)
            runs = [whole] if whole.is_single else pieces(whole)
            self._ranges.append([_Unit(start, end, dict.fromkeys(shared.peers)) for start, end in runs])
        self._units = [unit for units in self._ranges for unit in units]
        self._starts = [unit.start for unit in self._units]
        self._heard: dict[NodeId, None] = {}
        self._differed: dict[bytes, None] = {}

    def agree(self, peer: NodeId, start: int, end: int) -> None:
        """Learn that a peer held the same in a run of hashes. Complexity: O(pieces of the run)."""
        self._heard[peer] = None
        place = max(0, bisect_right(self._starts, start) - 1)
        while place < len(self._units) and self._units[place].start < end:
            unit = self._units[place]
            place += 1
            if start <= unit.start and unit.end <= end:
                unit.left.pop(peer, None)

    def differ(self, peer: NodeId, keys: Iterable[bytes]) -> None:
        """Learn that a peer held something else under these keys."""
        self._heard[peer] = None
        self._differed.update(dict.fromkeys(keys))

    def open_peers(self) -> dict[NodeId, None]:
        """Return the peers that have not agreed on everything."""
        return {peer: None for peer in self.peers if any(peer in unit.left for unit in self._units)}

    def report(self, node: NodeId, down: Iterable[NodeId]) -> dict[Reply, Reply]:
        """Return what has come of it.

        Args:
            node: this one.
            down: peers that cannot be reached, as this node sees it; one that never answered counts as well.
        """
        still_open = self.open_peers()
        away = sorted(peer for peer in still_open if peer in tuple(down) or peer not in self._heard)
        return {
            b"node": node,
            b"ranges": len(self._ranges),
            b"agreed": sum(not any(unit.left for unit in units) for units in self._ranges),
            b"differed": len(self._differed),
            b"repaired": sum(not self._unit_of(key).left for key in self._differed),
            b"unreachable": [int(peer) for peer in away],
            b"is_done": int(not still_open),
        }

    def _unit_of(self, key: bytes) -> _Unit:
        return self._units[bisect_right(self._starts, hash_key(key)) - 1]


def leaderless_replica(node: "Node", name: str, what: str) -> "AvailableReplica":
    """Return a keyspace on a node by its name; raise Refused when it is none, or on Raft, where nothing is to be done.

    Args:
        node: that has it.
        name: of the keyspace.
        what: shall be done with it, for the sentence.
    """
    keyspace = node.config.keyspaces.get(name)
    if keyspace is None:
        raise Refused(f"there is no keyspace {name!r}")
    if not keyspace.is_leaderless:
        raise Refused(f"keyspace {name} is on Raft, which keeps its copies equal; {what} is for leaderless ones")
    return node.available[group_of(name)]


async def repair_named(node: "Node", name: str, timeout_ms: int = TIMEOUT_MS) -> Reply:
    """Repair a keyspace by its name; see `repair`.

    Raises:
        Refused: there is no such keyspace, it is on Raft, or the time-out is out of bounds.
    """
    replica = leaderless_replica(node, name, "repair")
    if not 1 <= timeout_ms <= TIMEOUT_MS_MAX:
        raise Refused(f"a time-out has from 1 to {TIMEOUT_MS_MAX} ms")
    return await repair(replica, timeout=milliseconds(timeout_ms))


async def repair(replica: "AvailableReplica", *, timeout: Duration) -> Reply:
    """Compare with all peers until all have agreed, all others are away, or the time is over; return the report.

    Raises:
        Refused: this node holds nothing of the keyspace yet, its ranges are moving, or it declares no anti-entropy.
        Conflict: a repair is under way on this node.
    """
    machine, host, node, name = replica.machine, replica.host, replica.node, replica.name
    if machine is None or host is None:
        raise Refused(f"this node has not been told yet which nodes hold keyspace {name}")
    entropy = machine.anti_entropy
    if entropy is None:
        raise Refused(f"keyspace {name} declares anti_entropy = false: its copies are not compared")
    if machine.leaderless.next_topology is not None:
        raise Refused(f"ranges of keyspace {name} are moving; repair when they have settled")
    if replica.repair is not None:
        raise Conflict(f"a repair of keyspace {name} is under way on this node")
    version, found = entropy.version, Repair(entropy.ranges)
    deadline = node.env.clock.now() + timeout
    replica.repair = found
    try:
        host.call(CompareAll())
        node.turn.ask()
        while (still_open := found.open_peers()) and node.env.clock.now() < deadline:
            await asyncio.sleep(_LOOK_S)
            if entropy.version != version:
                raise Refused(f"ranges of keyspace {name} began to move; repair when they have settled")
            if entropy.is_idle:
                if all(peer in entropy.down for peer in still_open):
                    break
                host.call(CompareAll())
                node.turn.ask()
    finally:
        replica.repair = None
    return found.report(node.env.node, entropy.down)
