"""What a choice of placement costs and gives, measured the same way for all: balance, movement, memory, survival.

Balance and movement pull one way, survival another: many small ranges per node spread load and repair evenly, and make
it likelier that any two dead nodes hold two copies of *something*.

Source      Figures of the kind in Dynamo (2007) section 6.2 and Cassandra's work on token allocation; copysets: Cidon
            et al. 2013.
Complexity  k keys, c cells, N nodes: O(k) for balance, O(c) for movement, O(c + N³) for survival up to `EXACT_NODES`.
"""

import itertools
import math
import random
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from quorate.kernel import errors, hash_list
from quorate.placement.nodes import NodeLike
from quorate.placement.placement import PROBE_COUNT, HashPlacement, probe_hashes

# Up to so many nodes all triples are counted; above, so many are drawn.
EXACT_NODES: Final = 120
_DRAW_COUNT: Final = 100_000


class ComparisonRow(NamedTuple):
    """One placement's figures. Shares are of all keys or copies, 0 to 1."""

    kind: str
    # Keys on the fullest node over the mean; and standard deviation over the mean.
    balance_max: float
    balance_deviation: float
    # Of first owners, when one node joins, and one leaves; with the least that any placement must move.
    join_moved: float
    join_ideal: float
    join_needless: float
    leave_moved: float
    leave_ideal: float
    leave_needless: float
    # Bytes of the live object (what it derives lazily included as far as it exists), and of its encoding.
    memory_bytes: int
    encoded_bytes: int
    # Chance that two, and three, dead nodes leave some range without a majority of its copies.
    two_dead_loss: float
    three_dead_loss: float
    # With how many others a node shares data, on average: so many can help to rebuild it.
    repair_fanout: float
    # Filled by whoever has a clock; None here, in the pure zone.
    single_lookup_ns: float | None = None
    batch_lookup_ns: float | None = None


def compare(
    placement: HashPlacement, *, newcomer: NodeLike, replica_count: int, key_count: int, rng: random.Random
) -> ComparisonRow:
    """Measure one placement.

    Args:
        placement: what to measure; it needs more nodes than replicas.
        newcomer: who joins; the node that leaves is the last one.
        replica_count: copies of every key.
        key_count: keys that are placed to measure balance.
        rng: draws triples of dead nodes where there are too many to count.
    """
    if key_count < 1:
        raise errors.UsageError(f"key_count is 1 or more, not {key_count}")
    memory = deep_bytes(placement)
    most, deviation = balance(placement, key_count=key_count)
    _, join = placement.with_nodes(added=[newcomer])
    _, leave = placement.with_nodes(removed=[placement.names[-1]])
    node_count = len(placement.nodes)
    copies = replica_sets(placement, replica_count)
    return ComparisonRow(
        kind=placement.kind,
        balance_max=most,
        balance_deviation=deviation,
        join_moved=join.proof().moved_share,
        join_ideal=1 / (node_count + 1),
        join_needless=join.proof().needless_share,
        leave_moved=leave.proof().moved_share,
        leave_ideal=1 / node_count,
        leave_needless=leave.proof().needless_share,
        memory_bytes=memory,
        encoded_bytes=len(placement.to_bytes()),
        two_dead_loss=loss_probability(copies, node_count=node_count, dead_count=2, rng=rng),
        three_dead_loss=loss_probability(copies, node_count=node_count, dead_count=3, rng=rng),
        repair_fanout=repair_fanout(copies, node_count=node_count),
    )


def balance(placement: HashPlacement, *, key_count: int) -> tuple[float, float]:
    """Return the fullest node's keys over the mean, and the standard deviation over the mean.

    The keys are 0, 1, 2 … Loads are divided by weights first, so 1.0 and 0.0 are perfect for every choice of weights.
    """
    counts = _counts(placement, key_count)
    total_weight = sum(node.weight for node in placement.nodes)
    dues = [key_count * node.weight / total_weight for node in placement.nodes]
    ratios = [count / due for count, due in zip(counts, dues, strict=True)]
    variance = sum((ratio - 1) ** 2 for ratio in ratios) / len(ratios)
    return max(ratios), math.sqrt(variance)


def replica_sets(placement: HashPlacement, n: int) -> list[tuple[int, ...]]:
    """Return the different sets of n owners that occur, ascending; of formulas, those that probes meet."""
    hashes = placement.cell_starts() or probe_hashes(PROBE_COUNT)
    found = {tuple(sorted(placement.places_of_hash(key_hash, n))): None for key_hash in hashes}
    return sorted(found)


def loss_probability(
    copies: Sequence[tuple[int, ...]], *, node_count: int, dead_count: int, rng: random.Random
) -> float:
    """Return the chance that a random set of dead nodes holds so many copies of something that no majority is left."""
    if not copies or not 1 <= dead_count <= node_count:
        raise errors.UsageError(f"needs copies, and from 1 to {node_count} dead nodes, not {dead_count}")
    # Fewer dead copies than this leave a majority.
    breaking_count = len(copies[0]) - len(copies[0]) // 2
    if dead_count < breaking_count:
        return 0.0
    breaking = {part: None for owners in copies for part in itertools.combinations(owners, breaking_count)}
    if dead_count == breaking_count:
        return len(breaking) / math.comb(node_count, breaking_count)
    if node_count <= EXACT_NODES and dead_count <= 3:
        drawn: Iterable[tuple[int, ...]] = itertools.combinations(range(node_count), dead_count)
        trial_count = math.comb(node_count, dead_count)
    else:
        drawn = (tuple(sorted(rng.sample(range(node_count), dead_count))) for _ in range(_DRAW_COUNT))
        trial_count = _DRAW_COUNT
    lost = sum(any(part in breaking for part in itertools.combinations(dead, breaking_count)) for dead in drawn)
    return lost / trial_count


def repair_fanout(copies: Sequence[tuple[int, ...]], *, node_count: int) -> float:
    """Return with how many others a node shares some copies, on average."""
    pairs = {pair: None for owners in copies for pair in itertools.combinations(owners, 2)}
    return 2 * len(pairs) / node_count


def deep_bytes(value: Any) -> int:  # Any: it walks whatever a placement is made of
    """Return the memory of a value and all that it refers to, each object once; types and modules left out."""
    seen: dict[int, Any] = {}
    waiting = [value]
    total = 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen[id(thing)] = thing
        total += sys.getsizeof(thing)
        if isinstance(thing, dict):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple):
            waiting += thing
        elif hasattr(thing, "__dict__"):
            waiting.append(vars(thing))
    return total


def _counts(placement: HashPlacement, key_count: int) -> list[int]:
    try:
        import numpy as np
    except ImportError:
        counts = [0] * len(placement.nodes)
        for key_hash in hash_list(range(key_count)):
            counts[placement.place_of_hash(key_hash)] += 1
        return counts
    places = placement.owner_places(np.arange(key_count))
    return [int(count) for count in np.bincount(places, minlength=len(placement.nodes))]
