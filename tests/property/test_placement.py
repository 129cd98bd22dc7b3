"""Every placement against a dumb twin, and the promises that all of them make."""

import bisect
import math
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import HASH_COUNT, hash_key, mix64
from quorate.placement import (
    AnchorHash,
    BoundedLoad,
    Directory,
    FixedPartitions,
    HashPlacement,
    Jump,
    Maglev,
    Modulo,
    Node,
    Placement,
    RangePlacement,
    Rendezvous,
    Ring,
    TooFewNodes,
    ordered_key,
)

CHECK = settings(max_examples=25, deadline=None, derandomize=True)
MAKERS = {
    "ring": lambda nodes: Ring(nodes, virtual_nodes=5),
    "random ring": lambda nodes: Ring(nodes, virtual_nodes=5, allocation="random"),
    "fixed": lambda nodes: FixedPartitions(nodes, partition_count=64, spacing=2),
    "rendezvous": Rendezvous,
    "jump": Jump,
    "modulo": Modulo,
    "maglev": lambda nodes: Maglev(nodes, slot_count=211),
    "bounded": lambda nodes: BoundedLoad(nodes, partition_count=100),
    "anchor": lambda nodes: AnchorHash(nodes, capacity=20),
}
WEIGHTED = ("ring", "random ring", "fixed", "rendezvous", "maglev", "bounded")
# Placements in which a key moves only from nodes that go and to nodes that come.
MINIMAL = ("ring", "random ring", "rendezvous", "anchor")
NODES = st.sets(st.integers(0, 30), min_size=1, max_size=9).map(sorted)
KEYS = [*range(60), *(f"key{n}" for n in range(60)), b"", "é", -(2**63), 2**64 - 1]
every_kind = pytest.mark.parametrize("kind", MAKERS)


def placed(nodes: list[int], topology: int) -> list[Node]:
    return [Node(n, rack=f"r{n % 4}", zone=f"z{n % 2}") if topology else Node(n) for n in nodes]


@pytest.mark.slow
@every_kind
@CHECK
@given(nodes=NODES, topology=st.integers(0, 1), n=st.integers(1, 4))
def test_owners_are_different_nodes_and_the_same_everywhere(kind: str, nodes: list, topology: int, n: int) -> None:
    """Across copies, encodings, pickles, orders of naming, single and batch calls."""
    placement: HashPlacement = MAKERS[kind](placed(nodes, topology))
    if n > len(nodes):
        with pytest.raises(TooFewNodes):
            placement.owners("x", n)
        return
    again = type(placement).from_bytes(placement.to_bytes())
    pickled = pickle.loads(pickle.dumps(placement))
    assert again == placement == pickled and hash(again) == hash(placement)
    batch = [placement.names[p] for p in placement.owner_places(KEYS)]
    assert batch == placement.owner_list(KEYS)
    for key, first in zip(KEYS, batch, strict=True):
        owners = placement.owners(key, n)
        assert owners == again.owners(key, n) == pickled.owners(key, n)
        assert len(set(owners)) == n and set(owners) <= set(nodes)
        assert owners[0] == first == placement.owner(key)
        if topology:
            zones = Counter(owner % 2 for owner in owners)
            assert len(zones) == min(n, len({node % 2 for node in nodes}))
    if kind not in ("jump", "anchor"):
        assert MAKERS[kind](placed(nodes[::-1], topology)) == placement


