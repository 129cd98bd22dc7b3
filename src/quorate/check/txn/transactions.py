"""Transactions as checkers need them: numbered, with parsed steps, and with what became of them."""

from collections.abc import Hashable, Iterable
from typing import Final, Literal

import msgspec

from quorate.check.history import BadHistory, History, Operation, Outcome, freeze, show

# (function, key, value): "r" with what was read (None: unknown, or the initial value of a register), "append", "w".
Step = tuple[str, Hashable, Hashable]
Kind = Literal["list-append", "rw-register"]
_SEQUENCE: Final = (list, tuple)


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """One transaction of a history. Keys and values are frozen."""

    number: int
    process: int
    steps: tuple[Step, ...]
    outcome: Outcome
    call: int
    done: int
    operation: Operation

    @property
    def is_committed(self) -> bool:
        """Say whether it is certain to have taken effect."""
        return self.outcome == "ok"

    def __str__(self) -> str:
        """Say the transaction in words."""
        words = ", ".join(_say(step, self.outcome) for step in self.steps)
        suffix = {"ok": "", "fail": " (aborted)", "info": " (nobody knows whether it committed)"}[self.outcome]
        return f"T{self.number} of process {self.process}: {words}{suffix}"


def _say(step: Step, outcome: Outcome) -> str:
    f, key, value = step
    if f == "r":
        return f"read {show(key)}" + (f" → {show(value)}" if outcome == "ok" else "")
    if f == "rp":
        seen = ", ".join(f"{name}={show(one)}" for name, one in value) if isinstance(value, tuple) else ""
        return f"select {show(key)}" + (f" → {{{seen}}}" if outcome == "ok" else "")
    if f == "delete":
        return f"delete {show(key)}"
    return f"{'write' if f == 'w' else f} {show(value)} to {show(key)}"


def parse(history: History | Iterable[Operation], kind: Kind) -> list[Transaction]:
    """Return the transactions of a history, in the order of their calls.

    A transaction is an operation `txn` whose value is a list of `["r", key, null]` and `["append", key, v]` (or
    `["w", key, v]`), and whose answer is the same list with what was read.

    Raises:
        BadHistory: another function, or steps of another shape.

    Complexity: O(size of the history).
    """
    operations = history.operations if isinstance(history, History) else history
    write = "append" if kind == "list-append" else "w"
    found: list[Transaction] = []
    for operation in operations:
        if operation.f != "txn":
            raise BadHistory(f"{kind} is checked on operations named txn only: {operation}")
        raw = operation.result if operation.outcome == "ok" else operation.value
        if operation.outcome == "ok" and raw is None:
            raise BadHistory(f"a transaction that is ok must say what it read: {operation}")
        if not isinstance(raw, list | tuple):
            raise BadHistory(f"a transaction is a list of steps: {operation}")
        steps = _parse_steps(raw, write, operation, is_list=kind == "list-append" and operation.outcome == "ok")
        found.append(
            Transaction(
                len(found),
                operation.process,
                tuple(steps),
                operation.outcome,
                operation.call,
                operation.done,
                operation,
            )
        )
    return found


def _parse_steps(raw: Iterable[object], write: str, operation: Operation, *, is_list: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    for step in raw:
        if not isinstance(step, _SEQUENCE) or len(step) != 3:
            raise BadHistory(f'a step is ["r" or "{write}", key, value]: {operation}')
        f, key, value = step
        # Whole numbers and texts are their own twins: most keys and values are spared a call.
        kind = type(key)
        if kind is not str and kind is not int:
            key = freeze(key)
        if f == write:
            steps.append((f, key, value if type(value) is int else freeze(value)))
        elif f != "r":
            raise BadHistory(f'a step is ["r" or "{write}", key, value]: {operation}')
        elif is_list:
            steps.append((f, key, _list_of(value, operation)))
        else:
            steps.append((f, key, value if type(value) is int else freeze(value)))
    return tuple(steps)


def _list_of(value: object, operation: Operation) -> tuple[Hashable, ...]:
    """Return what a read of a list answered; null is a list that nobody appended to."""
    frozen = () if value is None else freeze(value)
    if type(frozen) is not tuple:
        raise BadHistory(f"a read of a list answers with a list: {operation}")
    return frozen
