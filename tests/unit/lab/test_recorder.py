"""An outcome is a fail only when it certainly did not happen."""

import pytest
import redis.exceptions as known

from quorate.check import check
from quorate.kernel import errors
from quorate.lab.recorder import Recorder
from quorate.lab.systems.redis_client import definite_or_not


def ticking() -> "Recorder":
    ticks = iter(range(10**6))
    return Recorder(clock=lambda: next(ticks))


def refused(text: str, code: str | None = None) -> Exception:
    return known.ResponseError(text, status_code=code) if code else known.ResponseError(text)


@pytest.mark.parametrize(
    ("error", "was_sent", "expected"),
    [
        (known.ConnectionError("refused"), False, errors.Unreachable),
        (known.TimeoutError("connecting"), False, errors.Unreachable),
        (ConnectionRefusedError(), False, errors.Unreachable),
        (known.ConnectionError("closed by server"), True, errors.ConnectionLost),
        (ConnectionResetError(), True, errors.ConnectionLost),
        (known.TimeoutError("reading"), True, errors.TimedOut),
        (TimeoutError(), True, errors.TimedOut),
        (refused("NOTLEADER node 2 leads"), True, errors.NotLeader),
        (refused("OVERLOADED 1000 requests wait"), True, errors.Overloaded),
        (refused("DISKFULL nothing was accepted"), True, errors.DiskFull),
        (refused("UNREACHABLE no leader"), True, errors.Unreachable),
        (refused("TIMEDOUT no answer in 5 s"), True, errors.TimedOut),
        (refused("CONNLOST to the leader"), True, errors.ConnectionLost),
        (refused("STOPPED"), True, errors.Stopped),
        (refused("SYNC a sync failed"), True, errors.Stopped),
        (refused("unknown command", "ERR"), True, errors.Refused),
        (known.ReadOnlyError("You can't write", status_code="READONLY"), True, errors.Refused),
        (known.BusyLoadingError("loading", status_code="LOADING"), True, errors.Refused),
        (known.InvalidResponse("garbage"), True, errors.ConnectionLost),
    ],
)
def test_an_error_of_the_client_is_sorted_by_what_it_proves(
    error: Exception, was_sent: bool, expected: type[errors.OperationError]
) -> None:
    assert type(definite_or_not(error, was_sent=was_sent)) is expected


@pytest.mark.parametrize("error", [errors.Conflict("x"), errors.Unreachable("x"), errors.Refused("x")])
def test_a_definite_error_is_a_fail_and_the_process_lives_on(error: Exception) -> None:
    recorder = ticking()
    call = recorder.invoke(process=1, worker=1, f="write", key="k", value=1)
    assert recorder.failed(call, error) is False
    assert call.outcome == "fail"


@pytest.mark.parametrize(
    "error", [errors.TimedOut("x"), errors.ConnectionLost("x"), errors.Stopped("x"), OSError("?"), ValueError("?")]
)
def test_every_doubt_is_an_info_and_retires_the_process(error: Exception) -> None:
    recorder = ticking()
    call = recorder.invoke(process=1, worker=1, f="write", key="k", value=1)
    assert recorder.failed(call, error) is True
    assert call.outcome == "info"


def test_a_recorded_history_is_judged_as_it_was_seen() -> None:
    recorder = ticking()
    for process, f, value, result in [(1, "write", 5, None), (2, "cas", (5, 6), True), (3, "read", None, 6)]:
        recorder.ok(recorder.invoke(process=process, worker=process, f=f, key="k", value=value), result)
    recorder.fault("crash-leader", "node 1")
    assert check(recorder.history(), "kv").verdict == "valid"
    recorder.ok(recorder.invoke(process=1, worker=1, f="read", key="k", value=None), 5)
    assert check(recorder.history(), "kv").verdict == "invalid"


def test_a_lost_answer_may_have_taken_effect_or_not() -> None:
    for seen in (None, 5):
        recorder = ticking()
        recorder.failed(recorder.invoke(process=1, worker=1, f="write", key="k", value=5), errors.TimedOut("x"))
        recorder.ok(recorder.invoke(process=2, worker=2, f="read", key="k", value=None), seen)
        assert check(recorder.history(), "kv").verdict == "valid"


def test_an_increment_that_failed_for_certain_must_not_be_seen() -> None:
    recorder = ticking()
    recorder.failed(recorder.invoke(process=1, worker=1, f="increment", key="c", value=1), errors.NotLeader("x"))
    recorder.ok(recorder.invoke(process=2, worker=2, f="increment", key="c", value=1), 2)
    assert check(recorder.history(), "kv").verdict == "invalid"
