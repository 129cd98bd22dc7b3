"""One function over many configurations, on any engine: what comparisons and measurements need."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from quorate.kernel.errors import QuorateError
from quorate.lab.scale.drive import Drive, Found, Trouble
from quorate.lab.scale.job import Job, make_job
from quorate.lab.scale.named import check_engine, open_engine
from quorate.lab.scale.results import open_results

T = TypeVar("T")


class JobsFailed(QuorateError):
    """Some jobs have no result; the sentence says which and why. The results of the others are in the file."""

    code = "JOBS"

    def __init__(self, troubles: list[Trouble]) -> None:
        lines = "\n".join(str(trouble) for trouble in troubles[:5])
        more = f"\nand {len(troubles) - 5} more" if len(troubles) > 5 else ""
        super().__init__(f"{len(troubles)} jobs have no result\n{lines}{more}")
        self.troubles = troubles


def spread(
    task: str,
    configurations: Sequence[Any],
    kind: type[T],
    *,
    on: str = "local",
    results: Path | None = None,
    on_result: Callable[[int, T], None] = lambda _place, _result: None,
    jobs_per_process: int = 1,
) -> list[T]:
    """Call a function for each configuration, in other processes, and return what it returned, in the same order.

    Args:
        task: "package.module:function", called as `function(configuration, first_seed, seed_count)`. Its configuration
            arrives as JSON decodes it (`msgspec.convert` makes a struct of it); a seed belongs into it.
        configurations: what msgspec encodes. Equal ones are computed once.
        kind: type of what the function returns; JSON is decoded into it.
        on: an engine; see `open_engine`.
        results: a file that keeps what was computed; what it knows already is not computed again.
        on_result: called as results come, with the place of the configuration.
        jobs_per_process: see `open_engine`.

    Raises:
        UsageError: there is no such engine, or the file is none of ours.
        EngineFailed: the engine is gone; what came back is in the file.
        JobsFailed: functions raised, or ended their process twice; raised when all others are done.
        KeyboardInterrupt: as usual; what came back is in the file.
    """
    jobs = [make_job(task, configuration) for configuration in configurations]
    places: dict[str, list[int]] = {}
    for place, job in enumerate(jobs):
        places.setdefault(job.address, []).append(place)
    found: dict[int, T] = {}

    def take(one: Found) -> None:
        for place in places[one.job.address]:
            found[place] = msgspec.json.decode(one.result, type=kind)
            on_result(place, found[place])

    check_engine(on)
    with open_results(results) as kept:
        unknown: list[Job] = []
        for job in {job.address: job for job in jobs}.values():
            data = kept.get(job.address) if kept is not None else None
            if data is None:
                unknown.append(job)
            else:
                take(Found(job, data, is_known=True))
        # An engine is not started for nothing.
        if unknown:
            with open_engine(on, jobs_per_process=jobs_per_process, preload=(task.partition(":")[0],)) as engine:
                report = Drive(engine, kept, take).run(unknown)
            if report.is_interrupted:
                raise KeyboardInterrupt
            if report.troubles:
                raise JobsFailed(report.troubles)
    return [found[place] for place in range(len(jobs))]
