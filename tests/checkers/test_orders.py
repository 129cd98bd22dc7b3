"""Orders of sessions, with conditional writes and counters: searches and closures against all interleavings; budgets."""

import itertools
import random

import pytest

from quorate.check import Operation, check, model_named, refutes
from quorate.check.history import NEVER
from quorate.check.weak import CAUSAL_MODELS, GUARANTEES, check_causal, check_pram, check_sequential, check_sessions
from quorate.check.weak.sequential import _unanswered


def draw(seed):
    """A few sessions that read, write, compare and set, and count; answers are drawn, and some of the ends are unknown."""
    rng = random.Random(seed)
    sessions, fresh, values = rng.randrange(2, 4), itertools.count(1), {"x": [None], "n": [None]}
    is_distinct = rng.random() < 0.7
    rows = []
    for place in range(rng.randrange(3, 7) if is_distinct else 7):
        process, key = rng.randrange(sessions), rng.choice("xn") if is_distinct else "x"
        f = rng.choice(["read", "write", "cas", "read"] if key == "x" else ["read", "increment"])
        value = result = None
        if f == "read":
            result = rng.choice(values[key])
        elif f == "increment":
            value, result = 1, rng.randrange(1, 4)
            values[key].append(result)
        else:
            new = next(fresh) if is_distinct else rng.randrange(1, 3)
            value = new if f == "write" else (rng.choice(values[key]), new)
            result = rng.random() < 0.8 if f == "cas" else new
            values[key].append(new)
        is_known = rng.random() < 0.9
        rows.append(
            Operation(
                process=process if is_known else 100 + place, f=f, key=key, value=value,
                result=result if is_known else None, outcome="ok" if is_known else "info",
                call=2 * place, done=2 * place + 1 if is_known else NEVER,
            )
        )  # fmt: skip
    return rows


def exists_order(sessions, model):
    """Try all interleavings; what nobody knows the end of may be left out."""

    def follow(places, states):
        if all(place == len(row) or row[place].outcome == "info" for place, row in zip(places, sessions, strict=True)):
            return True
        for number, row in enumerate(sessions):
            if places[number] < len(row):
                o = row[places[number]]
                moved = (*places[:number], places[number] + 1, *places[number + 1 :])
                for after in model.follow(states.get(o.key, model.initial), _frozen(o)):
                    if follow(moved, {**states, o.key: after}):
                        return True
        return False

    return follow((0,) * len(sessions), {})


def _frozen(o):
    from msgspec.structs import replace

    from quorate.check import freeze

    return replace(o, value=freeze(o.value), result=freeze(o.result))


def by_process(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row.process, []).append(row)
    return list(groups.values())


@pytest.mark.slow
def test_sequential_search_agrees_with_all_interleavings():
    """Values that never come back, keys alone and eager reads cut the search; they must cut nothing that matters."""
    model, held = model_named("kv"), 0
    for seed in range(1500):
        rows = draw(seed)
        expected = exists_order(by_process(rows), model)
        assert check_sequential(rows).is_valid == expected, seed
        held += expected
    assert 100 < held < 1400


@pytest.mark.slow
def test_what_is_sequential_is_refuted_by_no_weaker_model():
    """Conditional writes and increments are taken apart: that may hide a fault, it must invent none."""
    told = 0
    for seed in range(1500):
        rows = draw(seed)
        weaker = [check_causal(rows, model) for model in CAUSAL_MODELS]
        weaker += [check_sessions(rows), *(check_sessions(rows, [name]) for name in GUARANTEES), check_pram(rows)]
        if check_sequential(rows).is_valid:
            assert all(finding.verdict != "invalid" for finding in weaker), seed
        told += any(finding.verdict == "invalid" for finding in weaker)
    assert told > 100


