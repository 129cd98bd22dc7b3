"""The command that makes the copies of a leaderless keyspace agree, and says whether they do."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quorate.cli.cluster import AT_DEFAULT, AUTHORITY, CERTIFICATE, KEY, PASSWORD, Access, At, ask
from quorate.kernel.errors import QuorateError

_KNOCK_TIMEOUT_S = 3.0
_MARGIN_S = 10.0
"""An answer may come so much later than the repair was told to end."""


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command()(repair)


def repair(
    keyspace: Annotated[str, typer.Argument(help="Name of a leaderless keyspace.")],
    at: At = AT_DEFAULT,
    only: Annotated[bool, typer.Option("--only", help="Not all nodes, only those given by --at.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for each node.", min=0.1, max=86_400)] = 300.0,
    password: PASSWORD = "",
    certificate: CERTIFICATE = "",
    key: KEY = "",
    authority: AUTHORITY = "",
) -> None:
    """Compare all copies of a keyspace now, node by node, and mend what differs (exit status 1: not all agreed)."""
    access = Access(password, certificate, key, authority)
    console, errors = Console(), Console(stderr=True)
    table = Table(box=None, pad_edge=False)
    for column in ("node", "ranges", "agreed", "differed", "repaired", "unreachable"):
        table.add_column(column)
    is_done = True
    for address in at.split(",") if only else _addresses(at, access):
        try:
            # A node that is away is found out at once, not after the time of a repair.
            ask(address, access, [b"STATUS"], timeout=_KNOCK_TIMEOUT_S)
            args = [b"REPAIR", keyspace.encode(), str(round(timeout * 1000)).encode()]
            report = ask(address, access, args, timeout=timeout + _MARGIN_S)
        except QuorateError as cause:
            is_done = False
            errors.print(f"{address}: {cause}", highlight=False, markup=False, soft_wrap=True)
            continue
        is_done = is_done and bool(report[b"is_done"])
        table.add_row(*_row(report))
    if table.row_count:
        console.print(table)
    console.print("all agreed" if is_done else "not all agreed")
    raise typer.Exit(0 if is_done else 1)


def _addresses(at: str, access: Access) -> list[str]:
    """Return the Redis addresses of all members."""
    found = ask(at, access, [b"MEMBERS"], timeout=_KNOCK_TIMEOUT_S)
    return [member[b"redis"].decode() for member in sorted(found, key=lambda member: int(member[b"node"]))]


def _row(report: dict[bytes, Any]) -> list[str]:
    counts = [f"{report[name]:,}" for name in (b"ranges", b"agreed", b"differed", b"repaired")]
    return [str(report[b"node"]), *counts, " ".join(map(str, report[b"unreachable"])) or "-"]
