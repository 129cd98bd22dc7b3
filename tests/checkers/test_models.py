"""Every model: a minimal history that refutes it, and its near miss that does not."""

import pytest

from quorate.check import MODELS, BadHistory, Model, ModelError, Operation, check, model_named
from quorate.kernel import errors

# model, what is refuted, what is nearly the same and right: rows of (process, f, value, result, call, done).
PAIRS = [
    ("register", "a read misses a finished write",
     [(1, "write", 1, None, 0, 1), (2, "read", None, None, 2, 3)],
     [(1, "write", 1, None, 0, 2), (2, "read", None, None, 1, 3)]),
    ("register", "two reads see a crashed write, then not",
     [(1, "write", 1, None, 0, None), (2, "read", None, 1, 1, 2), (2, "read", None, None, 3, 4)],
     [(1, "write", 1, None, 0, None), (2, "read", None, None, 1, 2), (2, "read", None, 1, 3, 4)]),
    ("cas-register", "two cas from the same value succeed",
     [(1, "cas", [None, 1], True, 0, 2), (2, "cas", [None, 2], True, 1, 3)],
     [(1, "cas", [None, 1], True, 0, 2), (2, "cas", [None, 2], False, 1, 3)]),
    ("kv", "a deleted value is read",
     [(1, "put", 1, None, 0, 1), (1, "delete", None, None, 2, 3), (2, "get", None, 1, 4, 5)],
     [(1, "put", 1, None, 0, 1), (1, "delete", None, None, 2, 4), (2, "get", None, 1, 3, 5)]),
    ("kv", "a put on a version that is no more",
     [(1, "put", 1, None, 0, 1), (1, "get_version", None, [1, 7], 2, 3), (2, "put", 2, None, 4, 5),
      (1, "put_if_version", [7, 3], True, 6, 7)],
     [(1, "put", 1, None, 0, 1), (1, "get_version", None, [1, 7], 2, 3), (2, "put", 2, None, 4, 5),
      (1, "put_if_version", [7, 3], False, 6, 7)]),
    ("kv", "versions that shrink",
     [(1, "put", 1, None, 0, 1), (1, "get_version", None, [1, 7], 2, 3), (2, "put", 2, None, 4, 5),
      (1, "get_version", None, [2, 6], 6, 7)],
     [(1, "put", 1, None, 0, 1), (1, "get_version", None, [1, 7], 2, 3), (2, "put", 2, None, 4, 5),
      (1, "get_version", None, [2, 8], 6, 7)]),
    ("kv", "two clients are told that they were first",
     [(1, "put_if_absent", 1, True, 0, 2), (2, "put_if_absent", 2, True, 1, 3)],
     [(1, "put_if_absent", 1, True, 0, 2), (2, "put_if_absent", 2, False, 1, 3)]),
    ("kv", "an increment lost",
     [(1, "increment", 1, 1, 0, 2), (2, "increment", 1, 1, 1, 3)],
     [(1, "increment", 1, 1, 0, 2), (2, "increment", 1, 2, 1, 3)]),
    ("counter", "a read above all that was added",
     [(1, "add", 2, None, 0, None), (2, "read", None, 3, 1, 2)],
     [(1, "add", 2, None, 0, None), (2, "read", None, 2, 1, 2)]),
    ("append-register", "two reads disagree on the order",
     [(1, "append", 1, None, 0, 9), (2, "append", 2, None, 1, 10), (3, "read", None, [1, 2], 2, 4),
      (4, "read", None, [2, 1], 3, 5)],
     [(1, "append", 1, None, 0, 9), (2, "append", 2, None, 1, 10), (3, "read", None, [1, 2], 2, 4),
      (4, "read", None, [1], 3, 5)]),
    ("multi-register", "half of a write is seen",
     [(1, "write", {"x": 1, "y": 1}, None, 0, 3), (2, "read", None, {"x": 1, "y": None}, 1, 2)],
     [(1, "write", {"x": 1, "y": 1}, None, 0, 3), (2, "read", None, {"x": 1, "y": 1}, 1, 2)]),
    ("set", "an element that was never removed is gone",
     [(1, "add", 1, None, 0, 1), (2, "contains", 1, False, 2, 3)],
     [(1, "add", 1, None, 0, 2), (2, "contains", 1, False, 1, 3)]),
    ("set", "a read of all elements misses one",
     [(1, "add", 1, None, 0, 1), (1, "add", 2, None, 2, 3), (2, "read", None, [2], 4, 5)],
     [(1, "add", 1, None, 0, 1), (1, "add", 2, None, 2, 3), (2, "read", None, [2, 1], 4, 5)]),
    ("fifo-queue", "the younger element comes first",
     [(1, "enqueue", 1, None, 0, 1), (1, "enqueue", 2, None, 2, 3), (2, "dequeue", None, 2, 4, 5),
      (2, "dequeue", None, 1, 6, 7)],
     [(1, "enqueue", 1, None, 0, 2), (3, "enqueue", 2, None, 1, 3), (2, "dequeue", None, 2, 4, 5),
      (2, "dequeue", None, 1, 6, 7)]),
    ("unordered-queue", "one element is handed out twice",
     [(1, "enqueue", 1, None, 0, 1), (2, "dequeue", None, 1, 2, 3), (3, "dequeue", None, 1, 4, 5)],
     [(1, "enqueue", 1, None, 0, 1), (2, "dequeue", None, 1, 2, 3), (3, "dequeue", None, None, 4, 5)]),
    ("priority-queue", "a larger element comes before a smaller one",
     [(1, "enqueue", [1, "a"], None, 0, 1), (1, "enqueue", [2, "b"], None, 2, 3), (2, "dequeue", None, [2, "b"], 4, 5)],
     [(1, "enqueue", [1, "a"], None, 0, 1), (1, "enqueue", [1, "b"], None, 2, 3), (2, "dequeue", None, [1, "b"], 4, 5)]),
    ("stack", "the older element comes first",
     [(1, "push", 1, None, 0, 1), (1, "push", 2, None, 2, 3), (2, "pop", None, 1, 4, 5)],
     [(1, "push", 1, None, 0, 2), (3, "push", 2, None, 1, 3), (2, "pop", None, 1, 4, 5)]),
    ("mutex", "two hold the lock",
     [(1, "acquire", None, None, 0, 1), (2, "acquire", None, None, 2, 3)],
     [(1, "acquire", None, None, 0, 1), (1, "release", None, None, 2, None), (2, "acquire", None, None, 3, 4)]),
    ("fenced-lock", "a token is handed out twice",
     [(1, "acquire", None, 5, 0, 1), (1, "release", None, None, 2, 3), (2, "acquire", None, 5, 4, 5)],
     [(1, "acquire", None, 5, 0, 1), (1, "release", None, None, 2, 3), (2, "acquire", None, 6, 4, 5)]),
    ("fenced-lock", "somebody else releases",
     [(1, "acquire", None, 5, 0, 1), (2, "release", None, None, 2, 3)],
     [(1, "acquire", None, 5, 0, 1), (1, "release", None, None, 2, 3)]),
]  # fmt: skip


