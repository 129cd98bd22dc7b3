"""Engines and fast paths against brute force, on generated small histories with crashes and lies.

More of the same: `python tests/checkers/test_linear_oracle.py 100000`.
"""

import itertools
import random
import sys

import pytest

from quorate.check import Recipe, brute_force, check, generate, model_named
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


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_both_engines_agree_with_brute_force(name):
    assert compare(name, 0, 300) > 5, "a comparison without failures shows little"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAST))
def test_fast_paths_agree_with_brute_force(name):
    assert compare_distinct(name, 0, 1000) > 50


if __name__ == "__main__":
    share = int(sys.argv[1]) // (len(WORKLOADS) + len(FAST))
    for each in sorted(WORKLOADS):
        print(each, compare(each, 10_000, share), "not linearizable", flush=True)
    for each in sorted(FAST):
        print("distinct", each, compare_distinct(each, 10_000, share), "not linearizable", flush=True)
