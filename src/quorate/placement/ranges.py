"""Range partitioning: keys in order, cut into ranges that split when they grow and merge when they shrink.

Theory. Neighbouring keys stay together, so scans touch few nodes; the price is that load can gather in one place. A
range that takes too much of the load is split where its load is halved; if one key alone carries it, no split helps,
and that is said.

Source      Bigtable (Chang et al. 2006), Spanner and CockroachDB (load-based splitting).
Complexity  r ranges: lookup O(log r); split, merge and move O(r) (a new value); rebalancing O(r log n).
Bounds      Keys are bytes in byte order (text as UTF-8). Integers are 8 bytes, big endian, from 0 to 2⁶⁴-1.
"""

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from quorate.kernel import BadKey, BadPayload, Envelope, Key, errors
from quorate.placement.nodes import Node, NodeLike, NodeName, UnknownNode, changed_nodes, checked_nodes
from quorate.placement.placement import Placement
from quorate.placement.plans import Cell, MovementPlan


class BadRange(errors.UsageError):
    """A range cannot be split, merged or placed in this way."""

    code = "BADRANGE"


class KeyRange(NamedTuple):
    """Keys from `start` (included) to `end` (not included; None for no end), and their owners."""

    start: bytes
    end: bytes | None
    owners: tuple[NodeName, ...]


class HotSpot(NamedTuple):
    """A range with more than its share of load."""

    start: bytes
    # Its load over the mean load of all ranges.
    heat: float
    # Where a split halves the load; None when one key carries half of it or more, and no split helps.
    split_key: bytes | None


