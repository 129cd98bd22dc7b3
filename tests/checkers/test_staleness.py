"""Bounded staleness: what is certain is counted, and nothing else."""

import random

import pytest

from quorate.check.history import NEVER
from quorate.check.weak import check_staleness, find_stale_reads

WRITES = [(1, "write", 1, None, 0, 1), (1, "write", 2, None, 2, 3), (1, "write", 3, None, 4, 5)]


def test_versions_and_age_are_measured(ops):
    (stale,) = find_stale_reads(ops(*WRITES, (2, "read", None, 1, 6, 7)))
    assert (stale.version_count, stale.age_ns, stale.missed.value) == (2, 3_000_000, 2)


def test_a_fresh_read_and_a_concurrent_write_are_not_stale(ops):
    assert find_stale_reads(ops(*WRITES, (2, "read", None, 3, 6, 7))) == []
    assert find_stale_reads(ops(*WRITES[:2], (1, "write", 3, None, 4, 9), (2, "read", None, 2, 6, 7))) == []
    assert find_stale_reads(ops((1, "write", 1, None, 0, None), (2, "read", None, None, 6, 7))) == []


def test_the_initial_value_is_the_oldest(ops):
    (stale,) = find_stale_reads(ops(*WRITES, (2, "read", None, None, 6, 7)))
    assert stale.version_count == 3


def test_bounds_are_judged_apart(ops):
    history = ops(*WRITES, (2, "read", None, 1, 6, 7))
    assert check_staleness(history, version_count_max=1).verdict == "invalid"
    assert check_staleness(history, version_count_max=2).verdict == "valid"
    assert check_staleness(history, age_ns_max=2_999_999).verdict == "invalid"
    assert check_staleness(history, age_ns_max=3_000_000).verdict == "valid"
    finding = check_staleness(history, version_count_max=0)
    assert [o.f for o in finding.witness] == ["write", "read"]
    assert finding.blame.f == "read"


def test_values_written_twice_are_unknown(ops):
    twice = ops((1, "write", 1, None, 0, 1), (1, "write", 1, None, 2, 3))
    assert check_staleness(twice, version_count_max=0).verdict == "unknown"


@pytest.mark.slow
def test_counts_agree_with_counting_by_hand(ops):
    for seed in range(300):
        rng = random.Random(seed)
        places = rng.sample(range(60), 20)
        rows, values = [], [None]
        for number in range(10):
            call, done = sorted(places[2 * number : 2 * number + 2])
            is_write = rng.random() < 0.6
            if is_write:
                values.append(number)
            end = None if is_write and rng.random() < 0.1 else done
            rows.append([number, "write" if is_write else "read", number if is_write else None, None, call, end])
        for row in rows:
            if row[1] == "read":
                row[3] = rng.choice(values)
        history = ops(*rows)
        writes = [o for o in history if o.f == "write"]
        expected = []
        for read in sorted((o for o in history if o.f == "read"), key=lambda o: o.call):
            since = -1 if read.result is None else next(o.done for o in writes if o.value == read.result)
            count = sum(1 for o in writes if o.call > since and o.done < read.call and o.done != NEVER)
            expected += [count] if count else []
        assert [stale.version_count for stale in find_stale_reads(history)] == expected, seed
