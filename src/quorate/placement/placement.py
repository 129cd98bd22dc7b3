"""The one interface of every placement: who owns a key, and what moves when nodes change."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from quorate.kernel import HASH_COUNT, Key, errors, hash_array, hash_key, hash_list, mix64
from quorate.placement.nodes import Node, NodeLike, NodeName, TooFewNodes, has_topology
from quorate.placement.plans import Cell, MovementPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROBE_COUNT: Final = 1 << 13


class Placement(ABC):
    """Maps keys to owners. A value: a change of nodes gives a new placement.

    `nodes` is what it was made of; `names` are their names in the same order.
    """

    # The word in comparisons and encodings.
    kind: ClassVar[str]

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.nodes = nodes
        self.names: tuple[NodeName, ...] = tuple(node.name for node in nodes)
        # Whether all nodes are in one rack, so that copies need not be spread.
        self.is_flat = not has_topology(nodes)

    @abstractmethod
    def owners(self, key: Key, n: int = 1) -> tuple[NodeName, ...]:
        """Return the n different nodes that own a key, the first one first.

        Raises:
            TooFewNodes: n is above the number of nodes.
            UsageError: n is below 1, or the key is no key.
        """

    @abstractmethod
    def with_nodes(
        self, added: Iterable[NodeLike] = (), removed: Iterable[NodeName] = (), *, n: int = 1
    ) -> tuple["Placement", MovementPlan]:
        """Return the placement after a change of nodes, and what moves for n owners per key.

        Raises:
            RepeatedNode: an added node is there already, or named twice.
            UnknownNode: a removed node is not there.
            NoNodes: nobody would be left.
        """

    @abstractmethod
    def to_bytes(self) -> bytes:
        """Return the sealed bytes."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Placement) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.nodes)} nodes)"

    def _check_count(self, n: int) -> None:
        if n < 1:
            raise errors.UsageError(f"a key has 1 owner or more, not {n}")
        if n > len(self.nodes):
            raise TooFewNodes(f"{n} owners are asked for and there are {len(self.nodes)} nodes")


class HashPlacement(Placement):
    """A placement that looks only at the hash of a key."""

    def owners(self, key: Key, n: int = 1) -> tuple[NodeName, ...]:
        """Return the n different nodes that own a key, the first one first; see `Placement.owners`."""
        self._check_count(n)
        names = self.names
        return tuple([names[place] for place in self.places_of_hash(hash_key(key), n)])

    def owner(self, key: Key) -> NodeName:
        """Return the first owner of a key: `owners(key)[0]`, quicker."""
        return self.names[self.place_of_hash(hash_key(key))]

    def place_of_hash(self, key_hash: int) -> int:
        """Return the place among `nodes` of the first owner of a hash."""
        return self.places_of_hash(key_hash, 1)[0]

    @abstractmethod
    def places_of_hash(self, key_hash: int, n: int) -> tuple[int, ...]:
        """Return the places among `nodes` of the n owners of a hash; n was checked."""

    def owner_places(self, keys: "Iterable[Key] | NDArray[Any]") -> "NDArray[np.int32]":
        """Return, for many keys, the place among `nodes` of the first owner; needs NumPy."""
        return self._places_of_hashes(hash_array(keys))

    def owner_list(self, keys: Iterable[Key]) -> list[NodeName]:
        """Return, for many keys, the first owner; the same answers as `owner_places`, without NumPy."""
        place_of_hash, names = self.place_of_hash, self.names
        return [names[place_of_hash(key_hash)] for key_hash in hash_list(keys)]

    def cell_starts(self) -> Sequence[int] | None:
        """Return the ascending first hashes of runs with the same owners, beginning with 0; None if there are none."""
        return None

    def shares(self, n: int = 1) -> list[float]:
        """Return the share of all copies of each node, in the order of `nodes`; estimated if there are no runs.

        Complexity: O(cells · cost of owners).
        """
        self._check_count(n)
        shares = [0.0] * len(self.nodes)
        for start, _, share in _cells([self.cell_starts()]):
            for place in self.places_of_hash(start, n):
                shares[place] += share / n
        return shares

    def _places_of_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        """Return the first owners' places; placements that can do better than one by one override this."""
        import numpy as np

        return np.fromiter(map(self.place_of_hash, hashes.tolist()), dtype=np.int32, count=len(hashes))

    def _plan(self, after: "HashPlacement", *, added: Sequence[Node], removed: Sequence[Node], n: int) -> MovementPlan:
        self._check_count(n)
        after._check_count(n)
        return MovementPlan(
            _ChangedCells(self, after, n),
            added=[node.name for node in added],
            removed=[node.name for node in removed],
            owner_count=n,
            is_exact=self.cell_starts() is not None and after.cell_starts() is not None,
        )


