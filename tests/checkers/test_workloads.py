"""Jepsen's workload checkers: for each error a minimal history, and its near miss."""

import random
from functools import partial

import pytest

from quorate.check import BadHistory, Operation, Recipe, check, generate, model_named
from quorate.check.workloads import (
    check_bank,
    check_causal_reverse,
    check_counter,
    check_kafka,
    check_long_fork,
    check_set_full,
    check_total_queue,
    check_unique_ids,
)

bank = partial(check_bank, total=10)
strict_set = partial(check_set_full, linearizable=True)
once = partial(check_total_queue, exactly_once=True)

# checker, claim, what is wrong, what is nearly the same and right: rows of (process, f, value, result, call, done).
PAIRS = [
    (check_set_full, "an acknowledged element is gone from the last read",
     [(1, "add", 1, None, 0, 1), (2, "read", None, [], 2, 3)],
     [(1, "add", 1, None, 0, None), (2, "read", None, [], 2, 3)]),
    (check_set_full, "an element that was read is gone",
     [(1, "add", 1, None, 0, None), (2, "read", None, [1], 2, 3), (2, "read", None, [], 4, 5)],
     [(1, "add", 1, None, 0, None), (2, "read", None, [], 2, 3), (2, "read", None, [1], 4, 5)]),
    (check_set_full, "an element that nobody added",
     [(1, "add", 1, None, 0, 1), (2, "read", None, [1, 2], 2, 3)],
     [(1, "add", 1, None, 0, 1), (2, "read", None, [1], 2, 3)]),
    (check_set_full, "an element twice",
     [(1, "add", 1, None, 0, 1), (2, "read", None, [1, 1], 2, 3)],
     [(1, "add", 1, None, 0, 1), (2, "read", None, [1], 2, 3)]),
    (strict_set, "an acknowledged element is late",
     [(1, "add", 1, None, 0, 1), (2, "read", None, [], 2, 3), (2, "read", None, [1], 4, 5)],
     [(1, "add", 1, None, 0, 3), (2, "read", None, [], 2, 4), (2, "read", None, [1], 5, 6)]),
    (check_unique_ids, "an id twice",
     [(1, "generate", None, "a", 0, 1), (2, "generate", None, "a", 2, 3)],
     [(1, "generate", None, "a", 0, 1), (2, "generate", None, "b", 2, 3)]),
    (check_counter, "a read below what was acknowledged",
     [(1, "add", 3, None, 0, 1), (2, "read", None, 2, 2, 3)],
     [(1, "add", 3, None, 0, 1), (2, "read", None, 3, 2, 3)]),
    (check_counter, "a read above what was tried",
     [(1, "add", 3, None, 0, None), (2, "read", None, 4, 2, 3)],
     [(1, "add", 3, None, 0, None), (2, "read", None, 3, 2, 3)]),
    (check_counter, "a read above, with a decrement acknowledged",
     [(1, "add", 3, None, 0, 1), (1, "add", -1, None, 2, 3), (2, "read", None, 3, 4, 5)],
     [(1, "add", 3, None, 0, 1), (1, "add", -1, None, 2, None), (2, "read", None, 3, 4, 5)]),
    (check_total_queue, "an acknowledged element never comes out",
     [(1, "enqueue", 1, None, 0, 1), (2, "dequeue", None, None, 2, 3)],
     [(1, "enqueue", 1, None, 0, None), (2, "dequeue", None, None, 2, 3)]),
    (check_total_queue, "two lost, and one dequeue that nobody knows the end of",
     [(1, "enqueue", 1, None, 0, 1), (1, "enqueue", 2, None, 2, 3), (2, "dequeue", None, None, 4, None)],
     [(1, "enqueue", 1, None, 0, 1), (2, "dequeue", None, None, 4, None)]),
    (check_total_queue, "an element that was never put in",
     [(2, "dequeue", None, 7, 2, 3)],
     [(1, "enqueue", 7, None, 0, None), (2, "dequeue", None, 7, 2, 3)]),
    (once, "an element twice",
     [(1, "enqueue", 1, None, 0, 1), (2, "dequeue", None, 1, 2, 3), (3, "dequeue", None, 1, 4, 5)],
     [(1, "enqueue", 1, None, 0, 1), (1, "enqueue", 1, None, 6, 7), (2, "dequeue", None, 1, 2, 3),
      (3, "dequeue", None, 1, 8, 9)]),
    (bank, "money appears",
     [(1, "read", None, {"a": 5, "b": 6}, 0, 1)],
     [(1, "read", None, {"a": 4, "b": 6}, 0, 1)]),
    (bank, "an account below zero",
     [(1, "read", None, {"a": -1, "b": 11}, 0, 1)],
     [(1, "read", None, {"a": 0, "b": 10}, 0, 1)]),
    (bank, "an account vanishes",
     [(1, "read", None, {"a": 5, "b": 5}, 0, 1), (1, "read", None, {"a": 10}, 2, 3)],
     [(1, "read", None, {"a": 5, "b": 5}, 0, 1), (1, "read", None, {"a": 10, "b": 0}, 2, 3)]),
    (check_long_fork, "two reads see two writes in different orders",
     [(1, "read", None, {"x": 1, "y": None}, 0, 1), (2, "read", None, {"x": None, "y": 1}, 2, 3)],
     [(1, "read", None, {"x": 1, "y": None}, 0, 1), (2, "read", None, {"x": 1, "y": 1}, 2, 3)]),
    (check_causal_reverse, "a later write without an earlier one",
     [(1, "write", 1, None, 0, 1), (2, "write", 2, None, 2, 3), (3, "read", None, [2], 0, 9)],
     [(1, "write", 1, None, 0, 3), (2, "write", 2, None, 2, 4), (3, "read", None, [2], 0, 9)]),
    (check_causal_reverse, "a value that nobody wrote",
     [(3, "read", None, [2], 0, 9)],
     [(2, "write", 2, None, 1, None), (3, "read", None, [2], 0, 9)]),
    (check_kafka, "one offset, two messages",
     [(1, "send", "a", 0, 0, 1), (2, "send", "b", 0, 2, 3)],
     [(1, "send", "a", 0, 0, 1), (2, "send", "b", 1, 2, 3)]),
    (check_kafka, "one message, two offsets",
     [(1, "send", "a", 0, 0, 1), (2, "poll", None, {"k": [[1, "a"]]}, 2, 3)],
     [(1, "send", "a", 0, 0, 1), (2, "poll", None, {"k": [[0, "a"]]}, 2, 3)]),
    (check_kafka, "a message that nobody sent",
     [(2, "poll", None, {"k": [[1, "a"]]}, 2, 3)],
     [(1, "send", "a", None, 0, None), (2, "poll", None, {"k": [[1, "a"]]}, 2, 3)]),
    (check_kafka, "an acknowledged message that nobody sees",
     [(1, "send", "a", 0, 0, 1), (1, "send", "b", 1, 2, 3), (2, "poll", None, {"k": [[1, "b"]]}, 4, 5)],
     [(1, "send", "a", 0, 0, 1), (1, "send", "b", 1, 2, 3), (2, "poll", None, {"k": [[0, "a"]]}, 4, 5)]),
    (check_kafka, "a consumer goes back",
     [(1, "send", "a", 0, 0, 1), (2, "poll", None, {"k": [[0, "a"]]}, 2, 3), (2, "poll", None, {"k": [[0, "a"]]}, 4, 5)],
     [(1, "send", "a", 0, 0, 1), (2, "poll", None, {"k": [[0, "a"]]}, 2, 3), (2, "assign", None, None, 4, 5),
      (2, "poll", None, {"k": [[0, "a"]]}, 6, 7)]),
    (check_kafka, "a consumer skips a message that another saw",
     [(1, "send", "a", 0, 0, 1), (1, "send", "b", 2, 2, 3), (1, "send", "c", 5, 4, 5),
      (2, "poll", None, {"k": [[0, "a"], [5, "c"]]}, 6, 7), (3, "poll", None, {"k": [[2, "b"]]}, 8, 9)],
     [(1, "send", "a", 0, 0, 1), (1, "send", "b", 2, 2, 3), (1, "send", "c", 5, 4, 5),
      (2, "poll", None, {"k": [[0, "a"], [2, "b"], [5, "c"]]}, 6, 7)]),
]  # fmt: skip


