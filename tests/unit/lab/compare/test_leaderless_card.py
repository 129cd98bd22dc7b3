"""Leaderless designs on the card: what quorums buy, what they cost, and what fire-and-forget loses."""

import msgspec
import pytest

from quorate.kernel import milliseconds, seconds
from quorate.lab.compare import (
    FITS,
    CompareOptions,
    Comparison,
    Load,
    RunPlan,
    RunResult,
    Timeline,
    compare_designs,
    measure_fit,
    parse_design,
    predict_fit,
    render_page,
    run_here,
    run_plan,
)

SHORT = Timeline(calm=seconds(0.3), harm=seconds(1.6), healed=seconds(0.5))
LOAD = Load(rate=80.0, key_count=4, timeout=milliseconds(400))


def run(design: str, scenario: str, **fields: object) -> RunResult:
    plan = {"node_count": 3, "timeline": SHORT, "load": LOAD, **fields}
    return run_plan(RunPlan(design=parse_design(design), scenario=scenario, **plan))  # type: ignore[arg-type]


@pytest.mark.slow
def test_one_replica_is_enough_on_both_sides_and_reads_are_stale() -> None:
    """r = w = 1: available and stale; and nothing that was acknowledged is lost when the sides meet again."""
    found = run("leaderless:r=1,w=1", "minority")
    for side in found.sides:
        assert side.reads.late_share == side.writes.late_share == 1.0
    assert found.staleness.share > 0.1
    assert found.staleness.versions_max >= 2
    assert found.judgement.verdicts["linearizable"] == "invalid"
    assert found.judgement.witness
    assert found.lost == []
    assert found.observed.converged_ns is not None


@pytest.mark.slow
def test_strict_quorums_refuse_the_minority_and_are_never_stale() -> None:
    found = run("leaderless:r=2,w=2", "minority")
    minority, majority = found.sides
    assert minority.reads.late_share == minority.writes.late_share == 0.0
    assert majority.reads.late_share == majority.writes.late_share == 1.0
    assert found.staleness.stale_count == 0
    assert found.judgement.strongest == "linearizable"
    assert found.lost == []


@pytest.mark.slow
def test_stand_ins_serve_where_owners_cannot() -> None:
    """Sloppy quorums on five nodes: once the others are known to be down, the cut-off zone writes to stand-ins."""
    longer = Timeline(calm=seconds(0.3), harm=seconds(4), healed=seconds(0.5))
    strict = run("leaderless:r=1,w=2", "minority", node_count=5, timeline=longer)
    sloppy = run("leaderless:r=1,w=2,sloppy", "minority", node_count=5, timeline=longer)
    assert strict.sides[0].writes.late_share == 0.0
    assert sloppy.sides[0].writes.late_share == 1.0
    assert sloppy.lost == []


@pytest.mark.slow
def test_fire_and_forget_loses_what_it_acknowledged() -> None:
    """Writes through a node that nobody hears are answered at once, and are gone."""
    forgotten = run("leaderless:r=1,w=0", "one-way", node_count=5)
    assert forgotten.writes.share == 1.0
    assert forgotten.writes.p99_ns == 0
    assert len(forgotten.lost) >= 1
    kept = run("leaderless:r=1,w=1", "one-way", node_count=5)
    assert kept.lost == []


@pytest.mark.slow
def test_a_clock_that_is_behind_swallows_writes_of_overlapping_quorums() -> None:
    """Last writer wins by its stamp: a node whose clock is slow acknowledges what an older write then hides."""
    skewed = run("leaderless:r=2,w=2", "skew", node_count=5)
    assert skewed.judgement.verdicts["linearizable"] == "invalid"
    assert skewed.staleness.stale_count >= 1
    assert run("raft", "skew", node_count=5).judgement.strongest == "linearizable"


@pytest.mark.slow
def test_cards_stand_side_by_side_with_their_predictions() -> None:
    """The letters of textbooks come out of the figures, and every prediction is met."""
    options = CompareOptions(
        designs=("raft", "leaderless:r=1,w=1"), scenarios=("none", "minority"), span_s=2.5, rate=100
    )
    found = compare_designs(options, runner=run_here)
    raft, loose = found.cards
    assert (raft.letters.text, loose.letters.text) == ("PC/EC", "PA/EL")
    assert loose.weakest_refuted
    misses = [
        (card.design, row.name, row.predicted, row.measured)
        for card in found.cards
        for row in card.predictions
        if not row.is_within
    ]
    assert not misses
    again = compare_designs(options, runner=run_here)
    assert found == again
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found
    page = render_page(found)
    assert page == render_page(again)
    assert "PA/EL" in page
    judgement = loose.runs[1].judgement
    assert judgement.witness[0].split("  ")[0] in page
    assert "more operations" not in page
    # A long witness is not shown whole, and that is said.
    judgement = msgspec.structs.replace(judgement, witness_count=len(judgement.witness) + 3)
    runs = [loose.runs[0], msgspec.structs.replace(loose.runs[1], judgement=judgement)]
    loose = msgspec.structs.replace(loose, runs=runs)
    assert "and 3 more operations" in render_page(msgspec.structs.replace(found, cards=[loose]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LNKD-DISK", "WAN"])
def test_a_cluster_with_published_delays_is_as_stale_as_published(name: str) -> None:
    """Real machines on simulated links: within chance of what WARS predicts, R = W = 1."""
    trials = measure_fit(FITS[name], r=1, w=1, trial_count=500, after_ms=(0.0,))
    share, count = trials.consistent_at(0.0)
    assert count == 500
    predicted = predict_fit(FITS[name], trial_count=20_000, with_numpy=False).consistent_at(0.0)
    assert share == pytest.approx(predicted, abs=0.07)
    assert sorted(trials.write_ms)[250] == pytest.approx({"LNKD-DISK": 1.5, "WAN": 2.75}[name], rel=0.25)
