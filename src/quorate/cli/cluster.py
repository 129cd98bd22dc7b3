"""Commands that run nodes and talk to them."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from quorate.kernel.errors import IndefiniteError, Unreachable

At = Annotated[str, typer.Option("--at", help="Redis address of any node, host:port; several with commas.")]
PASSWORD = Annotated[str, typer.Option("--password", help="If the cluster asks for one.", envvar="QUORATE_PASSWORD")]
CERTIFICATE = Annotated[str, typer.Option("--certificate", help="PEM file, where the Redis doors speak TLS.")]
KEY = Annotated[str, typer.Option("--key", help="PEM file with its key.")]
AUTHORITY = Annotated[str, typer.Option("--authority", help="PEM file of the authority that nodes must show.")]
AT_DEFAULT = "127.0.0.1:6380"
ADMIN_TIMEOUT_S = 90.0  # a node that joins must first catch up
ASK_TIMEOUT_S = 10.0
"""A node that is added needs time to catch up."""


class Access(NamedTuple):
    """How a cluster lets us in."""

    password: str
    certificate: str
    key: str
    authority: str


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
    from quorate.api import load_config, run_node

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    raise typer.Exit(run_node(load_config(config)))


def up(
    nodes: Annotated[int, typer.Option("--nodes", help="How many.", min=1, max=9)] = 3,
    directory: Annotated[Path, typer.Option("--dir", help="Where the nodes keep their data.")] = Path("data"),
    port: Annotated[int, typer.Option("--port", help="Redis port of the first node; the others follow.")] = 6380,
    keyspaces: Annotated[
        Path | None, typer.Option("--keyspaces", help="TOML file of \\[keyspaces.NAME] tables, for a new cluster.")
    ] = None,
) -> None:
    """Run a local cluster until Ctrl-C and print how to reach it."""
    from quorate.api import run_local_cluster

    raise typer.Exit(run_local_cluster(nodes, directory, port, Console(), keyspaces=keyspaces))


def ask(at: str, access: Access, args: list[bytes], *, timeout: float = ADMIN_TIMEOUT_S) -> Any:
    """Run one administrator's command; the client finds the leader."""
    from quorate.api import connect

    async def go() -> Any:
        async with connect(
            f"quorate://{at}",
            password=access.password,
            timeout=timeout,
            certificate=access.certificate,
            key=access.key,
            authority=access.authority,
        ) as database:
            return await database.executor.admin(args)

    return asyncio.run(go())


def status(
    at: At = AT_DEFAULT,
    password: PASSWORD = "",
    certificate: CERTIFICATE = "",
    key: KEY = "",
    authority: AUTHORITY = "",
) -> None:
    """Show what each given node knows: role, term, leader, indexes, peers (exit status 1: one does not answer)."""
    access = Access(password, certificate, key, authority)
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("node", "role", "term", "leader", "commit", "applied", "keys", "peers"):
        table.add_column(column)
    silent: list[str] = []
    infos: list[dict[str, Any]] = []
    for address in at.split(","):
        try:
            info = json.loads(ask(address, access, [b"STATUS"], timeout=2.0))
        except (Unreachable, IndefiniteError) as cause:
            silent.append(f"{address}: {cause}")
            continue
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
        infos.append(info)
    if table.row_count:
        console.print(table)
    _show_keyspaces(console, infos)
    for line in silent:
        Console(stderr=True).print(line, highlight=False, soft_wrap=True)
    raise typer.Exit(1 if silent else 0)


_KEYSPACE_COUNTERS = ("keys", "reads", "writes", "failed", "hints", "topology_version")


def _show_keyspaces(console: Console, infos: list[dict[str, Any]]) -> None:
    """Print a line for each declared keyspace, and what each node counts of the leaderless ones."""
    declared = {one["name"]: one for info in infos for one in info["keyspaces"]}
    if not declared:
        return
    console.print()
    for name, one in sorted(declared.items()):
        conflicts = f", conflicts: {one['conflicts']}" if one["conflicts"] else ""
        console.print(f"{name}: {one['design']}{conflicts}, {one['consistency']}", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("keyspace", "node", *_KEYSPACE_COUNTERS[:-1], "topology"):
        table.add_column(column)
    for name in sorted(declared):
        for info in infos:
            counters: dict[str, int] = next((one["counters"] for one in info["keyspaces"] if one["name"] == name), {})
            if counters:
                numbers = (str(counters.get(counter, "")) for counter in _KEYSPACE_COUNTERS)
                table.add_row(name, str(info["node"]), *numbers)
    if table.row_count:
        console.print(table)


@members.callback()
def show_members(
    context: typer.Context,
    at: At = AT_DEFAULT,
    password: PASSWORD = "",
    certificate: CERTIFICATE = "",
    key: KEY = "",
    authority: AUTHORITY = "",
) -> None:
    """Show the members: id, part, peer address, Redis address."""
    access = Access(password, certificate, key, authority)
    context.obj = (at, access)
    if context.invoked_subcommand is None:
        table = Table(box=None, pad_edge=False)
        for column in ("node", "part", "peer", "redis", "reachable"):
            table.add_column(column)
        for member in ask(at, access, [b"MEMBERS"], timeout=ASK_TIMEOUT_S):
            table.add_row(*(_shown(member[column]) for column in (b"node", b"part", b"peer", b"redis", b"reachable")))
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
    _on_leader(context, [b"MEMBERS", b"ADD", str(node).encode(), peer.encode(), redis.encode()])
    typer.echo(f"node {node} is a voter now")


@members.command("remove")
def remove_member(context: typer.Context, node: Annotated[int, typer.Argument(help="Its id.")]) -> None:
    """Remove a node for good; its id is never used again."""
    _on_leader(context, [b"MEMBERS", b"REMOVE", str(node).encode()])
    typer.echo(f"node {node} is no member any more")


def transfer_leader(
    node: Annotated[int, typer.Argument(help="The node that shall lead.")],
    at: At = AT_DEFAULT,
    password: PASSWORD = "",
    certificate: CERTIFICATE = "",
    key: KEY = "",
    authority: AUTHORITY = "",
) -> None:
    """Hand leadership to a node, for example before maintenance."""
    access = Access(password, certificate, key, authority)
    ask(at, access, [b"TRANSFER", str(node).encode()], timeout=ASK_TIMEOUT_S)
    typer.echo(f"node {node} leads now")


def _on_leader(context: typer.Context, args: list[bytes]) -> Any:
    at, access = context.obj
    return ask(at, access, args)
