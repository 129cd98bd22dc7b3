"""A campaign: many seeds on all cores, and what they reached together."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import assert_never

import msgspec

from quorate.kernel import Duration
from quorate.lab.simulation.marks import ENOUGH_SEEDS, MARKS
from quorate.lab.simulation.options import LEVELS, Level, Outcome, SimOptions

# A worker process makes so many runs and is replaced: simulated programs leave dead tasks behind on purpose.
RUNS_PER_PROCESS = 60
# Runs that are handed out ahead of those that are done, for each process.
AHEAD = 3


class CampaignOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a campaign makes."""

    first_seed: int = 1
    seed_count: int = 500
    levels: tuple[Level, ...] = ("loop",)
    node_count: int = 0
    span: Duration = Duration(0)
    bug: str | None = None
    job_count: int = 1
    # Stop handing out runs after so much real time, seconds; 0: never.
    time_max_s: float = 0.0
    # Stop after so many failures; 0: never.
    failure_count_max: int = 0

    def runs(self) -> Iterator[SimOptions]:
        """Yield the options of every run, the levels in turn."""
        for seed in range(self.first_seed, self.first_seed + self.seed_count):
            for level in self.levels:
                yield SimOptions(seed=seed, level=level, node_count=self.node_count, span=self.span, bug=self.bug)


class CampaignResult(msgspec.Struct, kw_only=True):
    """What a campaign has found so far."""

    run_counts: Counter[str] = msgspec.field(default_factory=Counter)
    simulated_ns: int = 0
    wall_s: float = 0.0
    processor_s: float = 0.0
    fault_counts: Counter[str] = msgspec.field(default_factory=Counter)
    operations: Counter[str] = msgspec.field(default_factory=Counter)
    marks: dict[Level, Counter[str]] = msgspec.field(default_factory=lambda: {level: Counter() for level in LEVELS})
    failures: list[Outcome] = msgspec.field(default_factory=list)
    is_interrupted: bool = False

    @property
    def run_count(self) -> int:
        """Runs done."""
        return self.run_counts.total()

    def add(self, outcome: Outcome) -> None:
        """Take one run into account."""
        level = outcome.options.level
        self.run_counts[level] += 1
        self.simulated_ns += outcome.simulated_ns
        self.processor_s += outcome.wall_s
        self.fault_counts.update(outcome.fault_counts)
        self.operations.update(outcome.operations)
        self.marks[level].update(outcome.marks)
        if outcome.is_failed:
            self.failures.append(outcome)

    def missing_marks(self) -> list[str]:
        """Return the marks that no run reached, of the levels that had any run."""
        return [
            f"{mark} ({level} level)"
            for level, marks in MARKS.items()
            if self.run_counts[level]
            for mark in marks
            if not self.marks[level][mark]
        ]

    @property
    def has_enough_seeds(self) -> bool:
        """Whether a mark that was not reached is a failure."""
        return bool(self.run_counts) and all(count >= ENOUGH_SEEDS for count in self.run_counts.values())

    @property
    def exit_status(self) -> int:
        """0: passed; 1: a run failed; 3: harmless, but blind; 130: interrupted."""
        if self.failures:
            return 1
        if self.is_interrupted:
            return 130
        return 3 if self.has_enough_seeds and self.missing_marks() else 0


def run_one(options: SimOptions, *, trace: bool = False) -> Outcome:
    """Make one run, with its bug planted if it has one."""
    # Here, so that a process loads only what it runs; and before the planting, which replaces names in what is loaded.
    from quorate.lab.museum import bug_named, planted

    bug = bug_named(options.bug) if options.bug else None
    run = runner_of(options.level)
    with planted(bug):
        return run(options, dict(bug.conditions) if bug is not None else None, trace=trace)


def runner_of(level: Level) -> Callable[..., Outcome]:
    """Return what makes a run of a level: called with options, fixed conditions, and `trace`."""
    match level:
        case "loop":
            from quorate.lab.simulation.run import run_loop

            return run_loop
        case "core":
            from quorate.lab.simulation.core_run import run_core

            return run_core
        case _:
            assert_never(level)


def run_campaign(
    options: CampaignOptions, on_outcome: Callable[[CampaignResult, Outcome], None] = lambda _result, _outcome: None
) -> CampaignResult:
    """Make all runs on a pool of processes.

    Args:
        options: which.
        on_outcome: called after each run, in the order in which they end.

    Returns:
        What was found; also after Ctrl-C, then marked as interrupted.
    """
    result = CampaignResult()
    began = time.monotonic()
    runs = options.runs()
    pool = ProcessPoolExecutor(
        options.job_count,
        mp_context=get_context("forkserver"),
        initializer=_be_quiet,
        max_tasks_per_child=RUNS_PER_PROCESS,
    )
    waiting: set[Future[Outcome]] = set()  # no order is taken from it
    try:
        while True:
            is_over = bool(
                (options.time_max_s and time.monotonic() - began > options.time_max_s)
                or (options.failure_count_max and len(result.failures) >= options.failure_count_max)
            )
            while not is_over and len(waiting) < options.job_count * AHEAD:
                run = next(runs, None)
                if run is None:
                    is_over = True
                else:
                    waiting.add(pool.submit(run_one, run))
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                result.add(outcome)
                result.wall_s = time.monotonic() - began
                on_outcome(result, outcome)
    except KeyboardInterrupt:
        result.is_interrupted = True
    finally:
        pool.shutdown(wait=not result.is_interrupted, cancel_futures=True)
    result.failures.sort(key=lambda outcome: (outcome.options.seed, outcome.options.level))
    result.wall_s = time.monotonic() - began
    return result


def _be_quiet() -> None:
    """Leave Ctrl-C to the process that the person sees."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
