"""Commands that run designs side by side, measured beside theory."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from quorate.cli.paths import check_paths


class _Designs(TyperGroup):
    """Takes what is none of its commands as designs: `quorate compare raft leaderless:r=1,w=1`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["designs", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Designs,
    help="Runs designs side by side, such as raft and leaderless:n=3,r=1,w=1, each figure beside its prediction.",
    no_args_is_help=True,
)

Seed = Annotated[int, typer.Option("--seed", help="What reproduces a run.")]
On = Annotated[str, typer.Option("--on", help="local, local:N, dask://HOST:PORT, ray://HOST:PORT …")]
ResultsFile = Annotated[Path | None, typer.Option("--results", help="Keep what comes back there, and go on from it.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Write a picture there, as SVG.")]


def register(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="compare")


@app.command()
def detectors(
    conditions: Annotated[
        str, typer.Option("--conditions", help="calm, loss, pauses, skew; with commas.")
    ] = "calm,loss,pauses,skew",
    peers: Annotated[int, typer.Option("--peers", help="Nodes that are watched.", min=1, max=200)] = 20,
    span: Annotated[
        float, typer.Option("--span", help="Simulated seconds before they die.", min=10, max=86_400)
    ] = 600.0,
    seed: Seed = 1,
    on: On = "local",
    results: ResultsFile = None,
    plot: Plot = None,
) -> None:
    """Compare failure detectors: detection time against false suspicions, under four kinds of harm."""
    from quorate.kernel import seconds
    from quorate.lab.membership import DetectorOptions, compare_detectors_on, detectors_svg, print_detectors

    options = DetectorOptions(conditions=tuple(conditions.split(",")), seed=seed, peer_count=peers, span=seconds(span))
    rows = compare_detectors_on(options, on, results)
    print_detectors(Console(), rows)
    if plot is not None:
        plot.write_text(detectors_svg(rows), encoding="utf-8")


@app.command()
def membership(
    members: Annotated[str, typer.Option("--members", help="Sizes of clusters, with commas.")] = "1,10,100,1000",
    profile: Annotated[str, typer.Option("--profile", help="local, lan or wan.")] = "lan",
    lifeguard: Annotated[bool, typer.Option("--lifeguard/--plain", help="With its three parts or without.")] = True,
    loss: Annotated[float, typer.Option("--loss", help="Share of datagrams lost in the last phase.")] = 0.1,
    span: Annotated[
        float, typer.Option("--span", help="Simulated seconds of the quiet phases.", min=1, max=86_400)
    ] = 20.0,
    seed: Seed = 1,
    on: On = "local",
    results: ResultsFile = None,
    plot: Plot = None,
) -> None:
    """Run clusters of SWIM members in simulation: rumours, deaths, traffic and errors beside the theory."""
    from quorate.kernel import seconds
    from quorate.kernel.errors import UsageError
    from quorate.lab.membership import MembershipOptions, compare_sizes_on, membership_svg, print_membership

    try:
        counts = tuple(int(count) for count in members.split(","))
    except ValueError as cause:
        raise UsageError(f"--members: whole numbers with commas, not {members!r}") from cause
    options = MembershipOptions(
        member_counts=counts, profile=profile, lifeguard=lifeguard, seed=seed, loss=loss, quiet_span=seconds(span)
    )
    rows = compare_sizes_on(options, on, results)
    print_membership(Console(), options, rows)
    if plot is not None:
        plot.write_text(membership_svg(rows), encoding="utf-8")


@app.command()
def elections(
    kinds: Annotated[str, typer.Option("--kinds", help="bully, ring; with commas.")] = "bully,ring",
    cures: Annotated[
        str, typer.Option("--cures", help="none, token, quorum, quorum + token, stonith; with commas.")
    ] = "none,token,quorum,quorum + token,stonith",
    harms: Annotated[str, typer.Option("--harms", help="partition, pause; with commas.")] = "partition,pause",
    span: Annotated[float, typer.Option("--span", help="Seconds of each run.", min=2, max=600)] = 10.0,
    real: Annotated[
        bool, typer.Option("--real", help="On five processes of this machine; STONITH kills them with SIGKILL.")
    ] = False,
    seed: Seed = 1,
) -> None:
    """Show how a plain election comes to two leaders at one time, and what each cure cures."""
    from quorate.kernel import seconds
    from quorate.lab.elections import ElectionOptions, compare_elections, compare_elections_really, print_elections

    options = ElectionOptions(
        kinds=tuple([name.strip() for name in kinds.split(",")]),
        cures=tuple([name.strip() for name in cures.split(",")]),
        harms=tuple([name.strip() for name in harms.split(",")]),
        seed=seed,
        span=seconds(span),
    )
    run_count, console, done = len(options.runs()), Console(), 0
    with Console(stderr=True).status(f"0 of {run_count} runs") as status:

        def tell(_: object) -> None:
            nonlocal done
            done += 1
            status.update(f"{done} of {run_count} runs")

        rows = (compare_elections_really if real else compare_elections)(options, on_row=tell)
    print_elections(console, rows, span=span)


