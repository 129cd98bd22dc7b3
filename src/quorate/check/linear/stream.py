"""Linearizability of a history while it is read: memory holds what is open and what came since the last calm moment.

When nothing of an object is running, all that was is summed up by the states that it may be in, each with the crashed
operations that may still take effect. The frontier gives just that, so what is behind a calm moment can be forgotten.
An object that never rests keeps its operations; most rest often.
"""

from collections.abc import Hashable, Iterable
from typing import Final

import msgspec

from quorate.check.finding import BUDGET_DEFAULT, Finding, Verdict
from quorate.check.history import NEVER, BadHistory, Event, Operation, freeze, parse_event, show
from quorate.check.linear.frontier import search_frontier
from quorate.check.linear.judge import check
from quorate.check.linear.problem import Outcome, Problem
from quorate.check.models import Model, State, model_named

SEGMENT_COUNT: Final = 64
"""Operations of an object that are gathered before a calm moment is used: a search has a price to begin."""


def check_stream(lines: Iterable[str | bytes], model: Model | str = "kv", *, budget: int = BUDGET_DEFAULT) -> Finding:
    """Say whether a history of JSON lines is linearizable, in one pass, and end at the first contradiction.

    Args:
        lines: as for `History.from_lines`; empty ones are skipped.
        model: a model, or the name of one.
        budget: steps of search for one stretch between calm moments.

    Raises:
        BadHistory: with the number of the first faulty line that was read.
        ModelError: a step of the model raised.

    Complexity: time as the frontier's; memory O(operations since each object last rested + states it may be in).
    """
    stream = Stream(model_named(model) if isinstance(model, str) else model, budget=budget)
    for number, text in enumerate(lines, start=1):
        if text.strip():
            finding = stream.feed(parse_event(text, line=number), line=number)
            if finding is not None:
                return finding
    return stream.finish()


class _Object:
    """One independent object: what it may be, and what happened since that was known."""

    __slots__ = ("operations", "running", "starts")

    def __init__(self, initial: State) -> None:
        self.starts: list[tuple[State, list[Operation]]] = [(initial, [])]
        self.operations: list[Operation] = []
        self.running = 0


