"""The end of a run, of whatever level: what came of it, in one word, one sentence and counts."""

import time
from collections.abc import Callable, Mapping

from quorate.kernel import marks
from quorate.kernel.errors import QuorateError
from quorate.lab.simulation.options import Failed, Kind, Outcome, SimOptions
from quorate.sim import FaultSchedule, Nemesis, ProgramFailed, SimulationError, World


def conclude(
    options: SimOptions,
    world: World,
    run: Callable[[], None],
    *,
    nemesis: Nemesis,
    operations: Mapping[str, int],
    node_count: int,
    began: float,
    broken: Callable[[], Failed | None] = lambda: None,
) -> Outcome:
    """Make a run to its end and return what came of it; never raises for what the system does.

    Args:
        options: of the run.
        world: where it takes place.
        run: all of it.
        nemesis: what harmed it.
        operations: counts by outcome, complete when the run has ended.
        node_count: as it was drawn.
        began: processor time when the run was begun, seconds.
        broken: what a watcher has noted before anything was raised.
    """
    kind: Kind = ""
    sentence = ""
    try:
        run()
    except (Failed, SimulationError, AssertionError) as cause:
        kind, sentence = explain(cause, broken())
    return Outcome(
        options=options,
        node_count=node_count,
        kind=kind,
        sentence=sentence,
        applied=FaultSchedule(tuple(nemesis.applied)),
        fault_counts=dict(nemesis.counts),
        operations=dict(operations),
        marks=dict(marks.counts),
        trace_hash=world.trace_hash,
        simulated_ns=world.now,
        wall_s=time.process_time() - began,
    )


def explain(cause: BaseException, broken: Failed | None) -> tuple[Kind, str]:
    """Return the kind and the sentence of what ended a run."""
    if broken is not None:
        return broken.kind, broken.sentence
    if isinstance(cause, Failed):
        return cause.kind, cause.sentence
    inner = cause.__cause__ if isinstance(cause, ProgramFailed) else None
    if isinstance(inner, Failed):
        return inner.kind, inner.sentence
    if isinstance(inner, QuorateError):
        return "node stopped", f"{inner.code.lower()}: {inner}"
    if isinstance(inner, AssertionError):
        return "node stopped", f"assertion: {inner}"
    if inner is not None:
        return "exception", f"{type(inner).__name__}: {inner}"
    return "exception", f"{type(cause).__name__}: {cause}"
