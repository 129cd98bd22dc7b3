"""Commands that break things and judge them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Seed = Annotated[int, typer.Option("--seed", help="What reproduces a run.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(trial)
    app.command()(check)
    app.command()(bench)


def trial(
    system: Annotated[str, typer.Option("--system", help="quorate, redis, …: see docs/trials.md.")] = "quorate",
    nodes: Annotated[int, typer.Option("--nodes", help="Node processes.", min=1, max=9)] = 5,
    duration: Annotated[float, typer.Option("--duration", help="Seconds of load.", min=1)] = 30.0,
    seed: Seed = 1,
    rate: Annotated[float, typer.Option("--rate", help="Operations per second of all clients, at most.")] = 400.0,
    workers: Annotated[int, typer.Option("--workers", help="Client processes.")] = 20,
    faults: Annotated[str, typer.Option("--faults", help="Names with commas; 'none' harms nothing.")] = "",
    output: Annotated[Path, typer.Option("--output", help="Where report and history go.")] = Path("trial"),
) -> None:
    """Run real node processes under load, harm them by a printed schedule, and judge what clients saw.

    Exit status 0 only when the verdict is valid.
    """
    from quorate.kernel import seconds
    from quorate.lab import TrialOptions, run_trial

    names = None if not faults else () if faults == "none" else tuple(faults.split(","))
    options = TrialOptions(
        system=system,
        node_count=nodes,
        duration=seconds(duration),
        seed=seed,
        rate_per_second=rate,
        worker_count=workers,
        faults=names,
        output=output,
    )
    raise typer.Exit(run_trial(options, console=Console()).exit_status)


def bench(
    systems: Annotated[
        str, typer.Option("--systems", help="The first is compared with each other.")
    ] = "quorate,etcd,redis",
    clients: Annotated[str, typer.Option("--clients", help="Numbers of clients.")] = "1,16,64,256",
    kinds: Annotated[str, typer.Option("--kinds", help="write, read.")] = "write,read",
    rounds: Annotated[int, typer.Option("--rounds", help="Times each is measured, in alternation.", min=1)] = 3,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of one measurement.")] = 2.0,
    value_bytes: Annotated[int, typer.Option("--value-bytes", help="Size of a value.", min=1)] = 256,
) -> None:
    """Measure local three-node clusters against each other: rates, latencies, ratios pair by pair."""
    from quorate.lab import BenchOptions, run_bench

    options = BenchOptions(
        systems=tuple(systems.split(",")),
        client_counts=tuple(int(count) for count in clients.split(",")),
        kinds=tuple(kinds.split(",")),
        round_count=rounds,
        measure_s=seconds,
        value_bytes=value_bytes,
    )
    run_bench(options, console=Console())


def check(
    history: Annotated[Path, typer.Argument(help="JSON lines; see docs/checking.md.")],
    model: Annotated[str, typer.Option("--model", help="kv, register, cas-register, counter, …")] = "kv",
    budget: Annotated[
        int | None, typer.Option("--budget", help="Steps of search; more can be slower, not wrong.")
    ] = None,
) -> None:
    """Judge a recorded history. Exit status 0: valid, 1: invalid, 2: unknown."""
    from quorate.lab import judge_file

    raise typer.Exit(judge_file(history, model, budget, Console()))