class Stream:
    """A judge that is fed event by event; `held_count_max` says how many operations it held at most."""

    def __init__(self, model: Model, *, budget: int = BUDGET_DEFAULT, segment_count: int = SEGMENT_COUNT) -> None:
        self.model = model
        self._segment_count = segment_count
        self.budget = budget
        self.operation_count = 0
        self.held_count_max = 0
        self._held_count = 0
        self._spent = 0
        self._place = 0
        self._time: int | None = None
        self._index: int | None = None
        # Process → its open call: the operation so far, the object, the line.
        self._open: dict[int, tuple[Operation, _Object, int]] = {}
        self._objects: dict[Hashable, _Object] = {}

    def feed(self, event: Event, *, line: int) -> Finding | None:
        """Take one event; return a finding as soon as one is certain, and then take no more.

        Raises:
            BadHistory: the event cannot follow those before it.
        """
        if self._time is not None and event.time < self._time:
            raise BadHistory(f"time runs back from {self._time} to {event.time} ns", line=line)
        if self._index is not None and event.index <= self._index:
            raise BadHistory(f"index {event.index} follows {self._index}: it must grow", line=line)
        self._time, self._index = event.time, event.index
        place, self._place = self._place, self._place + 1
        if isinstance(event.process, str):
            return None
        if event.type == "invoke":
            self._call(event, event.process, place, line)
            return None
        operation, owner = self._answered(event, event.process, place, line)
        owner.running -= 1
        if operation.outcome != "fail":
            owner.operations.append(operation)
            self._held_count += 1
            self.held_count_max = max(self.held_count_max, self._held_count)
        if owner.running == 0 and len(owner.operations) >= self._segment_count:
            return self._rest(owner)
        return None

    def finish(self) -> Finding:
        """Judge what is left; calls that are still open never answered."""
        for operation, owner, _ in self._open.values():
            owner.operations.append(operation)
        for owner in self._objects.values():
            finding = self._decide(owner)
            if finding is not None:
                return finding
        words = f"{self.operation_count} operations of {len(self._objects)} objects have an order that explains them"
        return self._finding("valid", words)

    def _call(self, event: Event, process: int, place: int, line: int) -> None:
        if process in self._open:
            earlier = self._open[process][2]
            raise BadHistory(f"process {process} calls while its call of line {earlier} is open", line=line)
        operation = Operation(
            process=process, f=event.f, key=event.key, value=event.value, invoke_ns=event.time, outcome="info",
            call=place, done=NEVER,
        )  # fmt: skip
        name = self.model.partition(operation)
        owner = self._objects.get(name)
        if owner is None:
            owner = self._objects[name] = _Object(self.model.initial)
        owner.running += 1
        self.operation_count += 1
        self._open[process] = (operation, owner, line)

    def _answered(self, event: Event, process: int, place: int, line: int) -> tuple[Operation, _Object]:
        if process not in self._open:
            raise BadHistory(f"{event.type} of process {process} without an invoke", line=line)
        call, owner, call_line = self._open.pop(process)
        if call.f != event.f:
            raise BadHistory(
                f"{event.type} of {event.f!r} answers an invoke of {call.f!r} (line {call_line})", line=line
            )
        if event.key is not None and freeze(event.key) != freeze(call.key):
            sentence = f"{event.type} of key {show(event.key)} answers an invoke of key {show(call.key)}"
            raise BadHistory(sentence, line=line)
        if event.type == "info":
            return call, owner
        result = event.value if event.type == "ok" else None
        answered = msgspec.structs.replace(
            call, outcome=event.type, result=result, complete_ns=event.time, done=place
        )  # fmt: skip
        return answered, owner

    def _rest(self, owner: _Object) -> Finding | None:
        """Sum up an object of which nothing is running."""
        ends: dict[Hashable, tuple[State, list[Operation]]] = {}
        for state, crashed in owner.starts:
            model = msgspec.structs.replace(self.model, initial=state)
            problem = Problem(model, [*_of_old(crashed), *owner.operations])
            outcome, spent = _run(problem, self.budget)
            self._spent += spent
            if outcome is None:
                return self._finding("unknown", f"the budget of {self.budget} steps did not suffice for a stretch")
            for end, used in outcome.ends:
                after, left = problem.left_over(end, used)
                name = (after, tuple(sorted((o.f, repr(o.value)) for o in left)))
                ends.setdefault(name, (after, left))
        if not ends:
            return self._decide(owner)
        self._held_count -= len(owner.operations)
        owner.starts, owner.operations = list(ends.values()), []
        return None

    def _decide(self, owner: _Object) -> Finding | None:
        """Judge the last stretch of an object with all means; None if some start explains it."""
        found = None
        for state, crashed in owner.starts:
            model = msgspec.structs.replace(self.model, initial=state)
            found = check([*_of_old(crashed), *owner.operations], model, budget=self.budget)
            self._spent += found.budget_spent
            if found.is_valid:
                return None
            if found.verdict == "unknown":
                break
        assert found is not None, "an object begins in some state"
        return msgspec.structs.replace(found, budget_spent=self._spent, operation_count=self.operation_count)

    def _finding(self, verdict: Verdict, words: str) -> Finding:
        return Finding(
            verdict=verdict,
            model=self.model.name,
            explanation=words,
            budget_spent=self._spent,
            operation_count=self.operation_count,
            partition_count=len(self._objects),
        )


def _of_old(crashed: Iterable[Operation]) -> list[Operation]:
    """Return crashed operations as called before all others."""
    return [msgspec.structs.replace(operation, call=-1, done=NEVER, outcome="info") for operation in crashed]


def _run(problem: Problem, step_count_max: int) -> tuple[Outcome | None, int]:
    spent = 0
    search = search_frontier(problem)
    while spent <= step_count_max:
        try:
            spent += next(search)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome, spent
    return None, spent
