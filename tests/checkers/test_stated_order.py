"""A stated commit order is replayed and doubted: right statements pass, wrong ones refute, none excuses."""

import random

import pytest

from quorate.check import BadHistory, Operation
from quorate.check.history import NEVER
from quorate.check.txn import check_exactly, check_stated_order


def txn(process, call, done, *steps, outcome="ok"):
    asked = [[f, key, None if f == "r" else value] for f, key, value in steps]
    return Operation(
        process=process, f="txn", value=asked, result=[list(step) for step in steps] if outcome == "ok" else None,
        outcome=outcome, call=call, done=NEVER if outcome == "info" else done,
    )  # fmt: skip


ROWS = [
    txn(1, 0, 3, ("append", "x", 1)),
    txn(2, 1, 4, ("r", "x", [1]), ("append", "x", 2)),
    txn(1, 5, 6, ("r", "x", [1, 2])),
]


def verdict(positions, level="strict-serializable", rows=ROWS, kind="list-append"):
    return check_stated_order(rows, kind, positions, level)


def test_the_right_order_passes_and_a_wrong_one_names_the_read():
    assert verdict({0: 10, 1: 11, 5: 12}).is_valid
    finding = verdict({0: 11, 1: 10, 5: 12})
    assert finding.verdict == "invalid"
    assert "T1 read [1]" in finding.explanation


def test_time_and_processes_are_asked_for_by_level():
    rows = [txn(1, 0, 1, ("w", "x", 1)), txn(2, 2, 3, ("r", "x", None))]
    stale = {0: 2, 2: 1}
    assert verdict(stale, "serializable", rows, "rw-register").is_valid
    assert verdict(stale, "strong-session-serializable", rows, "rw-register").is_valid
    assert not verdict(stale, "strict-serializable", rows, "rw-register").is_valid
    same = [txn(1, 0, 1, ("w", "x", 1)), txn(1, 2, 3, ("r", "x", None))]
    assert not verdict(stale, "strong-session-serializable", same, "rw-register").is_valid


def test_an_unknown_end_counts_as_committed_only_if_stated():
    rows = [txn(1, 0, None, ("w", "x", 1), outcome="info"), txn(2, 2, 3, ("r", "x", 1))]
    assert verdict({0: 1, 2: 2}, rows=rows, kind="rw-register").is_valid
    assert not verdict({2: 2}, rows=rows, kind="rw-register").is_valid


def test_an_aborted_transaction_cannot_be_stated():
    rows = [txn(1, 0, 1, ("w", "x", 1), outcome="fail")]
    assert verdict({0: 1}, rows=rows, kind="rw-register").verdict == "invalid"


def test_missing_and_double_positions_are_bad_histories():
    with pytest.raises(BadHistory, match="states no position"):
        verdict({0: 1})
    with pytest.raises(BadHistory, match="one position"):
        verdict({0: 1, 1: 1, 5: 2})


def test_whatever_is_stated_nothing_impossible_passes():
    """Random histories under random statements: a pass must be confirmed by exact search."""
    passed = 0
    for seed in range(300):
        rng = random.Random(seed)
        rows, values = [], [None]
        for number in range(4):
            is_write = rng.random() < 0.5
            step = ("w", "x", number) if is_write else ("r", "x", rng.choice(values))
            if is_write:
                values.append(number)
            rows.append(txn(number, 2 * number, 2 * rng.randrange(number, 6) + 1, step))
        order = rng.sample(range(4), 4) if rng.random() < 0.5 else range(4)
        found = verdict(
            {row.call: place for row, place in zip(rows, order, strict=True)}, rows=rows, kind="rw-register"
        )
        if found.is_valid:
            passed += 1
            assert check_exactly(rows, "rw-register", "strict-serializable").is_valid, seed
    assert passed > 20