@pytest.mark.parametrize(("model", "claim", "bad", "good"), PAIRS, ids=[f"{p[0]}: {p[1]}" for p in PAIRS])
def test_a_model_refuses_what_it_must_and_nothing_more(ops, model, claim, bad, good):
    finding = check(ops(*bad), model)
    assert finding.verdict == "invalid"
    assert finding.blame in finding.witness
    assert "No order" in finding.explanation
    assert check(ops(*good), model).verdict == "valid"


def test_every_model_has_a_pair():
    assert sorted({pair[0] for pair in PAIRS}) == sorted(MODELS)


def test_a_failed_operation_did_not_happen(ops):
    write = Operation(process=1, f="write", value=1, call=0, done=1, outcome="fail")
    assert check([write, *ops((2, "read", None, 1, 2, 3))], "register").verdict == "invalid"
    assert check([write, *ops((2, "read", None, None, 2, 3))], "register").verdict == "valid"


def test_the_witness_leaves_out_what_does_not_matter(ops):
    noise = [(9, "write", 50 + i, None, 100 + 2 * i, 101 + 2 * i) for i in range(10)]
    stale = [(1, "cas", [None, 1], True, 0, 1), (1, "write", 2, None, 2, 3), (2, "read", None, 1, 4, 5)]
    # The cas may be anywhere: after the write of 2 it cannot succeed, so its place does not matter.
    finding = check(ops(*stale, *noise), "cas-register")
    assert [str(o) for o in finding.witness] == [
        "process 1: write 2 answered null",
        "process 2: read answered 1",
    ]
    assert finding.states == ("2",)
    assert finding.explanation == (
        "No order of these 2 operations explains that read of process 2 (called at 4.000 ms) answered 1 at 5.000 ms. "
        "Just before that answer the cas-register could only be: 2."
    )


