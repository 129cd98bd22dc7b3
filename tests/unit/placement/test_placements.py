"""Single claims about placements: errors, racks, figures."""

import random
import xml.etree.ElementTree as ET

import pytest

from quorate.kernel import Undecodable, errors
from quorate.placement import (
    AnchorHash,
    BadWeight,
    BoundedLoad,
    Directory,
    FixedPartitions,
    Jump,
    Maglev,
    Modulo,
    Node,
    NoNodes,
    RangePlacement,
    Rendezvous,
    RepeatedNode,
    Ring,
    TooFewNodes,
    UnknownNode,
    compare,
    loss_probability,
    repair_fanout,
    replica_sets,
    to_svg,
)

ALL = (Ring, FixedPartitions, Rendezvous, Jump, Modulo, Maglev, BoundedLoad, AnchorHash, RangePlacement)


@pytest.mark.parametrize("kind", ALL)
def test_senseless_nodes_are_refused_by_name(kind: type) -> None:
    with pytest.raises(NoNodes):
        kind([])
    with pytest.raises(RepeatedNode, match="'a' is named twice"):
        kind(["a", "b", "a"])
    for weight in (0, -1, float("nan"), float("inf"), 1e-9, 1e9):
        with pytest.raises(BadWeight):
            kind([Node("a", weight=weight), "b"])
    for names in (["a", 1], [None], [True]):
        with pytest.raises(errors.UsageError):
            kind(names)
    placement = kind(["a", "b"])
    for change, error in (
        ({"added": ["a"]}, RepeatedNode),
        ({"added": ["c", "c"]}, RepeatedNode),
        ({"added": ["a"], "removed": ["a"]}, RepeatedNode),
        ({"removed": ["x"]}, UnknownNode),
        ({"removed": ["a", "a"]}, UnknownNode),
        ({"removed": ["a", "b"]}, NoNodes),
    ):
        with pytest.raises(error):
            placement.with_nodes(**change)
    for n in (0, -1):
        with pytest.raises(errors.UsageError):
            placement.owners("k", n)
    if kind is not RangePlacement:
        with pytest.raises(TooFewNodes):
            placement.owners("k", 3)
    with pytest.raises(errors.UsageError):
        placement.owners(1.5)
    for data in (b"", b"junk", placement.to_bytes()[:-1], Modulo([1]).to_bytes() if kind is not Modulo else b"x"):
        with pytest.raises(Undecodable):
            kind.from_bytes(data)


def test_senseless_settings_are_refused() -> None:
    for make in (
        lambda: Ring(["a"], virtual_nodes=0),
        lambda: Ring(["a"], allocation="other"),
        lambda: Ring(["a"], tokens={"b": (1,)}),
        lambda: Ring(["a", "b"], tokens={"a": (1,), "b": (1,)}),
        lambda: Ring(["a"], tokens={"a": (2**64 - 1,)}),
        lambda: FixedPartitions(["a"], partition_count=100),
        lambda: FixedPartitions(range(9), partition_count=8),
        lambda: FixedPartitions(["a"], spacing=0),
        lambda: FixedPartitions(["a"], partition_count=2, assignment=["a", "b"]),
        lambda: Maglev(["a"], slot_count=100),
        lambda: Maglev(range(9), slot_count=7),
        lambda: BoundedLoad(["a"], load_factor=1.0),
        lambda: BoundedLoad(["a", "b"], partition_count=1),
        lambda: AnchorHash(["a", "b"], capacity=1),
        lambda: AnchorHash(["a"], capacity=1).with_nodes(added=["b"]),
        lambda: Jump([Node("a", weight=2), "b"]),
        lambda: Modulo([Node("a", weight=2), "b"]),
        lambda: AnchorHash([Node("a", weight=2), "b"]),
        lambda: RangePlacement(["a"], replica_count=2),
        lambda: RangePlacement(["a"], ranges=[(b"x", ("a",))]),
        lambda: RangePlacement(["a"], ranges=[(b"", ("b",))]),
        lambda: RangePlacement(["a", "b"], ranges=[(b"", ("a", "b"))]),
        lambda: RangePlacement(["a"]).owners("k", 2),
        lambda: RangePlacement(["a"]).split(b""),
        lambda: RangePlacement(["a"]).merge(b""),
        lambda: RangePlacement(["a"]).merge(b"x"),
        lambda: RangePlacement(["a", "b"]).split(b"m").move(b"m", ["b"]).merge(b"m"),
        lambda: RangePlacement(["a"]).owners(-1),
        lambda: RangePlacement(["a"]).hot_spots({}, heat=0),
        lambda: RangePlacement(["a", "b"], replica_count=2).with_nodes(removed=["a"]),
        lambda: Directory(Ring(["a"])).place("k", ["b"]),
        lambda: Directory(Ring(["a"])).place("k", []),
        lambda: Directory(Ring(["a"])).place("k", ["a", "a"]),
        lambda: Directory(Ring(["a"])).place(2.5, ["a"]),
        lambda: Directory(Ring(["a"])).owners("k", 2),
        lambda: compare(Ring(["a", "b"]), newcomer="c", replica_count=1, key_count=0, rng=random.Random(1)),
        lambda: loss_probability([], node_count=3, dead_count=1, rng=random.Random(1)),
        lambda: to_svg([], title="nothing"),
    ):
        with pytest.raises(errors.UsageError):
            make()


