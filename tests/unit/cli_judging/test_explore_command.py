"""`quorate explore`: published counts, shortest counterexamples, and a file to go on from."""

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from quorate.cli.app import app
from quorate.kernel.errors import UsageError
from quorate.lab.exploring import ExploreOptions, run_exploration


def explore(**options):
    output = io.StringIO()
    status = run_exploration(ExploreOptions(**options), Console(file=output, width=200))
    return status, output.getvalue()


def test_two_phase_commit_has_the_published_number_of_states():
    """Gray and Lamport's specification with three resource managers."""
    status, text = explore(name="2pc")
    assert status == 0
    assert "288 states (all of them)" in text


def test_symmetry_leaves_fewer_states():
    _, text = explore(name="2pc-symmetric")
    assert "80 states (all of them)" in text


def test_consensus_without_timeouts_has_a_run_that_never_decides(tmp_path):
    """Fischer, Lynch and Paterson, live: the loop is drawn."""
    html = tmp_path / "flp.html"
    status, text = explore(name="flp", html=html)
    assert status == 1
    assert "from here for ever" in text
    assert "does not hold" in html.read_text("utf-8")


def test_a_search_goes_on_from_its_file(tmp_path):
    """Stopped at a bound and continued it ends with the same count as in one go."""
    file = tmp_path / "search"
    status, text = explore(name="2pc", state_count_max=50, checkpoint=file)
    assert status == 2
    assert "not all" in text
    status, text = explore(name="2pc", checkpoint=file)
    assert status == 0
    assert "288 states (all of them), 761 choices" in text


def test_a_file_of_another_search_is_refused(tmp_path):
    file = tmp_path / "search"
    explore(name="2pc", checkpoint=file)
    with pytest.raises(UsageError, match="another system"):
        explore(name="2pc", node_count=4, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    with pytest.raises(UsageError, match="damaged"):
        explore(name="2pc", checkpoint=file)
    file.write_bytes(b"something else")
    with pytest.raises(UsageError, match="no checkpoint"):
        explore(name="2pc", checkpoint=file)


@pytest.mark.slow
def test_raft_keeps_its_promises_in_a_small_scope():
    status, text = explore(name="raft", node_count=2)
    assert status == 0
    assert "207 states (all of them)" in text


@pytest.mark.slow
def test_a_forgotten_vote_is_found():
    status, text = explore(name="raft-forgets-votes", node_count=3, crash_count=1, quiet=(2,), proposal_count=0)
    assert status == 1
    assert "does not hold: one leader per term (8 choices)" in text


def test_random_walks_refute_and_never_prove():
    status, text = explore(name="2pc", walk_count=20)
    assert status == 2
    assert "20 walks" in text


def test_an_unknown_system_is_told_with_those_there_are():
    with pytest.raises(UsageError, match="raft-forgets-votes"):
        explore(name="chess")
    assert "2pc-symmetric" in CliRunner().invoke(app, ["explore"]).stdout


def test_sleep_sets_without_depth_are_refused():
    with pytest.raises(UsageError, match="--order depth"):
        explore(name="2pc", sleep_sets=True)
    assert explore(name="2pc", sleep_sets=True, order="depth")[0] == 0


@pytest.mark.slow
def test_symmetry_of_nodes_leaves_fewer_states_and_the_same_verdicts():
    """Two quiet nodes of Raft are alike; and the counterexample that is found has the same length."""
    status, text = explore(name="raft", node_count=3, quiet=(2, 3), is_symmetric=True)
    assert status == 0
    assert "242 states (all of them)" in text
    status, text = explore(name="raft-forgets-votes", is_symmetric=True, is_simulated=True)
    assert status == 1
    assert "one leader per term (8 choices)" in text
    assert "broken there too" in text


def test_symmetry_is_refused_where_nodes_are_not_alike():
    with pytest.raises(UsageError, match=r"they are: .*raft"):
        explore(name="bully", is_symmetric=True)


def test_guided_walks_say_what_they_met():
    status, text = explore(name="2pc", walk_count=20, is_guided=True)
    assert status == 2
    assert "shapes and marks met" in text


def test_a_bug_of_the_museum_can_be_explored():
    with pytest.raises(UsageError, match="not in the Raft machine"):
        explore(name="raft", bug="no-fsync")
    with pytest.raises(UsageError, match="no bug is named"):
        explore(name="raft", bug="none")
    options = {"name": "raft", "bug": "votes-for-everybody", "node_count": 3, "proposal_count": 0, "quiet": (2,)}
    status, text = explore(**options)
    assert status == 1
    assert "does not hold: one leader per term" in text
