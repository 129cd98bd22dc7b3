"""`quorate keyspaces check` says what is declared, and why it cannot be had."""

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from quorate.api import run_local_cluster, write_local_configs
from quorate.cli import app
from quorate.kernel.errors import ConfigError

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})
HEAD = 'node = 1\ndata = "d"\n[peers]\n1 = "a:1"\n2 = "a:2"\n3 = "a:3"\n'


def test_each_keyspace_is_shown_with_its_design(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        HEAD + "[keyspaces.carts]\nprefix = 'cart:'\nconflicts = 'siblings'\n"
        "replication = { by = 'leaderless', read = 1, write = 2, sloppy = true }\n[keyspaces.ledger]\ndatabase = 2\n"
    )
    shown = RUNNER.invoke(app, ["keyspaces", "check", str(file)])
    assert shown.exit_code == 0
    assert "database 0, keys cart:…" in shown.output
    assert "leaderless N=3 R=1 W=2 sloppy" in shown.output
    assert "linearizable, serializable" in shown.output


def test_every_reason_is_given_at_once(tmp_path: Path) -> None:
    """Whoever mends a declaration wants to see all of what is wrong with it, not one thing after another."""
    file = tmp_path / "node.toml"
    file.write_text(
        HEAD + "[keyspaces.a]\nreplication = { by = 'leaderless', read = 1, write = 1 }\n"
        "consistency = 'linearizable'\nisolation = 'serializable'\n"
    )
    shown = RUNNER.invoke(app, ["keyspaces", "check", str(file)])
    assert shown.exit_code == 1
    assert "refused keyspaces.a.isolation: serializable needs one order" in shown.output
    assert "refused keyspaces.a.consistency: linearizable with R + W <= N" in shown.output


def test_nothing_declared_is_said(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(HEAD)
    shown = RUNNER.invoke(app, ["keyspaces", "check", str(file)])
    assert (shown.exit_code, "databases 0 to 15 are on Raft" in shown.output) == (0, True)


def test_a_history_stands_beside_the_refusal(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        HEAD + "[keyspaces.a]\nconsistency = 'linearizable'\nreplication = { by = 'leaderless', read = 1, write = 1 }\n"
        "[keyspaces.b]\nreplication = { by = 'leaderless', hint_window_s = 999999999 }\n"
    )
    shown = RUNNER.invoke(app, ["keyspaces", "check", "--show", str(file)])
    assert shown.exit_code == 1
    assert "stale read, as simulated (seed " in shown.output
    assert "No order of these 2 operations explains" in shown.output
    assert "resurrection: clocks would have to run" in shown.output


def test_keyspaces_for_a_local_cluster_that_exists_are_refused_not_ignored(tmp_path: Path) -> None:
    first = write_local_configs(3, tmp_path, 7_000, tables="\n[keyspaces.a]\ndatabase = 2\n")
    assert all("[keyspaces.a]" in path.read_text() for path in first)
    assert write_local_configs(3, tmp_path, 7_000, tables="\n[keyspaces.a]\ndatabase = 2\n") == first
    assert write_local_configs(3, tmp_path, 7_000) == first
    with pytest.raises(ConfigError, match="holds a cluster already"):
        write_local_configs(3, tmp_path, 7_000, tables="[keyspaces.b]\ndatabase = 3\n")


def test_a_refused_declaration_is_not_in_the_way_of_the_next_attempt(tmp_path: Path) -> None:
    """`quorate up` with a mistake in the file, mended, and again."""
    (file := tmp_path / "keyspaces.toml").write_text("[keyspaces.a]\ndatabase = 99\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="must be from 0 to 15"):
            run_local_cluster(3, tmp_path / "data", 7_000, Console(), keyspaces=file)
    assert list((tmp_path / "data").iterdir()) == []
