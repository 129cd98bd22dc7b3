"""Engines and fast paths against brute force, on generated small histories with crashes, lies and mutations.

A few thousand here; 100,000 and more with `pytest -m soak tests/checkers`, part of `make soak`.
"""

import contextlib
import itertools
import random

import msgspec
import pytest

from quorate.check import NEVER, BadHistory, Operation, Recipe, brute_force, check, generate, model_named
from quorate.check.linear import (
    Problem,
    judge_append_register,
    judge_fifo_queue,
    judge_register,
    judge_set,
    search_depth,
    search_frontier,
)

VALUES = [0, 1, 2, None]
ELEMENTS = [1, 2, 3, None]


def _register(rng):
    return rng.choice([("read", None, VALUES), ("write", rng.randrange(3), ())])


def _cas(rng):
    return rng.choice([_register(rng), ("cas", [rng.choice(VALUES), rng.randrange(3)], [True, False])])


def _kv(rng):
    return rng.choice(
        [
            ("get", None, VALUES),
            ("put", rng.randrange(3), ()),
            ("delete", None, ()),
            ("cas", [rng.choice(VALUES), rng.randrange(3)], [True, False]),
            ("put_if_absent", rng.randrange(3), [True, False]),
            ("put_if_version", [rng.randrange(3), rng.randrange(3)], [True, False]),
            ("get_version", None, [[v, n] for v in VALUES for n in range(4)]),
            ("increment", 1, [1, 2, 3]),
            ("add", 1, ()),
        ]
    )


def _counter(rng):
    return rng.choice([("read", None, range(5)), ("add", rng.choice([1, 2]), ()), ("increment", 1, range(5))])


def _append(rng):
    lists = [[], [1], [2], [1, 2], [2, 1], [1, 1], [1, 2, 1]]
    return rng.choice([("read", None, lists), ("append", rng.choice([1, 2]), ())])


def _multi(rng):
    a, b = rng.choice([0, 1]), rng.choice([0, 1])
    reads = [{"x": i, "y": j} for i in (None, 0, 1) for j in (None, 0, 1)]
    txns = [[["r", "x", v], ["w", "y", b]] for v in (None, 0, 1)]
    return rng.choice(
        [("read", None, reads), ("write", {"x": a, "y": b}, ()), ("write", {"x": a}, ()),
         ("txn", [["r", "x", None], ["w", "y", b]], txns)]
    )  # fmt: skip


def _set(rng):
    v = rng.choice([1, 2])
    return rng.choice(
        [("add", v, ()), ("remove", v, ()), ("contains", v, [True, False]), ("read", None, [[], [1], [2], [2, 1]])]
    )


def _queue(rng):
    return rng.choice([("enqueue", rng.choice([1, 2, 3]), ()), ("dequeue", None, ELEMENTS)])


def _priority(rng):
    pairs = [[p, v] for p in (1, 2) for v in "ab"]
    return rng.choice([("enqueue", rng.choice(pairs), ()), ("dequeue", None, [*pairs, None])])


def _stack(rng):
    return rng.choice([("push", rng.choice([1, 2, 3]), ()), ("pop", None, ELEMENTS)])


def _mutex(rng):
    return rng.choice([("acquire", None, ()), ("release", None, ())])


def _fenced(rng):
    return rng.choice([("acquire", None, [1, 2, 3, 4, 5]), ("release", None, ())])


WORKLOADS = {
    "append-register": _append, "cas-register": _cas, "counter": _counter, "fenced-lock": _fenced,
    "fifo-queue": _queue, "kv": _kv, "multi-register": _multi, "mutex": _mutex, "priority-queue": _priority,
    "register": _register, "set": _set, "stack": _stack, "unordered-queue": _queue,
}  # fmt: skip


def run(engine):
    while True:
        try:
            next(engine)
        except StopIteration as stop:
            return stop.value


def compare(name, first_seed, count):
    """Compare both engines and the whole checker with brute force; return how many histories were not linearizable."""
    model, workload, invalid_count = model_named(name), WORKLOADS[name], 0
    for seed in range(first_seed, first_seed + count):
        rng = random.Random(seed)
        recipe = Recipe(
            operation_count=rng.randrange(1, 8),
            process_count=rng.randrange(1, 4),
            crash_chance=rng.choice([0, 0.2, 0.5]),
            lie_chance=rng.choice([0, 0.3]),
        )
        operations = generate(rng, model, workload, recipe)
        expected = brute_force(model, operations)
        frontier, depth = (
            run(search_frontier(Problem(model, operations))),
            run(search_depth(Problem(model, operations))),
        )
        assert frontier.is_valid == depth.is_valid == expected, f"{name}, seed {seed}: {operations}"
        assert frontier.blame == depth.blame, f"{name}, seed {seed}"
        finding = check(operations, model)
        assert finding.verdict == ("valid" if expected else "invalid"), f"{name}, seed {seed}"
        if not expected:
            invalid_count += 1
            assert finding.blame in finding.witness
            assert not brute_force(model, finding.witness), f"{name}, seed {seed}: the witness proves nothing"
        if recipe.lie_chance == 0:
            assert expected, "what a model did is explained by the model"
    return invalid_count


def _fresh_register(rng, fresh):
    return rng.choice([("read", None, [None, *range(6)]), ("write", next(fresh), ())])


def _fresh_append(rng, fresh):
    lists = [list(row) for n in range(4) for row in itertools.permutations(range(3), n)]
    return rng.choice([("read", None, lists), ("append", next(fresh), ())])


def _fresh_set(rng, fresh):
    lists = [list(row) for n in range(5) for row in itertools.combinations(range(4), n)]
    return rng.choice([("read", None, lists), ("add", next(fresh), ())])


