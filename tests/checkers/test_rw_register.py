"""Read-write transactions: each anomaly with its near miss, saturation, and inference against exact search."""

import random
import sys

import pytest

from quorate.check import BadHistory, Operation
from quorate.check.history import NEVER
from quorate.check.txn import check_exactly, check_rw_register


def txn(process, call, done, *steps, outcome="ok"):
    asked = [[f, key, None if f == "r" else value] for f, key, value in steps]
    return Operation(
        process=process,
        f="txn",
        value=asked,
        result=[list(step) for step in steps] if outcome == "ok" else None,
        outcome=outcome,
        call=call,
        done=NEVER if outcome == "info" else done,
    )


def w(key, value):
    return ("w", key, value)


def r(key, value=None):
    return ("r", key, value)


def together(*rows):
    return [txn(place, place, 100 + place, *steps) for place, steps in enumerate(rows)]


PAIRS = [
    ("g1c", "read-committed",
     together([w("x", 1), r("y", 1)], [w("y", 1), r("x", 1)]),
     together([w("x", 1), r("y", 1)], [w("y", 1), r("x")])),
    ("g-single", "snapshot-isolation",
     together([w("x", 1), w("y", 1)], [r("x", 1), r("y")]),
     together([w("x", 1), w("y", 1)], [r("x", 1), r("y", 1)])),
    ("g2-item", "serializable",
     together([r("x"), w("y", 1)], [r("y"), w("x", 1)]),
     together([r("x"), w("y", 1)], [r("y", 1), w("x", 1)])),
    ("g-nonadjacent", "snapshot-isolation",
     together([w("x", 1)], [r("x", 1), r("y")], [w("y", 1)], [r("y", 1), r("x")]),
     together([w("x", 1)], [r("x", 1), r("y")], [w("y", 1)], [r("y", 1), r("x", 1)])),
    ("g1a", "read-committed",
     [txn(1, 0, 1, w("x", 1), outcome="fail"), txn(2, 2, 3, r("x", 1))],
     [txn(1, 0, 1, w("x", 1), outcome="info"), txn(2, 2, 3, r("x", 1))]),
    ("g1b", "read-committed",
     together([w("x", 1), w("x", 2)], [r("x", 1)]),
     together([w("x", 1), w("x", 2)], [r("x", 2)])),
    ("internal", "serializable",
     together([w("x", 1), r("x")]),
     together([w("x", 1), r("x", 1)])),
    ("future-read", "serializable",
     together([r("x", 1), w("x", 1)]),
     together([r("x"), w("x", 1)])),
    ("garbage-read", "read-uncommitted",
     together([r("x", 9)]),
     together([r("x", 9)], [w("x", 9)])),
    ("lost-update", "snapshot-isolation",
     together([r("x"), w("x", 1)], [r("x"), w("x", 2)]),
     together([r("x"), w("x", 1)], [r("x", 1), w("x", 2)])),
    ("cyclic-versions", "read-uncommitted",
     together([r("x", 2), w("x", 1)], [r("x", 1), w("x", 2)]),
     together([r("x"), w("x", 1)], [r("x", 1), w("x", 2)])),
    ("duplicate-elements", "read-uncommitted",
     together([w("x", 1)], [w("x", 1)]),
     together([w("x", 1)], [w("y", 1)])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "level", "bad", "good"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_an_anomaly_is_found_and_its_near_miss_is_not(name, level, bad, good):
    found = check_rw_register(bad)
    assert name in found.anomalies
    assert level in found.refuted
    assert "strict-serializable" in found.refuted
    near = check_rw_register(good)
    assert not near.refuted
    assert near.strongest == ("strict-serializable",)


# Both readers saw both writes of x, in opposite orders, and tell so through y and z: no version order is certain at first.
OPPOSITE = [
    [w("x", 1), w("a", 1)], [w("x", 2), w("b", 1)], [r("b", 1), r("x", 1)], [r("a", 1), r("x", 2)],
]  # fmt: skip


def test_saturation_orders_versions_that_no_single_transaction_orders():
    assert "serializable" in check_rw_register(together(*OPPOSITE), saturate=False).not_refuted
    found = check_rw_register(together(*OPPOSITE))
    assert "serializable" in found.refuted
    near = [*OPPOSITE[:3], [r("a", 1), r("x", 1)]]
    assert not check_rw_register(together(*near)).refuted


def test_the_order_of_time_is_used_by_strict_levels_only():
    rows = [txn(1, 0, 1, w("x", 1)), txn(2, 2, 3, w("x", 2)), txn(3, 4, 5, r("x", 1))]
    found = check_rw_register(rows)
    assert found.refuted == ("strict-serializable",)
    assert not check_rw_register([txn(1, 0, 2, w("x", 1)), txn(2, 1, 3, w("x", 2)), rows[2]]).refuted


def test_an_append_is_no_step_of_a_register():
    operation = Operation(process=1, f="txn", value=[["append", "x", 1]], result=[["append", "x", 1]], call=0, done=1)
    with pytest.raises(BadHistory):
        check_rw_register([operation])


def draw(seed):
    rng = random.Random(seed)
    past = [{"x": None, "y": None}]
    rows, place, value = [], 0, 0
    for number in range(rng.randrange(2, 6)):
        view = dict(rng.choice(past[-3:]) if rng.random() < 0.4 else past[-1])
        mine, steps = {}, []
        for _ in range(rng.randrange(1, 4)):
            key = rng.choice("xy")
            if rng.random() < 0.5:
                value += 1
                mine[key] = value
                steps.append(w(key, value))
            else:
                steps.append(r(key, mine.get(key, view[key])))
        outcome = rng.choice(["ok"] * 6 + ["info", "fail"])
        if outcome == "ok" or (outcome == "info" and rng.random() < 0.5):
            past.append({**past[-1], **mine})
        place += rng.randrange(1, 3)
        rows.append(txn(number, 2 * place, 2 * (place + rng.randrange(1, 5)) + 1, *steps, outcome=outcome))
    return rows


def compare(first_seed, count):
    """Return how many (level, history) pairs were refuted, and how many impossible ones were missed."""
    refuted_count = missed_count = 0
    for seed in range(first_seed, first_seed + count):
        rows = draw(seed)
        found = check_rw_register(rows)
        for level in ("serializable", "strict-serializable"):
            exact = check_exactly(rows, "rw-register", level)
            assert exact.verdict != "unknown"
            if level in found.refuted:
                refuted_count += 1
                assert not exact.is_valid, f"seed {seed}: {level} was refuted wrongly by {list(found.anomalies)}"
            else:
                missed_count += not exact.is_valid
    return refuted_count, missed_count


@pytest.mark.slow
def test_inference_is_sound_and_misses_little():
    refuted_count, missed_count = compare(0, 1000)
    assert refuted_count > 40
    assert missed_count == 0


if __name__ == "__main__":
    print(compare(10_000, int(sys.argv[1])), "(levels refuted, levels missed)")