def test_keys_are_judged_alone_and_the_failing_one_is_named(ops):
    good = ops((1, "put", 1, None, 0, 1), key="a")
    bad = ops((1, "put", 1, None, 2, 3), (2, "get", None, 7, 4, 5), key="b")
    finding = check(good + bad, "kv")
    assert (finding.verdict, finding.key, finding.partition_count) == ("invalid", "b", 2)


def test_true_and_one_are_two_values(ops):
    assert check(ops((1, "write", True, None, 0, 1), (1, "read", None, 1, 2, 3)), "register").verdict == "invalid"


def test_a_budget_that_runs_out_is_unknown_never_a_pass(ops):
    """Thirty concurrent increments and a read that no subset explains need more than a hundred steps."""
    rows = [(p, "add", 2**p, None, p, 100 + p) for p in range(30)]
    finding = check(ops(*rows, (50, "read", None, -1, 50, 60)), "counter", budget=100)
    assert (finding.verdict, finding.is_valid) == ("unknown", False)
    assert finding.budget_spent > 100


def test_an_unknown_function_and_a_wrong_shape_are_bad_histories(ops):
    with pytest.raises(BadHistory, match="no 'fly'"):
        check(ops((1, "fly", 1, None, 0, 1)), "kv")
    with pytest.raises(BadHistory, match="needs a pair"):
        check(ops((1, "cas", 1, True, 0, 1)), "cas-register")


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(errors.UsageError, match="no model is named 'nothing'"):
        model_named("nothing")


def test_a_step_that_raises_is_named_and_located(ops):
    broken = Model(name="broken", initial=0, step=lambda state, operation: 1 // 0)
    with pytest.raises(ModelError, match="the model broken raised ZeroDivisionError"):
        check(ops((1, "go", None, None, 0, 1)), broken)


def test_a_user_model_is_a_pure_function(ops):
    """A register that only ever grows."""
    growing = Model(
        name="growing",
        initial=0,
        step=lambda state, o: (max(state, o.value),) if o.f == "raise" else (state,) if o.result == state else None,
        readonly=("look",),
    )
    assert check(ops((1, "raise", 3, None, 0, 1), (2, "look", None, 3, 2, 3)), growing).is_valid
    assert not check(ops((1, "raise", 3, None, 0, 1), (2, "look", None, 2, 2, 3)), growing).is_valid


def write_or_read(place, f, value=None, result=None):
    """Return an operation that has ended before the next one begins."""
    return Operation(process=1, f=f, value=value, result=result, call=2 * place, done=2 * place + 1)


def test_a_read_of_old_data_is_blamed_rather_than_a_condition():
    """The lost write shows in both; people understand the read at once."""
    rows = [
        write_or_read(1, "write", 1, 1),
        write_or_read(2, "write", 2, 2),
        write_or_read(3, "cas", [1, 5], True),
        write_or_read(4, "read", None, 1),
    ]
    finding = check(rows, "cas-register")
    assert finding.verdict == "invalid"
    assert finding.blame is not None
    assert finding.blame.f == "read"
    assert [o.f for o in finding.witness] == ["write", "write", "read"]
    assert "could only be: 2" in finding.explanation


def test_a_condition_is_blamed_where_reads_show_what_it_wrote():
    rows = [write_or_read(1, "write", 1, 1), write_or_read(2, "write", 2, 2), write_or_read(3, "cas", [1, 5], True)]
    finding = check([*rows, write_or_read(4, "read", None, 5)], "cas-register")
    assert finding.blame is not None
    assert finding.blame.f == "cas"


def test_states_are_those_of_the_whole_history_not_of_its_witness():
    """The witness needs two operations; the register held something else in truth, and that is what is said."""
    rows = [write_or_read(place, "write", place, place) for place in range(1, 9)]
    finding = check([*rows, write_or_read(9, "read", None, 3)], "register")
    assert finding.states == ("8",)
    assert "Just before that answer the register could only be: 8." in finding.explanation
