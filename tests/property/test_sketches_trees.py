"""HyperLogLog, Count-Min, Merkle trees and invertible tables, each against the plain thing that it summarises."""

import pickle
import sys
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import hash_key
from quorate.sketches import CountMin, HyperLogLog, InvertibleTable, MerkleTree, TreeWalk, XorTree

CHECK = settings(max_examples=40, deadline=None, derandomize=True)
KEYS = st.lists(st.integers(-5, 50) | st.text(max_size=2), max_size=80)


@CHECK
@given(KEYS, KEYS, st.sampled_from([4, 9, 14]))
def test_hyperloglog_registers_are_the_largest_ranks(left: list, right: list, precision: int) -> None:
    one, two, plain = (HyperLogLog(precision=precision) for _ in range(3))
    for key in left:
        one.add(key)
    two.add_many(right)
    numpy, sys.modules["numpy"] = sys.modules["numpy"], None
    try:
        plain.add_many(right)
    finally:
        sys.modules["numpy"] = numpy
    assert two == plain
    twin: dict[int, int] = {}
    for key in left:
        bits = f"{hash_key(key):064b}"
        rest = bits[precision:][:52]
        rank = len(rest) - len(rest.lstrip("0")) + 1 if "1" in rest else len(rest) + 1
        # The register's own bits come first; the 52 bits that follow them are ranked.
        place = int(bits[:precision], 2)
        twin[place] = max(twin.get(place, 0), rank)
    assert {place: rank for place, rank in enumerate(one._registers) if rank} == twin
    merged = one.merge(two)
    both = HyperLogLog(precision=precision)
    both.add_many(left + right)
    assert merged == both == two.merge(one)
    assert HyperLogLog.from_bytes(both.to_bytes()) == both == pickle.loads(pickle.dumps(both))
    if precision == 14:
        assert abs(both.estimate() - len({hash_key(k) for k in left + right})) < 1.5


@CHECK
@given(KEYS, KEYS)
def test_count_min_never_counts_too_little(left: list, right: list) -> None:
    one, two, plain = (CountMin(error=0.02, chance=0.1) for _ in range(3))
    for key in left:
        one.add(key)
    two.add_many(right)
    numpy, sys.modules["numpy"] = sys.modules["numpy"], None
    try:
        plain.add_many(right)
        counts_plain = plain.count_many(left + right)
    finally:
        sys.modules["numpy"] = numpy
    assert two == plain
    assert two.count_many(left + right).tolist() == counts_plain
    both = one.merge(two)
    assert both.total == len(left) + len(right)
    twin = Counter(hash_key(key) for key in left + right)
    for key in left + right:
        assert both.count(key) >= twin[hash_key(key)]
    assert CountMin.from_bytes(both.to_bytes()) == both == pickle.loads(pickle.dumps(both))


CHANGES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 3)), max_size=60)


@CHECK
@given(CHANGES, st.sampled_from([(2, 3), (4, 2), (16, 2)]))
def test_trees_differ_exactly_in_the_leaves_of_the_keys_that_differ(changes: list, shape: tuple) -> None:
    """Two replicas, changed at random; value 0 removes. The twin compares two dicts."""
    fanout, depth = shape
    merkle = [MerkleTree(depth=depth, fanout=fanout) for _ in range(2)]
    xors = [XorTree(depth=depth, fanout=fanout) for _ in range(2)]
    data: list[dict] = [{}, {}]
    for number, (side, key, value) in enumerate(changes):
        old = data[side].get(key)
        new = b"%d" % value if value else None
        if new is None:
            data[side].pop(key, None)
            merkle[side].remove(key)
        else:
            data[side][key] = new
            merkle[side].put(key, new)
        xors[side].replace(key, old=old, new=new)
        if number % 7 == 0:
            merkle[side].root()
    differing = {k for k in {*data[0], *data[1]} if data[0].get(k) != data[1].get(k)}
    for pair in (merkle, xors):
        expected = sorted({pair[0].leaf_of(key) for key in differing})
        assert [leaf.leaf for leaf in pair[0].diff(pair[1])] == expected
        assert (pair[0] == pair[1]) == (not differing)
        assert all(
            leaf.start <= hash_key(k) < leaf.end
            for leaf in pair[0].diff(pair[1])
            for k in differing
            if pair[0].leaf_of(k) == leaf.leaf
        )
        walk = TreeWalk(pair[0])
        while nodes := walk.wanted():
            walk.learn(pair[1].digests(nodes))
        assert [leaf.leaf for leaf in walk.differing()] == expected
        assert walk.compared_count <= 1 + len(expected) * depth * fanout
        again = type(pair[0]).from_bytes(pair[0].to_bytes())
        assert again.root() == pair[0].root() == pickle.loads(pickle.dumps(pair[0])).root()
    # Content alone decides, not the history: a fresh tree of the same data is the same tree.
    fresh = MerkleTree(depth=depth, fanout=fanout)
    fresh.update(data[0])
    assert fresh.root() == merkle[0].root() and fresh.to_bytes() == merkle[0].to_bytes()


@CHECK
@given(st.dictionaries(st.integers(0, 60), st.binary(max_size=2), max_size=40), st.integers(1, 3))
def test_xor_trees_of_parts_merge_into_the_tree_of_the_whole(data: dict, parts: int) -> None:
    trees = [XorTree(depth=2) for _ in range(parts)]
    whole = XorTree(depth=2)
    for key, value in data.items():
        trees[key % parts].toggle(key, value)
        whole.toggle(key, value)
    merged = XorTree(depth=2)
    for tree in trees:
        merged = merged.merge(tree)
    assert merged == whole and merged.to_bytes() == whole.to_bytes()


@CHECK
@given(st.sets(st.integers(0, 300), max_size=60), st.sets(st.integers(0, 300), max_size=12), st.booleans())
def test_a_subtracted_table_decodes_to_the_symmetric_difference(common: set, changed: set, large: bool) -> None:
    here_keys, there_keys = (
        sorted(common ^ {k for k in changed if k % 2}),
        sorted(common ^ {k for k in changed if not k % 2}),
    )
    size = 100 if large else 5
    here, there, plain = InvertibleTable(size), InvertibleTable(size), InvertibleTable(size)
    here.add_many(here_keys)
    for key in there_keys:
        there.add(key)
    numpy, sys.modules["numpy"] = sys.modules["numpy"], None
    try:
        plain.add_many(here_keys)
    finally:
        sys.modules["numpy"] = numpy
    assert plain == here
    found = here.subtract(there).decode()
    only_here = sorted(hash_key(k) for k in {*here_keys} - {*there_keys})
    only_there = sorted(hash_key(k) for k in {*there_keys} - {*here_keys})
    assert set(found.only_here) <= set(only_here) and set(found.only_there) <= set(only_there)
    assert found.is_complete == ((found.only_here, found.only_there) == (only_here, only_there))
    if not {*here_keys} ^ {*there_keys}:
        assert found.is_complete
    assert InvertibleTable.from_bytes(here.to_bytes()) == here == pickle.loads(pickle.dumps(here))
    for key in here_keys:
        here.remove(key)
    assert here == InvertibleTable(size)
