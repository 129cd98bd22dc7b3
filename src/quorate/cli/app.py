"""The tree of commands, and the one place where errors become exit statuses."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from quorate.cli import cluster, compare, data, judging, keyspaces, laboratory, maelstrom, repairing, simulation
from quorate.kernel.errors import IndefiniteError, QuorateError

app = typer.Typer(
    name="quorate",
    help="Builds, runs, breaks and proves distributed systems.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cluster.register(app)
keyspaces.register(app)
repairing.register(app)
laboratory.register(app)
judging.register(app)
maelstrom.register(app)
data.register(app)
simulation.register(app)
compare.register(app)


def main() -> None:
    """Run the command line; an error is one sentence and exit status 1 (2: may have happened)."""
    console = Console(stderr=True)
    try:
        app()
    except QuorateError as cause:
        console.print(f"[bold red]{cause.code.lower()}[/]: {escape(str(cause))}", highlight=False, soft_wrap=True)
        sys.exit(2 if isinstance(cause, IndefiniteError) else 1)
    except OSError as cause:
        console.print(f"[bold red]error[/]: {escape(str(cause))}", highlight=False, soft_wrap=True)
        sys.exit(1)
