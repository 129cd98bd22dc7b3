"""Single claims about sketches: errors, sizes, error rates against theory, cost of comparison."""

import numpy as np
import pytest

from quorate.kernel import Undecodable, errors
from quorate.sketches import (
    BadCapacity,
    BadErrorRate,
    BinaryFuseFilter,
    BlockedBloomFilter,
    BloomFilter,
    CountingBloomFilter,
    CountingQuotientFilter,
    CountMin,
    CuckooFilter,
    Full,
    HyperLogLog,
    Incompatible,
    InvertibleTable,
    MerkleTree,
    NotThere,
    QuotientFilter,
    ScalableBloomFilter,
    TreeWalk,
    XorTree,
    bloom_size,
)

SIZED = (BloomFilter, BlockedBloomFilter, CountingBloomFilter, ScalableBloomFilter, QuotientFilter, CuckooFilter)


@pytest.mark.parametrize("kind", SIZED)
def test_senseless_sizes_are_refused(kind: type) -> None:
    for capacity in (0, -1, 2**33, 1.5, "9", True):
        with pytest.raises(BadCapacity):
            kind(capacity, 0.01)
    for rate in (0, 1, -0.1, 2, float("nan"), "x"):
        with pytest.raises(BadErrorRate):
            kind(100, rate)
    with pytest.raises(errors.UsageError):
        kind(100).add(1.5)


def test_other_senseless_settings_are_refused() -> None:
    for make in (
        lambda: BloomFilter(2**31, 0.0001),
        lambda: BlockedBloomFilter(10, 1e-6),
        lambda: CuckooFilter(10, 1e-5),
        lambda: CuckooFilter(2**32, 0.01),
        lambda: QuotientFilter(quotient_bits=0),
        lambda: QuotientFilter(quotient_bits=29),
        lambda: QuotientFilter(remainder_bits=33),
        lambda: QuotientFilter(quotient_bits=4, remainder_bits=2).resized(6),
        lambda: BinaryFuseFilter([], fingerprint_bits=7),
        lambda: HyperLogLog(precision=3),
        lambda: CountMin(error=0),
        lambda: CountMin(error=1e-12),
        lambda: CountMin(chance=1),
        lambda: CountMin().add("x", -1),
        lambda: MerkleTree(fanout=3),
        lambda: MerkleTree(depth=0),
        lambda: MerkleTree(depth=6),
        lambda: MerkleTree(start=5, end=5),
        lambda: XorTree(start=0, end=100),
        lambda: MerkleTree(start=0, end=2**20).put("outside", b""),
        lambda: InvertibleTable(0),
        lambda: InvertibleTable.for_differences(0),
        lambda: ScalableBloomFilter.from_bytes(BloomFilter(1).to_bytes()),
    ):
        with pytest.raises(errors.UsageError):
            make()


def test_sketches_of_different_make_are_not_combined() -> None:
    for combine in (
        lambda: BloomFilter(10).union(BloomFilter(11)),
        lambda: BloomFilter(10).intersection(BloomFilter(10, 0.02)),
        lambda: BlockedBloomFilter(10).union(BlockedBloomFilter(11)),
        lambda: QuotientFilter(100).merge(QuotientFilter(10_000)),
        lambda: QuotientFilter(100).merge(CountingQuotientFilter(100)),
        lambda: HyperLogLog(precision=4).merge(HyperLogLog(precision=5)),
        lambda: CountMin().merge(CountMin(error=0.1)),
        lambda: MerkleTree().diff(MerkleTree(depth=3)),
        lambda: MerkleTree().diff(XorTree()),
        lambda: XorTree().merge(XorTree(depth=3)),
        lambda: TreeWalk(XorTree()).learn([]),
        lambda: InvertibleTable(3).subtract(InvertibleTable(6)),
    ):
        with pytest.raises(Incompatible):
            combine()


def test_removing_what_is_not_there_is_refused_and_changes_nothing() -> None:
    for own in (CountingBloomFilter(100), QuotientFilter(100), CountingQuotientFilter(100), CuckooFilter(100)):
        own.add("here")
        before = own.to_bytes()
        with pytest.raises(NotThere):
            own.remove("not here")
        assert own.to_bytes() == before


def test_a_full_filter_says_so_and_loses_nothing() -> None:
    quotient, cuckoo = QuotientFilter(quotient_bits=6, remainder_bits=20), CuckooFilter(50, 0.001)
    for own in (quotient, cuckoo):
        added = []
        with pytest.raises(Full):
            for key in range(1000):
                own.add(key)
                added.append(key)
        assert len(added) == len(own) and all(key in own for key in added)
    assert quotient.load >= 0.9 and cuckoo.load > 0.9
    with pytest.raises(Full):
        quotient.add_many(np.arange(1000))
    assert len(quotient) == 58


def test_sizes_follow_the_formulas() -> None:
    """Bloom: 9.585 bits a key at 1 %; binary fuse: about 9.04 bits; quotient: r + 3 bits a slot."""
    assert bloom_size(1_000_000, 0.01) == (9_585_059, 7)
    assert BlockedBloomFilter(100_000, 0.01).bit_count / 100_000 < 13.5
    fuse = BinaryFuseFilter(range(20_000))
    assert fuse.memory_bits / 20_000 < 10.5
    quotient = QuotientFilter(100_000, 0.01)
    assert (quotient.quotient_bits, quotient.remainder_bits) == (18, 7)
    assert quotient.memory_bits / quotient.slot_count < 16.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bloom", "blocked", "counting", "quotient", "cuckoo", "fuse"])
