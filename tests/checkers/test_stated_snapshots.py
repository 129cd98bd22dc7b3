"""Stated starts and commits are replayed and doubted: a real run passes, whatever is bent is refuted."""

import random

import pytest

from quorate.check import BadHistory, Operation
from quorate.check.history import NEVER
from quorate.check.txn import check_list_append, check_stated_snapshots


def txn(process, call, done, *steps, outcome="ok"):
    asked = [[f, key, None if f == "r" else value] for f, key, value in steps]
    return Operation(
        process=process, f="txn", value=asked, result=[list(step) for step in steps] if outcome == "ok" else None,
        outcome=outcome, call=call, done=NEVER if outcome == "info" else done,
    )  # fmt: skip


# Write skew: allowed. Both start from nothing.
SKEW = [
    txn(1, 0, 3, ("r", "x", None), ("w", "y", 1)),
    txn(2, 1, 4, ("r", "y", None), ("w", "x", 2)),
    txn(1, 5, 6, ("r", "x", 2), ("r", "y", 1)),
]
STAMPS = {0: (1, 2), 1: (1, 3), 5: (3, 3)}


def verdict(stamps=STAMPS, level="strong-snapshot-isolation", rows=SKEW, kind="rw-register"):
    return check_stated_snapshots(rows, kind, stamps, level)


def test_write_skew_fits_its_snapshots_and_a_later_start_does_not():
    assert verdict().is_valid
    late = verdict(STAMPS | {1: (2, 3)})
    assert late.verdict == "invalid"
    assert "at its start it was 1" in late.explanation


def test_two_writers_of_a_key_must_not_overlap():
    rows = [txn(1, 0, 3, ("r", "x", []), ("append", "x", 1)), txn(2, 1, 4, ("r", "x", []), ("append", "x", 2))]
    lost = verdict({0: (1, 2), 1: (1, 3)}, rows=rows, kind="list-append")
    assert "committed one too" in lost.explanation
    assert len(lost.witness) == 2
    rows[1] = txn(2, 1, 4, ("r", "x", [1]), ("append", "x", 2))
    assert verdict({0: (1, 2), 1: (2, 3)}, rows=rows, kind="list-append").is_valid


def test_time_and_processes_are_asked_for_by_level():
    other, same = txn(2, 2, 3, ("r", "x", None)), txn(1, 2, 3, ("r", "x", None))
    write, stale = txn(1, 0, 1, ("w", "x", 1)), {0: (1, 2), 2: (1, 1)}
    assert verdict(stale, "snapshot-isolation", [write, other]).is_valid
    assert verdict(stale, "strong-session-snapshot-isolation", [write, other]).is_valid
    assert not verdict(stale, "strong-snapshot-isolation", [write, other]).is_valid
    assert not verdict(stale, "strong-session-snapshot-isolation", [write, same]).is_valid
    assert verdict(stale, "snapshot-isolation", [write, same]).is_valid


def test_unknown_ends_count_if_stated_and_aborted_ones_cannot_be():
    rows = [txn(1, 0, None, ("w", "x", 1), outcome="info"), txn(2, 2, 3, ("r", "x", 1))]
    assert verdict({0: (1, 2), 2: (2, 2)}, rows=rows).is_valid
    assert not verdict({2: (2, 2)}, rows=rows).is_valid
    assert not verdict({0: (1, 2)}, rows=[txn(1, 0, 1, ("w", "x", 1), outcome="fail")]).is_valid


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ({0: (1, 2)}, "states no stamps"),
        (STAMPS | {0: (3, 2)}, "starts at 3"),
        (STAMPS | {0: (2, 2)}, "starts at 2"),
        (STAMPS | {1: (1, 2)}, "both commit at 2"),
    ],
)
def test_stamps_that_cannot_be_are_bad_histories(stamps, words):
    with pytest.raises(BadHistory, match=words):
        verdict(stamps)


def simulate(seed):
    """A store with snapshots and first committer wins, and what it states of itself."""
    rng = random.Random(seed)
    store, versions, rows, stamps, place = {"x": [], "y": []}, {"x": 0, "y": 0}, [], {}, 0
    running = []
    for element in range(rng.randrange(3, 9)):
        place += 1
        running.append((place, {key: list(value) for key, value in store.items()}, element))
        if rng.random() < 0.5 and len(running) < 3:
            continue
        start, view, number = running.pop(rng.randrange(len(running)))
        steps, written = [], {}
        for n in range(rng.randrange(1, 4)):
            key = rng.choice("xy")
            if rng.random() < 0.5:
                view[key].append(10 * number + n)
                written.setdefault(key, []).append(10 * number + n)
                steps.append(("append", key, 10 * number + n))
            else:
                steps.append(("r", key, list(view[key])))
        place += 1
        if any(versions[key] > start for key in written):
            rows.append(txn(number, start, place, *steps, outcome="fail"))
            continue
        for key, values in written.items():
            store[key] += values
            versions[key] = place
        rows.append(txn(number, start, place, *steps))
        stamps[start] = (start, place)
    return sorted(rows, key=lambda row: row.call), stamps


@pytest.mark.slow
def test_a_store_with_snapshots_passes_and_bent_words_do_not_excuse():
    """Whatever is stated, a pass means that inference finds nothing against snapshot isolation either."""
    bent_count = 0
    for seed in range(600):
        rows, stamps = simulate(seed)
        assert verdict(stamps, rows=rows, kind="list-append").is_valid, seed
        rng = random.Random(seed)
        reads = [
            (i, j) for i, row in enumerate(rows) if row.outcome == "ok" for j, s in enumerate(row.result) if s[0] == "r"
        ]
        if not reads:
            continue
        i, j = rng.choice(reads)
        steps = [tuple(step) for step in rows[i].result]
        f, key, seen = steps[j]
        steps[j] = (f, key, seen[:-1] if seen else [99])
        bent = [*rows[:i], txn(rows[i].process, rows[i].call, rows[i].done, *steps), *rows[i + 1 :]]
        bent_count += 1
        assert verdict(stamps, "snapshot-isolation", bent, "list-append").verdict == "invalid", seed
        shifted = {call: (start - rng.randrange(3), commit) for call, (start, commit) in stamps.items()}
        if verdict(shifted, "snapshot-isolation", rows, "list-append").is_valid:
            assert "snapshot-isolation" in check_list_append(rows).not_refuted
    assert bent_count > 300
