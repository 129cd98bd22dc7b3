"""Runs a campaign on an engine: ranges of seeds as jobs, then its failures made smaller, as jobs too."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from quorate.kernel import Duration
from quorate.lab.scale import (
    Drive,
    EngineFailed,
    Found,
    Job,
    Results,
    check_engine,
    make_job,
    open_engine,
    open_results,
)
from quorate.lab.simulation.campaign import CampaignOptions, CampaignResult, Shard, run_one
from quorate.lab.simulation.failures import chosen
from quorate.lab.simulation.options import Level, Outcome, SimOptions
from quorate.lab.simulation.smaller import shrink_run

# A process of the local pool makes so many runs and is replaced: simulated programs leave dead tasks behind on purpose.
RUNS_PER_PROCESS = 60
# A few seconds of work: longer than it takes to start a process, shorter than one wants to lose.
RUNS_PER_JOB_MAX = 40
# A small campaign still has so many jobs, so that all processes have something to do.
JOB_COUNT_MIN = 64
# Runs that make one failure smaller.
SHRINK_RUN_COUNT_MAX = 100

SEEDS_TASK = "quorate.lab.simulation.driving:run_seeds"
SHRINK_TASK = "quorate.lab.simulation.driving:shrink_failure"


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What all seeds of a campaign have in common; with the seed it determines a run."""

    levels: tuple[Level, ...]
    node_count: int
    span: Duration
    bug: str | None


def run_seeds(configuration: Any, first_seed: int, seed_count: int) -> Shard:
    """Make the runs of a range of seeds; a job of a campaign.

    Args:
        configuration: `Conditions`, as JSON decodes it.
        first_seed: of the range.
        seed_count: of the range.
    """
    conditions = msgspec.convert(configuration, Conditions)
    result = CampaignResult()
    for seed in range(first_seed, first_seed + seed_count):
        for level in conditions.levels:
            options = SimOptions(
                seed=seed,
                level=level,
                node_count=conditions.node_count,
                span=conditions.span,
                bug=conditions.bug,
            )
            result.add(run_one(options))
    return result.to_shard()


def shrink_failure(configuration: Any, _first_seed: int, _seed_count: int) -> Outcome:
    """Make a failing run smaller; a job of a campaign.

    Args:
        configuration: its `Outcome`, as JSON decodes it.
    """
    return shrink_run(msgspec.convert(configuration, Outcome), run_count_max=SHRINK_RUN_COUNT_MAX)


def run_campaign(
    options: CampaignOptions, on_shard: Callable[[CampaignResult, Shard], None] = lambda _result, _shard: None
) -> CampaignResult:
    """Make all runs on an engine, and make failures smaller.

    Args:
        options: which runs, and where.
        on_shard: called for each range of seeds, in the order in which they end.

    Returns:
        What was found; also after Ctrl-C, then marked as interrupted, and when the engine broke, then with the reason.

    Raises:
        UsageError: no such engine, or the file of results is none.
        EngineFailed: nobody answers at the engine's address.
    """
    check_engine(options.on)
    with open_results(options.results, seeds_per_job=options.seeds_per_job or _seeds_per_job(options)) as results:
        return _Driving(options, results, on_shard).run()


class _Driving:
    """One campaign, while it runs."""

    def __init__(
        self, options: CampaignOptions, results: Results | None, on_shard: Callable[[CampaignResult, Shard], None]
    ) -> None:
        self.options = options
        self.results = results
        self.on_shard = on_shard
        self.result = CampaignResult()
        self.seeds_per_job = options.seeds_per_job or _seeds_per_job(options)
        if results is not None:
            self.seeds_per_job = results.head.seeds_per_job
            self.result.repairs = list(results.repairs)
        self.began = time.monotonic()

    def run(self) -> CampaignResult:
        options, result = self.options, self.result
        jobs_per_process = RUNS_PER_PROCESS // (self.seeds_per_job * len(options.levels))
        preload = (__name__, "quorate.lab.museum")  # with it comes all that it plants bugs in
        with open_engine(options.on, jobs_per_process=jobs_per_process, preload=preload) as engine:
            self._drive(Drive(engine, self.results, self._take, is_over=self._is_over), self._ranges())
            result.failures.sort(key=lambda outcome: (outcome.options.seed, outcome.options.level))
            if not result.is_interrupted and not result.broken:
                failures = chosen(result.failures, options.shrunk_count_max)
                # How long a run took is no part of what it was.
                plain = [msgspec.structs.replace(failure, wall_s=0.0) for failure in failures]
                jobs = [make_job(SHRINK_TASK, failure, first_seed=failure.options.seed) for failure in plain]
                self._drive(Drive(engine, self.results, self._take_smaller), jobs)
        result.wall_s = time.monotonic() - self.began
        return result

    def _drive(self, drive: Drive, jobs: Iterable[Job]) -> None:
        result = self.result
        try:
            drive.run(jobs)
        except EngineFailed as cause:
            result.broken = str(cause)
        result.is_interrupted = result.is_interrupted or drive.report.is_interrupted
        result.rerun_count += drive.report.rerun_count
        result.troubles += [str(trouble) for trouble in drive.report.troubles]

    def _ranges(self) -> Iterator[Job]:
        """Yield the jobs. All campaigns cut at the same seeds, so that a longer one finds what a shorter one did."""
        options, step = self.options, self.seeds_per_job
        conditions = Conditions(
            levels=options.levels, node_count=options.node_count, span=options.span, bug=options.bug
        )
        seed, end = options.first_seed, options.first_seed + options.seed_count
        while seed < end:
            following = min(end, (seed - 1) // step * step + step + 1)
            yield make_job(SEEDS_TASK, conditions, first_seed=seed, seed_count=following - seed)
            seed = following

    def _take(self, found: Found) -> None:
        shard = msgspec.json.decode(found.result, type=Shard)
        self.result.merge(shard)
        self.result.wall_s = time.monotonic() - self.began
        if found.is_known:
            self.result.reused_run_count += shard.run_count
        self.on_shard(self.result, shard)

    def _take_smaller(self, found: Found) -> None:
        smaller = msgspec.json.decode(found.result, type=Outcome)
        self.result.shrunk[smaller.options.level, smaller.options.seed] = smaller

    def _is_over(self) -> bool:
        options = self.options
        return bool(
            (options.time_max_s and time.monotonic() - self.began > options.time_max_s)
            or (options.failure_count_max and len(self.result.failures) >= options.failure_count_max)
        )


def _seeds_per_job(options: CampaignOptions) -> int:
    most = max(1, RUNS_PER_JOB_MAX // len(options.levels))
    return max(1, min(most, options.seed_count // JOB_COUNT_MIN))