def _fresh_queue(rng, fresh):
    return rng.choice([("dequeue", None, range(6)), ("enqueue", next(fresh), ())])


FAST = {
    "register": (_fresh_register, judge_register),
    "append-register": (_fresh_append, judge_append_register),
    "set": (_fresh_set, judge_set),
    "fifo-queue": (_fresh_queue, judge_fifo_queue),
}


def compare_distinct(name, first_seed, count):
    """The same for a fast path, with values that all differ."""
    (draw, judge), model, invalid_count = FAST[name], model_named(name), 0
    for seed in range(first_seed, first_seed + count):
        rng = random.Random(seed)
        fresh = itertools.count()
        recipe = Recipe(
            operation_count=rng.randrange(1, 9),
            process_count=rng.randrange(1, 5),
            crash_chance=rng.choice([0, 0.2]),
            lie_chance=rng.choice([0, 0.3]),
        )
        operations = generate(rng, model, lambda rng, fresh=fresh: draw(rng, fresh), recipe)
        if name == "fifo-queue":
            # The method does not apply to dequeues of unknown end.
            operations = [o for o in operations if o.f == "enqueue" or o.outcome != "info"]
        witness = judge(operations, model.initial)
        assert witness is not None
        expected = brute_force(model, operations)
        assert (not witness) == expected, f"{name}, seed {seed}: {operations}"
        if witness:
            invalid_count += 1
            assert not brute_force(model, check(operations, model).witness)
    return invalid_count


def mutate(rng, operations):
    """Return a history with one thing changed: an answer taken from another, two answers swapped, or an end moved."""
    done = [place for place, o in enumerate(operations) if o.outcome == "ok"]
    if len(done) < 2:
        return operations
    mutated = list(operations)
    one, two = rng.sample(done, 2)
    match rng.randrange(3):
        case 0:
            mutated[one] = msgspec.structs.replace(mutated[one], result=operations[two].result)
        case 1 if operations[one].f == operations[two].f:
            mutated[one] = msgspec.structs.replace(mutated[one], result=operations[two].result)
            mutated[two] = msgspec.structs.replace(mutated[two], result=operations[one].result)
        case _:
            # An answer that came right after the call: places are spread to make room for it.
            mutated = [
                msgspec.structs.replace(o, call=2 * o.call, done=o.done if o.done == NEVER else 2 * o.done)
                for o in operations
            ]
            mutated[one] = msgspec.structs.replace(mutated[one], done=mutated[one].call + 1)
    return mutated


def compare_mutated(name, first_seed, count):
    """Compare the whole checker with brute force on valid histories that were mutated; return how many were caught."""
    model, workload, caught_count = model_named(name), WORKLOADS[name], 0
    for seed in range(first_seed, first_seed + count):
        rng = random.Random(seed)
        recipe = Recipe(operation_count=rng.randrange(2, 8), process_count=rng.randrange(1, 4), crash_chance=0.1)
        mutated = mutate(rng, generate(rng, model, workload, recipe))
        try:
            expected = brute_force(model, mutated)
        except BadHistory:
            # An answer of another shape never passes; where something else is wrong too, that may be met first.
            with contextlib.suppress(BadHistory):
                assert check(mutated, model, explain=False).verdict == "invalid"
            continue
        caught_count += not expected
        assert check(mutated, model, explain=False).is_valid == expected, f"{name}, seed {seed}: {mutated}"
    return caught_count


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_both_engines_agree_with_brute_force(name):
    assert compare(name, 0, 300) > 5, "a comparison without failures shows little"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAST))
def test_fast_paths_agree_with_brute_force(name):
    assert compare_distinct(name, 0, 1000) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_mutated_history_is_caught_when_brute_force_says_so(name):
    assert compare_mutated(name, 0, 150) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["register", "kv", "cas-register"])
def test_both_engines_agree_where_half_of_all_crashed(name):
    """Too many for brute force; here it matters which crashed operations each way has used already."""
    model, verdicts = model_named(name), {True: 0, False: 0}
    for seed in range(250):
        rng = random.Random(seed)
        recipe = Recipe(
            operation_count=14, process_count=4, crash_chance=0.5, fail_chance=0.0, lie_chance=rng.choice([0, 0.2])
        )
        operations = generate(rng, model, WORKLOADS[name], recipe)
        frontier = run(search_frontier(Problem(model, operations)))
        assert frontier.is_valid == run(search_depth(Problem(model, operations))).is_valid, seed
        verdicts[frontier.is_valid] += 1
    assert min(verdicts.values()) > 3, verdicts


SOAK_COUNT = 6_000


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_engines_agree_with_brute_force_on_very_many_histories(name):
    """Thirteen models and four fast paths, 6,000 histories each: more than 100,000."""
    assert compare(name, 10_000, SOAK_COUNT) > 100
    assert compare_mutated(name, 10_000, SOAK_COUNT) > 100


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(FAST))
def test_fast_paths_agree_with_brute_force_on_very_many_histories(name):
    assert compare_distinct(name, 10_000, SOAK_COUNT) > 300


def test_what_needs_no_search_needs_no_budget():
    """Five million operations with values that differ were unknown, as each counted as a step."""
    rows = [Operation(process=1, f="write", value=n, call=2 * n, done=2 * n + 1) for n in range(1, 50)]
    finding = check(rows, "register", budget=10)
    assert finding.is_valid
    assert finding.budget_spent == 0
    stale = Operation(process=2, f="read", result=1, call=200, done=201)
    assert check([*rows, stale], "register", budget=10).verdict == "invalid"
