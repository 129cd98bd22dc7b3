"""Same seed, same run: to the last callback, in fresh processes, under any hash seed."""

import os
import subprocess
import sys

import pytest

from quorate.lab.simulation import Outcome, SimOptions, run_one

_PROGRAM = """
import sys
from quorate.lab.simulation import SimOptions, run_one
for level in ("loop", "core"):
    outcome = run_one(SimOptions(seed=int(sys.argv[1]), level=level))
    print(level, outcome.trace_hash, outcome.simulated_ns, outcome.kind, sorted(outcome.operations.items()),
          len(outcome.applied))
"""


def _in_fresh_process(hash_seed: str, seed: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.real
def test_two_hash_seeds_and_two_processes_make_one_run() -> None:
    """Sets and hashes decide nothing, at either level."""
    first, second = _in_fresh_process("1", 11), _in_fresh_process("424242", 11)

    assert first == second
    assert first.count("\n") == 2


@pytest.mark.slow
@pytest.mark.parametrize("level", ["loop", "core"])
def test_what_a_run_applied_replays_it_without_drawing_or_aiming(level: str) -> None:
    """The schedule is the run: clients, operations and outcome are the same again."""
    first: Outcome = run_one(SimOptions(seed=6, level=level))  # type: ignore[arg-type]  # both are levels
    again = run_one(
        SimOptions(seed=6, level=level, node_count=first.node_count, faults=first.applied)  # type: ignore[arg-type]
    )

    assert [str(item) for item in again.applied] == [str(item) for item in first.applied]
    assert again.operations == first.operations
