"""`quorate explore`: search or walk, say what was found, draw what does not hold."""

from pathlib import Path
from typing import Any

from rich.console import Console

from quorate.check import explore as x
from quorate.kernel.errors import UsageError
from quorate.lab.exploring.catalogue import EXPLORABLE, filled, make_explorable
from quorate.lab.exploring.driving import Driving
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.lab.exploring.transcripts import say_simulated, write_transcript
from quorate.lab.exploring.walking import walk_elsewhere, walk_part


def run_exploration(
    options: ExploreOptions, console: Console, *, on: str | None = None, results: Path | None = None
) -> int:
    """Explore, show progress, print what was found; return 0 if all holds, 1 if not, 2 if it is not known.

    Interrupted from the keyboard it says what it knows so far, and keeps it if there is a checkpoint file.

    Args:
        options: what, and how.
        console: where it is told.
        on: an engine of `quorate.lab.scale` that takes the walks; None: this process.
        results: with an engine: keeps what walks found.

    Raises:
        UsageError: there is no such system or engine, or the options do not fit it or each other.
    """
    options = filled(options)
    made = make_explorable(options)
    if options.walk_count:
        return _walk(made, options, console, on=on, results=results)
    if on is not None:
        raise UsageError("--on is for --walks; a search spreads over the cores of this machine with --workers")
    search = x.Search(
        made.system, made.properties, order=options.order, sleep_sets=options.sleep_sets, depth_max=options.depth_max
    )
    found, last, is_interrupted = Driving(search, options, console).run()
    for number, (name, example) in enumerate(found.counterexamples.items()):
        _show_example(made, name, example, options, console, number=number)
    for name, example in found.reached.items():
        console.print(f"reached: {name}, first after {len(example.choices)} choices", highlight=False)
    ended = "all of them" if found.is_complete else "not all: interrupted" if is_interrupted else "not all"
    console.print(
        f"{found.state_count} states ({ended}), {found.edge_count} choices, depth {found.depth}, "
        f"{found.final_count} final states, {last.frontier_count} waiting",
        highlight=False,
    )
    if found.counterexamples:
        return 1
    if found.undecided:
        console.print(f"undecided: {', '.join(found.undecided)}", highlight=False)
    elif found.is_complete:
        console.print("every property holds in this scope", highlight=False)
    return 0 if found.holds else 2


def list_systems(console: Console) -> None:
    """Print what can be explored, with the states of each documented scope."""
    for entry in EXPLORABLE.values():
        states = "" if entry.state_count is None else f"{entry.state_count:,} states"
        console.print(f"{entry.name:20} {states:>14}  {entry.words}", highlight=False, soft_wrap=True)


def _walk(made: Explorable, options: ExploreOptions, console: Console, *, on: str | None, results: Path | None) -> int:
    """Draw random runs: they refute, they never prove."""
    walks = walk_part(made, options) if on is None else walk_elsewhere(made, options, console, on=on, results=results)
    for number, (name, example) in enumerate(walks.counterexamples.items()):
        _show_example(made, name, example, options, console, number=number)
    for name, count in walks.seen.items():
        console.print(f"reached in {count} of {walks.walk_count} walks: {name}", highlight=False)
    met = f", {walks.shape_count} shapes and marks met" if options.is_guided else ""
    console.print(f"{walks.walk_count} walks, {walks.step_count} choices{met}, seed {options.seed}", highlight=False)
    if not walks.counterexamples:
        console.print("these walks refute nothing, which proves nothing", highlight=False)
    return 1 if walks.counterexamples else 2


def _show_example(
    made: Explorable, name: str, example: x.Example[Any], options: ExploreOptions, console: Console, *, number: int
) -> None:
    """Print a counterexample, and write and run it as the options say."""
    rows = x.rows_of(made.system, example)
    if not rows:
        console.print(f"never happens: {name}", style="bold red", highlight=False)
        return
    loop = "" if example.loop is None else f"; from choice {example.loop + 1} on it repeats for ever"
    console.print(f"does not hold: {name} ({len(rows)} choices{loop})", style="bold red", highlight=False)
    console.print(x.draw_text(rows), highlight=False, markup=False, soft_wrap=True)
    title = f"{options.name}: {name} does not hold"
    if options.html is not None:
        path = _numbered(options.html, number)
        path.write_text(x.draw_html(rows, title=title), "utf-8")
        console.print(f"drawn in {path}", highlight=False)
    if options.transcript is not None:
        path = _numbered(options.transcript, number)
        path.write_text(write_transcript(options, example, comment=title), "utf-8")
        console.print(f"written to {path}: quorate explore --replay {path}", highlight=False, soft_wrap=True)
    if options.is_simulated:
        say_simulated(made, example, console)


def _numbered(path: Path, number: int) -> Path:
    """Return a file's name for the first counterexample, and names beside it for the others."""
    return path if number == 0 else path.with_stem(f"{path.stem}-{number + 1}")
