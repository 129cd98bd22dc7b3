"""Measures what it takes to catch each bug: many hunts, as jobs on any engine, kept in a file."""

from contextlib import nullcontext
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quorate.lab.museum.bug import BUGS, Bug, bug_named
from quorate.lab.museum.guide import row_of, write_table
from quorate.lab.museum.hunt import STRIDE, Measured, Trail, follow, summed
from quorate.lab.scale import (
    Drive,
    EngineFailed,
    Found,
    Job,
    Trouble,
    check_engine,
    make_job,
    open_engine,
    open_results,
)

TASK = f"{follow.__module__}:{follow.__name__}"


class MeasureOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which bugs are measured, how, and where."""

    # None: all of them.
    names: tuple[str, ...] = ()
    # Hunts for each bug, from seeds that are far apart, and seeds after which one is given up.
    hunt_count: int = 10
    seed_count_max: int = 300
    # Who makes them, and the file that keeps them: see `quorate.lab.scale`.
    on: str = "local"
    results: Path | None = None
    # Its table gets the rows.
    page: Path | None = None


def measure_exhibits(options: MeasureOptions, console: Console) -> int:
    """Hunt bugs, print a row for each that has all its hunts, and write the table of the page.

    Returns:
        The exit status: 0; 1 when a bug got away each time, or a hunt has no result; 130 after Ctrl-C.

    Raises:
        UsageError: no such bug or engine; a page without a table, or a file that is none of ours. Nothing was hunted.
        EngineFailed: nobody answers at the engine's address.
    """
    bugs = [bug_named(name) for name in dict.fromkeys(options.names)] or list(BUGS.values())
    check_engine(options.on)
    if options.page is not None:
        # Not after hours of hunting.
        write_table(options.page, [])
    return _Measuring(bugs, options, console).run()


class _Measuring:
    """One measurement, while it runs."""

    def __init__(self, bugs: list[Bug], options: MeasureOptions, console: Console) -> None:
        self.bugs = bugs
        self.options = options
        self.console = console
        self.trails: dict[str, list[Trail]] = {bug.name: [] for bug in bugs}
        self.rows: list[Measured] = []
        self.bar = Progress(
            TextColumn("hunts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self.task = self.bar.add_task("hunts", total=len(bugs) * options.hunt_count)

    def run(self) -> int:
        options, say = self.options, self._say
        broken = ""
        with open_results(options.results) as results, open_engine(options.on, preload=(__name__,)) as engine:
            for repair in results.repairs if results is not None else ():
                say(repair)
            drive = Drive(engine, results, self._take, on_trouble=self._on_trouble)
            with self.bar if self.console.is_terminal else nullcontext():
                try:
                    report = drive.run(self._jobs())
                except EngineFailed as cause:
                    report, broken = drive.report, str(cause)
        if options.page is not None:
            write_table(options.page, self.rows)
        missed = [one.bug for one in self.rows if one.caught_count < one.hunt_count]
        if missed:
            say(f"got away at least once: {', '.join(missed)}")
        unfinished = [name for name, trails in self.trails.items() if len(trails) < options.hunt_count]
        if unfinished:
            say(f"not measured: {', '.join(unfinished)}")
        if broken:
            say(f"the measurement could not go on: {broken}")
        if report.is_interrupted:
            say("interrupted" + (f"; the same command goes on from {options.results}" if options.results else ""))
            return 130
        return 1 if unfinished or any(one.caught_count == 0 for one in self.rows) else 0

    def _jobs(self) -> list[Job]:
        return [
            make_job(TASK, {"bug": bug.name}, first_seed=1 + STRIDE * place, seed_count=self.options.seed_count_max)
            for bug in self.bugs
            for place in range(self.options.hunt_count)
        ]

    def _take(self, found: Found) -> None:
        trail = msgspec.json.decode(found.result, type=Trail)
        trails = self.trails[trail.bug]
        trails.append(trail)
        self.bar.advance(self.task)
        if len(trails) == self.options.hunt_count:
            # In the order of the seeds, not of the answers: sums of floats depend on it.
            self.rows.append(summed(sorted(trails, key=lambda one: one.first_seed)))
            self._say(row_of(self.rows[-1]))

    def _on_trouble(self, trouble: Trouble) -> None:
        name = msgspec.json.decode(trouble.job.configuration)["bug"]
        self._say(f"NO RESULT  {name}: {trouble}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