@pytest.mark.slow
@every_kind
@CHECK
@given(nodes=NODES, data=st.data())
def test_a_plan_is_exactly_the_difference_of_the_owners(kind: str, nodes: list, data: st.DataObject) -> None:
    """The twin asks every cell's owners before and after; added and removed are at random."""
    removed = data.draw(st.lists(st.sampled_from(nodes), max_size=3, unique=True))
    added = data.draw(st.lists(st.integers(40, 44), max_size=3, unique=True))
    n = data.draw(st.integers(1, 3))
    if min(len(nodes), len(nodes) - len(removed) + len(added)) < n:
        return
    placement: HashPlacement = MAKERS[kind](nodes)
    after, plan = placement.with_nodes(added=added, removed=removed, n=n)
    assert sorted(after.names) == sorted(set(nodes) - set(removed) | set(added))
    starts, after_starts = placement.cell_starts(), after.cell_starts()
    assert plan.is_exact == (starts is not None)
    proof = plan.proof()
    assert math.isclose(proof.moved_share, proof.needed_share + proof.needless_share, abs_tol=1e-12)
    moved: Counter = Counter()
    for move in plan.moves:
        moved[move.start] += 1
        before = [placement.names[p] for p in placement.places_of_hash(move.start, n)]
        now = [after.names[p] for p in after.places_of_hash(move.start, n)]
        assert move.source in before and move.target in now and move.target not in before
        if not move.is_needless:
            assert move.target in added or set(before) & set(removed)
    probes = sorted({*starts, *after_starts}) if starts is not None else [mix64(k + 1) for k in range(300)]
    for key_hash in probes:
        before = {placement.names[p] for p in placement.places_of_hash(key_hash, n)}
        now = {after.names[p] for p in after.places_of_hash(key_hash, n)}
        assert moved[key_hash] == len(now - before)
    if kind in MINIMAL and n == 1:
        assert proof.is_minimal
        assert {m.target for m in plan.moves if m.source not in removed} <= set(added)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WEIGHTED)
@CHECK
@given(nodes=st.sets(st.integers(0, 30), min_size=2, max_size=5).map(sorted), data=st.data())
def test_shares_follow_weights_and_add_up(kind: str, nodes: list, data: st.DataObject) -> None:
    weights = [data.draw(st.sampled_from([1.0, 2.0, 0.5])) for _ in nodes]
    placement = MAKERS[kind]([Node(n, weight=w) for n, w in zip(nodes, weights, strict=True)])
    shares = placement.shares()
    assert math.isclose(sum(shares), 1.0, abs_tol=1e-9)
    if kind in ("rendezvous", "fixed", "maglev"):
        for share, weight in zip(shares, weights, strict=True):
            assert abs(share - weight / sum(weights)) < 0.05


@CHECK
@given(nodes=NODES, n=st.integers(1, 3), kind=st.sampled_from(["ring", "random ring"]))
def test_a_ring_is_a_walk_over_sorted_tokens(nodes: list, n: int, kind: str) -> None:
    ring = MAKERS[kind](nodes)
    tokens = sorted((t, name) for name, owned in ring.tokens.items() for t in owned)
    for key_hash in [*(mix64(k) for k in range(50)), 0, HASH_COUNT - 1, *(t + d for t, _ in tokens for d in (0, 1))]:
        at = bisect.bisect_left(tokens, (key_hash, -1))
        walk = list(dict.fromkeys(tokens[(at + s) % len(tokens)][1] for s in range(len(tokens))))
        if n <= len(nodes):
            assert [ring.names[p] for p in ring.places_of_hash(key_hash, n)] == walk[:n]
    hashes = np.array([*(t for t, _ in tokens), 0, HASH_COUNT - 1], dtype=np.uint64)
    assert ring._places_of_hashes(hashes).tolist() == [ring.place_of_hash(h) for h in hashes.tolist()]


@CHECK
@given(nodes=NODES)
def test_formulas_follow_their_definitions(nodes: list) -> None:
    rendezvous, jump, modulo = Rendezvous(nodes), Jump(nodes), Modulo(nodes)
    for key in KEYS:
        h = hash_key(key)
        assert rendezvous.owner(key) == max(nodes, key=lambda name: mix64(h ^ hash_key(name)))
        assert modulo.owner(key) == nodes[h % len(nodes)]
        # Lamping and Veach, figure 1, transcribed naively: the bucket of the last jump below n, for every n.
        bucket, state = 0, h
        while True:
            state = (state * 2862933555777941757 + 1) % 2**64
            following = int((bucket + 1) * (2**31 / ((state >> 33) + 1)))
            if following >= len(nodes):
                break
            bucket = following
        assert jump.owner(key) == nodes[bucket]


@CHECK
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=20))
def test_an_anchor_is_minimal_along_every_history(steps: list) -> None:
    """Only keys of the node that goes move; and they come back when it does."""
    anchor = AnchorHash([0, 1, 2], capacity=8)
    owners = {key: anchor.owner(key) for key in KEYS}
    for number, (adds, pick) in enumerate(steps, start=100):
        if adds and len(anchor.names) < 8:
            anchor, _ = anchor.with_nodes(added=[number])
            now = {key: anchor.owner(key) for key in KEYS}
            assert all(now[key] in (owners[key], number) for key in KEYS)
        elif not adds and len(anchor.names) > 1:
            gone = anchor.names[pick % len(anchor.names)]
            anchor, _ = anchor.with_nodes(removed=[gone])
            now = {key: anchor.owner(key) for key in KEYS}
            assert all(now[key] == owners[key] or owners[key] == gone for key in KEYS)
        else:
            continue
        owners = now
        assert AnchorHash.from_bytes(anchor.to_bytes()) == anchor


