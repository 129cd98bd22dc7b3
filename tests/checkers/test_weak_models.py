"""Sequential, causal, PRAM and session guarantees: the published examples, near misses, and how the models imply each other."""

import itertools
import random

import pytest

from quorate.check import Operation, Recipe, check, generate, model_named
from quorate.check.history import NEVER
from quorate.check.weak import GUARANTEES, check_causal, check_pram, check_sequential, check_sessions


def program(*sessions):
    """Sessions of ("w" or "r", key, value); all at once, in rounds."""
    place, rows = 0, []
    for turn in range(max(len(session) for session in sessions)):
        running = [(p, s[turn]) for p, s in enumerate(sessions) if turn < len(s)]
        for process, (f, key, value) in running:
            rows.append(
                Operation(
                    process=process,
                    f="write" if f == "w" else "read",
                    key=key,
                    value=value if f == "w" else None,
                    result=value if f == "r" else None,
                    call=place + process,
                    done=place + len(sessions) + process,
                )
            )
        place += 2 * len(sessions)
    return rows


def w(key, value):
    return ("w", key, value)


def r(key, value):
    return ("r", key, value)


# The figure of Bouajjani and others: which models each program fits, (CC, CCv, CM, sequential).
PUBLISHED = [
    ([[w("x", 1), r("x", 2)], [w("x", 2), r("x", 1)]], (True, False, True, False)),
    ([[w("z", 1), w("x", 1), w("y", 1)], [w("x", 2), r("z", None), r("y", 1), r("x", 2)]], (True, True, False, False)),
    ([[w("x", 1)], [w("x", 2), r("x", 1), r("x", 2)]], (True, False, False, False)),
    ([[w("x", 1), r("y", None), w("y", 1), r("x", 1)], [w("x", 2), r("y", None), w("y", 2), r("x", 2)]],
     (True, True, True, False)),
    ([[w("x", 1), w("y", 1)], [r("y", 1), w("x", 2)], [r("x", 2), r("x", 1)]], (False, False, False, False)),
    ([[w("x", 1), w("y", 1)], [r("y", 1), w("x", 2)], [r("x", 1), r("x", 2)]], (True, True, True, True)),
]  # fmt: skip


def verdicts(rows):
    return (
        check_causal(rows, "causal").is_valid,
        check_causal(rows, "causal-convergence").is_valid,
        check_causal(rows, "causal-memory").is_valid,
        check_sequential(rows).is_valid,
    )


@pytest.mark.parametrize(("sessions", "expected"), PUBLISHED, ids="abcdef")
def test_the_published_programs_fit_the_models_that_they_should(sessions, expected):
    assert verdicts(program(*sessions)) == expected


def test_a_causal_violation_names_the_read_and_the_write_that_it_missed():
    finding = check_causal(program(*PUBLISHED[4][0]))
    assert finding.blame.result == 1
    assert {o.value for o in finding.witness if o.f == "write"} == {1, 2}


def test_a_read_of_nothing_after_its_cause_is_a_causal_violation():
    bad = program([w("x", 1), w("y", 1)], [r("y", 1), r("x", None)])
    assert not check_causal(bad).is_valid
    assert check_causal(program([w("x", 1), w("y", 1)], [r("x", None), r("y", 1)])).is_valid


def test_reads_that_cause_each_other_and_thin_air_are_refused():
    circle = program([r("x", 1), w("y", 1)], [r("y", 1), w("x", 1)])
    assert check_causal(circle).verdict == "invalid"
    assert check_causal(program([r("x", 9)])).verdict == "invalid"


def test_values_written_twice_are_unknown_never_a_pass():
    rows = program([w("x", 1)], [w("x", 1)])
    assert check_causal(rows).verdict == "unknown"
    assert check_sessions(rows).verdict == "unknown"


def test_causal_memory_gives_up_with_its_budget():
    assert check_causal(program(*PUBLISHED[3][0]), "causal-memory", budget=1).verdict == "unknown"


SESSIONS = [
    ("read-your-writes", [[w("x", 1), r("x", None)]], [[w("x", 1), r("x", 1)]]),
    ("monotonic-reads", [[w("x", 1)], [r("x", 1), r("x", None)]], [[w("x", 1)], [r("x", None), r("x", 1)]]),
]


@pytest.mark.parametrize(("guarantee", "bad", "good"), SESSIONS, ids=[s[0] for s in SESSIONS])
def test_a_session_guarantee_is_broken_alone(guarantee, bad, good):
    finding = check_sessions(program(*bad), [guarantee])
    assert finding.verdict == "invalid"
    assert guarantee in finding.explanation
    for other in GUARANTEES:
        if other != guarantee:
            assert check_sessions(program(*bad), [other]).is_valid
    assert check_sessions(program(*good)).is_valid


def test_monotonic_writes_and_reads_together_order_the_versions():
    """One session writes 1 then 2; another reads 2 then 1: each guarantee alone could be kept, both cannot."""
    bad = program([w("x", 1), w("x", 2)], [r("x", 2), r("x", 1)])
    assert check_sessions(bad, ["monotonic-writes"]).is_valid
    assert check_sessions(bad, ["monotonic-reads"]).is_valid
    assert not check_sessions(bad, ["monotonic-writes", "monotonic-reads"]).is_valid
    assert check_sessions(program([w("x", 1), w("x", 2)], [r("x", 1), r("x", 2)])).is_valid