def test_false_positives_are_within_a_tenth_of_theory(kind: str) -> None:
    """Twenty filters of other keys for Bloom would average out the bits; one large one does as well."""
    count, probes = 200_000, np.arange(10**9, 10**9 + 2_000_000)
    keys = np.arange(count)
    if kind == "fuse":
        own = BinaryFuseFilter(keys[:50_000])
    else:
        make = {
            "bloom": BloomFilter,
            "blocked": BlockedBloomFilter,
            "counting": CountingBloomFilter,
            "quotient": QuotientFilter,
            "cuckoo": CuckooFilter,
        }[kind]
        own = make(count if kind not in ("cuckoo", "counting") else 40_000, 0.01)
        own.add_many(keys if kind not in ("cuckoo", "counting") else keys[:40_000])
    rate = float(np.mean(own.contains_many(probes)))
    assert rate == pytest.approx(own.error_rate_now(), rel=0.1)
    if kind in ("bloom", "blocked", "counting"):
        assert rate == pytest.approx(0.01, rel=0.1)
    else:
        assert rate < 0.0105


def test_a_scalable_filter_keeps_its_error_rate_while_it_grows() -> None:
    own = ScalableBloomFilter(100, 0.01)
    own.add_many(range(20_000))
    assert len(own.parts) == 8
    assert len(own) >= 19_800
    rate = np.mean(own.contains_many(np.arange(10**9, 10**9 + 100_000)))
    assert rate < 0.01
    assert own.error_rate_now() < 0.01


def test_a_bloom_filter_estimates_how_many_keys_it_holds() -> None:
    own = BloomFilter(10_000, 0.01)
    own.add_many(range(7000))
    assert own.key_count() == pytest.approx(7000, rel=0.02)
    assert own.copy() == own
    assert BlockedBloomFilter(1000, 0.01).error_rate_at(1000) == pytest.approx(0.01, rel=0.02)


def test_hyperloglog_is_within_three_standard_errors_at_every_size() -> None:
    own = HyperLogLog(precision=12)
    assert own.estimate() == 0
    total = 0
    for size in (10, 100, 1000, 10_000, 100_000):
        own.add_many(np.arange(total, size))
        total = size
        assert own.estimate() == pytest.approx(size, rel=3 * own.standard_error)


def test_count_min_is_too_high_by_no_more_than_its_bound_nearly_always() -> None:
    own = CountMin(error=0.001, chance=0.01)
    rng = np.random.default_rng(1)
    keys = rng.zipf(1.3, 50_000) % 5000
    own.add_many(keys)
    true = np.bincount(keys, minlength=5000)
    excess = own.count_many(np.arange(5000)) - true
    assert excess.min() >= 0
    assert np.mean(excess > 0.001 * own.total) < 0.01


def test_comparing_costs_differences_times_depth_not_size() -> None:
    here, there = MerkleTree(depth=4, fanout=8), MerkleTree(depth=4, fanout=8)
    for tree in (here, there):
        tree.update(dict.fromkeys(range(3000), b"v"))
    there.put(17, b"other")
    there.remove(18)
    walk = TreeWalk(here)
    while nodes := walk.wanted():
        walk.learn(there.digests(nodes))
    assert walk.compared_count <= 1 + 2 * 4 * 8
    assert {leaf.leaf for leaf in walk.differing()} == {here.leaf_of(17), here.leaf_of(18)}
    assert here.leaf_digest_count() > 1000
    assert len(here.hashes_in(here.leaf_of(17))) >= 1


def test_tables_sized_for_a_difference_nearly_always_decode_it() -> None:
    failures = 0
    for trial in range(200):
        count = 1 + trial % 50
        own = InvertibleTable.for_differences(count)
        own.add_many(np.arange(trial * 1000, trial * 1000 + count))
        failures += not own.decode().is_complete
    assert failures <= 2


def test_a_forged_table_cannot_keep_the_decoder_busy() -> None:
    own = InvertibleTable(3)
    own.add("a")
    own._keys[0], own._checks[0], own._counts[0] = own._keys[1], own._checks[1], -1
    assert not own.decode().is_complete


def test_bytes_of_another_kind_are_refused() -> None:
    sketches = (
        BloomFilter(10),
        BlockedBloomFilter(10),
        CountingBloomFilter(10),
        ScalableBloomFilter(10),
        QuotientFilter(10),
        CountingQuotientFilter(10),
        CuckooFilter(10),
        BinaryFuseFilter([1]),
        HyperLogLog(precision=4),
        CountMin(error=0.1),
        MerkleTree(),
        XorTree(),
        InvertibleTable(3),
    )
    for one in sketches:
        for other in sketches:
            if one is other:
                assert type(one).from_bytes(one.to_bytes()).to_bytes() == one.to_bytes()
            else:
                with pytest.raises(Undecodable):
                    type(one).from_bytes(other.to_bytes())
