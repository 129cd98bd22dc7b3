"""Raft on the card: linearizable, refused where there is no majority, and the same again from the same seed."""

import msgspec
import pytest
from rich.console import Console

from quorate.kernel import milliseconds, seconds
from quorate.lab.compare import (
    CompareOptions,
    Load,
    RunPlan,
    RunResult,
    Timeline,
    compare_designs,
    parse_design,
    print_comparison,
    render_page,
    run_here,
    run_plan,
)

SHORT = Timeline(calm=seconds(0.3), harm=seconds(1.6), healed=seconds(0.5))
LOAD = Load(rate=80.0, key_count=4, timeout=milliseconds(400))


def run(design: str, scenario: str, **fields: object) -> RunResult:
    plan = {"node_count": 3, "timeline": SHORT, "load": LOAD, **fields}
    return run_plan(RunPlan(design=parse_design(design), scenario=scenario, **plan))  # type: ignore[arg-type]


def test_without_faults_everything_is_served_and_seen() -> None:
    found = run("raft", "none")
    assert found.reads.share == found.writes.share == 1.0
    assert found.judgement.strongest == "linearizable"
    assert found.staleness.stale_count == 0
    assert all(moment.is_consistent for moment in found.moments)
    assert len(found.moments) > 30
    assert found.lost == []
    assert found.acknowledged_count > 10


def test_the_minority_is_refused_and_nothing_is_lost() -> None:
    """The side of two goes on after an election; the old leader's side serves nobody."""
    found = run("raft", "majority")
    minority, majority = found.sides
    assert (minority.name, majority.name) == ("minority", "majority")
    assert minority.reads.late_share == minority.writes.late_share == 0.0
    assert majority.reads.late_share == majority.writes.late_share == 1.0
    assert milliseconds(200) < majority.writes.gap_ns < milliseconds(1_000)
    assert found.judgement.strongest == "linearizable"
    assert found.lost == []
    assert found.undone_count == 0
    assert found.observed.converged_ns is not None


def test_the_same_plan_gives_the_same_result_and_another_seed_another() -> None:
    one, other = run("raft", "kill", seed=7), run("raft", "kill", seed=7)
    assert one == other
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert run("raft", "kill", seed=8).observed != one.observed


@pytest.mark.slow
def test_a_card_says_what_was_derived_and_from_what() -> None:
    options = CompareOptions(designs=("raft",), scenarios=("none", "majority"), span_s=2.5, rate=100, node_count=3)
    found = compare_designs(options, runner=run_here)
    [card] = found.cards
    assert card.letters.text == "PC/EC"
    assert card.strongest == "linearizable"
    assert card.weakest_refuted == ""
    within, count = found.prediction_counts
    assert within == count >= 8, [row for row in card.predictions if not row.is_within]
    console = Console(width=140, record=True)
    print_comparison(console, found)
    text = console.export_text()
    assert "PC/EC" in text
    assert found.command in text
    page = render_page(found)
    assert "</html>" in page
    assert "{{" not in page
