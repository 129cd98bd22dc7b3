"""Sequential consistency and PRAM by search: orders that respect each process, whatever the clock says.

Sequential: one order of all operations. PRAM: for each process an order of its own operations and all others' writes.
Neither can be judged key by key, so the state is that of all keys together.

Source: Lamport 1979 (sequential consistency); Lipton & Sandberg 1988 (PRAM).
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import msgspec

from quorate.check.finding import BUDGET_DEFAULT, Finding
from quorate.check.history import NEVER, History, Operation, freeze, show
from quorate.check.models import REFUSED, Model, model_named
from quorate.check.weak.memory import NotDistinct, held, read_memory, refuted, undecided
from quorate.check.weak.orders import Orders, is_still
from quorate.check.weak.views import judge_pram

# Models whose reads and writes name versions.
_REGISTERS: Final = ("kv", "register")

# Of the budget, the part in which each key is tried alone.
_KEYS_SHARE: Final = 4


def check_sequential(
    history: History | Iterable[Operation], model: Model | str = "kv", *, budget: int = BUDGET_DEFAULT
) -> Finding:
    """Say whether one order of all operations, in each process's own order, explains all answers.

    Each key is tried alone first: what has no order there has none among more.

    Complexity: O(places in all processes × states) at worst: exponential in the processes.
    """
    chosen = model_named(model) if isinstance(model, str) else model
    operations = _happened(history)
    verdict, spent, part = _search(chosen, _sessions(operations), budget)
    why = "no order of all operations keeps each process's own order"
    if verdict is False and len(part) < len(operations):
        why = f"no order of the operations of key {show(part[0].key)} keeps each process's own order"
    return _finding("sequential", verdict, spent, part if verdict is False else operations, why)


def check_pram(
    history: History | Iterable[Operation], model: Model | str = "kv", *, budget: int = BUDGET_DEFAULT
) -> Finding:
    """Say whether each process sees all writes in an order that keeps every process's own.

    Reads and writes of values that differ are decided by a closure (`views.judge_pram`), all else by search.

    Complexity: O(processes × rounds × n²/64) where values differ; else one search for each process, exponential in the
    processes at worst.
    """
    chosen = model_named(model) if isinstance(model, str) else model
    operations = _happened(history)
    own = model_named(chosen.name) if chosen.name in _REGISTERS else None
    if (
        own is not None
        and chosen.step is own.step
        and chosen.initial == own.initial
        and all(operation.f in own.functions for operation in operations)
    ):
        finding = _judge_distinct(operations, budget)
        if finding is not None:
            return finding
    sessions = _sessions(operations)
    spent_all = 0
    verdict: bool | None = True
    for mine in range(len(sessions)):
        seen = [
            session if place == mine else [o for o in session if not is_still(chosen, o)]
            for place, session in enumerate(sessions)
        ]
        # What others were answered is for their own search to explain; what they left behind is as they were told.
        blind = [
            session
            if place == mine
            else [_blind(o) if "write" in chosen.functions else _unanswered(o) for o in session]
            for place, session in enumerate(seen)
        ]
        found, spent, _ = _search(chosen, blind, budget - spent_all)
        spent_all += spent
        if found is False:
            name = sessions[mine][0].process
            return _finding("pram", found, spent_all, sessions[mine], f"no order of the writes explains process {name}")
        if spent_all > budget:
            return _finding("pram", None, spent_all, operations, "")
        verdict = verdict if found else None
    return _finding("pram", verdict, spent_all, operations, "")


def _blind(operation: Operation) -> Operation:
    """Return an operation as others see it: what it left behind, without its answer."""
    if operation.outcome == "ok" and operation.f == "cas" and isinstance(operation.value, tuple):
        if operation.result != REFUSED and len(operation.value) == 2:
            return msgspec.structs.replace(operation, f="write", value=operation.value[1], outcome="info", result=None)
    elif operation.outcome == "ok" and operation.f == "increment" and type(operation.result) is int:
        return msgspec.structs.replace(operation, f="write", value=operation.result, outcome="info", result=None)
    return _unanswered(operation)


def _unanswered(operation: Operation) -> Operation:
    return msgspec.structs.replace(operation, outcome="info", result=None)


def _search(
    model: Model, sessions: list[list[Operation]], budget: int
) -> tuple[bool | None, int, tuple[Operation, ...]]:
    """Return whether there is an order, the steps, and the operations that have none."""
    keys: dict[Hashable, dict[int, list[Operation]]] = {}
    for number, session in enumerate(sessions):
        for operation in session:
            keys.setdefault(model.partition(operation), {}).setdefault(number, []).append(operation)
    spent = 0
    for rows in keys.values() if len(keys) > 1 else ():
        found, steps = Orders(model, list(rows.values())).search(budget // (_KEYS_SHARE * len(keys)))
        spent += steps
        if found is False:
            part = (operation for row in rows.values() for operation in row)
            return False, spent, tuple(sorted(part, key=lambda o: o.call))
    found, steps = Orders(model, sessions).search(budget - spent)
    whole = (operation for session in sessions for operation in session)
    return found, spent + steps, tuple(sorted(whole, key=lambda o: o.call))


def _judge_distinct(operations: list[Operation], budget: int) -> Finding | None:
    """Decide by what was read; None where that does not."""
    try:
        memory = read_memory(operations, partly=True)
    except NotDistinct:
        return None
    if memory.thin_air is not None:
        return refuted("pram", "a value was read that nobody wrote.", memory.operations[memory.thin_air])
    problem, spent = judge_pram(memory, budget)
    if problem is not None:
        return msgspec.structs.replace(refuted("pram", problem[0], *problem[1]), budget_spent=spent)
    if memory.partly:
        return None
    if spent > budget:
        return undecided("pram", f"the budget of {budget} steps did not suffice", spent)
    return msgspec.structs.replace(held("pram", memory), budget_spent=spent)


def _finding(model: str, verdict: bool | None, spent: int, operations: Sequence[Operation], why: str) -> Finding:  # noqa: FBT001
    if verdict is None:
        return Finding(
            verdict="unknown", model=model, explanation="the budget of steps did not suffice", budget_spent=spent
        )
    if verdict:
        return Finding(verdict="valid", model=model, explanation="an order explains all answers", budget_spent=spent)
    return Finding(
        verdict="invalid", model=model, explanation=f"{why}.", witness=tuple(operations), budget_spent=spent,
        operation_count=len(operations),
    )  # fmt: skip


def _happened(history: History | Iterable[Operation]) -> list[Operation]:
    given = history.operations if isinstance(history, History) else history
    return sorted((o for o in given if o.outcome != "fail"), key=lambda o: o.call)


def _sessions(operations: Iterable[Operation]) -> list[list[Operation]]:
    sessions: dict[object, list[Operation]] = {}
    for number, operation in enumerate(operations):
        # What nobody knows the end of is ordered before nothing.
        name: object = ("unknown", number) if operation.done == NEVER else operation.process
        frozen = msgspec.structs.replace(
            operation, key=freeze(operation.key), value=freeze(operation.value), result=freeze(operation.result)
        )
        sessions.setdefault(name, []).append(frozen)
    return list(sessions.values())
