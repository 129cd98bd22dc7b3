"""Commands that judge histories and explore machines."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from quorate.cli.paths import check_paths

placement = typer.Typer(help="Ways to place keys on nodes.", add_completion=False, no_args_is_help=True)

On = Annotated[
    str | None, typer.Option("--on", help="With --walks: as jobs of local:N, dask://HOST:PORT, ray://HOST:PORT …")
]
ResultsFile = Annotated[Path | None, typer.Option("--results", help="With --on: keep what comes back, go on from it.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(check)
    app.command()(explore)
    placement.callback()(_placement)
    placement.command()(compare)
    app.add_typer(placement, name="placement")


def check(
    history: Annotated[Path | None, typer.Argument(help="A recorded history; see docs/checking.md.")] = None,
    model: Annotated[
        str, typer.Option("--model", help="kv, register, list-append, set-full, …; 'all': what is refuted?")
    ] = "kv",
    budget: Annotated[
        int | None, typer.Option("--budget", help="Steps of search; more can be slower, not wrong.")
    ] = None,
    notation: Annotated[
        str | None, typer.Option("--format", help="jsonl, edn, edn-keyed, etcd-log, maelstrom; else by the name.")
    ] = None,
    level: Annotated[str, typer.Option("--level", help="Transactions: isolation level.")] = "strict-serializable",
    total: Annotated[int | None, typer.Option("--total", help="bank: sum of all accounts.")] = None,
    versions: Annotated[int | None, typer.Option("--versions", help="bounded-staleness: versions.", min=0)] = None,
    age_ms: Annotated[float | None, typer.Option("--age-ms", help="bounded-staleness: time.", min=0)] = None,
    across_keys: Annotated[
        bool, typer.Option("--across-keys", help="Session guarantees: of the whole store, not key by key.")
    ] = False,
    by_time: Annotated[
        bool, typer.Option("--by-time", help="Session guarantees: versions are known to be ordered by time.")
    ] = False,
    order: Annotated[
        Path | None, typer.Option("--order", help="…-stated: lines of \\[index, position] or \\[index, start, commit].")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Write it as jsonl, edn, edn-keyed or shiviz instead.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="With --to: the file; else standard output.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Linearizability of JSON lines in one pass, in bounded memory.")
    ] = False,
    models: Annotated[bool, typer.Option("--models", help="List the models, and end.")] = False,
) -> None:
    """Judge a recorded history. Exit status 0: valid, 1: invalid, 2: unknown."""
    from quorate.kernel.errors import UsageError
    from quorate.lab.checkers import JudgeOptions
    from quorate.lab.judging import judge_file, judge_stream, read_order

    if models:
        return _list_models()
    if history is None:
        raise UsageError("which history? give a file, or --models")
    if to is not None:
        return _convert(history, notation, to, output)
    if stream:
        raise typer.Exit(judge_stream(history, model, budget, Console()))
    options = JudgeOptions(
        level=level,
        total=total,
        across_keys=across_keys,
        versions_by_time=by_time,
        version_count_max=versions,
        age_ns_max=None if age_ms is None else round(age_ms * 1e6),
        order=None if order is None else read_order(order),
    )
    raise typer.Exit(judge_file(history, model, budget, Console(), notation=notation, options=options))


def _list_models() -> None:
    from rich.table import Table

    from quorate.lab.checkers import JUDGES

    table = Table("model", "asks", box=None, pad_edge=False)
    for name, judge in JUDGES.items():
        table.add_row(name, judge.asks)
    table.add_row("all", "which consistency models does the history refute?")
    Console().print(table)


def _convert(history: Path, notation: str | None, to: str, output: Path | None) -> None:
    from quorate.lab.judging import read_history, write_history

    lines = write_history(read_history(history, notation), to)
    if output is None:
        for line in lines:
            typer.echo(line)
        return
    with output.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def explore(
    name: Annotated[str | None, typer.Argument(help="A machine or system; without: the list of them.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", help="Nodes, or resource managers.", min=1, max=9)] = None,
    campaigns: Annotated[
        int | None, typer.Option("--campaigns", help="How often the clock of each node may act.", min=0)
    ] = None,
    proposals: Annotated[int | None, typer.Option("--proposals", help="raft: commands proposed.", min=0)] = None,
    quiet: Annotated[str | None, typer.Option("--quiet", help="Nodes whose clock never acts, with commas.")] = None,
    losses: Annotated[int | None, typer.Option("--losses", help="Messages that may be lost.", min=0)] = None,
    duplications: Annotated[int | None, typer.Option("--duplications", help="Messages that may repeat.", min=0)] = None,
    crashes: Annotated[int | None, typer.Option("--crashes", help="Crashes that may happen.", min=0)] = None,
    unordered: Annotated[bool, typer.Option("--unordered", help="Links may reorder.")] = False,
    slow_disk: Annotated[bool, typer.Option("--slow-disk", help="When a write is stable is a choice.")] = False,
    bug: Annotated[str, typer.Option("--bug", help="raft: with this bug of the museum.")] = "",
    order: Annotated[
        Literal["breadth", "depth"], typer.Option("--order", help="breadth: shortest counterexamples; depth.")
    ] = "breadth",
    sleep_sets: Annotated[bool, typer.Option("--sleep-sets", help="With depth: leave out reorderings.")] = False,
    symmetry: Annotated[bool, typer.Option("--symmetry", help="Take renamings of a state for one.")] = False,
    depth: Annotated[int | None, typer.Option("--depth", help="Choices from the start, at most.", min=1)] = None,
    states: Annotated[int, typer.Option("--states", help="Stop at so many; 0: never.", min=0)] = 0,
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Processes that expand states; 0: one for each core.", min=0)
    ] = 1,
    walks: Annotated[int, typer.Option("--walks", help="Draw random runs instead.", min=0)] = 0,
    pct: Annotated[int, typer.Option("--pct", help="With --walks: by priorities, for bugs of this depth.", min=0)] = 0,
    guided: Annotated[
        bool, typer.Option("--guided", help="With --walks: change those that met something new.")
    ] = False,
    steps: Annotated[int, typer.Option("--steps", help="With --walks: choices in one, at most.", min=1)] = 200,
    seed: Annotated[int, typer.Option("--seed", help="With --walks: what reproduces them.")] = 1,
    on: On = None,
    results: ResultsFile = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", "--resume", help="Go on from this file, and keep it. Load only your own."),
    ] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option("--checkpoint-seconds", help="Between two writes of the file.", min=0)
    ] = 20.0,
    html: Annotated[Path | None, typer.Option("--html", help="Draw the counterexample there.")] = None,
    transcript: Annotated[Path | None, typer.Option("--transcript", help="Write the counterexample there.")] = None,
    replay: Annotated[Path | None, typer.Option("--replay", help="Run a transcript and compare its answers.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Run the example in the simulated world.")] = False,
) -> None:
    """Visit every state of a machine or system in a scope. Exit status 0: all holds, 1: it does not, 2: not known."""
    from quorate.kernel.errors import UsageError
    from quorate.lab.exploring import ExploreOptions, list_systems, replay_transcript, run_exploration

    check_paths(html, transcript)
    console = Console()
    if replay is not None:
        raise typer.Exit(replay_transcript(replay, console, is_simulated=simulate))
    if name is None:
        list_systems(console)
        return
    try:
        quiet_nodes = None if quiet is None else tuple(int(node) for node in quiet.split(",") if node)
    except ValueError as cause:
        raise UsageError(f"--quiet is a list of numbers with commas, not {quiet!r}") from cause
    options = ExploreOptions(
        name=name, node_count=nodes, campaign_count=campaigns, proposal_count=proposals, quiet=quiet_nodes,
        lose_count=losses, repeat_count=duplications, crash_count=crashes, is_unordered=unordered,
        is_disk_slow=slow_disk, bug=bug, order=order, sleep_sets=sleep_sets, is_symmetric=symmetry, depth_max=depth,
        state_count_max=states, worker_count=workers or os.cpu_count() or 1, walk_count=walks, pct_depth=pct,
        is_guided=guided, step_count_max=steps, seed=seed, checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds, html=html, transcript=transcript, is_simulated=simulate,
    )  # fmt: skip
    raise typer.Exit(run_exploration(options, console, on=on, results=results))


def _placement() -> None:
    """Ways to place keys on nodes."""


def compare(
    nodes: Annotated[int, typer.Option("--nodes", help="Nodes.", min=2)] = 100,
    replicas: Annotated[int, typer.Option("--replicas", help="Copies of each key.", min=1)] = 3,
    keys: Annotated[int, typer.Option("--keys", help="Keys that are placed.", min=1000)] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="What reproduces the draws.")] = 1,
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw the comparison there.")] = None,
) -> None:
    """Compare all placements: balance, moves at join and leave, memory, loss, repair, speed. Needs NumPy."""
    from quorate.lab.bench_parts import part

    check_paths(svg)
    bench = part("placement")
    rows = bench.compare_all(node_count=nodes, replica_count=replicas, key_count=keys, seed=seed)
    typer.echo(bench.table(rows))
    if svg is not None:
        svg.write_text(bench.picture(rows, node_count=nodes), "utf-8")
