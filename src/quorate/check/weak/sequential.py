"""Sequential consistency and PRAM by search: orders that respect each process, whatever the clock says.

Sequential: one order of all operations. PRAM: for each process an order of its own operations and all others' writes.
Neither can be judged key by key, so the state is that of all keys together.

Source: Lamport 1979 (sequential consistency); Lipton & Sandberg 1988 (PRAM).
"""

from collections.abc import Hashable, Iterable, Sequence

import msgspec

from quorate.check.finding import BUDGET_DEFAULT, Finding
from quorate.check.history import NEVER, History, Operation, freeze
from quorate.check.models import Model, model_named

_Place = tuple[int, ...]


def check_sequential(
    history: History | Iterable[Operation], model: Model | str = "kv", *, budget: int = BUDGET_DEFAULT
) -> Finding:
    """Say whether one order of all operations, in each process's own order, explains all answers.

    Complexity: O(places in all processes × states) at worst: exponential in the processes.
    """
    chosen = model_named(model) if isinstance(model, str) else model
    operations = _happened(history)
    verdict, spent = _Orders(chosen, _sessions(operations)).search(budget)
    return _finding(
        "sequential", verdict, spent, operations, "no order of all operations keeps each process's own order"
    )


def check_pram(
    history: History | Iterable[Operation], model: Model | str = "kv", *, budget: int = BUDGET_DEFAULT
) -> Finding:
    """Say whether each process sees all writes in an order that keeps every process's own.

    Complexity: one search for each process; exponential in the processes at worst.
    """
    chosen = model_named(model) if isinstance(model, str) else model
    operations = _happened(history)
    sessions = _sessions(operations)
    spent_all = 0
    verdict: bool | None = True
    for mine in range(len(sessions)):
        seen = [
            session if place == mine else [o for o in session if o.f not in chosen.readonly]
            for place, session in enumerate(sessions)
        ]
        # What others were answered is for their own search to explain.
        blind = [
            session if place == mine else [msgspec.structs.replace(o, outcome="info", result=None) for o in session]
            for place, session in enumerate(seen)
        ]
        found, spent = _Orders(chosen, blind).search(budget - spent_all)
        spent_all += spent
        if found is False:
            name = sessions[mine][0].process
            return _finding("pram", found, spent_all, sessions[mine], f"no order of the writes explains process {name}")
        verdict = verdict if found else None
    return _finding("pram", verdict, spent_all, operations, "")


def _finding(model: str, verdict: bool | None, spent: int, operations: Sequence[Operation], why: str) -> Finding:  # noqa: FBT001
    if verdict is None:
        return Finding(verdict="unknown", model=model, explanation="the budget did not suffice", budget_spent=spent)
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


class _Orders:
    """Depth-first search over how far each session has come, remembering (places, states of all keys)."""

    def __init__(self, model: Model, sessions: list[list[Operation]]) -> None:
        self.model = model
        self.sessions = sessions
        names = dict.fromkeys(model.partition(o) for session in sessions for o in session)
        self.keys = {name: place for place, name in enumerate(names)}
        self.is_optional = [all(o.done == NEVER for o in session) for session in sessions]

    def search(self, budget: int) -> tuple[bool | None, int]:
        start: tuple[_Place, tuple[Hashable, ...]] = (
            (0,) * len(self.sessions),
            (self.model.initial,) * len(self.keys),
        )
        stack = [start]
        tried: dict[tuple[_Place, tuple[Hashable, ...]], None] = {}
        spent = 0
        while stack:
            places, states = stack.pop()
            spent += 1
            if spent > budget:
                return None, spent
            places = self._settle(places, states)
            if all(
                self.is_optional[number] or place == len(self.sessions[number]) for number, place in enumerate(places)
            ):
                return True, spent
            if (places, states) in tried:
                continue
            tried[places, states] = None
            for number in range(len(self.sessions) - 1, -1, -1):
                place = places[number]
                if place < len(self.sessions[number]):
                    operation = self.sessions[number][place]
                    key = self.keys[self.model.partition(operation)]
                    moved = (*places[:number], place + 1, *places[number + 1 :])
                    stack.extend(
                        (moved, (*states[:key], after, *states[key + 1 :]))
                        for after in self.model.follow(states[key], operation)
                    )
        return False, spent

    def _settle(self, places: _Place, states: tuple[Hashable, ...]) -> _Place:
        """Place all reads that fit now: they change nothing, so waiting is no use."""
        found = list(places)
        for number, session in enumerate(self.sessions):
            while found[number] < len(session):
                operation = session[found[number]]
                if operation.f not in self.model.readonly:
                    break
                if not self.model.follow(states[self.keys[self.model.partition(operation)]], operation):
                    break
                found[number] += 1
        return tuple(found)
