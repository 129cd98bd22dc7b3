"""Snapshot isolation by exact search: against every order of starts and commits, and as the referee of the inference."""

import random
from itertools import permutations

import pytest

from quorate.check import Operation
from quorate.check.history import NEVER
from quorate.check.txn import check_exactly, check_list_append, check_rw_register, check_stated_snapshots

LEVELS = ("snapshot-isolation", "strong-session-snapshot-isolation", "strong-snapshot-isolation")


def txn(process, call, done, *steps, outcome="ok"):
    rows = [list(step) for step in steps]
    asked = [[f, key, None if f == "r" else value] for f, key, value in rows]
    return Operation(
        process=process, f="txn", value=asked, result=rows if outcome == "ok" else None, outcome=outcome,
        call=call, done=NEVER if outcome == "info" else done,
    )  # fmt: skip


def at_once(*rows):
    return [txn(place, place, 100 + place, *steps) for place, steps in enumerate(rows)]


def w(key, value):
    return ("w", key, value)


def r(key, value=None):
    return ("r", key, value)


# What snapshot isolation forbids, each with its near miss.
PAIRS = [
    ("half of a transaction", [[w("x", 1), w("y", 1)], [r("x", 1), r("y")]], [[w("x", 1), w("y", 1)], [r("x"), r("y")]]),
    ("a lost update", [[r("x"), w("x", 1)], [r("x"), w("x", 2)]], [[r("x"), w("x", 1)], [r("x", 1), w("x", 2)]]),
    ("a long fork",
     [[w("x", 1)], [r("x", 1), r("y")], [w("y", 1)], [r("y", 1), r("x")]],
     [[w("x", 1)], [r("x", 1), r("y")], [w("y", 1)], [r("y"), r("x")]]),
    ("a cause that is missing",
     [[w("x", 1)], [r("x", 1), w("y", 1)], [r("y", 1), r("x")]], [[w("x", 1)], [r("x"), w("y", 1)], [r("y", 1), r("x")]]),
    ("its own write unread", [[w("x", 1), r("x")]], [[w("x", 1), r("x", 1)]]),
    ("a circle", [[w("x", 1), r("y", 1)], [w("y", 1), r("x", 1)]], [[w("x", 1), r("y")], [w("y", 1), r("x")]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bad", "good"), PAIRS, ids=[row[0] for row in PAIRS])
def test_what_is_forbidden_and_its_near_miss(name, bad, good):
    finding = check_exactly(at_once(*bad), "rw-register", "snapshot-isolation")
    assert finding.verdict == "invalid"
    assert len(finding.witness) == len(bad)
    assert check_exactly(at_once(*good), "rw-register", "snapshot-isolation").is_valid


def test_old_snapshots_are_allowed_unless_time_counts():
    stale = [txn(1, 0, 1, w("x", 1)), txn(2, 2, 3, r("x"))]
    own = [txn(1, 0, 1, w("x", 1)), txn(1, 2, 3, r("x"))]
    assert [check_exactly(stale, "rw-register", level).is_valid for level in LEVELS] == [True, True, False]
    assert [check_exactly(own, "rw-register", level).is_valid for level in LEVELS] == [True, False, False]


def test_what_nobody_knows_the_end_of_may_have_committed_or_not():
    crashed = txn(1, 0, 1, w("x", 1), outcome="info")
    for seen in (None, 1):
        assert check_exactly([crashed, txn(2, 2, 3, r("x", seen))], "rw-register", LEVELS[2]).is_valid
    aborted = txn(1, 0, 1, w("x", 1), outcome="fail")
    assert not check_exactly([aborted, txn(2, 2, 3, r("x", 1))], "rw-register", LEVELS[0]).is_valid


def draw(seed, *, final_reads):
    """Lists under concurrent transactions that see a recent state, mostly; ends are known, unknown or aborts."""
    rng = random.Random(seed)
    past, rows, fresh = [{"x": (), "y": ()}], [], 0
    for number in range(rng.randrange(2, 6)):
        view, mine, steps = dict(past[-1 - rng.randrange(min(3, len(past)))]), {"x": (), "y": ()}, []
        for key in rng.choices("xy", k=rng.randrange(1, 4)):
            if rng.random() < 0.5:
                fresh += 1
                mine[key] += (fresh,)
                steps.append(("append", key, fresh))
            else:
                steps.append(r(key, [*view[key], *mine[key]]))
        outcome = rng.choice(["ok"] * 6 + ["info", "fail"])
        if outcome == "ok" or (outcome == "info" and rng.random() < 0.5):
            past.append({key: past[-1][key] + mine[key] for key in "xy"})
        call = 10 * number + rng.randrange(15)
        rows.append(txn(number % 3 if number < 3 else 9 + number, 2 * call, 2 * (call + rng.randrange(1, 30)) + 1,
                        *steps, outcome=outcome))  # fmt: skip
    if final_reads:
        rows.append(txn(99, 1000, 1001, *(r(key, list(past[-1][key])) for key in "xy")))
    return rows


def chaos(seed):
    """Registers whose reads see any version at all."""
    rng = random.Random(seed)
    shapes = [
        [(rng.choice("rw"), rng.choice("xy")) for _ in range(rng.randrange(1, 4))] for _ in range(rng.randrange(2, 6))
    ]
    written = {"x": [None], "y": [None]}
    for number, row in enumerate(shapes):
        for place, (f, key) in enumerate(row):
            if f == "w":
                written[key].append(10 * number + place + 1)
    return at_once(
        *[
            [
                (f, key, 10 * number + place + 1 if f == "w" else rng.choice(written[key]))
                for place, (f, key) in enumerate(row)
            ]
            for number, row in enumerate(shapes)
        ]
    )


def test_a_search_without_budget_is_unknown():
    assert check_exactly(draw(1, final_reads=True), "list-append", "snapshot-isolation", budget=0).verdict == "unknown"


def brute(rows):
    """Try all orders of starts and commits of list-append transactions that are all certain."""
    count = len(rows)
    events = [(number, kind) for number in range(count) for kind in (0, 1)]
    for order in permutations(events):
        at = {event: place for place, event in enumerate(order)}
        if any(at[number, 0] > at[number, 1] for number in range(count)):
            continue
        if is_explained(rows, order):
            return True
    return False


def is_explained(rows, order):
    lists, snapshots, versions = {"x": (), "y": ()}, {}, {"x": 0, "y": 0}
    for number, kind in order:
        if kind == 0:
            snapshots[number] = (dict(lists), dict(versions))
            continue
        view, seen = dict(snapshots[number][0]), snapshots[number][1]
        written = set()
        for f, key, value in rows[number].result:
            if f == "append":
                view[key] = (*view[key], value)
                written.add(key)
            elif tuple(value or ()) != view[key]:
                return False
        for key in written:
            if versions[key] != seen[key]:
                return False
            lists[key], versions[key] = view[key], versions[key] + 1
    return True


@pytest.mark.slow
def test_the_search_agrees_with_every_order_of_starts_and_commits():
    counts = [0, 0]
    for seed in range(600):
        rows = [row for row in draw(seed, final_reads=False) if row.outcome == "ok"][:3]
        expected = brute(rows)
        assert check_exactly(rows, "list-append", "snapshot-isolation").is_valid == expected, seed
        counts[expected] += 1
    assert min(counts) > 40, counts


def compare(first_seed, count):
    """Hold the inference against exact search; return how often it refuted, and how often nothing was left to guess."""
    refuted = complete = 0
    for seed in range(first_seed, first_seed + count):
        rows = draw(seed, final_reads=seed % 2 == 0)
        found = check_list_append(rows)
        registers = chaos(seed)
        inferred = check_rw_register(registers)
        for level in LEVELS:
            exact = check_exactly(rows, "list-append", level)
            assert exact.verdict != "unknown"
            if level in found.refuted:
                refuted += 1
                assert not exact.is_valid, f"seed {seed}: {level} was refuted wrongly by {list(found.anomalies)}"
            elif seed % 2 == 0:
                complete += 1
                assert exact.is_valid, f"seed {seed}: {level} was not refuted"
            if level in inferred.refuted:
                assert not check_exactly(registers, "rw-register", level).is_valid, (seed, level)
    return refuted, complete


@pytest.mark.slow
def test_inferred_snapshot_isolation_is_sound_and_with_all_versions_known_complete():
    refuted, complete = compare(0, 500)
    assert refuted > 200
    assert complete > 200


@pytest.mark.soak
def test_inferred_snapshot_isolation_for_long():
    compare(100_000, 20_000)


@pytest.mark.slow
def test_what_stated_snapshots_pass_has_an_order():
    passed = 0
    for seed in range(1500):
        rng = random.Random(seed)
        rows = [row for row in draw(seed, final_reads=False) if row.outcome == "ok"]
        commits = rng.sample(range(20), len(rows)) if rng.random() < 0.3 else [2 * n + 2 for n in range(len(rows))]
        stamps = {row.call: (rng.randrange(max(0, c - 3), c), c) for row, c in zip(rows, commits, strict=True) if c}
        if len(stamps) < len(rows):
            continue
        for level in LEVELS:
            if check_stated_snapshots(rows, "list-append", stamps, level).is_valid:
                passed += 1
                assert check_exactly(rows, "list-append", level).is_valid, (seed, level)
    assert passed > 100
