"""Campaigns of the available side: what a leaderless keyspace promises holds under the whole fault atlas."""

import pytest

from quorate.lab.simulation import SimOptions, run_one
from quorate.lab.simulation.available import run_available


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 41, 10))
def test_nothing_acknowledged_is_lost_and_replicas_converge(first: int) -> None:
    """Forty designs drawn, each under its own weather; a failure names the command that replays it."""
    for seed in range(first, first + 10):
        outcome = run_one(SimOptions(seed=seed, level="available"))

        assert not outcome.is_failed, f"{outcome.options.command}: {outcome.kind}: {outcome.sentence}"
        assert outcome.operations["ok"] > 0


@pytest.mark.slow
def test_an_outsider_that_comes_back_after_the_grace_brings_nothing_back() -> None:
    """Its hints are older than the window by then."""
    fixed: dict[str, object] = {
        "has_outsider": True,
        "has_movement": False,
        "node_count": 5,
        "grace": 3_000_000_000,
        "hint_window": 1_500_000_000,
        "delete_share": 0.3,
    }
    marks: dict[str, int] = {}
    for seed in range(1, 9):
        outcome = run_available(SimOptions(seed=seed, level="available"), fixed)
        assert not outcome.is_failed, f"seed {seed}: {outcome.kind}: {outcome.sentence}"
        marks |= outcome.marks

    assert marks.get("leaderless: a tombstone is purged")
    assert marks.get("leaderless: a hint that arrives beyond the window is not taken")


def test_a_run_is_a_function_of_its_seed() -> None:
    """To the last callback."""
    options = SimOptions(seed=7, level="available")

    assert run_one(options).same_as(run_one(options))


def test_what_was_applied_replays_a_run() -> None:
    """As a list of faults, without drawing any."""
    first = run_one(SimOptions(seed=5, level="available"))
    again = run_one(SimOptions(seed=5, level="available", faults=first.applied))

    assert again.applied == first.applied
    assert again.operations == first.operations
