"""`quorate bench check` measures judges on histories that are correct, so every answer must be `valid`."""

import random

import pytest
from typer.testing import CliRunner

from quorate.check import brute_force, model_named, txn
from quorate.cli.app import app
from quorate.kernel.errors import UsageError
from quorate.lab.bench_check import CASES, register_history, run, transaction_history


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