class _ChangedCells(Collection[Cell]):
    """The cells whose owners differ between two placements, found anew each time: a change of nodes stays cheap."""

    def __init__(self, before: HashPlacement, after: HashPlacement, n: int) -> None:
        self._before, self._after, self._n = before, after, n

    def __iter__(self) -> Iterator[Cell]:
        before, after, n = self._before, self._after, self._n
        for start, end, share in _cells([before.cell_starts(), after.cell_starts()]):
            owners = tuple(before.names[place] for place in before.places_of_hash(start, n))
            owners_after = tuple(after.names[place] for place in after.places_of_hash(start, n))
            if owners != owners_after:
                yield Cell(start, end, share, owners, owners_after)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, cell: object) -> bool:
        return any(cell == other for other in self)


def scale_array(hashes: "NDArray[np.uint64]", counts: "NDArray[np.uint64] | np.uint64") -> "NDArray[np.int64]":
    """Return ⌊hash · count / 2⁶⁴⌋ from two halves, without more than 64 bits; counts are below 2³²."""
    import numpy as np

    high = hashes >> np.uint64(32)
    low = hashes & np.uint64(0xFFFFFFFF)
    low *= counts
    low >>= np.uint64(32)
    high *= counts
    high += low
    high >>= np.uint64(32)
    return high.view(np.int64)


def probe_hashes(count: int) -> list[int]:
    """Return hashes that are spread evenly, always the same."""
    return [mix64(number + 1) for number in range(count)]


def _cells(all_starts: list[Sequence[int] | None]) -> Iterator[tuple[int, int, float]]:
    """Yield (start, end, share) of runs in which no placement changes owners; or of evenly spread probes."""
    starts = [starts for starts in all_starts if starts is not None]
    if len(starts) < len(all_starts):
        for probe in probe_hashes(PROBE_COUNT):
            yield probe, probe + 1, 1 / PROBE_COUNT
        return
    edges = sorted({start: None for run in starts for start in run})
    for start, end in zip(edges, [*edges[1:], HASH_COUNT], strict=True):
        yield start, end, (end - start) / HASH_COUNT


class CellTable:
    """Finds the run that a hash lies in: one by one by bisection, many by a table of the leading bits.

    Complexity: O(log runs) for one; for many about O(1) each, with 4 to 8 table cells (4 bytes each) for every run.
    """

    def __init__(self, starts: Sequence[int]) -> None:
        assert starts, "there is a run"
        assert starts[0] == 0, "the runs cover all hashes"
        self.starts = list(starts)
        self._arrays: Any = None

    def find(self, key_hash: int) -> int:
        """Return the place of the run."""
        return bisect_right(self.starts, key_hash) - 1

    def find_many(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.int32]":
        """Return the places of the runs of many hashes."""
        import numpy as np

        starts, table, shift = self._tables()
        last = len(self.starts) - 1
        places = np.empty(len(hashes), dtype=np.int32)
        for begin in range(0, len(hashes), 1 << 14):
            piece = hashes[begin : begin + (1 << 14)]
            found = table[(piece >> shift).view(np.int64)]
            # Most cells of the table lie within one run; only the others look further.
            more = np.flatnonzero(starts[found + 1] <= piece)
            more = more[found[more] < last]
            while len(more):
                found[more] += 1
                more = more[(starts[found[more] + 1] <= piece[more]) & (found[more] < last)]
            places[begin : begin + (1 << 14)] = found
        return places

    def _tables(self) -> "tuple[NDArray[np.uint64], NDArray[np.int32], np.uint64]":
        """Return the starts with one more behind them, the run at the beginning of each table cell, and the shift."""
        import numpy as np

        if self._arrays is None:
            bits = min(22, max(1, (len(self.starts) * 4 - 1).bit_length()))
            firsts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
            starts = np.array(self.starts, dtype=np.uint64)
            table = (np.searchsorted(starts, firsts, side="right") - 1).astype(np.int32)
            guarded = np.append(starts, np.uint64(HASH_COUNT - 1))
            self._arrays = (guarded, table, np.uint64(64 - bits))
        return self._arrays  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[type["CellTable"], tuple[list[int]]]:
        return CellTable, (self.starts,)
