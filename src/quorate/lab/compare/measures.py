"""From a history to figures: pure functions of what was recorded."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from quorate.check import NEVER, Finding, Operation, check, refutes, weak
from quorate.kernel import MILLISECOND
from quorate.lab.compare.load import Audit
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.results import (
    Judgement,
    Moment,
    Observed,
    RunResult,
    Service,
    Side,
    Staleness,
)
from quorate.lab.compare.scenarios import Scenario
from quorate.lab.recorder import Call, Recorder
from quorate.lab.statistics import percentile

STRIP_STEP_NS = 250 * MILLISECOND
# Steps of search for each weak model; the strong ones are decided without search where values are distinct.
BUDGET = 10_000
# The models that a history of reads and writes can speak about, the strongest first.
MODELS = (
    *("linearizable", "sequential", "causal-memory", "causal-convergence", "causal", "pram"),
    *("writes-follow-reads", "monotonic-writes", "read-your-writes", "monotonic-reads"),
)
_WITNESS_COUNT_MAX = 8


def measure(
    plan: RunPlan, scenario: Scenario, recorder: Recorder, observed: Observed, audit: Audit, *, is_real: bool = False
) -> RunResult:
    """Return the figures of a run. Complexity: O(n log n), and the judges'."""
    began, end = observed.began_ns, observed.began_ns + plan.timeline.end
    calls = [call for call in recorder.calls if began <= call.invoke_ns < end]
    sides = [_side(name, nodes, calls, plan, began) for name, nodes in scenario.sides.items()]
    everybody = _side("all", tuple(range(1, plan.node_count + 1)), calls, plan, began)
    operations = [operation for operation in recorder.history().operations if operation.key.startswith("r")]
    asked = [operation for operation in operations if operation.invoke_ns < end]
    window = harm_window(plan, began)[:2]
    return RunResult(
        plan=plan,
        sides=sides,
        reads=everybody.reads,
        writes=everybody.writes,
        staleness=staleness(asked, window),
        moments=moments(asked) if plan.scenario == "none" else [],
        judgement=judge(operations),
        outcomes=dict(sorted(recorder.outcomes.items())),
        errors=dict(sorted(recorder.error_codes.items())),
        operation_count=len(calls),
        observed=observed,
        acknowledged_count=audit.acknowledged_count,
        lost=audit.lost,
        undone_count=undone_count(operations, audit.last),
        strip_step_ns=STRIP_STEP_NS,
        is_real=is_real,
    )


def _side(name: str, nodes: tuple[int, ...], calls: Sequence[Call], plan: RunPlan, began: int) -> Side:
    mine = [call for call in calls if call.worker in nodes]
    reads = [call for call in mine if not call.is_update]
    writes = [call for call in mine if call.is_update]
    return Side(
        name=name,
        nodes=nodes,
        reads=service(reads, plan, began),
        writes=service(writes, plan, began),
        read_strip=strip(reads, began, plan.timeline.end),
        write_strip=strip(writes, began, plan.timeline.end),
    )


def service(calls: Sequence[Call], plan: RunPlan, began: int) -> Service:
    """Return how calls were served while the harm lasted. Complexity: O(n log n)."""
    start, _, end = harm_window(plan, began)
    settled = start + 2 * (end - start) // 3
    during = [call for call in calls if start <= call.invoke_ns < end]
    late = [call for call in during if call.invoke_ns >= settled]
    spans = sorted([call.complete_ns - call.invoke_ns for call in during if call.outcome == "ok"])
    answered = sorted([call.complete_ns for call in calls if call.outcome == "ok" and call.complete_ns >= start])
    edges = [start, *[at for at in answered if at < began + plan.timeline.end], began + plan.timeline.end]
    return Service(
        asked=len(during),
        served=len(spans),
        late_asked=len(late),
        late_served=sum([call.outcome == "ok" for call in late]),
        p50_ns=percentile(spans, 0.5),
        p99_ns=percentile(spans, 0.99),
        gap_ns=max([later - earlier for earlier, later in pairwise(edges)]),
    )


def harm_window(plan: RunPlan, began: int) -> tuple[int, int, int]:
    """Return when the harm begins, when it ends, and until when what is asked gets its answer before it ends."""
    heal = began + plan.timeline.heal_at
    return began + plan.timeline.calm, heal, heal - plan.load.timeout


