"""Figures from histories made by hand: what counts, and what does not."""

import msgspec
import pytest

from quorate.check import Operation
from quorate.kernel import MILLISECOND, seconds
from quorate.lab.compare import RULES, RunPlan, RunResult, Timeline, derive, parse_design, run_plan
from quorate.lab.compare.measures import judge, moments, service, staleness, strip, undone_count
from quorate.lab.recorder import Call


def operation(f: str, start: int, end: int, value: int | None, *, process: int = 1, key: str = "r0") -> Operation:
    result = value if f == "read" else None
    asked = None if f == "read" else value
    return Operation(
        process=process,
        f=f,
        key=key,
        value=asked,
        result=result if f == "read" else asked,
        invoke_ns=start * MILLISECOND,
        complete_ns=end * MILLISECOND,
        call=start,
        done=end,
    )


WRITES = [operation("write", 0, 10, 1), operation("write", 20, 30, 2), operation("write", 40, 50, 3)]


def test_a_read_is_as_old_as_what_it_certainly_missed() -> None:
    reads = [operation("read", 60, 61, 3, process=2), operation("read", 62, 63, 1, process=2)]
    found = staleness([*WRITES, *reads], (0, 100 * MILLISECOND))
    assert (found.read_count, found.stale_count, found.versions_max) == (2, 1, 2)
    assert found.age_max_ns == 32 * MILLISECOND  # since the answer to the first that it missed
    assert found.share == 0.5
    assert staleness([*WRITES, *reads], (0, 50 * MILLISECOND)).read_count == 0


def test_a_read_beside_a_write_may_see_either() -> None:
    beside = operation("read", 45, 55, 2, process=2)
    assert staleness([*WRITES, beside], (0, 100 * MILLISECOND)).stale_count == 0


def test_moments_count_from_the_last_acknowledgement() -> None:
    reads = [operation("read", 35, 36, 1, process=2), operation("read", 52, 53, 3, process=3)]
    found = moments([*WRITES, *reads])
    assert [(moment.after_ms, moment.is_consistent) for moment in found] == [(5.0, False), (2.0, True)]


def test_what_came_undone_is_newer_than_what_remained() -> None:
    assert undone_count(WRITES, {"r0": 3}) == 0
    assert undone_count(WRITES, {"r0": 1}) == 2
    assert undone_count(WRITES, {"r0": None}) == 3
    # Concurrent with what remained: either order is right.
    assert undone_count([operation("write", 0, 30, 1), operation("write", 10, 20, 2)], {"r0": 1}) == 0


def call(start_ms: int, end_ms: int, outcome: str) -> Call:
    return Call(
        index=start_ms,
        process=1,
        worker=1,
        f="write",
        key="r0",
        value=start_ms,
        invoke_ns=start_ms * MILLISECOND,
        complete_ns=end_ms * MILLISECOND,
        outcome=outcome,
    )


def test_service_counts_what_is_asked_early_enough_to_be_answered_under_the_fault() -> None:
    """Harm from 1 s to 5 s, clients wait one second: what is asked after 4 s may be served by the healing."""
    plan = RunPlan(design=parse_design("raft"), timeline=Timeline(seconds(1), seconds(4), seconds(1)))
    calls = [
        *[call(500, 510, "ok"), call(1_100, 1_110, "ok"), call(2_000, 3_000, "info")],
        *[call(3_500, 3_600, "fail"), call(4_500, 5_100, "ok"), call(5_500, 5_600, "ok")],
    ]
    found = service(calls, plan, 0)
    assert (found.asked, found.served) == (3, 1)
    assert (found.late_asked, found.late_served) == (1, 0)
    assert found.p50_ns == 10 * MILLISECOND
    assert found.gap_ns == (5_100 - 1_110) * MILLISECOND
    assert strip(calls[:1], 0, seconds(1)) == [None, None, 1.0, None]


def test_the_strongest_and_the_weakest_model_are_named_with_a_witness() -> None:
    """The second read of one process goes back: no order of the writes explains both."""
    back = [operation("read", 60, 61, 3, process=2), operation("read", 62, 63, 1, process=2)]
    found = judge([*WRITES, *back])
    assert found.weakest == "pram"
    assert found.verdicts["linearizable"] == "invalid"
    assert any("answered 1" in line for line in found.witness)
    assert found.witness_count == len(found.witness)
    assert judge(WRITES).strongest == "linearizable"
    assert judge(WRITES).witness == ()


@pytest.fixture(scope="module")
def made() -> RunResult:
    return run_plan(
        RunPlan(
            design=parse_design("raft"),
            scenario="minority",
            node_count=3,
            timeline=Timeline(seconds(0.2), seconds(2.2), seconds(0.2)),
        )
    )


def changed(run: RunResult, *, is_available: bool, is_linear: bool, scenario: str = "minority") -> RunResult:
    """Return a run with other outcomes, as if it had been so."""
    verdict = "valid" if is_linear else "invalid"
    full = {"asked": 100, "served": 100, "late_asked": 50, "late_served": 50 if is_available else 20}
    sides = [
        msgspec.structs.replace(
            side,
            reads=msgspec.structs.replace(side.reads, **full),
            writes=msgspec.structs.replace(side.writes, **full),
        )
        for side in run.sides
    ]
    judgement = msgspec.structs.replace(run.judgement, verdicts={**run.judgement.verdicts, "linearizable": verdict})
    plan = msgspec.structs.replace(run.plan, scenario=scenario)
    return msgspec.structs.replace(run, plan=plan, sides=sides, judgement=judgement)


@pytest.mark.parametrize(
    ("is_available", "is_linear", "letters"),
    [(True, False, "PA"), (False, True, "PC"), (False, False, "P-"), (True, True, "P(A)")],
)
def test_letters_follow_their_rules(made: RunResult, is_available: bool, is_linear: bool, letters: str) -> None:
    found = derive([changed(made, is_available=is_available, is_linear=is_linear)])
    assert found.text == letters
    assert found.reasons
    assert letters == "P(A)" or any(rule.startswith(letters) for rule in RULES)


def test_the_other_letter_needs_a_run_without_partition(made: RunResult) -> None:
    assert derive([changed(made, is_available=True, is_linear=False, scenario="none")]).text == "EL"
    assert derive([changed(made, is_available=True, is_linear=True, scenario="slow-link")]).text == "EC"
    assert derive([]).text == "?"
