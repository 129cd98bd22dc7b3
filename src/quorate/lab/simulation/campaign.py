"""A campaign: many seeds, and what they reached together. `driving` runs one on an engine."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import msgspec

from quorate.kernel import Duration
from quorate.lab.simulation.marks import ENOUGH_SEEDS, MARKS
from quorate.lab.simulation.options import LEVELS, Level, Outcome, SimOptions


class CampaignOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a campaign makes."""

    first_seed: int = 1
    seed_count: int = 500
    levels: tuple[Level, ...] = ("loop",)
    node_count: int = 0
    span: Duration = Duration(0)
    bug: str | None = None
    # Who runs it, and the file that keeps what came back: see `quorate.lab.scale`.
    on: str = "local:1"
    results: Path | None = None
    # A job is a range of so many seeds, each at all levels; 0: by the number of seeds. A file that exists knows better.
    seeds_per_job: int = 0
    # Stop handing out runs after so much real time, seconds; 0: never.
    time_max_s: float = 0.0
    # Stop after so many failures; 0: never.
    failure_count_max: int = 0
    # So many failures are made smaller, as jobs of the same engine.
    shrunk_count_max: int = 0


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """What a range of seeds found. Shards are added up in any order."""

    run_counts: dict[Level, int]
    simulated_ns: int
    processor_s: float
    fault_counts: dict[str, int]
    operations: dict[str, int]
    marks: dict[Level, dict[str, int]]
    failures: list[Outcome]

    @property
    def run_count(self) -> int:
        """Runs done."""
        return sum(self.run_counts.values())


class CampaignResult(msgspec.Struct, kw_only=True):
    """What a campaign has found so far."""

    run_counts: Counter[Level] = msgspec.field(default_factory=Counter)
    simulated_ns: int = 0
    wall_s: float = 0.0
    processor_s: float = 0.0
    fault_counts: Counter[str] = msgspec.field(default_factory=Counter)
    operations: Counter[str] = msgspec.field(default_factory=Counter)
    marks: dict[Level, Counter[str]] = msgspec.field(default_factory=lambda: {level: Counter() for level in LEVELS})
    failures: list[Outcome] = msgspec.field(default_factory=list)
    # The failures that were made smaller: (level, seed) → what is left.
    shrunk: dict[tuple[Level, int], Outcome] = msgspec.field(default_factory=dict)
    # What was mended in the file, and the runs whose result was in it already.
    repairs: list[str] = msgspec.field(default_factory=list)
    reused_run_count: int = 0
    # Jobs that were run again because their process died; jobs that have no result, a sentence each.
    rerun_count: int = 0
    troubles: list[str] = msgspec.field(default_factory=list)
    # Why the engine could not go on; "" if it could.
    broken: str = ""
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

    def merge(self, shard: Shard) -> None:
        """Take the runs of a range of seeds into account."""
        self.run_counts.update(shard.run_counts)
        self.simulated_ns += shard.simulated_ns
        self.processor_s += shard.processor_s
        self.fault_counts.update(shard.fault_counts)
        self.operations.update(shard.operations)
        for level, counts in shard.marks.items():
            self.marks[level].update(counts)
        self.failures.extend(shard.failures)

    def to_shard(self) -> Shard:
        """Return what was found, without what is known of a whole campaign only."""
        return Shard(
            run_counts=dict(self.run_counts),
            simulated_ns=self.simulated_ns,
            processor_s=self.processor_s,
            fault_counts=dict(self.fault_counts),
            operations=dict(self.operations),
            marks={level: dict(counts) for level, counts in self.marks.items() if counts},
            failures=self.failures,
        )

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
        """0: passed; 1: a run failed, or has no result; 3: harmless, but blind; 130: interrupted."""
        if self.failures or self.troubles or self.broken:
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
        case "available":
            from quorate.lab.simulation.available import run_available

            return run_available
        case _:
            assert_never(level)