_FAULTS = typer.Option(
    "--faults",
    help="With commas: none, slow-link, minority, majority, one-way, kill, zone, skew, shatter.",
    show_default="all but the last two",
)


@app.command()
def designs(
    designs: Annotated[
        list[str],
        typer.Argument(
            help="raft or leaderless, with options behind a colon. raft: lease, election=MS. leaderless: n=3, r=2, "
            "w=2 (0: fire and forget), sloppy, eager, repair=…, rule=…, hints=no, anti-entropy=no."
        ),
    ],
    faults: Annotated[str, _FAULTS] = "none,slow-link,minority,majority,one-way,kill,zone",
    seeds: Annotated[str, typer.Option("--seeds", help="With commas; each is one more run of everything.")] = "1",
    nodes: Annotated[int, typer.Option("--nodes", help="3, or 5 to 9, in three zones.")] = 5,
    rate: Annotated[float, typer.Option("--rate", help="Operations a second, through all nodes.")] = 120.0,
    span: Annotated[float, typer.Option("--span", help="Simulated seconds of each fault.")] = 4.0,
    latency: Annotated[float, typer.Option("--latency", help="Least delay of every link, ms.")] = 0.5,
    jitter: Annotated[float, typer.Option("--jitter", help="Most that is added to it, ms.")] = 1.5,
    real: Annotated[
        bool, typer.Option("--real", help="On processes of this machine, one after another, not in simulation.")
    ] = False,
    on: On = "local",
    results: ResultsFile = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the cards there, as one page.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write everything there.")] = None,
) -> None:
    """Run designs under the same load and the same faults; print a measured card for each.

    In simulation: exact, and the same again from the same command. With --real: processes, in real time.
    PACELC letters are derived from the figures, by rules that are printed.
    Exit status 0: every prediction was within its tolerance; 3: some were not; 1: what was asked cannot be.
    """
    import msgspec

    from quorate.kernel.errors import UsageError
    from quorate.lab.compare import CompareOptions, compare_designs, print_comparison, render_page, run_on, run_really

    options = CompareOptions(
        designs=tuple(designs),
        scenarios=tuple([name.strip() for name in faults.split(",")]),
        seeds=_numbers(seeds),
        node_count=nodes,
        rate=rate,
        span_s=span,
        latency_ms=latency,
        jitter_ms=jitter,
        is_real=real,
    )
    check_paths(html, json)
    if real and (on != "local" or results is not None):
        raise UsageError("--real runs on processes of this machine: --on and --results are for simulations")
    run_count, console = len(options.plans()), Console()
    with Console(stderr=True).status(f"0 of {run_count} runs") as status:
        found = compare_designs(
            options,
            runner=run_really if real else run_on(on, results),
            on_done=lambda done: status.update(f"{done} of {run_count} runs"),
        )
    print_comparison(console, found)
    if html is not None:
        html.write_text(render_page(found), encoding="utf-8")
        console.print(f"page     {html}", highlight=False, soft_wrap=True)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        console.print(f"figures  {json}", highlight=False, soft_wrap=True)
    within, count = found.prediction_counts
    raise typer.Exit(0 if within == count else 3)


def _numbers(seeds: str) -> tuple[int, ...]:
    from quorate.kernel.errors import UsageError

    try:
        return tuple([int(seed) for seed in seeds.split(",")])
    except ValueError as cause:
        raise UsageError(f"--seeds: whole numbers with commas, not {seeds!r}") from cause


@app.command()
def pbs(
    fits: Annotated[
        str, typer.Option("--fits", help="Published latencies, with commas.")
    ] = "LNKD-SSD,LNKD-DISK,YMMR,WAN",
    quorums: Annotated[str, typer.Option("--quorums", help="R/W with commas, N = 3.")] = "1/1,2/1,1/2,2/2",
    trials: Annotated[
        int, typer.Option("--trials", help="Trials of each prediction.", min=1, max=50_000_000)
    ] = 200_000,
    cluster: Annotated[
        int, typer.Option("--cluster", help="Trials on a simulated cluster, for each row; 0: none.", min=0, max=100_000)
    ] = 600,
    seed: Seed = 1,
    plot: Plot = None,
) -> None:
    """Predict how soon a read sees a write, from published latencies; beside what was published, and measured.

    Exit status 0: every figure was within its tolerance; 3: some were not.
    """
    from quorate.kernel.errors import UsageError
    from quorate.lab.compare import PBSOptions, pbs_svg, predict_rows, print_rows

    try:
        pairs = [pair.split("/") for pair in quorums.split(",")]
        counts = tuple([(int(r), int(w)) for r, w in pairs])
    except ValueError as cause:
        raise UsageError(f"--quorums: R/W with commas, such as 1/1,2/1; not {quorums!r}") from cause
    check_paths(plot)
    names = tuple([name.strip() for name in fits.split(",")])
    options = PBSOptions(fits=names, quorums=counts, trial_count=trials, cluster_trial_count=cluster, seed=seed)
    rows = predict_rows(options)
    print_rows(Console(), rows, options)
    if plot is not None:
        plot.write_text(pbs_svg(rows), encoding="utf-8")
    raise typer.Exit(0 if all(all(row.verdicts.values()) for row in rows) else 3)
