"""Filters against sets: never too little, too much as theory says, the same alone and in batches, with and without NumPy."""

import pickle
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.kernel import hash_key
from quorate.sketches import (
    BinaryFuseFilter,
    BlockedBloomFilter,
    BloomFilter,
    CountingBloomFilter,
    CountingQuotientFilter,
    CuckooFilter,
    Full,
    NotThere,
    QuotientFilter,
    ScalableBloomFilter,
)

CHECK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MAKERS = {
    "bloom": lambda: BloomFilter(200, 0.01),
    "blocked": lambda: BlockedBloomFilter(200, 0.01),
    "counting": lambda: CountingBloomFilter(200, 0.01),
    "scalable": lambda: ScalableBloomFilter(16, 0.01),
    "quotient": lambda: QuotientFilter(200, 0.01),
    "counting quotient": lambda: CountingQuotientFilter(200, 0.01),
    "cuckoo": lambda: CuckooFilter(200, 0.01),
}
KEYS = st.lists(st.integers(-5, 400) | st.text(max_size=2) | st.binary(max_size=2), max_size=120)
STRANGERS = [f"stranger {n}" for n in range(60)]


@pytest.mark.parametrize("kind", MAKERS)
@CHECK
@given(keys=KEYS)
def test_a_filter_holds_what_was_added_and_is_one_filter_however_it_was_made(kind: str, keys: list) -> None:
    keys = list(dict.fromkeys(keys))
    one_by_one, at_once, plain = MAKERS[kind](), MAKERS[kind](), MAKERS[kind]()
    for key in keys:
        one_by_one.add(key)
    at_once.add_many(keys)
    numpy, sys.modules["numpy"] = sys.modules["numpy"], None
    try:
        plain.add_many(keys)
        answers_plain = plain.contains_many(keys + STRANGERS)
    finally:
        sys.modules["numpy"] = numpy
    if kind != "scalable":
        assert one_by_one == at_once
    assert at_once == plain
    assert all(key in one_by_one for key in keys) and all(at_once.contains_many(keys))
    answers = at_once.contains_many(keys + STRANGERS)
    assert isinstance(answers_plain, list)
    assert answers.tolist() == answers_plain == [key in at_once for key in keys + STRANGERS]
    again = type(at_once).from_bytes(at_once.to_bytes())
    assert again == at_once == pickle.loads(pickle.dumps(at_once))
    assert again.contains_many(STRANGERS).tolist() == answers.tolist()[len(keys) :]
    again.add("one more")
    assert "one more" in again


STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "remove", "bulk"]), st.integers(0, 60)), max_size=120)


@pytest.mark.parametrize("counts", [False, True])
@CHECK
@given(steps=STEPS, quotient_bits=st.sampled_from([4, 5, 6]), remainder_bits=st.sampled_from([1, 2, 8]))
def test_a_quotient_filter_is_a_multiset_of_fingerprints(
    counts: bool, steps: list, quotient_bits: int, remainder_bits: int
) -> None:
    """Short fingerprints make long runs and clusters; the twin is a Counter."""
    make = CountingQuotientFilter if counts else QuotientFilter
    own = make(quotient_bits=quotient_bits, remainder_bits=remainder_bits)
    bits = quotient_bits + remainder_bits
    twin: Counter = Counter()
    for kind, key in steps:
        fingerprint = hash_key(key) >> 64 - bits
        try:
            if kind == "add":
                own.add(key)
                twin[fingerprint] = twin[fingerprint] + 1 if counts else 1
            elif kind == "bulk":
                fresh = {hash_key(k) >> 64 - bits for k in range(key, key + 6)}
                if len(twin.keys() | fresh) > 0.9 * own.slot_count:
                    continue
                own.add_many(np.arange(key, key + 6))
                added = Counter(hash_key(k) >> 64 - bits for k in range(key, key + 6))
                twin = twin + added if counts else Counter(dict.fromkeys([*twin, *fresh], 1))
            else:
                own.remove(key)
                twin[fingerprint] -= 1
        except Full:
            assert len(twin) >= 0.9 * own.slot_count and not twin[fingerprint]
        except NotThere:
            assert kind == "remove" and not twin[fingerprint]
        twin = +twin
        assert list(own.fingerprints()) == sorted(twin)
        assert len(own) == len(twin)
    expected = [(hash_key(key) >> 64 - bits) in twin for key in range(100)]
    assert own.contains_many(range(100)).tolist() == [key in own for key in range(100)] == expected
    if counts:
        assert [own.count(key) for key in range(60)] == [twin[hash_key(key) >> 64 - bits] for key in range(60)]
    # Re-laid out from its own fingerprints, a filter is bit for bit the same.
    assert make.from_bytes(own.to_bytes())._slots[: own.slot_count] == own._slots[: own.slot_count]


@pytest.mark.parametrize("counts", [False, True])
@CHECK
@given(left=st.lists(st.integers(0, 90), max_size=50), right=st.lists(st.integers(0, 90), max_size=50))
def test_quotient_filters_merge_and_grow_without_their_keys(counts: bool, left: list, right: list) -> None:
    make = CountingQuotientFilter if counts else QuotientFilter
    one, two, both = (make(quotient_bits=7, remainder_bits=9) for _ in range(3))
    one.add_many(left)
    two.add_many(right)
    both.add_many(left + right)
    assert one.merge(two) == two.merge(one) == both
    for quotient_bits in (8, 11):
        larger = both.resized(quotient_bits)
        assert list(larger.fingerprints()) == list(both.fingerprints())
        assert larger.contains_many(range(300)).tolist() == both.contains_many(range(300)).tolist()
        assert larger.resized(7) == both
        larger.add("more")
        assert "more" in larger


@pytest.mark.parametrize("make", [BloomFilter, BlockedBloomFilter])
@CHECK
@given(left=KEYS, right=KEYS)
def test_union_is_exact_and_intersection_holds_what_is_common(make: type, left: list, right: list) -> None:
    one, two, both = make(200, 0.01), make(200, 0.01), make(200, 0.01)
    one.add_many(left)
    two.add_many(right)
    both.add_many(left + right)
    assert one.union(two) == two.union(one) == both
    common = one.intersection(two)
    assert all(key in common for key in left if key in right)
    assert common.union(one) == one


@CHECK
@given(keys=st.lists(st.integers(0, 30), max_size=60))
def test_a_counting_filter_forgets_what_was_taken_back(keys: list) -> None:
    own = CountingBloomFilter(500, 0.001)
    cuckoo = CuckooFilter(500, 0.001)
    own.add_many(keys[:8])
    cuckoo.add_many(keys[:8])
    for key in keys[:8]:
        own.remove(key)
        cuckoo.remove(key)
    assert own == CountingBloomFilter(500, 0.001)
    assert len(cuckoo) == 0
    for key in keys[:8]:
        assert key not in own and key not in cuckoo


@CHECK
@given(keys=KEYS, bits=st.sampled_from([8, 16]))
def test_a_binary_fuse_filter_holds_its_keys(keys: list, bits: int) -> None:
    own = BinaryFuseFilter(keys, fingerprint_bits=bits)
    assert all(key in own for key in keys)
    answers = own.contains_many(keys + STRANGERS)
    assert answers.tolist() == [key in own for key in keys + STRANGERS]
    again = BinaryFuseFilter.from_bytes(own.to_bytes())
    assert again == own == pickle.loads(pickle.dumps(own))
    assert again.contains_many(STRANGERS).tolist() == answers.tolist()[len(keys) :]
