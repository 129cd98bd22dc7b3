"""The command line explains itself, and an error is one sentence."""

import inspect
import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from typer.testing import CliRunner

from quorate.cli import app, main

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]

    def walk(group: Any, path: tuple[str, ...]) -> None:
        for name, command in sorted(getattr(group, "commands", {}).items()):
            found.append((*path, name))
            walk(command, (*path, name))

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself_and_its_options(path: tuple[str, ...]) -> None:
    shown = RUNNER.invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Usage: " in shown.output
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    assert command.help, path
    assert (
        inspect.cleandoc(command.help).splitlines()[0].split("(")[0].rstrip().endswith((".", "…", "s", "e", "d", "t"))
    )
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            assert parameter.help, f"{path}: {parameter.name} has no help"


def test_the_commands_of_a_user_are_there() -> None:
    names = {" ".join(path) for path in commands()}
    assert names >= {
        "up",
        "serve",
        "status",
        "members",
        "members add",
        "members remove",
        "transfer-leader",
        "snapshot save",
        "snapshot restore",
        "snapshot join",
        "doctor",
        "repair",
        "certs",
        "trial",
        "check",
    }


@pytest.mark.parametrize(
    ("args", "sentence", "status"),
    [
        (["status", "--at", "nowhere"], "config: url: 'nowhere' is not host:port", 1),
        (["doctor", "/nowhere/at/all"], "usage: /nowhere/at/all is not a node's data directory", 1),
        (["snapshot", "restore", "/nowhere"], "Missing option '--config'", 2),
        (["serve"], "Missing option '--config'", 2),
        (["up", "--nodes", "10"], "Invalid value for '--nodes'", 2),
        (["doctor", "/nowhere[at]all"], "usage: /nowhere[at]all is not a node's data directory", 1),
        (["bench", "parts", "gears"], "usage: no part is named 'gears'; there are", 1),
        (["certs", "../a"], "usage: '../a' cannot be the name of a certificate", 1),
        (["bench", "--clients", "x"], "usage: --clients: whole numbers above 0, with commas, not 'x'", 1),
        (["bench", "--kinds", "x"], "usage: no kind of load is named 'x' (known: write, read)", 1),
        (["compare", "raft", "--jitter", "inf"], "usage: latency, jitter: from 0 to 10,000 milliseconds", 1),
        (["compare", "raft", "--real", "--on", "local:2"], "usage: --real runs on processes of this machine", 1),
        (["compare", "membership", "--profile", "x"], "usage: profile: one of local, lan, wan, not 'x'", 1),
        (["placement", "compare", "--nodes", "3", "--replicas", "5"], "usage: 5 copies of each key need as many", 1),
        (["placement", "compare", "--svg", "/nowhere/x"], "usage: cannot write to /nowhere/x", 1),
        (["explore", "2pc", "--html", "/nowhere/x"], "usage: cannot write to /nowhere/x", 1),
        (["sim", "--seed", "1", "--save", "/nowhere/x"], "usage: cannot write to /nowhere/x", 1),
        (["trial", "--fault-duration", "-1"], "Invalid value for '--fault-duration'", 2),
        (["trial", "--rate", "nan"], "usage: a trial needs at least one worker, one key and a rate above 0", 1),
        (["nonsense"], "No such command 'nonsense'", 2),
        (["transfer-leader", "x"], "Invalid value for 'node'", 2),
    ],
)
def test_an_error_is_a_sentence_and_a_status(
    args: list[str], sentence: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["quorate", *args])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main()
    shown = " ".join(capsys.readouterr().err.split())
    assert sentence in shown
    assert end.value.code == status
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (["up"], "TOML file of [keyspaces.NAME] tables"),
        (["check"], "lines of [index, position] or [index, start, commit]"),
    ],
)
def test_brackets_in_a_help_text_are_no_markup(path: list[str], words: str) -> None:
    assert words in " ".join(RUNNER.invoke(app, [*path, "--help"]).output.split())


def test_a_file_that_is_no_schedule_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "faults.json").write_text('{"items":')
    monkeypatch.setattr("sys.argv", ["quorate", "sim", "--seed", "1", "--schedule", str(file)])
    with pytest.raises(SystemExit):
        main()
    assert "is no schedule of faults" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_no_help_is_cut_off_on_a_narrow_screen(path: tuple[str, ...]) -> None:
    """A long word without a space ends in the table's own dots, and what it said is gone."""
    shown = RUNNER.invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).output.splitlines()
    assert all(len(line) <= 80 for line in shown)
    assert not [line for line in shown if re.search(r"[a-z]…", line)]