@pytest.mark.parametrize("kind", [Ring, FixedPartitions, Rendezvous, Jump, Modulo, Maglev, BoundedLoad, AnchorHash])
def test_copies_are_in_different_zones_and_then_in_different_racks(kind: type) -> None:
    nodes = [Node(n, zone=f"z{n % 2}", rack=f"r{n // 2 % 3}") for n in range(12)]
    placement = kind(nodes)
    for key in range(300):
        owners = [nodes[name] for name in placement.owners(key, 4)]
        assert sorted(node.zone for node in owners) == ["z0", "z0", "z1", "z1"]
        assert len({(node.zone, node.rack) for node in owners}) == 4


def test_allocated_tokens_balance_better_than_random_ones() -> None:
    """Cassandra went from 256 random tokens to 16 allocated ones."""
    allocated = Ring(range(100), virtual_nodes=16)
    drawn = Ring(range(100), virtual_nodes=16, allocation="random")
    assert max(allocated.shares()) * 100 < 1.05
    assert 1.4 < max(drawn.shares()) * 100 < 2.2
    assert max(allocated.shares(3)) * 100 < 1.35
    joined, plan = allocated.with_nodes(added=[100])
    assert plan.proof().is_minimal
    assert max(joined.shares()) * 101 < 1.06
    assert plan.proof().moved_share == pytest.approx(1 / 101, rel=0.06)


def test_a_ring_keeps_the_tokens_of_those_that_stay() -> None:
    ring = Ring(["a", "b", "c"])
    larger, _ = ring.with_nodes(added=["d"])
    assert {name: larger.tokens[name] for name in "abc"} == dict(ring.tokens)
    smaller, plan = larger.with_nodes(removed=["d"])
    assert smaller == ring
    assert sum(move.share for move in plan.merged_moves()) == pytest.approx(larger.shares()[3])
    assert sum(plan.flows().values()) == pytest.approx(larger.shares()[3])
    assert {source for source, _ in plan.flows()} == {"d"}


def test_fixed_partitions_hand_over_whole_partitions_and_no_more_than_must() -> None:
    table = FixedPartitions(range(10), partition_count=256)
    counts = [table.slots.count(place) for place in range(10)]
    assert max(counts) - min(counts) == 1
    assert all(len(set((table.slots * 2)[at : at + 4])) == 4 for at in range(256))
    after, plan = table.with_nodes(added=[10])
    assert len(plan.moves) == 256 // 11
    assert plan.proof().is_minimal
    _, plan = after.with_nodes(removed=[3])
    assert len(plan.moves) == after.slots.count(3)
    assert plan.proof().is_minimal
    assert table.partition("x") == table.slot_of_key("x")


def test_jump_moves_needlessly_only_when_a_middle_node_leaves() -> None:
    jump = Jump(range(20))
    assert jump.with_nodes(removed=[19])[1].proof().is_minimal
    assert jump.with_nodes(added=[20])[1].proof().is_minimal
    proof = jump.with_nodes(removed=[5])[1].proof()
    assert 0.02 < proof.needless_share < 0.1


