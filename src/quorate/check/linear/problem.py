"""One partition of a history, as integers: what both engines search.

Operations that are certain have a call and a return. Those that may never have happened (`done` is `NEVER`) are open
from their call for ever; those of equal effect are interchangeable, so each kind of them is one *class* with a list of
calls, and a search only counts how many it used. Steps of the model are computed once for each state and kind.
"""

from collections.abc import Hashable, Iterable, Sequence

import msgspec

from quorate.check.history import NEVER, BadHistory, Operation, freeze
from quorate.check.models import REFUSED, Model


class Problem:
    """The search problem of one partition.

    Args:
        model: the sequential object.
        operations: in any order; those that failed are left out, as they did not happen.

    Complexity: O(n log n) to build; each (state, kind) pair is stepped once.
    """

    def __init__(self, model: Model, operations: Iterable[Operation]) -> None:
        self.model = model
        self._states: list[Hashable] = [model.initial]
        self._state_ids: dict[Hashable, int] = {model.initial: 0}
        # Kind of operation → its frozen example and its row of known steps.
        self._kinds: dict[Hashable, int] = {}
        self._examples: list[Operation] = []
        self.rows: list[dict[int, tuple[int, ...]]] = []
        certain: list[tuple[int, int, int, Operation]] = []
        crashed: dict[int, list[int]] = {}
        for operation in operations:
            if operation.outcome == "fail":
                continue
            if operation.done != NEVER:
                certain.append((operation.call, operation.done, self._kind_of(operation), operation))
            elif operation.f not in model.readonly:
                crashed.setdefault(self._kind_of(operation), []).append(operation.call)
        certain.sort(key=lambda row: row[0])
        self.calls: list[int] = [row[0] for row in certain]
        self.dones: list[int] = [row[1] for row in certain]
        # Twice the middle of each: where it most likely took effect.
        self.middles: list[int] = [row[0] + row[1] for row in certain]
        self.kinds: list[int] = [row[2] for row in certain]
        # The operation itself, for people.
        self.operations: list[Operation] = [row[3] for row in certain]
        # Never changes the state: by its function, or because it was refused.
        self.is_read: list[bool] = [
            row[3].f in model.readonly or (row[3].f in model.refusable and freeze(row[3].result) == REFUSED)
            for row in certain
        ]
        # Classes of crashed operations, the one that was called first first.
        classes = sorted((min(calls), kind) for kind, calls in crashed.items())
        self.class_kinds: list[int] = [kind for _, kind in classes]
        self.class_calls: list[list[int]] = [sorted(crashed[kind]) for kind in self.class_kinds]
        self._lay_out_counters()

    def _lay_out_counters(self) -> None:
        """Pack one counter for each class into one integer, with a guard bit above each for comparisons."""
        self.class_shifts: list[int] = []
        self.class_masks: list[int] = []
        self.guards = 0
        shift = 0
        for calls in self.class_calls:
            width = len(calls).bit_length()
            self.class_shifts.append(shift)
            self.class_masks.append((1 << width) - 1)
            self.guards |= 1 << (shift + width)
            shift += width + 1

    @property
    def size(self) -> int:
        """How many operations must be placed."""
        return len(self.calls)

    def step(self, state: int, kind: int) -> tuple[int, ...]:
        """Return the states after an operation of a kind. Complexity: O(1) after the first time."""
        row = self.rows[kind]
        after = row.get(state)
        if after is None:
            states = self.model.follow(self._states[state], self._examples[kind])
            after = tuple(self._state_id(new) for new in states)
            row[state] = after
        return after

    def left_over(self, state: int, used: int) -> tuple[Hashable, list[Operation]]:
        """Return a state itself, and the crashed operations that may still take effect."""
        left: list[Operation] = []
        for place, kind in enumerate(self.class_kinds):
            count = (used >> self.class_shifts[place]) & self.class_masks[place]
            left += [self._examples[kind]] * (len(self.class_calls[place]) - count)
        return self._states[state], left

    def describe(self, states: Iterable[int]) -> tuple[str, ...]:
        """Return states in words, each once, in a fixed order."""
        return tuple(sorted({self.model.describe(self._states[state]): None for state in states}))

    def _state_id(self, state: Hashable) -> int:
        known = self._state_ids.get(state)
        if known is None:
            known = self._state_ids[state] = len(self._states)
            self._states.append(state)
        return known

    def _kind_of(self, operation: Operation) -> int:
        process = operation.process if self.model.uses_process else 0
        value, result = operation.value, operation.result
        # Whole numbers and nothing are their own twins: most values are spared a call.
        if value is not None and type(value) is not int:
            value = freeze(value)
        if result is not None and type(result) is not int:
            result = freeze(result)
        name = (operation.f, value, operation.outcome, result, process)
        kind = self._kinds.get(name)
        if kind is None:
            if self.model.functions and operation.f not in self.model.functions:
                known = ", ".join(self.model.functions)
                raise BadHistory(f"the model {self.model.name} has no {operation.f!r}, only {known}: {operation}")
            kind = self._kinds[name] = len(self._examples)
            self._examples.append(msgspec.structs.replace(operation, value=value, result=result, process=process))
            self.rows.append({})
        return kind


class Outcome(msgspec.Struct, frozen=True):
    """What an engine found."""

    is_valid: bool
    # Place in `Problem.operations` of the first answer that nothing explains; None when valid.
    blame: int | None = None
    # States that survived until just before that answer.
    states: Sequence[int] = ()
    # Of the frontier, when valid: (state, crashed operations used) with which it may have ended.
    ends: Sequence[tuple[int, int]] = ()
