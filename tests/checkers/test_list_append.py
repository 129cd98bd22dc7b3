"""List-append transactions: every anomaly by a minimal history and its near miss; inference against exact search."""

import random
import sys

import pytest

from quorate.check import BadHistory, Operation
from quorate.check.history import NEVER
from quorate.check.txn import LEVEL_NAMES, check_exactly, check_list_append


def txn(process, call, done, *steps, outcome="ok"):
    """Steps are ("r", key, list) and ("append", key, v)."""
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


def a(key, value):
    return ("append", key, value)


def r(key, *values):
    return ("r", key, list(values))


def together(*rows):
    """All at once, each its own process."""
    return [txn(place, place, 100 + place, *steps) for place, steps in enumerate(rows)]


ALL_AFTER = {  # what each level's refutation must at least refute
    "g0": "read-uncommitted", "g1c": "read-committed", "g-single": "snapshot-isolation",
    "g2-item": "serializable", "g-nonadjacent": "snapshot-isolation",
}  # fmt: skip

CYCLES = [
    ("g0", "two writers overwrite each other",
     [[a("x", 1), a("y", 1)], [a("x", 2), a("y", 2)], [r("x", 1, 2)], [r("y", 2, 1)]],
     [[a("x", 1), a("y", 1)], [a("x", 2), a("y", 2)], [r("x", 1, 2)], [r("y", 1, 2)]]),
    ("g1c", "two transactions read each other's writes",
     [[a("x", 1), r("y", 1)], [a("y", 1), r("x", 1)]],
     [[a("x", 1), r("y", 1)], [a("y", 1), r("x")]]),
    ("g-single", "a read between two writes of one transaction",
     [[a("x", 1), a("y", 1)], [r("x", 1), r("y")]],
     [[a("x", 1), a("y", 1)], [r("x", 1), r("y", 1)]]),
    ("g2-item", "write skew",
     [[r("x"), a("y", 1)], [r("y"), a("x", 1)]],
     [[r("x"), a("y", 1)], [r("y", 1), a("x", 1)]]),
    ("g-nonadjacent", "two readers see two writers in different orders",
     [[a("x", 1)], [r("x", 1), r("y")], [a("y", 1)], [r("y", 1), r("x")]],
     [[a("x", 1)], [r("x", 1), r("y")], [a("y", 1)], [r("y", 1), r("x", 1)]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "claim", "bad", "good"), CYCLES, ids=[f"{c[0]}: {c[1]}" for c in CYCLES])
def test_a_cycle_is_named_explained_and_refutes_its_level(name, claim, bad, good):
    found = check_list_append(together(*bad))
    assert name in found.anomalies
    assert ALL_AFTER[name] in found.refuted
    assert "strict-serializable" in found.refuted
    assert "before itself" in found.anomalies[name][0].explanation
    assert name == next(iter(found.anomalies)), "the most severe class comes first"
    near = check_list_append(together(*good))
    assert not near.refuted
    assert near.strongest == ("strict-serializable",)


def test_write_skew_leaves_snapshot_isolation_standing():
    found = check_list_append(together([r("x"), a("y", 1)], [r("y"), a("x", 1)]))
    assert "snapshot-isolation" in found.not_refuted
    assert "strong-snapshot-isolation" in found.strongest
    assert [name for name in found.refuted if "serializable" not in name] == ["repeatable-read"]


def test_a_long_fork_refutes_snapshot_isolation_but_not_read_committed():
    bad = CYCLES[4][2]
    found = check_list_append(together(*bad))
    assert "snapshot-isolation" in found.refuted
    assert "strong-read-committed" in found.not_refuted


def test_a_stale_read_refutes_only_levels_with_the_order_of_time():
    write, read = txn(1, 0, 1, a("x", 1)), txn(2, 2, 3, r("x"))
    found = check_list_append([write, read, txn(3, 4, 5, r("x", 1))])
    assert "g-single-realtime" in found.anomalies
    assert {"strict-serializable", "strong-snapshot-isolation"} == set(found.refuted)
    near = check_list_append([txn(1, 0, 2, a("x", 1)), txn(2, 1, 3, r("x")), txn(3, 4, 5, r("x", 1))])
    assert not near.refuted


def test_a_process_that_misses_its_own_write_refutes_the_session_levels():
    found = check_list_append([txn(1, 0, 1, a("x", 1)), txn(1, 2, 3, r("x")), txn(2, 4, 5, r("x", 1))])
    assert "g-single-process" in found.anomalies
    assert "strong-session-serializable" in found.refuted
    assert "serializable" in found.not_refuted


PLAIN = [
    ("g1a", "read-committed",
     [txn(1, 0, 1, a("x", 1), outcome="fail"), txn(2, 2, 3, r("x", 1))],
     [txn(1, 0, 1, a("x", 1), outcome="info"), txn(2, 2, 3, r("x", 1))]),
    ("g1b", "read-committed",
     together([a("x", 1), a("x", 2)], [r("x", 1)]),
     together([a("x", 1), a("x", 2)], [r("x", 1, 2)])),
    ("internal", "serializable",
     together([a("x", 1), r("x")]),
     together([a("x", 1), r("x", 1)])),
    ("internal", "snapshot-isolation",
     together([r("x"), r("x", 1)], [a("x", 1)]),
     together([r("x", 1), r("x", 1)], [a("x", 1)])),
    ("future-read", "read-committed",
     together([r("x", 1), a("x", 1)]),
     together([r("x"), a("x", 1)])),
    ("garbage-read", "read-uncommitted",
     together([r("x", 9)]),
     together([r("x", 9)], [a("x", 9)])),
    ("incompatible-order", "read-committed",
     together([a("x", 1)], [a("x", 2)], [r("x", 1, 2)], [r("x", 2)]),
     together([a("x", 1)], [a("x", 2)], [r("x", 1, 2)], [r("x", 1)])),
    ("duplicate-elements", "read-uncommitted",
     together([a("x", 1)], [r("x", 1, 1)]),
     together([a("x", 1)], [r("x", 1)])),
    ("duplicate-elements", "read-uncommitted",
     together([a("x", 1)], [a("x", 1)]),
     together([a("x", 1)], [a("y", 1)])),
    ("dirty-update", "read-committed",
     [txn(1, 0, 9, a("x", 1), outcome="fail"), *together([a("x", 2)], [r("x", 1, 2)])],
     [txn(1, 0, 9, a("x", 1), outcome="fail"), *together([a("x", 2)], [r("x", 2)])]),
    ("lost-update", "snapshot-isolation",
     together([r("x"), a("x", 1)], [r("x"), a("x", 2)], [r("x", 1, 2)]),
     together([r("x"), a("x", 1)], [r("x", 1), a("x", 2)], [r("x", 1, 2)])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "level", "bad", "good"), PLAIN, ids=[f"{p[0]} {i}" for i, p in enumerate(PLAIN)])
def test_an_anomaly_without_a_cycle_is_found_and_its_near_miss_is_not(name, level, bad, good):
    found = check_list_append(bad)
    assert name in found.anomalies
    assert level in found.refuted
    assert found.anomalies[name][0].transactions
    near = check_list_append(good)
    assert name not in near.anomalies
    assert not near.refuted


@pytest.mark.parametrize(
    "operation",
    [
        Operation(process=1, f="read", value=1, call=0, done=1),
        Operation(process=1, f="txn", value=[["r", "x", None]], result=None, call=0, done=1),
        Operation(process=1, f="txn", value=3, result=3, call=0, done=1),
        Operation(process=1, f="txn", value=[["w", "x", 1]], result=[["w", "x", 1]], call=0, done=1),
        Operation(process=1, f="txn", value=[["r", "x", None]], result=[["r", "x", 5]], call=0, done=1),
    ],
)
def test_what_is_no_transaction_is_a_bad_history(operation):
    with pytest.raises(BadHistory):
        check_list_append([operation])


def draw(seed, *, final_reads):
    """A random history over two keys: each step on the present or an older version, so anomalies are frequent."""
    rng = random.Random(seed)
    past = [{"x": (), "y": ()}]
    rows, place, element = [], 0, 0
    for number in range(rng.randrange(2, 6)):
        view = dict(rng.choice(past[-3:]) if rng.random() < 0.4 else past[-1])
        mine = {}
        steps = []
        for _ in range(rng.randrange(1, 4)):
            key = rng.choice("xy")
            if rng.random() < 0.5:
                element += 1
                steps.append(a(key, element))
                mine.setdefault(key, []).append(element)
            else:
                steps.append(r(key, *view[key], *mine.get(key, ())))
        now = dict(past[-1])
        for key, values in mine.items():
            now[key] = now[key] + tuple(values)
        outcome = rng.choice(["ok"] * 6 + ["info", "fail"])
        if outcome != "fail" and (outcome == "ok" or rng.random() < 0.5):
            past.append(now)
        place += rng.randrange(1, 3)
        rows.append(txn(rng.randrange(3) if outcome == "ok" else 10 + number, 2 * place, 2 * (place + rng.randrange(1, 5)) + 1, *steps,
                        outcome=outcome))  # fmt: skip
    if final_reads:
        rows.append(txn(99, 1000, 1001, r("x", *past[-1]["x"]), r("y", *past[-1]["y"])))
    # Processes that would overlap themselves get names of their own.
    ends = {}
    for index, row in enumerate(rows):
        if row.call <= ends.get(row.process, -1):
            rows[index] = row = Operation(
                **{f: getattr(row, f) for f in row.__struct_fields__} | {"process": 50 + index}
            )
        ends[row.process] = row.done
    return rows


def compare(first_seed, count):
    refuted_count = complete_count = 0
    for seed in range(first_seed, first_seed + count):
        rows = draw(seed, final_reads=seed % 2 == 0)
        found = check_list_append(rows)
        for level in ("serializable", "strict-serializable"):
            exact = check_exactly(rows, "list-append", level)
            assert exact.verdict != "unknown"
            if level in found.refuted:
                refuted_count += 1
                assert not exact.is_valid, f"seed {seed}: {level} was refuted wrongly by {list(found.anomalies)}"
            elif seed % 2 == 0:
                # All versions are known, so nothing is left to guess.
                complete_count += 1
                assert exact.is_valid, f"seed {seed}: {level} was not refuted"
        for level in found.not_refuted:
            assert LEVEL_NAMES.index(level) >= 0
    return refuted_count, complete_count


@pytest.mark.slow
def test_inference_is_sound_and_with_final_reads_complete():
    refuted_count, complete_count = compare(0, 1000)
    assert refuted_count > 60
    assert complete_count > 100


def test_a_refuted_level_takes_all_stronger_ones_with_it():
    from quorate.check.txn.levels import LEVELS, implies

    for seed in range(200):
        found = check_list_append(draw(seed, final_reads=True))
        for stronger in LEVELS:
            for weaker in LEVELS:
                if implies(stronger, weaker) and weaker.name in found.refuted:
                    assert stronger.name in found.refuted, (seed, stronger.name, weaker.name)


if __name__ == "__main__":
    print(compare(10_000, int(sys.argv[1])), "(levels refuted, levels complete)")
