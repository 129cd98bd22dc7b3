"""Campaigns: forty seeds of the correct system pass, and what they find is counted, shrunk and printed."""

from io import StringIO

import pytest
from rich.console import Console

from quorate.kernel import milliseconds
from quorate.lab.simulation import (
    CampaignOptions,
    CampaignResult,
    Outcome,
    SimOptions,
    describe,
    run_campaign,
    run_one,
    schedule_lines,
    shrink_run,
)
from quorate.lab.simulation.display import CampaignDisplay, print_result
from quorate.lab.simulation.marks import ENOUGH_SEEDS, MARKS
from quorate.sim import Clog, Crash, FaultSchedule, Heal, Partition, Pause, Planned, Restart, Skew, Stall, Tear


@pytest.mark.slow
@pytest.mark.real
def test_forty_seeds_of_the_correct_system_pass_at_both_levels() -> None:
    """Nothing is planted, so whatever fails here is a bug of ours: the command that replays it is in the message."""
    result = run_campaign(CampaignOptions(first_seed=100, seed_count=20, levels=("loop", "core"), on="local:2"))

    assert [(outcome.options.command, outcome.sentence) for outcome in result.failures] == []
    assert result.run_count == 40
    assert result.operations["ok"] > 2_000
    assert result.fault_counts["partition"] > 5
    assert result.exit_status == 0


def outcome_of(seed: int, **fields: object) -> Outcome:
    """An outcome that nobody ran."""
    values: dict[str, object] = {
        "options": SimOptions(seed=seed),
        "node_count": 3,
        "kind": "",
        "sentence": "",
        "applied": FaultSchedule(),
        "fault_counts": {},
        "operations": {},
        "marks": {},
        "trace_hash": 1,
        "simulated_ns": 1,
    }
    return Outcome(**(values | fields))  # type: ignore[arg-type]


def test_a_campaign_that_never_reached_a_mark_fails_once_it_had_enough_seeds() -> None:
    """A campaign that is blind is no evidence."""
    result = CampaignResult()
    for seed in range(ENOUGH_SEEDS - 1):
        result.add(outcome_of(seed, marks=dict.fromkeys(MARKS["loop"][1:], 1)))
    assert result.exit_status == 0
    assert result.missing_marks() == [f"{MARKS['loop'][0]} (loop level)"]

    result.add(outcome_of(ENOUGH_SEEDS))

    assert result.exit_status == 3


def test_a_failure_counts_more_than_an_interruption_and_both_are_no_success() -> None:
    """Exit status 1 and 130."""
    result = CampaignResult(is_interrupted=True)
    assert result.exit_status == 130

    result.add(outcome_of(1, kind="invariant", sentence="two leaders"))

    assert result.exit_status == 1


def test_the_end_of_a_campaign_names_failures_by_the_command_that_replays_them() -> None:
    """One line to copy, and what broke."""
    result = CampaignResult()
    result.add(outcome_of(7, kind="invariant", sentence="two leaders\nof one term"))
    text = StringIO()

    options = CampaignOptions(seed_count=1)
    console = Console(file=text, width=200)
    with CampaignDisplay(console, options) as display:
        display.on_shard(result, result.to_shard())
    print_result(console, options, result)

    assert "seed 7: invariant: two leaders" in text.getvalue()
    assert "FAILED  quorate sim --seed 7 --level loop" in text.getvalue()


def test_every_kind_of_harm_has_words() -> None:
    """A schedule is read by people."""
    span = milliseconds(250)
    faults = (
        Crash(1),
        Tear(2),
        Restart(1),
        Pause(3, span),
        Partition("isolate", ((1, 2), (2, 1))),
        Clog(2, span, 0.25, span),
        Skew(1, 100_000, span),
        Stall(2, span),
        Heal(),
    )

    assert [describe(fault) for fault in faults] == [
        "kill node 1",
        "cut the power of node 2",
        "restart node 1",
        "pause node 3 for 0.250 s",
        "partition (isolate): 1→2, 2→1",
        "clog node 2: 250 ms, 25% lost, for 0.250 s",
        "skew node 1: +100 ppm, wall clock +0.250 s",
        "stall node 2 for 0.250 s",
        "heal all links",
    ]
    assert schedule_lines(outcome_of(1)) == ["no fault at all"]
    assert schedule_lines(outcome_of(1, applied=FaultSchedule((Planned(1_500_000, Heal()),)))) == [
        "  0.001500 s  heal all links"
    ]


@pytest.mark.slow
def test_a_failing_run_is_shrunk_to_one_that_fails_in_the_same_way() -> None:
    """What is left is less, and it is enough."""
    failing = next(
        outcome
        for outcome in (run_one(SimOptions(seed=seed, level="core", bug="no-up-to-date-check")) for seed in range(30))
        if outcome.is_failed
    )

    smaller = shrink_run(failing, run_count_max=40)

    assert smaller.kind == failing.kind
    assert len(smaller.applied) <= len(failing.applied)
    assert run_one(smaller.options).same_as(smaller)
