"""Commands of the simulated world: campaigns of seeds, and the museum of bugs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from quorate.cli.paths import check_paths

if TYPE_CHECKING:
    from quorate.lab.simulation import CampaignOptions, Level, SimOptions

museum = typer.Typer(help="Bugs that others have made: each can be planted, each is caught.", add_completion=False)


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(sim)
    app.add_typer(museum, name="museum")


# As `quorate.lab.scale` has it; said again here so that the help needs no laboratory.
_ON_HELP = "local, local:N, dask://HOST:PORT, ray://HOST:PORT, dask://local, ray://local."
_RESULTS_HELP = "Keep what comes back there; the same command goes on from it after a kill."
_LEVEL_HELP = "loop: whole servers; core: Raft alone; available: leaderless keyspaces; both (the first two); all."


def _levels(name: str) -> "tuple[Level, ...]":
    from quorate.kernel.errors import UsageError

    match name:
        case "loop":
            return ("loop",)
        case "core":
            return ("core",)
        case "available":
            return ("available",)
        case "both":
            return ("loop", "core")
        case "all":
            return ("loop", "core", "available")
        case _:
            raise UsageError(f"--level is loop, core, available, both or all, not {name!r}")


def sim(
    seeds: Annotated[int, typer.Option("--seeds", help="How many seeds; 0: until --hours.", min=0)] = 500,
    seed: Annotated[int | None, typer.Option("--seed", help="Replay this one seed instead.")] = None,
    first: Annotated[int, typer.Option("--first", help="The first seed.", min=0)] = 1,
    level: Annotated[str, typer.Option("--level", help=_LEVEL_HELP)] = "loop",
    nodes: Annotated[int, typer.Option("--nodes", help="0: drawn.", min=0, max=9)] = 0,
    span: Annotated[
        float, typer.Option("--span", help="Simulated seconds of faults; 0: the level's.", min=0, max=86_400)
    ] = 0.0,
    bug: Annotated[str | None, typer.Option("--bug", help="Plant a bug of the museum.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="Processes of the local pool; 0: one per core.", min=0)] = 0,
    on: Annotated[str, typer.Option("--on", help=_ON_HELP)] = "local",
    results: Annotated[Path | None, typer.Option("--results", help=_RESULTS_HELP)] = None,
    seeds_per_job: Annotated[
        int, typer.Option("--seeds-per-job", help="0: by the number of seeds.", min=0, max=1_000)
    ] = 0,
    failures: Annotated[int, typer.Option("--failures", help="Stop after so many; 0: never.", min=0)] = 0,
    hours: Annotated[float, typer.Option("--hours", help="Stop handing out seeds then; 0: never.", min=0)] = 0.0,
    trace: Annotated[bool, typer.Option("--trace", help="With --seed: print what happened, in columns.")] = False,
    schedule: Annotated[
        Path | None, typer.Option("--schedule", help="With --seed: replay the faults of this file of JSON.")
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", help="With --seed: write the applied faults there.")] = None,
    shrunk: Annotated[int, typer.Option("--shrunk", help="Failures whose schedule is made smaller.", min=0)] = 5,
) -> None:
    """Run the node itself in a simulated world, many seeds on all cores, and judge every run.

    Exit status 0: all runs passed; 1: some failed; 3: none failed, but the campaign missed what it must reach.
    """
    from quorate.kernel import seconds
    from quorate.lab.simulation import CampaignOptions, SimOptions

    if seed is not None:
        options = SimOptions(
            seed=seed, level=_levels(level)[0], node_count=nodes, span=seconds(span), bug=bug, faults=None
        )
        raise typer.Exit(_replay(options, trace=trace, schedule=schedule, save=save, shrunk=shrunk))
    campaign = CampaignOptions(
        first_seed=first,
        seed_count=seeds or 1 << 40,
        levels=_levels(level),
        node_count=nodes,
        span=seconds(span),
        bug=bug,
        on=f"local:{jobs}" if on == "local" and jobs else on,
        results=results,
        seeds_per_job=seeds_per_job,
        time_max_s=hours * 3600,
        failure_count_max=failures,
        shrunk_count_max=shrunk,
    )
    raise typer.Exit(_campaign(campaign))


def _campaign(options: "CampaignOptions") -> int:
    from quorate.lab.museum import bug_named
    from quorate.lab.simulation import CampaignDisplay, print_result, run_campaign

    if options.bug is not None:
        bug_named(options.bug)
    console = Console()
    with CampaignDisplay(console, options) as display:
        result = run_campaign(options, display.on_shard)
    print_result(console, options, result)
    return result.exit_status


def _replay(options: "SimOptions", *, trace: bool, schedule: Path | None, save: Path | None, shrunk: int) -> int:
    import msgspec

    from quorate.kernel import SECOND
    from quorate.kernel.errors import UsageError
    from quorate.lab.simulation import print_failure, run_one, schedule_lines
    from quorate.sim import FaultSchedule

    check_paths(save)
    console = Console()
    if schedule is not None:
        try:
            faults = FaultSchedule.from_json(schedule.read_bytes())
        except msgspec.DecodeError as cause:
            raise UsageError(f"{schedule} is no schedule of faults: {cause}") from cause
        options = msgspec.structs.replace(options, faults=faults)
    outcome = run_one(options, trace=trace)
    if save is not None:
        save.write_bytes(outcome.applied.to_json())

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"seed {options.seed}, {options.level} level, {outcome.node_count} nodes, trace {outcome.trace_hash:#x}")
    say(f"{outcome.simulated_ns / SECOND:.3f} simulated seconds; operations {outcome.operations}")
    for line in schedule_lines(outcome):
        say(f"  {line}")
    if not outcome.is_failed:
        say("passed")
        return 0
    say(f"FAILED  {outcome.kind}: {outcome.sentence}")
    if shrunk:
        print_failure(console, outcome)
    return 1


@museum.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """List the exhibits."""
    if context.invoked_subcommand is None:
        from quorate.lab.museum import print_exhibits

        print_exhibits(Console())


@museum.command()
def run(
    name: Annotated[str, typer.Argument(help="As `quorate museum` lists it.")],
    seeds: Annotated[int, typer.Option("--seeds", help="Try at most so many.", min=1)] = 500,
) -> None:
    """Plant a bug, find it, and show how little it takes. Exit status 0 when it was caught."""
    from quorate.lab.museum import show_exhibit

    raise typer.Exit(show_exhibit(name, Console(), seed_count_max=seeds))


@museum.command()
def measure(
    names: Annotated[list[str] | None, typer.Argument(help="Exhibits; none: all of them.")] = None,
    hunts: Annotated[int, typer.Option("--hunts", help="How often each is hunted, from other seeds.", min=1)] = 10,
    seeds: Annotated[int, typer.Option("--seeds", help="A hunt gives up after so many.", min=1)] = 300,
    page: Annotated[Path | None, typer.Option("--page", help="Write the table into this page.")] = None,
    on: Annotated[str, typer.Option("--on", help=_ON_HELP)] = "local",
    results: Annotated[Path | None, typer.Option("--results", help=_RESULTS_HELP)] = None,
) -> None:
    """Measure how many seeds it takes to catch each bug. Exit status 1 when one got away."""
    from quorate.lab.museum import MeasureOptions, measure_exhibits

    options = MeasureOptions(
        names=tuple(names or ()), hunt_count=hunts, seed_count_max=seeds, on=on, results=results, page=page
    )
    raise typer.Exit(measure_exhibits(options, Console()))