class RangePlacement(Placement):
    """Ordered ranges, each with its own owners. A value: every change returns a new placement.

    Example:
        >>> ranges = RangePlacement(["a", "b"], replica_count=1).split(b"m").move(b"m", ["b"])
        >>> ranges.owners("apple"), ranges.owners("melon")
        (('a',), ('b',))
    """

    kind: ClassVar[str] = "range"

    def __init__(
        self,
        nodes: Iterable[NodeLike],
        *,
        replica_count: int = 1,
        ranges: Sequence[tuple[bytes, tuple[NodeName, ...]]] | None = None,
    ) -> None:
        """Make a placement.

        Args:
            nodes: who owns.
            replica_count: owners of each range.
            ranges: ascending starts, the first one empty, with owners; None for one range of everything.
        """
        super().__init__(checked_nodes(nodes))
        self._check_count(replica_count)
        self.replica_count = replica_count
        rows = list(ranges) if ranges is not None else [(b"", self.names[:replica_count])]
        self._starts = [start for start, _ in rows]
        self._owners = [tuple(owners) for _, owners in rows]
        self._check_rows()

    def owners(self, key: Key, n: int = 1) -> tuple[NodeName, ...]:
        """Return the first n owners of the key's range; n is at most `replica_count`."""
        if n < 1:
            raise errors.UsageError(f"a key has 1 owner or more, not {n}")
        if n > self.replica_count:
            raise BadRange(f"ranges have {self.replica_count} owners, not {n}")
        return self._owners[self._find(ordered_key(key))][:n]

    def range_of(self, key: Key) -> KeyRange:
        """Return the range of a key."""
        return self.ranges()[self._find(ordered_key(key))]

    def ranges(self) -> list[KeyRange]:
        """Return all ranges, ascending."""
        ends: list[bytes | None] = [*self._starts[1:], None]
        return [KeyRange(*row) for row in zip(self._starts, ends, self._owners, strict=True)]

    def split(self, key: Key) -> "RangePlacement":
        """Return the placement in which a range begins at a key; raise `BadRange` if one does already."""
        start = ordered_key(key)
        at = self._find(start)
        if self._starts[at] == start:
            raise BadRange(f"a range begins at {start!r} already")
        rows = self._rows()
        return self._with_rows([*rows[: at + 1], (start, self._owners[at]), *rows[at + 1 :]])

    def merge(self, key: Key) -> "RangePlacement":
        """Return the placement in which the range that begins at a key is part of the one before it.

        Raises:
            BadRange: no range begins there, it is the first, or its owners differ: move it first, so that merging
                never moves data.
        """
        at = self._at_start(key)
        if at == 0:
            raise BadRange("the first range has none before it")
        if self._owners[at] != self._owners[at - 1]:
            raise BadRange(f"ranges with owners {self._owners[at - 1]} and {self._owners[at]} cannot merge")
        rows = self._rows()
        return self._with_rows([*rows[:at], *rows[at + 1 :]])

    def move(self, key: Key, owners: Sequence[NodeName]) -> "RangePlacement":
        """Return the placement in which the range that begins at a key has other owners."""
        at = self._at_start(key)
        rows = self._rows()
        return self._with_rows([*rows[:at], (rows[at][0], tuple(owners)), *rows[at + 1 :]])

    def hot_spots(self, samples: Mapping[Key, float], *, heat: float = 2.0) -> list[HotSpot]:
        """Return the ranges that carry more than `heat` times the mean load, the hottest first.

        Args:
            samples: load of sampled keys, in any unit.
            heat: above 0.

        Complexity: O(samples log samples).
        """
        if heat <= 0:
            raise errors.UsageError(f"heat is above 0, not {heat}")
        loads: dict[int, list[tuple[bytes, float]]] = {}
        for key, load in sorted((ordered_key(key), load) for key, load in samples.items()):
            loads.setdefault(self._find(key), []).append((key, load))
        mean = sum(samples.values()) / len(self._starts)
        found = [
            HotSpot(self._starts[at], total / mean, _halving_key(rows, total))
            for at, rows in loads.items()
            if mean > 0 and (total := sum(load for _, load in rows)) > heat * mean
        ]
        return sorted(found, key=lambda spot: (-spot.heat, spot.start))

    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["RangePlacement", MovementPlan]:
        """Return the placement after a change of nodes, and what moves for all copies.

        Copies of nodes that go are taken by the least loaded; nodes that come take copies from the most loaded, until
        loads (copies over weight) differ by less than one copy. `n` is ignored: a range moves with all its copies.
        """
        del n
        staying, coming, going = changed_nodes(self.nodes, added=added, removed=removed)
        nodes = checked_nodes([*staying, *coming])
        owners = _rebalance(self._owners, nodes, newcomers=[node.name for node in coming])
        after = RangePlacement(
            nodes, replica_count=self.replica_count, ranges=list(zip(self._starts, owners, strict=True))
        )
        share = 1 / len(self._starts)
        cells = [
            Cell(old.start, old.end, share, old.owners, new.owners)
            for old, new in zip(self.ranges(), after.ranges(), strict=True)
            if old.owners != new.owners
        ]
        plan = MovementPlan(
            cells,
            added=[node.name for node in coming],
            removed=[node.name for node in going],
            owner_count=self.replica_count,
            is_exact=True,
        )
        return after, plan

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array of nodes, replica count, and [start, owners] of each range."""
        return _ENVELOPE.encode((self.nodes, self.replica_count, self._rows()))

    @classmethod
    def from_bytes(cls, data: bytes) -> "RangePlacement":
        """Return the placement in sealed bytes; raise `Undecodable` for anything else."""
        nodes, replica_count, rows = _ENVELOPE.decode(data)
        try:
            return cls(nodes, replica_count=replica_count, ranges=rows)
        except errors.UsageError as cause:
            raise BadPayload(f"ranges that cannot be: {cause}") from cause

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return RangePlacement.from_bytes, (self.to_bytes(),)

    def _rows(self) -> list[tuple[bytes, tuple[NodeName, ...]]]:
        return list(zip(self._starts, self._owners, strict=True))

    def _with_rows(self, rows: Sequence[tuple[bytes, tuple[NodeName, ...]]]) -> "RangePlacement":
        return RangePlacement(self.nodes, replica_count=self.replica_count, ranges=rows)

    def _find(self, key: bytes) -> int:
        return bisect_right(self._starts, key) - 1

    def _at_start(self, key: Key) -> int:
        start = ordered_key(key)
        at = self._find(start)
        if self._starts[at] != start:
            raise BadRange(f"no range begins at {start!r}")
        return at

    def _check_rows(self) -> None:
        if not self._starts or self._starts[0] != b"" or sorted(dict.fromkeys(self._starts)) != self._starts:
            raise BadRange("ranges ascend, the first one from the empty key")
        known = dict.fromkeys(self.names)
        for owners in self._owners:
            if len(owners) != self.replica_count or len(dict.fromkeys(owners)) != len(owners):
                raise BadRange(f"a range has {self.replica_count} different owners, not {owners}")
            if any(name not in known for name in owners):
                raise UnknownNode(f"owners {owners} are not all nodes")


_ENVELOPE: Envelope[tuple[tuple[Node, ...], int, list[tuple[bytes, tuple[NodeName, ...]]]]] = Envelope(
    "ranges", 1, tuple[tuple[Node, ...], int, list[tuple[bytes, tuple[NodeName, ...]]]]
)


def ordered_key(key: Key) -> bytes:
    """Return the bytes whose order is the order of keys; raise `BadKey`."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < 1 << 64:
        return key.to_bytes(8, "big")
    raise BadKey(f"a key in order is bytes, str or an integer from 0 to 2**64-1, not {key!r:.80}")


