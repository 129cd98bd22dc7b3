"""Commands that break things and judge them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

benchmarks = typer.Typer(help="Measurements, each beside its rivals.", add_completion=False)

Seed = Annotated[int, typer.Option("--seed", help="What reproduces a run.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(trial)
    benchmarks.callback(invoke_without_command=True)(bench)
    benchmarks.command("check")(bench_check)
    benchmarks.command("parts")(bench_parts)
    app.add_typer(benchmarks, name="bench")


def trial(
    system: Annotated[
        str, typer.Option("--system", help="A name (etcd, …) or a cluster's URL; docs/trials.md.")
    ] = "quorate",
    nodes: Annotated[int, typer.Option("--nodes", help="Node processes.", min=1, max=9)] = 5,
    duration: Annotated[float, typer.Option("--duration", help="Seconds of load.", min=1, max=86_400)] = 30.0,
    seed: Seed = 1,
    rate: Annotated[float, typer.Option("--rate", help="Operations per second of all clients, at most.")] = 400.0,
    workers: Annotated[int, typer.Option("--workers", help="Client processes.")] = 20,
    faults: Annotated[str, typer.Option("--faults", help="Names with commas; 'none' harms nothing.")] = "",
    fault_duration: Annotated[
        float, typer.Option("--fault-duration", help="Seconds of each fault, about.", min=0.1, max=3600)
    ] = 1.9,
    acts: Annotated[
        int, typer.Option("--acts", help="2: then one partition on two keyspaces (quorate only).", min=1, max=2)
    ] = 2,
    output: Annotated[Path, typer.Option("--output", help="Where report and history go.")] = Path("trial"),
) -> None:
    """Run real node processes under load, harm them by a printed schedule, and judge what clients saw.

    A cluster that runs already (redis://, http:// for etcd, quorate://, postgres://, zookeeper://, nats://) gets load
    and a verdict, and no faults. Exit status 0 only when the verdict is valid.
    """
    from quorate.kernel import seconds
    from quorate.kernel.errors import Unreachable
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
        fault_duration=seconds(fault_duration),
        act_count=acts,
        output=output,
    )
    try:
        status = run_trial(options, console=Console()).exit_status
    except Unreachable as cause:
        # Nothing was tested; 1 would say that the system failed.
        Console(stderr=True).print(f"[bold yellow]unknown[/]: {cause}", highlight=False, soft_wrap=True)
        status = 2
    raise typer.Exit(status)


def bench(
    context: typer.Context,
    systems: Annotated[
        str, typer.Option("--systems", help="The first is compared with each other.")
    ] = "quorate,etcd,redis",
    clients: Annotated[str, typer.Option("--clients", help="Numbers of clients.")] = "1,16,64,256",
    kinds: Annotated[str, typer.Option("--kinds", help="write, read.")] = "write,read",
    rounds: Annotated[int, typer.Option("--rounds", help="Times each is measured, in alternation.", min=1)] = 3,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of one measurement.", min=0.1, max=3600)] = 2.0,
    value_bytes: Annotated[int, typer.Option("--value-bytes", help="Size of a value.", min=1)] = 256,
) -> None:
    """Measure local three-node clusters against each other: rates, latencies, ratios pair by pair."""
    if context.invoked_subcommand is not None:
        return
    from quorate.lab import BenchOptions, run_bench

    options = BenchOptions(
        systems=tuple(systems.split(",")),
        client_counts=_counts(clients),
        kinds=tuple(kinds.split(",")),
        round_count=rounds,
        measure_s=seconds,
        value_bytes=value_bytes,
    )
    run_bench(options, console=Console())


def _counts(clients: str) -> tuple[int, ...]:
    from quorate.kernel.errors import UsageError

    counts = tuple(int(count) if count.isdecimal() else 0 for count in clients.split(","))
    if min(counts) < 1:
        raise UsageError(f"--clients: whole numbers above 0, with commas, not {clients!r}")
    return counts


def bench_check(
    scale: Annotated[float, typer.Option("--scale", help="Share of the full sizes: 1 is a million operations.")] = 0.1,
    only: Annotated[str, typer.Option("--only", help="Cases whose name holds this.")] = "",
    porcupine: Annotated[
        Path | None, typer.Option("--porcupine", help="A build of tools/porcupine: both judge the same histories.")
    ] = None,
    seed: Seed = 1,
) -> None:
    """Measure the judges on generated histories, alone or beside Porcupine."""
    from quorate.lab.bench_check import print_cases
    from quorate.lab.bench_porcupine import print_contests

    if porcupine is not None:
        print_contests(porcupine, scale=scale, only=only, seed=seed, console=Console())
        return
    print_cases(scale=scale, only=only, seed=seed, console=Console())


def bench_parts(
    parts: Annotated[
        list[str] | None, typer.Argument(help="clocks, crdt, sketches, placement, anti_entropy, leaderless; none: all.")
    ] = None,
) -> None:
    """Measure clocks, replicated types, sketches, placements and replicas, beside their rivals where installed."""
    from quorate.lab.bench_parts import PARTS, part, to_text

    modules = {name: part(name) for name in parts or PARTS}  # all that is wrong is said before anything is measured
    for name, module in modules.items():
        typer.echo(f"{name}\n{to_text(module.run())}\n")
