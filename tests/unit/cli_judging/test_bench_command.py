"""`quorate bench check` measures judges on histories that are correct, so every answer must be `valid`."""

import random
import sys

import pytest
from typer.testing import CliRunner

from quorate.check import brute_force, model_named, txn
from quorate.cli.app import app
from quorate.kernel.errors import UsageError
from quorate.lab.bench_check import CASES, register_history, run, transaction_history
from quorate.lab.bench_porcupine import run as run_contests


def test_generated_registers_are_linearizable():
    for seed in range(20):
        assert brute_force(model_named("kv"), register_history(7, random.Random(seed), process_count=3, key_count=1))


@pytest.mark.parametrize("kind", ["list-append", "rw-register"])
def test_generated_transactions_are_strictly_serializable(kind):
    for seed in range(10):
        history = transaction_history(6, random.Random(seed), kind, process_count=3)
        assert txn.check_exactly(history, kind, "strict-serializable").verdict == "valid"


@pytest.mark.slow
def test_every_case_runs_and_says_what_is_true():
    rows = {row.name: row for row in run(scale=0.001)}
    assert len(rows) == len(CASES)
    assert rows["register, a write is lost"].answer == "invalid"
    assert all("invalid" not in row.answer for name, row in rows.items() if name != "register, a write is lost")
    assert rows["list-append"].answer == "0 levels refuted"


def test_a_case_that_does_not_exist_is_told():
    with pytest.raises(UsageError, match="list-append"):
        list(run(only="paxos"))


def test_the_benchmarks_are_one_group_of_commands():
    """Without a sub-command it measures clusters, as ever."""
    text = CliRunner().invoke(app, ["bench", "--help"]).stdout
    assert "check" in text
    assert "parts" in text
    assert "--systems" in text


def test_an_unknown_part_is_refused_before_anything_is_measured():
    result = CliRunner().invoke(app, ["bench", "parts", "clocks", "engines"])
    assert isinstance(result.exception, UsageError)


@pytest.mark.slow
def test_placements_are_compared(tmp_path):
    svg = tmp_path / "placements.svg"
    result = CliRunner().invoke(app, ["placement", "compare", "--nodes", "8", "--keys", "2000", "--svg", str(svg)])
    assert "rendezvous" in result.stdout
    assert svg.read_text("utf-8").startswith("<svg")


JUDGE = """#!{python}
import sys
from pathlib import Path
from quorate.check import History, check
for path in sys.argv[3:]:
    history = History.from_lines(Path(path).read_text().splitlines())
    verdict = check(history, sys.argv[1], explain=False).verdict
    print({verdict}, 0.001)
"""


def _judge(tmp_path, verdict):
    binary = tmp_path / "judge"
    binary.write_text(JUDGE.format(python=sys.executable, verdict=verdict), "utf-8")
    binary.chmod(0o755)
    return binary


@pytest.mark.slow
def test_a_rival_judge_is_held_against_ours_history_by_history(tmp_path):
    """A rival that says what we say agrees everywhere; one that never objects differs where a lie was told."""
    fair = next(iter(run_contests(_judge(tmp_path, "verdict"), scale=0.2, only="register, 10", rounds=1)))
    assert (fair.decided_count, fair.disagreement_count) == (fair.history_count, 0)
    assert fair.invalid_count > 0
    assert len(fair.ratios) == 1
    blind = next(iter(run_contests(_judge(tmp_path, "'valid'"), scale=0.2, only="register, 10", rounds=1)))
    assert blind.disagreement_count == blind.invalid_count > 0


def test_a_rival_that_gives_no_verdicts_is_told(tmp_path):
    with pytest.raises(UsageError, match="gave no verdicts"):
        list(run_contests(_judge(tmp_path, "verdict, 1"), scale=0.01, only="set", rounds=1))
    with pytest.raises(UsageError, match="no contest holds"):
        list(run_contests(_judge(tmp_path, "verdict"), only="paxos"))
    result = CliRunner().invoke(app, ["bench", "check", "--porcupine", str(tmp_path / "none")])
    assert isinstance(result.exception, UsageError)
