"""The kernel: the durability barrier, codecs, seeds, marks, errors."""

import subprocess
import sys

import pytest

from quorate.kernel import (
    Codec,
    Deliver,
    Effect,
    Instant,
    Malformed,
    Message,
    NodeId,
    Outbox,
    Output,
    Persist,
    Record,
    Seeds,
    Send,
    SetTimer,
    errors,
    later,
    marks,
    milliseconds,
    seconds,
)


class Note(Message, frozen=True):
    number: int


class News(Output, frozen=True):
    number: int


class Line(Record, frozen=True):
    number: int


def send(number: int, *, eager: bool = False) -> Effect:
    return Send(NodeId(2), Note(number), eager=eager)


def deliver(number: int, *, eager: bool = False) -> Effect:
    return Deliver(News(number), eager=eager)


def test_nothing_waits_when_nothing_is_written() -> None:
    outbox = Outbox()
    assert outbox.push([send(1), deliver(2)]) == [send(1), deliver(2)]
    assert outbox.held_count == 0


def test_what_is_behind_a_write_waits_for_it_and_what_is_before_does_not() -> None:
    outbox = Outbox()
    write = Persist((Line(1),))
    assert outbox.push([send(1), write, send(2), deliver(3)]) == [send(1), write]
    assert outbox.persisted(1) == [send(2), deliver(3)]
    assert outbox.held_count == 0


def test_the_barrier_holds_across_steps() -> None:
    """A repeated vote request must not be answered before the vote is on disk."""
    outbox = Outbox()
    outbox.push([Persist((Line(1),)), send(1)])
    assert outbox.push([send(2)]) == []
    assert outbox.persisted(1) == [send(1), send(2)]


def test_eager_effects_and_timers_do_not_wait() -> None:
    outbox = Outbox()
    write, timer = Persist((Line(1),)), SetTimer("t", milliseconds(1))
    assert outbox.push([write, send(1, eager=True), timer, deliver(2, eager=True), send(3)]) == [
        write,
        send(1, eager=True),
        timer,
        deliver(2, eager=True),
    ]


def test_each_effect_waits_for_the_writes_before_it_only() -> None:
    outbox = Outbox()
    outbox.push([Persist((Line(1),)), send(1), Persist((Line(2),)), send(2)])
    assert outbox.persisted(1) == [send(1)]
    assert outbox.persisted(1) == []
    assert outbox.persisted(2) == [send(2)]


def test_a_write_never_becomes_unstable_and_none_is_stable_unasked() -> None:
    outbox = Outbox()
    outbox.push([Persist((Line(1),))])
    outbox.persisted(1)
    with pytest.raises(AssertionError, match="unstable"):
        outbox.persisted(0)
    with pytest.raises(AssertionError, match="asked"):
        outbox.persisted(2)


def test_a_codec_brings_back_what_it_was_given() -> None:
    codec: Codec[Note | News] = Codec(Note)
    assert codec.decode(codec.encode(Note(5))) == Note(5)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x91", b"\x92\xa4Note\xa1x", b"\x92\xa4Nope\x01", b"\x91" * 5_000])
def test_a_codec_calls_everything_else_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Codec(Note).decode(data)


def test_streams_of_one_seed_are_repeatable_and_apart() -> None:
    seeds = Seeds(7)
    first = [seeds.stream("network", 1).random() for _ in range(2)]
    assert first[0] == first[1]
    others = {
        seeds.stream("network", 2).random(),
        seeds.stream("disk", 1).random(),
        Seeds(8).stream("network", 1).random(),
    }
    assert len({first[0], *others}) == 4


@pytest.mark.slow
def test_streams_do_not_depend_on_the_hash_seed() -> None:
    program = "from quorate.kernel import Seeds; print(Seeds(3).stream('a', 1, None).getrandbits(64))"
    answers = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    ]
    assert answers[0] == answers[1] != ""


def test_a_mark_is_expected_where_it_is_hit() -> None:
    with marks.expect("test: a place"):
        marks.hit("test: a place")
    with pytest.raises(AssertionError, match="not reached"), marks.expect("test: another place"):
        marks.hit("test: a place")


def test_an_error_comes_back_from_its_code() -> None:
    for kind in (errors.Overloaded, errors.TimedOut, errors.NotLeader, errors.Stopped, errors.ConfigError):
        found = errors.from_code(kind.code, "why")
        assert type(found) is kind
        assert str(found) == "why"


def test_an_unknown_code_is_a_definite_refusal() -> None:
    assert type(errors.from_code("WHATEVER", "why")) is errors.Refused
    assert isinstance(errors.from_code("ERR", "why"), errors.DefiniteError)


def test_every_operation_error_says_whether_it_happened() -> None:
    for kind in errors.OperationError.__subclasses__():
        assert kind in {errors.DefiniteError, errors.IndefiniteError}


def test_time_is_in_integer_nanoseconds() -> None:
    assert seconds(0.1) == 100_000_000 == milliseconds(100)
    assert later(Instant(5), milliseconds(1)) == 1_000_005
