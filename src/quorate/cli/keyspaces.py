"""Commands about keyspaces: what a configuration declares, and why it cannot be had."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from quorate.server import Keyspace

keyspaces = typer.Typer(help="Check what keyspaces declare.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.add_typer(keyspaces, name="keyspaces")


@keyspaces.command("check")
def check_keyspaces(
    file: Annotated[Path, typer.Argument(help="A node's TOML file (see docs/configuration.md).")],
    show: Annotated[
        bool, typer.Option("--show", help="With each refusal a minimal simulated history that shows the anomaly.")
    ] = False,
) -> None:
    """Say what each keyspace of a configuration declares, and every reason why one cannot be had (exit status 1)."""
    from quorate.api import judge_keyspaces

    console = Console()
    verdicts = judge_keyspaces(file)
    table = Table(box=None, pad_edge=False)
    for column in ("keyspace", "chosen by", "design", "conflicts", "promises"):
        table.add_column(column)
    for verdict in verdicts:
        table.add_row(verdict.name, verdict.chosen_by, verdict.design, verdict.conflicts, verdict.promises)
    console.print(table)
    is_refused = False
    for verdict in verdicts:
        shown: dict[str, None] = {}
        for key, sentence, anomaly in verdict.reasons:
            is_refused = True
            console.print(f"[bold red]refused[/] keyspaces.{verdict.name}.{key}: ", end="", soft_wrap=True)
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
            if show and anomaly and anomaly not in shown:
                shown[anomaly] = None
                _show(console, verdict.keyspace, anomaly)
    if not verdicts:
        console.print("no keyspace is declared: databases 0 to 15 are on Raft")
    raise typer.Exit(1 if is_refused else 0)


def _show(console: Console, keyspace: "Keyspace", anomaly: str) -> None:
    """Print the smallest history that simulation finds."""
    from quorate.lab.anomalies import show_anomaly

    found = show_anomaly(keyspace, anomaly)
    if found is None:
        lines = [f"  {anomaly}: no short simulated run shows it"]
    else:
        lines = [f"  {anomaly}, as simulated (seed {found.seed}):", *(f"    {line}" for line in found.lines)]
        lines.append(f"    {found.finding.explanation}")
    if anomaly == "resurrection":
        lines = ["  resurrection: clocks would have to run for longer than a short simulation"]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@keyspaces.callback()
def _root() -> None:
    """Check what keyspaces declare."""
