"""The card on real processes: the same load and the same questions as in simulation."""

import pytest

from quorate.kernel import milliseconds, seconds
from quorate.lab.compare import Load, RunPlan, Timeline, make_card, parse_design, run_real

pytestmark = [pytest.mark.real, pytest.mark.slow]


SHORT = Timeline(calm=seconds(0.4), harm=seconds(2.4), healed=seconds(0.4))
LOAD = Load(rate=60.0, key_count=4, timeout=milliseconds(600))


def test_the_cut_off_leader_serves_nobody_and_the_others_go_on() -> None:
    """Three processes, the leader cut off: refused on its side, served on the other, nothing lost."""
    plan = RunPlan(design=parse_design("raft"), scenario="majority", node_count=3, timeline=SHORT, load=LOAD)
    found = run_real(plan)
    minority, majority = found.sides
    assert minority.writes.late_share == 0.0
    assert majority.writes.late_share > 0.9
    assert found.judgement.strongest == "linearizable"
    assert found.lost == []
    assert found.acknowledged_count > 3
    assert make_card(plan.design, [found]).letters.under_partition == "PC"


def test_one_replica_serves_both_sides_and_is_stale() -> None:
    """Three processes with a leaderless keyspace, r = w = 1: both sides go on, apart, and meet again without loss."""
    design = parse_design("leaderless:r=1,w=1")
    found = run_real(RunPlan(design=design, scenario="minority", node_count=3, timeline=SHORT, load=LOAD))
    for side in found.sides:
        # A busy machine may be late with one of them.
        assert side.reads.late_share > 0.8
        assert side.writes.late_share > 0.8
    assert found.staleness.stale_count > 0
    assert found.judgement.verdicts["linearizable"] == "invalid"
    assert found.lost == []
    assert make_card(design, [found]).letters.under_partition in {"PA", "P-"}
