"""The lattice of isolation levels: each level by what first refutes it and by what it still allows."""

import random

import pytest

from quorate.check import Operation
from quorate.check.txn import LEVEL_NAMES, check_list_append, check_rw_register, check_weak
from quorate.check.txn.graph import ANTI, RW, WR, WW, Graph
from quorate.check.txn.levels import LEVELS, implies, level_named


def together(*rows):
    """All at once, each its own process; null reads are asked and answered alike."""
    return [
        Operation(process=place, f="txn", value=[list(s) for s in steps], result=[list(s) for s in steps],
                  call=place, done=100 + place)
        for place, steps in enumerate(rows)
    ]  # fmt: skip


def w(key, value):
    return ("w", key, value)


def r(key, value=None):
    return ("r", key, value)


# Name of the anomaly, its history, its near miss, levels that it refutes, levels that it does not.
SHAPES = [
    ("otv",
     [[w("x", 1), w("y", 1)], [r("x", 1), r("y")]], [[w("x", 1), w("y", 1)], [r("x", 1), r("y", 1)]],
     ["monotonic-atomic-view", "read-atomic", "repeatable-read"], ["read-committed", "cursor-stability"]),
    ("fractured-read",
     [[w("x", 1), w("y", 1)], [r("y"), r("x", 1)]], [[w("x", 1), w("y", 1)], [r("y"), r("x")]],
     ["read-atomic", "causal", "consistent-view"], ["monotonic-atomic-view", "cursor-stability"]),
    ("g-single",
     [[w("x", 1)], [r("x", 1), w("y", 1)], [r("y", 1), r("x")]],
     [[w("x", 1)], [r("x", 1), w("y", 1)], [r("y", 1), r("x", 1)]],
     ["causal", "prefix", "parallel-snapshot-isolation", "consistent-view"], ["read-atomic", "monotonic-atomic-view"]),
    ("lost-update",
     [[r("x"), w("x", 1)], [r("x"), w("x", 2)]], [[r("x"), w("x", 1)], [r("x", 1), w("x", 2)]],
     ["cursor-stability", "repeatable-read", "parallel-snapshot-isolation"], ["read-atomic", "causal", "prefix"]),
    ("long-fork",
     [[w("x", 1)], [r("x", 1), r("y")], [w("y", 1)], [r("y", 1), r("x")]],
     [[w("x", 1)], [r("x", 1), r("y")], [w("y", 1)], [r("y", 1), r("x", 1)]],
     ["prefix", "snapshot-isolation", "repeatable-read"], ["parallel-snapshot-isolation", "update-serializable"]),
    ("write-skew",
     [[r("x"), w("y", 1)], [r("y"), w("x", 1)]], [[r("x"), w("y", 1)], [r("y", 1), w("x", 1)]],
     ["repeatable-read", "update-serializable", "serializable"], ["snapshot-isolation", "strong-snapshot-isolation"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bad", "good", "refuted", "allowed"), SHAPES, ids=[row[0] for row in SHAPES])
def test_a_shape_is_named_and_splits_the_levels(name, bad, good, refuted, allowed):
    found = check_rw_register(together(*bad))
    assert name in found.anomalies
    assert set(refuted) <= set(found.refuted)
    assert not set(allowed) & set(found.refuted)
    near = check_rw_register(together(*good))
    assert not near.refuted
    assert near.strongest == ("strict-serializable",)


def test_lists_show_the_order_of_glances_too():
    """Seen first and missed later is an observed transaction that vanishes; missed first is not."""
    writer = [("append", "x", 1), ("append", "y", 1)]
    vanished = check_list_append(together(writer, [r("x", [1]), r("y", [])]))
    assert {"otv", "fractured-read"} <= set(vanished.anomalies)
    late = check_list_append(together(writer, [r("y", []), r("x", [1])]))
    assert "otv" not in late.anomalies
    assert "monotonic-atomic-view" in late.not_refuted


def chaos(seed, write):
    """Transactions whose reads see any version at all, of registers ("w") or of lists ("append")."""
    rng = random.Random(seed)
    rows = [
        [(rng.choice("rw"), rng.choice("xy")) for _ in range(rng.randrange(1, 4))] for _ in range(rng.randrange(2, 6))
    ]
    order = {"x": [], "y": []}
    for number, row in enumerate(rows):
        for place, (f, key) in enumerate(row):
            if f == "w":
                order[key].insert(rng.randrange(len(order[key]) + 1), 10 * number + place)
    steps = []
    for number, row in enumerate(rows):
        steps.append([])
        for place, (f, key) in enumerate(row):
            count = rng.randrange(len(order[key]) + 1)
            seen = order[key][:count] if write == "append" else order[key][count - 1] if count else None
            steps[-1].append((write, key, 10 * number + place) if f == "w" else ("r", key, seen))
    return together(*steps)


@pytest.mark.slow
def test_a_refutation_carries_over_to_all_stronger_levels():
    """On random histories of both kinds: what implies a refuted level is refuted."""
    refuted_count = dict.fromkeys(LEVEL_NAMES, 0)
    for seed in range(800):
        is_list = seed % 2 == 0
        found = check_list_append(chaos(seed, "append")) if is_list else check_rw_register(chaos(seed, "w"))
        for name in found.refuted:
            refuted_count[name] += 1
            weaker = level_named(name)
            for stronger in LEVELS:
                if implies(stronger, weaker):
                    assert stronger.name in found.refuted, (seed, stronger.name, name)
    assert min(refuted_count.values()) > 5, refuted_count
    assert refuted_count["read-atomic"] < refuted_count["causal"] < refuted_count["serializable"]


@pytest.mark.slow
def test_what_is_refuted_is_refuted_by_the_exact_weak_checkers():
    """Read atomic and causal as Biswas and Enea define them, with sessions of one transaction."""
    refuted_count = 0
    for seed in range(800):
        rows = chaos(seed, "w")
        found = check_rw_register(rows, saturate=False)
        for level in ("read-atomic", "causal"):
            if level in found.refuted:
                refuted_count += 1
                assert check_weak(rows, level).verdict != "valid", (seed, level)
    assert refuted_count > 50


@pytest.mark.slow
def test_bit_walks_find_the_cycles_that_paths_find():
    """One anti-dependency, and one reader: bits in portions against a search from every edge."""
    counts = [0, 0]
    for seed in range(1000):
        rng = random.Random(seed)
        size = rng.randrange(3, 8)
        graph = Graph(size)
        for _ in range(rng.randrange(2, 12)):
            source, target = rng.sample(range(size), 2)
            # Base edges lead up, so that they have no cycle.
            graph.add(source, target, RW) if rng.random() < 0.5 else graph.add(
                min(source, target), max(source, target), rng.choice([WW, WR])
            )
        everything = list(range(size))
        inside = dict.fromkeys(everything)
        for base in (WW | WR, WR):
            expected = any(
                bits & ANTI and graph.path(target, source, base, inside) is not None
                for source in everything for target, bits in graph.edges[source].items()
            )  # fmt: skip
            counts[0] += expected
            assert graph.closes_with_one_anti(base, everything) == expected, (seed, base)
        readers = dict.fromkeys(node for node in everything if rng.random() < 0.4)
        others = dict.fromkeys(node for node in everything if node not in readers)
        kinds = WW | WR | RW
        if not graph.knots(kinds, list(others)):
            expected = any(
                bits & kinds and after in others
                and any(graph.path(after, last, kinds, others) and graph.edges[last].get(reader) for last in others)
                for reader in readers for after, bits in graph.edges[reader].items()
            )  # fmt: skip
            counts[1] += expected
            assert graph.closes_through_one(kinds, readers, everything) == expected, seed
    assert min(counts) > 100, counts
