"""Commands that run designs side by side, measured beside theory."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Runs designs side by side, each figure beside its prediction.", no_args_is_help=True)

Seed = Annotated[int, typer.Option("--seed", help="What reproduces a run.")]
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
    span: Annotated[float, typer.Option("--span", help="Simulated seconds before they die.", min=10)] = 600.0,
    seed: Seed = 1,
    plot: Plot = None,
) -> None:
    """Compare failure detectors: detection time against false suspicions, under four kinds of harm."""
    from quorate.kernel import seconds
    from quorate.lab.membership import DetectorOptions, compare_detectors, detectors_svg, print_detectors

    options = DetectorOptions(conditions=tuple(conditions.split(",")), seed=seed, peer_count=peers, span=seconds(span))
    rows = compare_detectors(options)
    print_detectors(Console(), rows)
    if plot is not None:
        plot.write_text(detectors_svg(rows), encoding="utf-8")


@app.command()
def membership(
    members: Annotated[str, typer.Option("--members", help="Sizes of clusters, with commas.")] = "1,10,100,1000",
    profile: Annotated[str, typer.Option("--profile", help="local, lan or wan.")] = "lan",
    lifeguard: Annotated[bool, typer.Option("--lifeguard/--plain", help="With its three parts or without.")] = True,
    loss: Annotated[float, typer.Option("--loss", help="Share of datagrams lost in the last phase.")] = 0.1,
    span: Annotated[float, typer.Option("--span", help="Simulated seconds of the quiet phases.", min=1)] = 20.0,
    seed: Seed = 1,
    plot: Plot = None,
) -> None:
    """Run clusters of SWIM members in simulation: rumours, deaths, traffic and errors beside the theory."""
    from quorate.kernel import seconds
    from quorate.kernel.errors import UsageError
    from quorate.lab.membership import MembershipOptions, compare_sizes, membership_svg, print_membership

    try:
        counts = tuple(int(count) for count in members.split(","))
    except ValueError as cause:
        raise UsageError(f"--members: whole numbers with commas, not {members!r}") from cause
    options = MembershipOptions(
        member_counts=counts, profile=profile, lifeguard=lifeguard, seed=seed, loss=loss, quiet_span=seconds(span)
    )
    rows = compare_sizes(options)
    print_membership(Console(), options, rows)
    if plot is not None:
        plot.write_text(membership_svg(rows), encoding="utf-8")