@CHECK
@given(
    st.lists(st.tuples(st.sampled_from(["split", "merge", "move"]), st.integers(0, 9), st.integers(0, 2)), max_size=25)
)
def test_ranges_are_a_sorted_list_of_starts(steps: list) -> None:
    """The twin holds the owner of each of ten keys."""
    placement = RangePlacement(["a", "b", "c"], replica_count=1)
    twin = {b"": "a"}
    for kind, number, node in steps:
        key, owner = b"%d" % number, "abc"[node]
        below = max(s for s in twin if s <= key)
        if kind == "split" and key not in twin:
            placement = placement.split(key)
            twin[key] = twin[below]
        elif kind == "move" and key in twin:
            placement = placement.move(key, [owner])
            twin[key] = owner
        elif kind == "merge" and key in twin:
            before = max(s for s in twin if s < key)
            if twin[before] == twin[key]:
                placement = placement.merge(key)
                del twin[key]
        for probe in range(10):
            start = max(s for s in twin if s <= b"%d" % probe)
            assert placement.owners(b"%d" % probe) == (twin[start],)
            assert placement.range_of(b"%d" % probe).start == start
    assert [r.start for r in placement.ranges()] == sorted(twin)
    assert RangePlacement.from_bytes(placement.to_bytes()) == placement == pickle.loads(pickle.dumps(placement))


@CHECK
@given(st.lists(st.binary(max_size=3) | st.text(max_size=3) | st.integers(0, 2**64 - 1), max_size=20))
def test_ordered_keys_keep_the_order_of_text_and_of_numbers(keys: list) -> None:
    texts = sorted(k for k in keys if isinstance(k, str))
    numbers = sorted(k for k in keys if isinstance(k, int))
    assert sorted(ordered_key(t) for t in texts) == [ordered_key(t) for t in texts]
    assert sorted(ordered_key(k) for k in numbers) == [ordered_key(k) for k in numbers]


@CHECK
@given(
    st.sets(st.integers(0, 9), min_size=2, max_size=6).map(sorted),
    st.integers(1, 2),
    st.lists(st.integers(0, 99), max_size=12, unique=True),
    st.data(),
)
def test_ranges_move_no_more_copies_than_must(nodes: list, copies: int, splits: list, data: st.DataObject) -> None:
    placement = RangePlacement(nodes, replica_count=copies)
    for key in splits:
        placement = placement.split(key)
    placement, spread = placement.with_nodes(added=[20, 21])
    assert spread.proof().is_minimal
    removed = data.draw(st.lists(st.sampled_from([*nodes, 20]), max_size=len(nodes), unique=True))
    after, plan = placement.with_nodes(removed=removed)
    assert plan.proof().is_minimal
    held = Counter(name for row in placement.ranges() for name in row.owners)
    assert len(plan.moves) == sum(held[name] for name in removed)
    assert all(set(row.owners) <= set(after.names) for row in after.ranges())


@CHECK
@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True), max_size=6))
def test_a_directory_is_a_table_over_a_ring(entries: dict) -> None:
    directory: Placement = Directory(Ring(range(5)))
    for key, owners in entries.items():
        directory = directory.place(key, owners)
    ring = directory.default
    for key in range(10):
        table = entries.get(key, [])
        rest = [name for name in ring.owners(key, 5) if name not in table]
        assert list(directory.owners(key, 3)) == [*table, *rest][:3]
    assert Directory.from_bytes(directory.to_bytes()) == directory == pickle.loads(pickle.dumps(directory))
    assert len(directory) == len(entries)
    after, plan = directory.with_nodes(removed=[2])
    assert all(2 not in after.owners(key, 4) for key in range(10))
    assert {m.start for m in plan.moves} == {k.to_bytes(8, "little") for k, o in entries.items() if o[0] == 2}
    for key in entries:
        directory = directory.forget(key)
    assert directory == Directory(Ring(range(5)))
