"""Random walks in parts: whoever takes them, the same part refutes."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from quorate.kernel.errors import UsageError
from quorate.lab.exploring import ExploreOptions, run_exploration, walking

OPTIONS = ExploreOptions(name="raft-forgets-votes", walk_count=400, pct_depth=3, step_count_max=40, seed=4)


def explored(options: ExploreOptions, on: str | None, results: Path | None = None) -> tuple[int, list[str]]:
    text = StringIO()
    status = run_exploration(options, Console(file=text, width=200), on=on, results=results)
    # How many walks were taken besides depends on who was faster.
    return status, [line for line in text.getvalue().splitlines() if "walks" not in line]


@pytest.mark.slow
@pytest.mark.real
def test_walks_on_an_engine_find_the_same_counterexample_on_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part that refutes, not the fastest."""
    monkeypatch.setattr(walking, "WALKS_PER_JOB", 50)
    alone = explored(OPTIONS, "local:1", tmp_path / "walks")
    wide = explored(OPTIONS, "local:2")

    assert alone == wide
    assert alone[0] == 1
    assert any("one leader per term" in line for line in alone[1])
    assert explored(OPTIONS, "local:1", tmp_path / "walks") == alone


def test_walks_that_refute_nothing_say_what_that_means() -> None:
    text = StringIO()
    assert run_exploration(ExploreOptions(name="2pc", walk_count=5), Console(file=text, width=200)) == 2
    assert "these walks refute nothing, which proves nothing" in text.getvalue()


def test_a_search_is_not_spread_by_this_option() -> None:
    """It has workers of its own."""
    with pytest.raises(UsageError, match="--workers"):
        explored(ExploreOptions(name="2pc"), "local:2")
