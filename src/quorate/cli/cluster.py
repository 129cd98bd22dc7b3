"""Commands that run nodes and talk to them."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quorate.kernel.errors import UsageError

At = Annotated[str, typer.Option("--at", help="Redis address of any node, host:port; several with commas.")]
PASSWORD = Annotated[str, typer.Option("--password", help="If the cluster asks for one.", envvar="QUORATE_PASSWORD")]
AT_DEFAULT = "127.0.0.1:6380"

members = typer.Typer(help="Show the members of a cluster, add one, remove one.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(up)
    app.command()(serve)
    app.command()(status)
    app.command("transfer-leader")(transfer_leader)
    app.add_typer(members, name="members")


def serve(
    config: Annotated[Path, typer.Option("--config", help="The node's TOML file (see docs/configuration.md).")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more on standard error.")] = False,
) -> None:
    """Run one node until it is told to stop."""
    from quorate.api import run_node
    from quorate.kernel.errors import ConfigError
    from quorate.server import load

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        text = config.read_text(encoding="utf-8")
    except OSError as cause:
        raise ConfigError(f"{config}: {cause.strerror}") from cause
    raise typer.Exit(run_node(load(text, name=str(config))))


def up(
    nodes: Annotated[int, typer.Option("--nodes", help="How many.", min=1, max=9)] = 3,
    directory: Annotated[Path, typer.Option("--dir", help="Where the nodes keep their data.")] = Path("data"),
    port: Annotated[int, typer.Option("--port", help="Redis port of the first node; the others follow.")] = 6380,
) -> None:
    """Run a local cluster until Ctrl-C and print how to reach it."""
    from quorate.api import run_local_cluster

    raise typer.Exit(run_local_cluster(nodes, directory, port, Console()))


def _ask(at: str, password: str, args: list[bytes]) -> Any:
    """Run one administrator's command; follow NOTLEADER to the leader."""
    from quorate.api import connect

    async def go() -> Any:
        async with connect(f"quorate://{at}", password=password, timeout=15.0) as database:
            return await database.executor.admin(args)

    return asyncio.run(go())


def status(at: At = AT_DEFAULT, password: PASSWORD = "") -> None:
    """Show what each given node knows: role, term, leader, indexes, peers."""
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("node", "role", "term", "leader", "commit", "applied", "keys", "peers"):
        table.add_column(column)
    for address in at.split(","):
        info = json.loads(_ask(address, password, [b"STATUS"]))
        peers = " ".join(f"{peer['node']}{'' if peer['reachable'] else '(away)'}" for peer in info["peers"])
        table.add_row(
            str(info["node"]),
            info["role"],
            str(info["term"]),
            f"{info['leader'] or '?'} {info['leader_address'] or ''}",
            str(info["commit_index"]),
            str(info["applied_index"]),
            str(info["counters"].get("keys", "")),
            peers,
        )
    console.print(table)


@members.callback()
def show_members(context: typer.Context, at: At = AT_DEFAULT, password: PASSWORD = "") -> None:
    """Show the members: id, part, peer address, Redis address."""
    context.obj = (at, password)
    if context.invoked_subcommand is None:
        table = Table(box=None, pad_edge=False)
        for column in ("node", "part", "peer", "redis", "reachable"):
            table.add_column(column)
        for member in _ask(at, password, [b"MEMBERS"]):
            table.add_row(*(_shown(member[key]) for key in (b"node", b"part", b"peer", b"redis", b"reachable")))
        Console().print(table)


def _shown(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@members.command("add")
def add_member(
    context: typer.Context,
    node: Annotated[int, typer.Argument(help="Its id, never used before.")],
    peer: Annotated[str, typer.Argument(help="Where other nodes reach it, host:port.")],
    redis: Annotated[str, typer.Argument(help="Its Redis address, host:port.")],
) -> None:
    """Add a running node (started with join = true): first as a learner, then, when it has caught up, as a voter."""
    _on_leader(context, [b"ADD", str(node).encode(), peer.encode(), redis.encode()])
    typer.echo(f"node {node} is a voter now")


@members.command("remove")
def remove_member(context: typer.Context, node: Annotated[int, typer.Argument(help="Its id.")]) -> None:
    """Remove a node for good; its id is never used again."""
    _on_leader(context, [b"REMOVE", str(node).encode()])
    typer.echo(f"node {node} is no member any more")


def transfer_leader(
    node: Annotated[int, typer.Argument(help="The node that shall lead.")],
    at: At = AT_DEFAULT,
    password: PASSWORD = "",
) -> None:
    """Hand leadership to a node, for example before maintenance."""
    _to_leader(at, password, [b"TRANSFER", str(node).encode()])
    typer.echo(f"node {node} leads now")


def _on_leader(context: typer.Context, args: list[bytes]) -> Any:
    at, password = context.obj
    return _to_leader(at, password, args)


def _to_leader(at: str, password: str, args: list[bytes]) -> Any:
    """Ask any node who leads, then ask the leader."""
    for address in at.split(","):
        leader = json.loads(_ask(address, password, [b"STATUS"]))["leader_address"]
        if leader:
            return _ask(leader, password, args)
    raise UsageError("no leader is known: is a majority of the nodes up?")