def test_modulo_moves_nearly_everything() -> None:
    proof = Modulo(range(100)).with_nodes(added=[100])[1].proof()
    assert proof.moved_share > 0.98
    assert proof.needless_share > 0.97


def test_maglev_balances_to_a_slot_and_moves_a_little_more_than_it_must() -> None:
    """Eisenbud et al., section 5.3 and figure 12, in kind."""
    maglev = Maglev(range(50), slot_count=10007)
    counts = [maglev.slots.count(place) for place in range(50)]
    assert max(counts) - min(counts) <= 1
    proof = maglev.with_nodes(removed=[7])[1].proof()
    assert proof.needed_share == pytest.approx(0.02, abs=0.001)
    assert 0 < proof.needless_share < 0.03


def test_bounded_loads_keep_their_bound_for_every_change() -> None:
    bounded = BoundedLoad(range(8), partition_count=271, load_factor=1.25)
    for nodes in (bounded, bounded.with_nodes(added=[8])[0], bounded.with_nodes(removed=[0, 1])[0]):
        count = len(nodes.nodes)
        assert max(nodes.shares()) <= -(-1.25 * 271 // count) / 271 + 1e-9


def test_hot_ranges_are_found_and_split_where_their_load_is_halved() -> None:
    ranges = RangePlacement(["a", "b"]).split(b"m")
    spots = ranges.hot_spots({b"a": 1, b"b": 4, b"c": 4, b"d": 1, b"x": 0.5}, heat=1.5)
    assert [(spot.start, spot.split_key) for spot in spots] == [(b"", b"c")]
    assert spots[0].heat == pytest.approx(10 / 5.25)
    assert ranges.hot_spots({b"a": 9.0, b"b": 1.0})[0:1] == []
    assert ranges.hot_spots({b"a": 9.0, b"b": 1.0}, heat=1.5)[0].split_key is None
    assert ranges.hot_spots({}) == []


def test_two_dead_nodes_break_more_with_more_tokens() -> None:
    """Reference table: 48 nodes, three copies: 0.085 with 1 token, 0.75 with 16."""
    rng = random.Random(1)
    for tokens, expected in ((1, 0.085), (16, 0.75)):
        ring = Ring(range(48), virtual_nodes=tokens, allocation="random")
        copies = replica_sets(ring, 3)
        chance = loss_probability(copies, node_count=48, dead_count=2, rng=rng)
        assert chance == pytest.approx(expected, abs=0.06)
        assert repair_fanout(copies, node_count=48) == pytest.approx(chance * 47)
        assert loss_probability(copies, node_count=48, dead_count=3, rng=rng) > chance
        assert loss_probability(copies, node_count=48, dead_count=1, rng=rng) == 0


def test_drawn_triples_agree_with_counted_ones() -> None:
    copies = [(n, (n + 1) % 121, (n + 2) % 121) for n in range(121)]
    copies = [tuple(sorted(c)) for c in copies]
    drawn = loss_probability(copies, node_count=121, dead_count=3, rng=random.Random(1))
    pairs = 2 * 121
    assert drawn == pytest.approx(1 - (1 - pairs / (121 * 60)) ** 3, abs=0.01)


def test_the_comparison_is_a_row_of_figures_and_a_picture() -> None:
    rows = [
        compare(kind(range(12)), newcomer=12, replica_count=3, key_count=20_000, rng=random.Random(1))
        for kind in (Ring, FixedPartitions, Jump)
    ]
    ring, fixed, jump = rows
    assert 1 <= fixed.balance_max < 1.1
    assert ring.join_needless == 0 < ring.join_moved
    assert jump.repair_fanout == 11 and jump.two_dead_loss == 1
    assert ring.memory_bytes > ring.encoded_bytes > 0
    root = ET.fromstring(to_svg(rows, title="Twelve <nodes>"))
    assert sum(element.tag.endswith("circle") for element in root.iter()) == 3
    assert ET.fromstring(to_svg(rows[:1], title="One")) is not None
