"""Makes a failing run smaller: fewer faults, fewer operations, fewer nodes, less time.

Source: Zeller & Hildebrandt 2002, "Simplifying and isolating failure-inducing input" (delta debugging, ddmin).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from quorate.kernel import Duration, milliseconds
from quorate.sim.faults import FaultSchedule, Planned

T = TypeVar("T")


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run is made from besides the code."""

    seed: int
    node_count: int
    span: Duration
    faults: FaultSchedule
    # What the clients do, as plain data; the runner knows what they mean.
    operations: tuple[Any, ...] = ()


class _Budget:
    """Counts the runs that shrinking may still make."""

    def __init__(self, fails: Callable[[RunPlan], bool], run_count_max: int) -> None:
        self._fails = fails
        self.left = run_count_max

    def fails(self, plan: RunPlan) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(plan)


def shrink(plan: RunPlan, fails: Callable[[RunPlan], bool], *, run_count_max: int = 500) -> RunPlan:
    """Return a plan that still fails and from which no single part that was tried can be taken away.

    Args:
        plan: fails; asserted by running it once.
        fails: runs a plan and says whether it fails in the same way; must be deterministic.
        run_count_max: runs allowed; what was reached by then is returned.
    """
    budget = _Budget(fails, run_count_max)
    assert budget.fails(plan), "only a failing run can be shrunk"
    while True:
        before = plan
        plan = _shorter(plan, budget)
        plan = _fewer_faults(plan, budget)
        plan = _fewer_operations(plan, budget)
        plan = _fewer_nodes(plan, budget)
        plan = _milder(plan, budget)
        if plan == before or budget.left <= 0:
            return plan


def minimal(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Return a smallest-by-single-removal subsequence that fails (ddmin).

    Complexity: O(n²) runs at worst, O(log n) when one item is to blame.

    Example:
        >>> minimal(range(100), lambda items: 7 in items and 93 in items)
        [7, 93]
    """
    if fails([]):
        return []
    rest, part_count = list(items), 2
    while len(rest) >= 2:
        size = -(-len(rest) // part_count)
        parts = [rest[start : start + size] for start in range(0, len(rest), size)]
        for place, part in enumerate(parts):
            others = [item for other in parts[:place] + parts[place + 1 :] for item in other]
            if len(parts) > 2 and fails(part):
                rest, part_count = part, 2
                break
            if fails(others):
                rest, part_count = others, max(part_count - 1, 2)
                break
        else:
            if part_count >= len(rest):
                return rest
            part_count = min(len(rest), 2 * part_count)
    return rest


def _fewer_faults(plan: RunPlan, budget: _Budget) -> RunPlan:
    def with_faults(items: Sequence[Planned]) -> RunPlan:
        return msgspec.structs.replace(plan, faults=FaultSchedule(tuple(items)))

    kept = minimal(plan.faults.items, lambda items: budget.fails(with_faults(items)))
    return with_faults(kept)


def _fewer_operations(plan: RunPlan, budget: _Budget) -> RunPlan:
    if not plan.operations:
        return plan

    def with_operations(items: Sequence[Any]) -> RunPlan:
        return msgspec.structs.replace(plan, operations=tuple(items))

    return with_operations(minimal(plan.operations, lambda items: budget.fails(with_operations(items))))


def _fewer_nodes(plan: RunPlan, budget: _Budget) -> RunPlan:
    for count in range(1, plan.node_count):
        items = tuple(item for item in plan.faults if _highest_node(item) <= count)
        smaller: RunPlan = msgspec.structs.replace(plan, node_count=count, faults=FaultSchedule(items))
        if budget.fails(smaller):
            return smaller
    return plan


def _highest_node(item: Planned) -> int:
    cuts: tuple[tuple[int, int], ...] = getattr(item.fault, "cuts", ())
    return max([getattr(item.fault, "node", 0), *(node for cut in cuts for node in cut)])


def _shorter(plan: RunPlan, budget: _Budget) -> RunPlan:
    """Bisect the time that must be run."""
    low, high = 0, int(plan.span)
    while high - low > milliseconds(100):
        middle = (low + high) // 2
        items = tuple(item for item in plan.faults if item.at < middle)
        smaller: RunPlan = msgspec.structs.replace(plan, span=Duration(middle), faults=FaultSchedule(items))
        if budget.fails(smaller):
            plan, high = smaller, middle
        else:
            low = middle
    return plan


def _milder(plan: RunPlan, budget: _Budget) -> RunPlan:
    """Halve the spans of faults, one by one, while it still fails."""
    for place, item in enumerate(plan.faults.items):
        span = getattr(item.fault, "span", None)
        while span is not None and span > milliseconds(10):
            span = Duration(span // 2)
            items = list(plan.faults.items)
            items[place] = Planned(item.at, msgspec.structs.replace(item.fault, span=span))
            milder: RunPlan = msgspec.structs.replace(plan, faults=FaultSchedule(tuple(items)))
            if not budget.fails(milder):
                break
            plan = milder
    return plan