@pytest.mark.parametrize(("checker", "claim", "bad", "good"), PAIRS, ids=[pair[1] for pair in PAIRS])
def test_an_error_is_found_and_its_near_miss_is_not(ops, checker, claim, bad, good):
    finding = checker(ops(*bad, key="k"))
    assert finding.verdict == "invalid"
    assert finding.witness
    assert finding.blame in finding.witness
    assert checker(ops(*good, key="k")).verdict == "valid"


@pytest.mark.parametrize("checker", [check_set_full, check_unique_ids, bank, check_long_fork])
def test_a_history_that_shows_nothing_is_unknown(checker):
    assert checker([]).verdict == "unknown"


@pytest.mark.parametrize(
    ("checker", "row"),
    [
        (check_set_full, (1, "read", None, 5, 0, 1)),
        (check_counter, (1, "add", "x", None, 0, 1)),
        (bank, (1, "read", None, [1], 0, 1)),
        (check_long_fork, (1, "read", None, 1, 0, 1)),
        (check_causal_reverse, (1, "read", None, 1, 0, 1)),
        (check_kafka, (1, "poll", None, 1, 0, 1)),
        (check_kafka, (1, "poll", None, {"k": [1]}, 0, 1)),
        (check_kafka, (1, "send", "a", "zero", 0, 1)),
    ],
)
def test_answers_of_another_shape_are_bad_histories(ops, checker, row):
    with pytest.raises(BadHistory):
        checker(ops(row, key="k"))


@pytest.mark.slow
def test_counter_bounds_never_refute_a_linearizable_counter():
    """Bounds are weaker than the model: what they refute, the model refutes."""
    model, refuted_count = model_named("counter"), 0
    for seed in range(300):
        rng = random.Random(seed)
        rows = generate(
            rng,
            model,
            lambda rng: rng.choice([("read", None, range(-3, 6)), ("add", rng.choice([1, 2, -1]), ())]),
            Recipe(operation_count=8, lie_chance=0.2),
        )
        rows = [Operation(**{f: getattr(row, f) for f in row.__struct_fields__}) for row in rows]
        if not check_counter(rows).is_valid:
            refuted_count += 1
            assert not check(rows, model).is_valid, seed
    assert refuted_count > 20
