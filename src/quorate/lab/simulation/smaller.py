"""Makes the schedule of a failing run smaller, and says what is left of it."""

from typing import Final

import msgspec

from quorate.kernel import SECOND
from quorate.lab.simulation.campaign import run_one
from quorate.lab.simulation.options import Outcome, SimOptions
from quorate.sim import Clog, Fault, Partition, Pause, RunPlan, Skew, Stall, kind_of, shrink


def plan_of(outcome: Outcome) -> RunPlan:
    """Return the plan that replays a run: what it drew and aimed is now a list."""
    return RunPlan(
        seed=outcome.options.seed,
        node_count=outcome.node_count,
        span=outcome.options.time,
        faults=outcome.applied,
    )


def options_of(plan: RunPlan, options: SimOptions) -> SimOptions:
    """Return the options that run a plan, at the level and with the bug of others."""
    return msgspec.structs.replace(
        options, seed=plan.seed, node_count=plan.node_count, span=plan.span, faults=plan.faults
    )


def shrink_run(outcome: Outcome, *, run_count_max: int = 120) -> Outcome:
    """Return the smallest run found that fails in the same way.

    Args:
        outcome: of a run that failed.
        run_count_max: runs allowed.

    Returns:
        Its outcome, with the schedule as `faults` of its options; the given one when the replay does not fail (the
        harm depends on the order of two events of one nanosecond).
    """
    assert outcome.is_failed, "only a failing run can be shrunk"
    found: dict[str, Outcome] = {}

    def fails(plan: RunPlan) -> bool:
        again = run_one(options_of(plan, outcome.options))
        if again.kind != outcome.kind:
            return False
        found["last"] = again
        return True

    plan = plan_of(outcome)
    if not fails(plan):
        return outcome
    shrink(plan, fails, run_count_max=run_count_max)
    return found["last"]


_WORDS: Final = {
    "crash": "kill",
    "tear": "cut the power of",
    "wipe": "lose the disk of",
    "restart": "restart",
    "rot": "rot a file of",
}


def describe(fault: Fault) -> str:
    """Return a fault in words."""
    node = getattr(fault, "node", None)
    match fault:
        case Partition(shape, cuts):
            return f"partition ({shape}): {', '.join(f'{a}→{b}' for a, b in cuts)}"
        case Pause(_, span) | Stall(_, span):
            return f"{kind_of(fault)} node {node} for {span / SECOND:.3f} s"
        case Clog(_, latency, lose, span):
            return f"clog node {node}: {latency / 1e6:.0f} ms, {lose:.0%} lost, for {span / SECOND:.3f} s"
        case Skew(_, drift_ppb, jump):
            return f"skew node {node}: {drift_ppb / 1000:+.0f} ppm, wall clock {jump / SECOND:+.3f} s"
        case _:
            return f"{_WORDS[kind_of(fault)]} node {node}" if node is not None else "heal all links"


def schedule_lines(outcome: Outcome) -> list[str]:
    """Return the faults that were done, a line each."""
    return [f"{item.at / SECOND:10.6f} s  {describe(item.fault)}" for item in outcome.applied] or ["no fault at all"]
