"""Commands for data at rest: what is in a directory, backup and restore, certificates."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quorate.cli.cluster import AT_DEFAULT, AUTHORITY, CERTIFICATE, KEY, PASSWORD, At

snapshot = typer.Typer(help="Save the state of a stopped node to a file; make the data of a new cluster from it.")


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(doctor)
    app.command()(certs)
    app.add_typer(snapshot, name="snapshot")


def doctor(directory: Annotated[Path, typer.Argument(help="A node's data directory.")]) -> None:
    """Say what is in a data directory and whether it is sound (exit status 1: it is not); nothing is changed."""
    from quorate.api import examine

    raise typer.Exit(0 if examine(directory, Console()) else 1)


@snapshot.command("save")
def save(
    directory: Annotated[Path, typer.Argument(help="Data directory of a stopped node.")],
    file: Annotated[Path, typer.Argument(help="Where the snapshot goes; must not exist.")],
) -> None:
    """Write what a stopped node holds to a checksummed file: Raft's keys, versions and sessions, leaderless copies."""
    from quorate.api import save_snapshot

    save_snapshot(directory, file, Console())


@snapshot.command("restore")
def restore(
    files: Annotated[
        list[Path], typer.Argument(help="Snapshots of one cluster; with leaderless keyspaces those of all its nodes.")
    ],
    config: Annotated[list[Path], typer.Option("--config", help="One per node of the new cluster; repeat it.")],
    partial: Annotated[
        bool, typer.Option("--partial", help="Also when the files hold no copy of some leaderless keys.")
    ] = False,
) -> None:
    """Make the data directories of a new cluster, one per configuration, from snapshots, whose copies are joined."""
    from quorate.api import restore_snapshot

    restore_snapshot(files, config, Console(), is_partial=partial)


@snapshot.command("join")
def join(
    files: Annotated[list[Path], typer.Argument(help="Snapshots of one cluster.")],
    at: At = AT_DEFAULT,
    keyspace: Annotated[
        list[str] | None, typer.Option("--keyspace", help="Only this leaderless keyspace; repeat it. Left out: all.")
    ] = None,
    password: PASSWORD = "",
    certificate: CERTIFICATE = "",
    key: KEY = "",
    authority: AUTHORITY = "",
) -> None:
    """Join leaderless copies from snapshots into a running cluster; newer writes are kept (exit status 1: in part)."""
    from quorate.api import join_snapshots

    access = {"password": password, "certificate": certificate, "key": key, "authority": authority}
    raise typer.Exit(0 if join_snapshots(files, at, keyspace or [], Console(), access=access) else 1)


def certs(
    names: Annotated[list[str], typer.Argument(help="One certificate each, such as node-1 node-2 client.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where the files go.")] = Path("certs"),
    hosts: Annotated[
        str, typer.Option("--hosts", help="Names and addresses they are good for.")
    ] = "127.0.0.1,localhost",
) -> None:
    """Make a development authority and certificates of it (mutual TLS between nodes and clients)."""
    from quorate.runtime import make_certificates

    make_certificates(directory, names, hosts=hosts.split(","))
    typer.echo(f"{directory}/ca.pem and {len(names)} certificates with keys; for development only")
