"""Systems whose number of reachable states is published."""

import pytest

from quorate.check.explore import TwoPhaseCommit, always, explore, is_consistent, sometimes


@pytest.mark.parametrize(
    ("manager_count", "state_count"),
    [(3, 288), pytest.param(5, 8832, marks=pytest.mark.slow)],
)
def test_two_phase_commit_has_its_published_number_of_states(manager_count, state_count):
    """Stateright's example of the same specification counts 288 for 3 managers and 8,832 for 5."""
    claims = [
        always("consistent", is_consistent),
        sometimes("commit", lambda state: set(state.managers) == {"committed"}),
        sometimes("abort", lambda state: set(state.managers) == {"aborted"}),
    ]
    for order, sleep_sets in (("breadth", False), ("depth", False), ("depth", True)):
        result = explore(TwoPhaseCommit(manager_count), claims, order=order, sleep_sets=sleep_sets)
        assert result.holds
        assert result.state_count == state_count
