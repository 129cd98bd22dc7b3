"""Commands that speak Maelstrom's protocol."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("maelstrom-node")(node)
    app.command("maelstrom-run")(run)


def node(
    workload: Annotated[str, typer.Option("--workload", help="lin-kv, echo, unique-ids, broadcast, g-set, …")],
    design: Annotated[str, typer.Option("--design", help="raft, or crdt: never waits, agrees in the end.")] = "raft",
    data: Annotated[
        Path | None, typer.Option("--data", envvar="NODE_DATA", help="Directory of records; none: lost at exit.")
    ] = None,
    election_timeout_ms: Annotated[float, typer.Option("--election-timeout-ms", help="See RaftConfig.")] = 500,
    heartbeat_ms: Annotated[float, typer.Option("--heartbeat-ms", help="See RaftConfig.")] = 100,
) -> None:
    """Be a Maelstrom node: JSON lines on standard input and output."""
    from quorate.lab.maelstrom import serve

    serve(workload, design=design, data=data, election_timeout_ms=election_timeout_ms, heartbeat_ms=heartbeat_ms)


def run(
    command: Annotated[list[str], typer.Argument(metavar="BINARY...", help="The node; its options behind --.")],
    workload: Annotated[str, typer.Option("--workload", help="lin-kv, echo, txn-list-append, kafka, …")],
    nodes: Annotated[int, typer.Option("--nodes", help="Node processes.", min=1, max=99)] = 3,
    clients: Annotated[int, typer.Option("--clients", help="Clients for each node.", min=1)] = 2,
    rate: Annotated[float, typer.Option("--rate", help="Requests per second of all clients, at most.", min=0.1)] = 100,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of the load.", min=0.1)] = 10,
    faults: Annotated[str, typer.Option("--faults", help="partition, kill, pause, with commas.")] = "",
    fault_interval: Annotated[float, typer.Option("--fault-interval", help="Seconds between.", min=0.1)] = 2,
    timeout_ms: Annotated[float, typer.Option("--timeout-ms", help="How long a client waits.", min=1)] = 1_000,
    recovery: Annotated[float, typer.Option("--recovery", help="Seconds of calm before final reads.", min=0)] = 3,
    latency_ms: Annotated[float, typer.Option("--latency-ms", help="Mean, between nodes.", min=0)] = 0,
    latency_kind: Annotated[
        Literal["constant", "uniform", "exponential"], typer.Option("--latency-kind", help="Its distribution.")
    ] = "exponential",
    loss: Annotated[float, typer.Option("--loss", help="Chance of losing a message.", min=0, max=0.99)] = 0,
    repeat: Annotated[float, typer.Option("--repeat", help="Chance of a second copy, between nodes.", min=0)] = 0,
    level: Annotated[str, typer.Option("--level", help="Transactions: isolation level.")] = "strict-serializable",
    seed: Annotated[int, typer.Option("--seed", help="Draws requests, faults and the network.")] = 1,
    output: Annotated[Path, typer.Option("--output", help="Where history and messages go.")] = Path("maelstrom"),
) -> None:
    """Run Maelstrom nodes under our router, faults and judges. Exit status 0: valid, 1: invalid, 2: unknown."""
    from quorate.lab.checkers import JudgeOptions
    from quorate.lab.maelstrom import Conditions, RunOptions, run_maelstrom

    options = RunOptions(
        command=tuple(command),
        workload=workload,
        node_count=nodes,
        client_count=clients,
        rate_per_second=rate,
        seconds=seconds,
        faults=tuple(fault for fault in faults.split(",") if fault),
        fault_interval_s=fault_interval,
        timeout_ms=timeout_ms,
        recovery_s=recovery,
        conditions=Conditions(latency_ms=latency_ms, latency_kind=latency_kind, lose_chance=loss, repeat_chance=repeat),
        judging=JudgeOptions(level=level),
        seed=seed,
        output=output,
    )
    raise typer.Exit(run_maelstrom(options, Console()).exit_status)