def _halving_key(rows: Sequence[tuple[bytes, float]], total: float) -> bytes | None:
    """Return the key at which the load before and after is most equal; None when one key carries half or more."""
    if max(load for _, load in rows) * 2 >= total:
        return None
    before = 0.0
    best: tuple[float, bytes] | None = None
    for (_, load), (key, _) in itertools.pairwise(rows):
        before += load
        gap = abs(total - 2 * before)
        if best is None or gap < best[0]:
            best = (gap, key)
    return best[1] if best is not None else None


def _rebalance(
    all_owners: Sequence[tuple[NodeName, ...]], nodes: Sequence[Node], *, newcomers: Sequence[NodeName]
) -> list[tuple[NodeName, ...]]:
    """Replace owners that are gone by the least loaded, then let newcomers take from the most loaded."""
    weights = {node.name: node.weight for node in nodes}
    order = {node.name: place for place, node in enumerate(nodes)}
    held = dict.fromkeys(weights, 0)
    for owners in all_owners:
        for name in owners:
            if name in held:
                held[name] += 1
    replica_count = len(all_owners[0])
    if replica_count > len(weights):
        raise BadRange(f"{replica_count} owners of each range need as many nodes, not {len(weights)}")
    placed = []
    for owners in all_owners:
        row = list(owners)
        for at, name in enumerate(row):
            if name not in held:
                free = [other for other in held if other not in row]
                row[at] = min(free, key=lambda other: (held[other] / weights[other], order[other]))
                held[row[at]] += 1
        placed.append(row)
    for newcomer in newcomers:
        _take(placed, newcomer, held, weights, order)
    return [tuple(row) for row in placed]


def _take(
    rows: list[list[NodeName]],
    newcomer: NodeName,
    held: dict[NodeName, int],
    weights: Mapping[NodeName, float],
    order: Mapping[NodeName, int],
) -> None:
    """Let one newcomer take copies from the most loaded nodes while that makes the two more equal."""
    by_owner: dict[NodeName, list[int]] = {name: [] for name in held}
    for at, row in enumerate(rows):
        for name in row:
            by_owner[name].append(at)
    donors = [(-held[name] / weights[name], order[name], name) for name in held if name != newcomer]
    heapq.heapify(donors)
    while donors:
        _, place, name = heapq.heappop(donors)
        if held[name] / weights[name] <= (held[newcomer] + 1) / weights[newcomer]:
            return
        # The last of its ranges that the newcomer has no copy of.
        while by_owner[name] and newcomer in rows[by_owner[name][-1]]:
            by_owner[name].pop()
        if not by_owner[name]:
            continue
        row = rows[by_owner[name].pop()]
        row[row.index(name)] = newcomer
        held[name] -= 1
        held[newcomer] += 1
        heapq.heappush(donors, (-held[name] / weights[name], place, name))
