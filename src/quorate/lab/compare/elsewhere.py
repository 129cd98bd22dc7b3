"""The runs of a comparison as jobs of a campaign: on any engine, kept in a file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quorate.lab.compare.card import Runner
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.results import RunResult
from quorate.lab.compare.run import run_plan
from quorate.lab.scale import spread

TASK = "quorate.lab.compare.elsewhere:run_job"


def run_job(configuration: Any, _first_seed: int, _seed_count: int) -> RunResult:
    """Run one plan; a job.

    Args:
        configuration: the `RunPlan`, as JSON decodes it.
    """
    return run_plan(msgspec.convert(configuration, RunPlan))


def run_on(on: str, results: Path | None = None) -> Runner:
    """Return a runner on an engine of `quorate.lab.scale`.

    Args:
        on: local, local:N, dask://HOST:PORT, ray://HOST:PORT ...
        results: keeps what comes back; runs that it has are not made again.
    """

    def run(plans: Sequence[RunPlan], on_done: Callable[[int], None]) -> list[RunResult]:
        done: list[int] = []

        def note(place: int, _result: RunResult) -> None:
            done.append(place)
            on_done(len(done))

        return spread(TASK, plans, RunResult, on=on, results=results, on_result=note, jobs_per_process=20)

    return run
