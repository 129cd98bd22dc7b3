"""Random runs: here, or in parts as jobs on any engine."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from quorate.check import explore as x
from quorate.kernel import Seeds, marks
from quorate.lab.exploring.catalogue import make_explorable
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.lab.scale import Drive, Found, Job, make_job, open_engine, open_results

# Walks in one job; guided ones learn from each other within it.
WALKS_PER_JOB: Final = 200


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What the walks of one job found."""

    number: int
    walk_count: int
    step_count: int
    seen: dict[str, int]
    shape_count: int
    # `always` properties that a walk refuted.
    refuted: tuple[str, ...]


def walk_part(made: Explorable, options: ExploreOptions, number: int | None = None) -> x.Walks[Any]:
    """Take the walks of one part, until one refutes something.

    Args:
        made: the system.
        options: filled.
        number: of the part; each has a random stream of its own. None: there are no parts.
    """
    claims = [claim for claim in made.properties if claim.kind != "eventually"]
    names = ("explore", options.name) if number is None else ("explore", options.name, number)
    rng = Seeds(options.seed).stream(*names)
    bounds: dict[str, Any] = {
        "walk_count": options.walk_count,
        "step_count_max": options.step_count_max,
        "stop_at_first": True,
    }
    if options.is_guided:
        marks.reset()
        return x.walk_by_coverage(made.system, claims, rng, marks=marks.counts, **bounds)
    if options.pct_depth:
        return x.walk_by_priority(made.system, claims, rng, depth=options.pct_depth, **bounds)
    return x.walk(made.system, claims, rng, **bounds)


def run_part(configuration: Any, number: int, _seed_count: int) -> Part:
    """Take the walks of one part; a job of `quorate.lab.scale`.

    Args:
        configuration: `ExploreOptions`, filled, as JSON decodes it.
        number: of the part.
    """
    options = msgspec.convert(configuration, ExploreOptions)
    walks = walk_part(make_explorable(options), options, number)
    return Part(
        number=number,
        walk_count=walks.walk_count,
        step_count=walks.step_count,
        seen=walks.seen,
        shape_count=walks.shape_count,
        refuted=tuple(walks.counterexamples),
    )


def walk_elsewhere(
    made: Explorable, options: ExploreOptions, console: Console, *, on: str, results: Path | None
) -> x.Walks[Any]:
    """Take walks in parts on an engine, until one refutes something.

    Parts are handed out in order, and those that are out come to their end: so the first part that refutes is the same
    on every engine, and its walks are taken here again for the counterexample.

    Args:
        made: the system.
        options: filled.
        console: where progress is shown.
        on: see `open_engine`.
        results: keeps what parts found; None: nothing does.

    Raises:
        UsageError: no such engine, or no such file of results.
        EngineFailed: the engine is gone.
    """
    plain = msgspec.structs.replace(
        options, walk_count=WALKS_PER_JOB, worker_count=1, checkpoint=None, html=None, transcript=None
    )
    parts: list[Part] = []
    with (
        open_results(results) as kept,
        open_engine(on, jobs_per_process=20) as engine,
        console.status("0 walks") as status,
    ):

        def take(found: Found) -> None:
            parts.append(msgspec.json.decode(found.result, type=Part))
            status.update(f"{sum(part.walk_count for part in parts)} of {options.walk_count} walks")

        def is_refuted() -> bool:
            return any(part.refuted for part in parts)

        report = Drive(engine, kept, take, is_over=is_refuted).run(_jobs(plain, options.walk_count))
    for trouble in report.troubles:
        console.print(f"NO RESULT  {trouble}", highlight=False, markup=False, soft_wrap=True)
    if report.is_interrupted:
        console.print("interrupted", highlight=False)
    first = min((part.number for part in parts if part.refuted), default=None)
    seen: Counter[str] = Counter({claim.name: 0 for claim in made.properties if claim.kind == "sometimes"})
    for part in parts:
        seen.update(part.seen)
    return x.Walks(
        walk_count=sum(part.walk_count for part in parts),
        step_count=sum(part.step_count for part in parts),
        counterexamples={} if first is None else walk_part(made, plain, first).counterexamples,
        seen=dict(seen),
        # Of the part that met most: parts do not know of each other's.
        shape_count=max((part.shape_count for part in parts), default=0),
    )


def _jobs(plain: ExploreOptions, walk_count: int) -> list[Job]:
    task = f"{__name__}:{run_part.__name__}"
    jobs = []
    for number in range(-(-walk_count // WALKS_PER_JOB)):
        count = min(WALKS_PER_JOB, walk_count - number * WALKS_PER_JOB)
        jobs.append(make_job(task, msgspec.structs.replace(plain, walk_count=count), first_seed=number))
    return jobs
