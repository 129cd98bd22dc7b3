"""From what pairs of nodes agreed on to what all owners hold: when a tombstone may be forgotten (purge by repair).

Theory. This node may forget a tombstone when every other owner holds it too. If a peer's sums equalled ours after a
moment t, it held every tombstone that we held at t. So once all peers of a run agreed, what we held at the earliest of
their moments is everywhere. What counts is when a tombstone arrived here (`leaderless.tombstones`), not its stamp: one
that arrives later, from a late hint or a slow link, was not part of the agreement.

Source: ScyllaDB's tombstone_gc = repair; what goes wrong when late writes are forgotten: scylladb issue 23712.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from quorate.kernel import NodeId
from quorate.protocols.anti_entropy import Interval, SharedRange, pieces


class AllAgreed(NamedTuple):
    """All owners agreed on a run of hashes."""

    start: int
    end: int
    # This node's wall clock when the first of the comparisons began.
    began_wall_ns: int


class _Unit(msgspec.Struct):
    """A piece of a range, for which agreements are kept together."""

    run: Interval
    peers: tuple[NodeId, ...]
    # Peer → when its last comparison that agreed began.
    began: dict[NodeId, int]


class Agreements:
    """Collects the agreements of one node. Complexity: O(pieces of the range) per agreement."""

    def __init__(self, ranges: Iterable[SharedRange] = ()) -> None:
        self._units: list[_Unit] = []
        for shared in ranges:
            whole = Interval(shared.start, shared.end)
            runs = [whole] if whole.is_single else pieces(whole)
            self._units += [_Unit(run, shared.peers, {}) for run in runs]
        self._starts = [unit.run.start for unit in self._units]

    def agree(self, peer: NodeId, start: int, end: int, began_wall_ns: int) -> list[AllAgreed]:
        """Learn that a peer agreed; return what all owners have agreed on by that, neighbours joined."""
        done: list[AllAgreed] = []
        place = max(0, bisect_right(self._starts, start) - 1)
        while place < len(self._units) and self._units[place].run.start < end:
            unit = self._units[place]
            place += 1
            is_inside = start <= unit.run.start and unit.run.end <= end
            if not is_inside or peer not in unit.peers:
                continue
            unit.began[peer] = began_wall_ns
            if len(unit.began) < len(unit.peers):
                continue
            began = min(unit.began.values())
            unit.began = {}
            if done and done[-1].end == unit.run.start:
                last = done.pop()
                done.append(AllAgreed(last.start, unit.run.end, min(began, last.began_wall_ns)))
            else:
                done.append(AllAgreed(unit.run.start, unit.run.end, began))
        return done
