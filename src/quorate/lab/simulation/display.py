"""What a campaign shows while it runs and when it ends."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from quorate.kernel import SECOND
from quorate.lab.simulation.campaign import CampaignOptions, CampaignResult
from quorate.lab.simulation.marks import MARKS
from quorate.lab.simulation.options import LEVELS, Outcome
from quorate.lab.simulation.smaller import schedule_lines, shrink_run


class CampaignDisplay:
    """A progress bar with what was reached so far; a line per failure where there is no terminal."""

    def __init__(self, console: Console, options: CampaignOptions) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("seeds", total=options.seed_count * len(options.levels))
        self._live = (
            Live(self._bar, console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def on_outcome(self, result: CampaignResult, outcome: Outcome) -> None:
        """Show one more run."""
        self._bar.advance(self._task)
        if outcome.is_failed:
            self._console.print(f"seed {outcome.options.seed}: {outcome.kind}: {first_line(outcome.sentence)}")
        if self._live is not None:
            self._live.update(Group(self._bar, Text(speed_line(result)), Text(faults_line(result))))


def first_line(text: str) -> str:
    """Return the beginning of a text, short enough for a terminal's line."""
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 200 else line[:197] + "..."


def speed_line(result: CampaignResult) -> str:
    """Say how fast a campaign goes."""
    wall_s = max(result.wall_s, 1e-9)
    simulated_s = result.simulated_ns / SECOND
    return (
        f"{result.run_count} runs, {result.run_count / wall_s:.1f} seeds/s, {simulated_s:,.0f} simulated seconds, "
        f"{simulated_s / wall_s:,.0f} per second, {result.operations['ok']:,} operations served, "
        f"{len(result.failures)} failures"
    )


def faults_line(result: CampaignResult) -> str:
    """Say which harm was done."""
    plain = [f"{name} {count:,}" for name, count in sorted(result.fault_counts.items()) if not name.startswith("aim")]
    aimed = sum(count for name, count in result.fault_counts.items() if name.startswith("aim"))
    return f"faults: {', '.join(plain) or 'none'}; {aimed:,} of the harms were aimed"


def print_result(console: Console, options: CampaignOptions, result: CampaignResult, *, shrunk_max: int) -> None:
    """Print what a campaign found, with the smallest schedule of the first failures."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(speed_line(result))
    say(faults_line(result))
    console.print(_marks_table(result))
    missing = result.missing_marks()
    if missing:
        say(f"never reached: {'; '.join(missing)}")
        if not result.has_enough_seeds:
            say("(too few seeds to hold that against the campaign)")
    for place, outcome in enumerate(result.failures):
        say(f"\nFAILED  {outcome.options.command}")
        if place < shrunk_max and not result.is_interrupted:
            print_failure(console, outcome)
        else:
            say(f"        {outcome.kind}: {first_line(outcome.sentence)}")
    if result.is_interrupted:
        say("interrupted")
    elif not result.failures:
        say(f"no run failed ({options.bug or 'nothing planted'})")
    sys.stdout.flush()


def print_failure(console: Console, outcome: Outcome, *, run_count_max: int = 100) -> Outcome:
    """Shrink a failing run and print it; return what it was shrunk to."""
    smaller = shrink_run(outcome, run_count_max=run_count_max)
    text = [
        f"{smaller.kind}: {smaller.sentence}",
        (
            f"{smaller.node_count} nodes, {smaller.options.time / SECOND:.3f} s of faults; "
            f"{len(outcome.applied)} faults shrunk to {len(smaller.applied)}:"
        ),
        *schedule_lines(smaller),
    ]
    console.print("\n".join(f"        {line}" for part in text for line in part.splitlines()), highlight=False,
                  markup=False, soft_wrap=True)  # fmt: skip
    return smaller


def _marks_table(result: CampaignResult) -> Table:
    levels = [level for level in LEVELS if result.run_counts[level]]
    table = Table("sometimes", *levels, box=None, pad_edge=False)
    for mark in dict.fromkeys(mark for level in levels for mark in MARKS[level]):
        cells = []
        for level in levels:
            count = result.marks[level][mark]
            wanted = mark in MARKS[level]
            cells.append(f"{count:,}" if count else ("[red]never[/]" if wanted else "-"))
        table.add_row(mark, *cells)
    return table
