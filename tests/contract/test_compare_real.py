"""The card on real processes: the same load and the same questions as in simulation."""

import pytest

from quorate.kernel import milliseconds, seconds
from quorate.lab.compare import Load, RunPlan, Timeline, make_card, parse_design, run_real

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_the_cut_off_leader_serves_nobody_and_the_others_go_on() -> None:
    """Three processes, the leader cut off: refused on its side, served on the other, nothing lost."""
    plan = RunPlan(
        design=parse_design("raft"),
        scenario="majority",
        node_count=3,
        timeline=Timeline(calm=seconds(0.4), harm=seconds(2.4), healed=seconds(0.4)),
        load=Load(rate=60.0, key_count=4, timeout=milliseconds(600)),
    )
    found = run_real(plan)
    minority, majority = found.sides
    assert minority.writes.late_share == 0.0
    assert majority.writes.late_share > 0.9
    assert found.judgement.strongest == "linearizable"
    assert found.lost == []
    assert found.acknowledged_count > 3
    assert make_card(plan.design, [found]).letters.under_partition == "PC"
