"""Judging while reading: the same verdicts as of the whole history, the same faults, and memory that does not grow."""

import importlib.util
import random
from pathlib import Path

import pytest

from quorate.check import (
    BadHistory,
    Event,
    History,
    Recipe,
    Stream,
    brute_force,
    check_stream,
    generate,
    model_named,
)

_SPEC = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("test_linear_oracle.py"))
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)


def judge(events, model, segment_count):
    stream = Stream(model, segment_count=segment_count)
    for line, event in enumerate(events, start=1):
        finding = stream.feed(event, line=line)
        if finding is not None:
            return finding
    return stream.finish()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(oracle.WORKLOADS))
def test_a_stream_is_judged_as_the_whole_is(name):
    """A calm moment after every second operation; crashed ones are carried over them."""
    model, invalid_count = model_named(name), 0
    for seed in range(200):
        rng = random.Random(seed)
        recipe = Recipe(
            operation_count=rng.randrange(1, 9), process_count=rng.randrange(1, 3),
            crash_chance=rng.choice([0, 0.3]), lie_chance=rng.choice([0, 0.3]),
        )  # fmt: skip
        operations = generate(rng, model, oracle.WORKLOADS[name], recipe)
        finding = judge(History.from_operations(operations).events, model, rng.randrange(1, 4))
        expected = brute_force(model, operations)
        assert finding.verdict == ("valid" if expected else "invalid"), (seed, operations)
        if not expected:
            invalid_count += 1
            assert finding.witness
    assert invalid_count > 3


def test_what_is_behind_a_calm_moment_is_forgotten():
    """Twenty thousand writes of distinct values to two keys; four of them end unknown, and may happen ever after."""
    stream = Stream(model_named("register"))
    for number in range(20_000):
        is_lost = number % 5_000 == 7
        for step, kind in enumerate(("invoke", "info" if is_lost else "ok")):
            event = Event(
                index=2 * number + step, time=number, process=1_000 + number if is_lost else number % 3, type=kind,
                f="write", key=number % 2, value=number,
            )  # fmt: skip
            assert stream.feed(event, line=2 * number + step + 1) is None
    for step, kind, value in ((0, "invoke", None), (1, "ok", 5_007)):
        event = Event(index=40_000 + step, time=20_000, process=5, type=kind, f="read", key=1, value=value)
        assert stream.feed(event, line=40_001 + step) is None
    assert stream.finish().is_valid
    assert stream.held_count_max < 200
    assert stream.operation_count == 20_001


BAD = [
    ('{"index":0,"time":5,"process":1,"type":"ok","f":"read"}', "line 1: ok of process 1 without an invoke"),
    ('{"index":0,"time":5,"process":1,"type":"invoke","f":"read"}\n\n{"index":1,"time":4,"process":2,"type":"invoke","f":"read"}',
     "line 3: time runs back"),
    ('{"index":0,"time":5,"process":1,"type":"invoke","f":"read"}\n{"index":0,"time":5,"process":2,"type":"invoke","f":"read"}',
     "line 2: index 0 follows"),
    ('{"index":0,"time":5,"process":1,"type":"invoke","f":"read"}\n{"index":1,"time":5,"process":1,"type":"invoke","f":"read"}',
     "line 2: process 1 calls while its call of line 1"),
    ('{"index":0,"time":5,"process":1,"type":"invoke","f":"read"}\n{"index":1,"time":5,"process":1,"type":"ok","f":"write"}',
     "line 2: ok of 'write' answers"),
    ('{"index":0,"time":5,"process":1,"type":"invoke","f":"read","key":1}\n{"index":1,"time":5,"process":1,"type":"ok","f":"read","key":2}',
     "line 2: ok of key 2 answers"),
    ('{"index":0,', "line 1: "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD)
def test_the_same_faults_are_found_with_the_same_words(text, words):
    for read in (check_stream, History.from_lines):
        with pytest.raises(BadHistory) as caught:
            read(text.splitlines())
        assert str(caught.value).startswith(words)
