"""What a campaign shows while it runs and when it ends."""

import sys
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from quorate.kernel import SECOND
from quorate.lab.simulation.campaign import CampaignOptions, CampaignResult, Shard
from quorate.lab.simulation.failures import Failures, grouped
from quorate.lab.simulation.marks import MARKS
from quorate.lab.simulation.options import LEVELS, Outcome
from quorate.lab.simulation.smaller import schedule_lines, shrink_run

# Beyond so many runs a campaign has no end to count towards.
ENDLESS: Final = 1 << 40
# Failures that are told as they come, and that are listed at the end; beyond, something is wrong everywhere.
FAILURE_LINES_MAX: Final = 50
# Where there is no terminal, a line of progress comes so often.
LINE_SECONDS: Final = 60.0
# Seeds that are listed for one schedule.
SEEDS_MAX: Final = 12


class CampaignDisplay:
    """A progress bar with what was reached so far; now and then a line where there is no terminal."""

    def __init__(self, console: Console, options: CampaignOptions) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        total = options.seed_count * len(options.levels)
        self._task = self._bar.add_task("runs", total=total if total < ENDLESS else None)
        self._told_s = 0.0
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

    def on_shard(self, result: CampaignResult, shard: Shard) -> None:
        """Show some more runs."""
        self._bar.advance(self._task, shard.run_count)
        shown = FAILURE_LINES_MAX - (len(result.failures) - len(shard.failures))
        for outcome in shard.failures[: max(0, shown)]:
            line = f"seed {outcome.options.seed}: {outcome.kind}: {first_line(outcome.sentence)}"
            self._console.print(line, highlight=False, markup=False)
        if self._live is not None:
            self._live.update(Group(self._bar, Text(speed_line(result)), Text(faults_line(result))))
        elif result.wall_s - self._told_s > LINE_SECONDS:
            # In a file that somebody follows.
            self._told_s = result.wall_s
            self._console.print(speed_line(result), highlight=False, soft_wrap=True)


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


def print_result(console: Console, options: CampaignOptions, result: CampaignResult) -> None:
    """Print what a campaign found: speed, harm, marks, and its failures without repetition."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for repair in result.repairs:
        say(repair)
    say(speed_line(result))
    if result.reused_run_count:
        say(f"{result.reused_run_count:,} of these runs were in {options.results} already")
    say(faults_line(result))
    console.print(_marks_table(result))
    missing = result.missing_marks()
    if missing:
        say(f"never reached: {'; '.join(missing)}")
        if not result.has_enough_seeds:
            say("(too few seeds to hold that against the campaign)")
    groups = grouped(result.failures, result.shrunk)
    for group in groups[:FAILURE_LINES_MAX]:
        _print_group(console, group, result)
    if len(groups) > FAILURE_LINES_MAX:
        say(f"... and {len(groups) - FAILURE_LINES_MAX} more kinds of failure")
    if result.rerun_count:
        say(f"{result.rerun_count} jobs were run again: the process that ran them had died")
    for trouble in result.troubles:
        say(f"NO RESULT  {trouble}")
    if result.broken:
        say(f"the campaign could not go on: {result.broken}")
    elif result.is_interrupted:
        say("interrupted" + (f"; the same command goes on from {options.results}" if options.results else ""))
    elif not result.failures and not result.troubles:
        say(f"no run failed ({options.bug or 'nothing planted'})")
    sys.stdout.flush()


def _print_group(console: Console, group: Failures, result: CampaignResult) -> None:
    smallest = group.smallest
    others = [seed for seed in group.seeds if seed != smallest.options.seed]
    seeds = ", ".join(map(str, others[:SEEDS_MAX])) + (", ..." if len(others) > SEEDS_MAX else "")
    # As it failed first: the smaller one has other options.
    first = next(one for one in result.failures if one.options.seed == smallest.options.seed
                 and one.options.level == smallest.options.level)  # fmt: skip
    lines = smaller_lines(first, smallest) if group.is_shrunk else [f"{first.kind}: {first_line(first.sentence)}"]
    if others:
        same = "comes down to the same schedule" if group.is_shrunk else "looks alike"
        lines.append(f"{len(others)} more {same}: seeds {seeds}")
    text = "\n".join([f"\nFAILED  {first.options.command}", *(f"        {line}" for line in lines)])
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_failure(console: Console, outcome: Outcome, *, run_count_max: int = 100) -> Outcome:
    """Shrink a failing run and print it; return what it was shrunk to."""
    smaller = shrink_run(outcome, run_count_max=run_count_max)
    text = "\n".join(f"        {line}" for line in smaller_lines(outcome, smaller))
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    return smaller


def smaller_lines(outcome: Outcome, smaller: Outcome) -> list[str]:
    """Say what a failure is and what is left of its schedule."""
    text = [
        f"{smaller.kind}: {smaller.sentence}",
        (
            f"{smaller.node_count} nodes, {smaller.options.time / SECOND:.3f} s of faults; "
            f"{len(outcome.applied)} faults shrunk to {len(smaller.applied)}:"
        ),
        *schedule_lines(smaller),
    ]
    return [line for part in text for line in part.splitlines()]


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
