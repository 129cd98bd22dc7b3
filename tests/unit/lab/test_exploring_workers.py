"""Workers find what one process finds, in the same order; and a search that was killed goes on."""

import io
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from quorate.check.explore import Search, Successor, expand_share, explore
from quorate.kernel.errors import UsageError
from quorate.lab.exploring import ExploreOptions, Workers, filled, make_explorable, run_exploration

CRASHING = {"name": "raft", "crash_count": 1}


class Here:
    """A pool without processes, which answers as late as it can."""

    def __init__(self, made, share_count):
        self.made = made
        self.share_count = share_count
        self.asked = 0

    def expand(self, states):
        self.asked += len(states)
        return lambda: expand_share(self.made.system, self.made.properties, states)


@pytest.mark.parametrize(
    ("name", "share_count"),
    [("2pc", 1), ("2pc", 7), ("2pc-symmetric", 3), pytest.param("raft-forgets-votes", 5, marks=pytest.mark.slow)],
)
def test_shared_or_alone_a_search_finds_the_same_in_the_same_order(name, share_count):
    """Counts, depth, shortest examples: nothing depends on who expands, also where a counterexample ends the search."""
    made = make_explorable(filled(ExploreOptions(name=name)))
    pool = Here(made, share_count)
    shared = Search(made.system, made.properties).run(pool=pool)
    assert shared == explore(made.system, made.properties)
    assert pool.asked


def test_bounds_hold_with_a_pool_as_without():
    made = make_explorable(filled(ExploreOptions(name="2pc")))
    for bounds in ({"depth_max": 4}, {"depth_max": 0}):
        shared = Search(made.system, made.properties, **bounds).run(pool=Here(made, 3))
        assert shared == explore(made.system, made.properties, **bounds)
    shared = Search(made.system, made.properties).run(pool=Here(made, 3), state_count_max=50)
    assert shared == explore(made.system, made.properties, state_count_max=50)


def test_what_was_asked_and_not_answered_is_in_the_checkpoint():
    """Begun with a pool, continued alone from its file, and with a pool again: the counts are those of one go."""
    made = make_explorable(filled(ExploreOptions(name="2pc")))
    whole = explore(made.system, made.properties)
    first = Search(made.system, made.properties)
    first.run(pool=Here(made, 4), state_count_max=40)
    second = Search(made.system, made.properties)
    second.restore(first.checkpoint())
    second.run(state_count_max=120)
    assert second.run(pool=Here(made, 4)) == whole
    assert first.run(pool=Here(made, 2)) == whole


def test_an_equal_state_in_a_share_travels_once():
    made = make_explorable(filled(ExploreOptions(name="2pc")))
    start = made.system.pack(made.system.initial()[0])
    (once, twice) = expand_share(made.system, made.properties, [start, start])
    assert all(successor.packed is not None for successor in once)
    assert [Successor(successor.key) for successor in once] == twice


@pytest.mark.slow
@pytest.mark.real
def test_processes_find_what_one_finds():
    options = filled(ExploreOptions(name="raft"))
    made = make_explorable(options)
    with Workers(options, 2) as pool:
        shared = Search(made.system, made.properties).run(pool=pool)
    assert shared == explore(made.system, made.properties)
    assert shared.state_count == 207


KILLED = """
import os, signal
from rich.console import Console
from quorate.lab.exploring import ExploreOptions, run_exploration
from quorate.lab.exploring.driving import Driving

class Killed(Driving):
    def _save(self):
        super()._save()
        print(self.last.state_count, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

import quorate.lab.exploring.run as run
import quorate.lab.exploring.driving as driving
run.Driving = Killed
driving._SLICE_STATES = 700
if __name__ == "__main__":
    options = ExploreOptions(name="raft", crash_count=1, worker_count=2, checkpoint_seconds=0.0, checkpoint=__import__("pathlib").Path("file"))
    run_exploration(options, Console())
"""


@pytest.mark.slow
@pytest.mark.real
def test_a_search_that_was_killed_goes_on_from_its_file_with_the_same_counts(tmp_path):
    """kill -9 in the middle, workers and all; then one process ends it."""
    script = tmp_path / "search.py"
    script.write_text(KILLED, "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # The pipe closes when nobody holds it any more: so this also says that no worker outlives its search.
    killed = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, timeout=120, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert 0 < int(killed.stdout.splitlines()[-1]) < 2028
    output = io.StringIO()
    status = run_exploration(ExploreOptions(**CRASHING, checkpoint=tmp_path / "file"), Console(file=output, width=200))
    alone = io.StringIO()
    run_exploration(ExploreOptions(**CRASHING), Console(file=alone, width=200))
    assert status == 0
    assert output.getvalue() == alone.getvalue()


def test_workers_share_only_what_can_be_shared():
    console = Console(file=io.StringIO())
    for options in ({"order": "depth"}, {"walk_count": 5}):
        with pytest.raises(UsageError, match="--workers"):
            run_exploration(ExploreOptions(name="2pc", worker_count=2, **options), console)


@pytest.mark.slow
@pytest.mark.real
def test_a_worker_that_is_killed_is_told_and_the_file_goes_on(tmp_path, monkeypatch):
    """Out of memory, say: a sentence in place of a traceback, and nothing that was found is lost."""
    file, console = tmp_path / "file", Console(file=io.StringIO(), width=200)
    monkeypatch.setattr("quorate.lab.exploring.driving._SLICE_STATES", 300)

    class Dying(Workers):
        def expand(self, states):
            if file.exists():
                for process in list(self._pool._processes.values()):
                    process.kill()
            return super().expand(states)

    monkeypatch.setattr("quorate.lab.exploring.driving.Workers", Dying)
    options = {**CRASHING, "checkpoint": file, "checkpoint_seconds": 0.0}
    with pytest.raises(UsageError, match=r"a worker has ended .* goes on from here"):
        run_exploration(ExploreOptions(**options, worker_count=2), console)
    output = io.StringIO()
    assert run_exploration(ExploreOptions(**options), Console(file=output, width=200)) == 0
    assert "2028 states (all of them)" in output.getvalue()