def strip(calls: Iterable[Call], began: int, length_ns: int) -> list[float | None]:
    """Return the share served of what was asked in each step. Complexity: O(n)."""
    step_count = -(-length_ns // STRIP_STEP_NS)
    asked, served = [0] * step_count, [0] * step_count
    for call in calls:
        place = (call.invoke_ns - began) // STRIP_STEP_NS
        asked[place] += 1
        served[place] += call.outcome == "ok"
    return [s / a if a else None for s, a in zip(served, asked, strict=True)]


def staleness(operations: Sequence[Operation], window: tuple[int, int]) -> Staleness:
    """Return how stale the reads were that began in a window. Complexity: O(n log n)."""
    start, end = window
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok" and start <= o.invoke_ns < end]
    stale = [found for found in weak.find_stale_reads(operations) if start <= found.read.invoke_ns < end]
    versions = sorted([found.version_count for found in stale])
    ages = sorted([found.age_ns for found in stale])
    return Staleness(
        read_count=len(reads),
        stale_count=len(stale),
        versions_p50=percentile(versions, 0.5),
        versions_max=max(versions, default=0),
        age_p50_ns=percentile(ages, 0.5),
        age_max_ns=max(ages, default=0),
    )


def moments(operations: Sequence[Operation]) -> list[Moment]:
    """Return, for each answered read, how long after the last acknowledged write it began and whether it saw it.

    Complexity: O(n log n).
    """
    acknowledged: dict[str, list[int]] = {}
    for operation in operations:
        if operation.f == "write" and operation.outcome == "ok" and operation.complete_ns is not None:
            acknowledged.setdefault(operation.key, []).append(operation.complete_ns)
    for times in acknowledged.values():
        times.sort()
    stale = {found.read.call for found in weak.find_stale_reads(operations)}
    found: list[Moment] = []
    for operation in operations:
        if operation.f != "read" or operation.outcome != "ok":
            continue
        times = acknowledged.get(operation.key, [])
        count = bisect_right(times, operation.invoke_ns)
        if count:
            after_ms = (operation.invoke_ns - times[count - 1]) / MILLISECOND
            found.append(Moment(after_ms, operation.call not in stale))
    return found


def undone_count(operations: Sequence[Operation], last: dict[str, int | None]) -> int:
    """Return how many acknowledged writes are certainly newer than what their register is at the end.

    Complexity: O(n log n).
    """
    by_key: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.f == "write":
            by_key.setdefault(operation.key, []).append(operation)
    count = 0
    for key, value in last.items():
        writes = by_key.get(key, [])
        # The end of the write that remained; before everything when nothing did.
        done = next((o.done for o in writes if o.value == value), -1)
        if done != NEVER:
            count += sum([o.outcome == "ok" and o.call > done for o in writes])
    return count


def judge(operations: Sequence[Operation]) -> Judgement:
    """Say which models a history of registers refutes."""
    whole = check(operations, "kv", budget=BUDGET)
    if whole.verdict == "valid":
        return Judgement(verdicts=dict.fromkeys(MODELS, "valid"), strongest=MODELS[0], weakest="")
    found = refutes(operations, budget=BUDGET)
    found["linearizable"] = whole
    verdicts = {name: found[name].verdict for name in MODELS}
    refuted = [name for name in MODELS if verdicts[name] == "invalid"]
    weakest = refuted[-1] if refuted else ""
    finding: Finding | None = found[weakest] if weakest else None
    return Judgement(
        verdicts=dict(verdicts),
        strongest=next((name for name in MODELS if verdicts[name] == "valid"), ""),
        weakest=weakest,
        explanation=finding.explanation if finding is not None else "",
        witness=tuple([_told(o) for o in finding.witness[:_WITNESS_COUNT_MAX]]) if finding is not None else (),
        witness_count=len(finding.witness) if finding is not None else 0,
    )


def _told(operation: Operation) -> str:
    end = "" if operation.complete_ns is None else f" to {operation.complete_ns / 1e6:,.1f}"
    return f"{operation.invoke_ns / 1e6:,.1f}{end} ms  {operation}"