def test_a_key_that_cannot_be_judged_does_not_hide_one_that_can():
    twice = [Operation(process=p, f="write", key="x", value=1, call=p, done=5 + p) for p in (1, 2)]
    stale = [
        Operation(process=3, f="write", key="y", value=1, call=11, done=12),
        Operation(process=3, f="read", key="y", result=None, call=13, done=14),
    ]
    assert check_sessions([*twice, *stale], ["read-your-writes"]).verdict == "invalid"
    fresh = [stale[0], Operation(process=3, f="read", key="y", result=1, call=13, done=14)]
    finding = check_sessions([*twice, *fresh], ["read-your-writes"])
    assert finding.verdict == "unknown"
    assert "1 keys were left out" in finding.explanation


def test_a_counter_that_nobody_touched_reads_zero():
    rows = [
        Operation(process=1, f="read", key="n", result=0, call=0, done=1),
        Operation(process=1, f="increment", key="n", value=1, result=1, call=2, done=3),
    ]
    assert check_causal(rows).verdict != "invalid"
    back = Operation(process=1, f="read", key="n", result=0, call=4, done=5)
    assert check_causal([*rows, back]).verdict == "invalid"


def crowd(seed, operation_count=1200, client_count=20, key_count=16):
    """What twenty clients see of a store that sometimes answers from a lagging copy, cas and counters included."""
    rng = random.Random(seed)
    states, rows, fresh, place = {}, [], itertools.count(1), itertools.count()
    busy = {}
    for _ in range(operation_count):
        process = rng.randrange(client_count)
        if process in busy:
            rows.append(busy.pop(process)(next(place)))
        key = rng.randrange(key_count)
        past = states.setdefault(key, [None])
        f = rng.choice(["read", "read", "increment"] if key < 5 else ["read", "write", "cas"])
        value, result = None, past[-1] if rng.random() > 0.02 else past[max(0, len(past) - 3)]
        if f == "increment":
            value, result = 1, (past[-1] or 0) + 1
        elif f != "read":
            result = next(fresh)
            value = result if f == "write" else [past[-1], result]
        if f != "read":
            past.append(result)
        call, answer = next(place), True if f == "cas" else result

        def done(at, process=process, f=f, key=key, value=value, answer=answer, call=call):
            return Operation(process=process, f=f, key=key, value=value, result=answer, call=call, done=at)

        busy[process] = done
    return [*rows, *(finish(next(place)) for finish in busy.values())]


@pytest.mark.slow
def test_a_crowd_is_judged_within_its_budget_and_the_same_each_time():
    rows = crowd(1)
    assert not check(rows).is_valid
    found = refutes(rows, budget=20_000)
    assert found["linearizable"].verdict == "invalid"
    # One last step may be dearer than what was left.
    assert all(finding.budget_spent <= 20_100 for finding in found.values())
    assert {"invalid", "unknown"} == {finding.verdict for finding in found.values()}
    again = refutes(rows, budget=20_000)
    assert [(name, f.verdict, f.budget_spent) for name, f in found.items()] == [
        (name, f.verdict, f.budget_spent) for name, f in again.items()
    ]
    spent = [finding for finding in found.values() if finding.budget_spent > 20_000]
    assert all(finding.verdict == "unknown" and "budget" in finding.explanation for finding in spent)


@pytest.mark.slow
def test_pram_by_closure_agrees_with_search():
    rng = random.Random(5)
    model = model_named("kv")
    held = 0
    for _ in range(400):
        written, rows = {"x": [None], "y": [None]}, []
        for place in range(rng.randrange(4, 9)):
            key, is_write = rng.choice("xy"), rng.random() < 0.5
            value = place + 1 if is_write else rng.choice(written[key])
            if is_write:
                written[key].append(value)
            rows.append(
                Operation(
                    process=rng.randrange(3), f="write" if is_write else "read", key=key,
                    value=value if is_write else None, result=None if is_write else value,
                    call=2 * place, done=2 * place + 1,
                )
            )  # fmt: skip
        sessions = by_process(rows)
        expected = all(
            exists_order(
                [
                    row if place == mine else [_unanswered(o) for o in row if o.f == "write"]
                    for place, row in enumerate(sessions)
                ],
                model,
            )
            for mine in range(len(sessions))
        )
        assert check_pram(rows).is_valid == expected
        held += expected
    assert 40 < held < 390