def test_writes_follow_reads_orders_a_write_behind_what_was_read():
    bad = program([w("x", 1)], [r("x", 1), w("x", 2)], [r("x", 2), r("x", 1)])
    both = ["writes-follow-reads", "monotonic-reads"]
    assert not check_sessions(bad, both).is_valid
    assert check_sessions(bad, ["monotonic-reads"]).is_valid
    assert check_sessions(program([w("x", 1)], [r("x", 1), w("x", 2)], [r("x", 1), r("x", 2)]), both).is_valid


def test_pram_lets_sessions_disagree_and_keeps_each_one_s_order():
    disagree = program([w("x", 1)], [w("x", 2)], [r("x", 1), r("x", 2)], [r("x", 2), r("x", 1)])
    assert check_pram(disagree).is_valid
    assert not check_sequential(disagree).is_valid
    backwards = program([w("x", 1), w("x", 2)], [r("x", 2), r("x", 1)])
    assert not check_pram(backwards).is_valid


def test_sequential_forgives_stale_reads_and_linearizability_does_not():
    rows = [
        Operation(process=1, f="write", value=1, call=0, done=1),
        Operation(process=2, f="read", result=None, call=2, done=3),
    ]
    assert check_sequential(rows).is_valid
    assert not check(rows).is_valid


def test_an_operation_of_unknown_end_may_have_happened_or_not():
    write = Operation(process=1, f="write", value=1, outcome="info", call=0, done=NEVER)
    for result in (None, 1):
        rows = [write, Operation(process=2, f="read", result=result, call=2, done=3)]
        assert check_sequential(rows).is_valid
        assert check_pram(rows).is_valid
        assert check_causal(rows, "causal-memory").is_valid
        assert check_sessions(rows).is_valid


def test_a_search_without_budget_is_unknown():
    rows = program([w("x", 1), r("x", 1)], [w("x", 2), r("x", 2)], [r("x", 1)])
    assert check_sequential(rows, budget=0).verdict == "unknown"
    assert check_pram(rows, budget=0).verdict == "unknown"


def draw(seed):
    """A few sessions that read any value of a key written so far, or the initial one."""
    rng = random.Random(seed)
    written = {"x": [None], "y": [None]}
    sessions = [[] for _ in range(rng.randrange(2, 4))]
    for value in range(rng.randrange(3, 9)):
        session, key = rng.choice(sessions), rng.choice("xy")
        if rng.random() < 0.5:
            session.append(w(key, value))
            written[key].append(value)
        else:
            session.append(r(key, rng.choice(written[key])))
    return program(*sessions)


def brute_orders(sessions):
    """Yield every interleaving of sessions."""
    if not any(sessions):
        yield []
    for place, session in enumerate(sessions):
        if session:
            rest = [*sessions[:place], session[1:], *sessions[place + 1 :]]
            for order in brute_orders(rest):
                yield [session[0], *order]


def fits(order, judged):
    values = {}
    for o in order:
        if o.f == "write":
            values[o.key] = o.value
        elif o.process in judged and values.get(o.key) != o.result:
            return False
    return True


def by_process(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row.process, []).append(row)
    return groups


@pytest.mark.slow
def test_searches_agree_with_all_interleavings_and_models_imply_each_other():
    counts = [0] * 6
    for seed in range(400):
        rows = draw(seed)
        groups = by_process(rows)
        orders = list(brute_orders(list(groups.values())))
        sequential = any(fits(order, groups) for order in orders)
        pram = all(
            any(
                fits(order, [process])
                for order in brute_orders(
                    [g if p == process else [o for o in g if o.f == "write"] for p, g in groups.items()]
                )
            )
            for process in groups
        )
        cc, ccv, cm, found = verdicts(rows)
        assert found == sequential, seed
        assert check_pram(rows).is_valid == pram, seed
        assert not sequential or (cm and ccv), seed
        assert not cm or (cc and pram), seed
        assert not ccv or cc, seed
        assert not ccv or check_sessions(rows).is_valid, f"one order of writes for all keeps all guarantees: {seed}"
        for place, verdict in enumerate((sequential, pram, cc, ccv, cm, check_sessions(rows).is_valid)):
            counts[place] += verdict
    assert all(20 < count < 390 for count in counts), counts


@pytest.mark.slow
def test_what_is_linearizable_is_everything_weaker():
    model = model_named("register")
    for seed in range(100):
        fresh = itertools.count()
        rows = generate(
            random.Random(seed),
            model,
            lambda rng, fresh=fresh: rng.choice([("read", None, [None, *range(9)]), ("write", next(fresh), ())]),
            Recipe(operation_count=8, process_count=3),
        )
        assert verdicts(rows) == (True,) * 4, seed
        assert check_pram(rows).is_valid
        assert check_sessions(rows).is_valid
