"""How the judges of single workloads say what they found."""

from collections.abc import Iterable, Sequence

from quorate.check.finding import Finding
from quorate.check.history import History, Operation, show

_SHOWN_MAX = 8


def operations_of(history: History | Iterable[Operation]) -> list[Operation]:
    """Return the operations in the order of their calls."""
    return sorted(history.operations if isinstance(history, History) else history, key=lambda o: o.call)


def valid(name: str, explanation: str, count: int) -> Finding:
    """Return the finding that nothing is wrong."""
    return Finding(verdict="valid", model=name, explanation=explanation, operation_count=count)


def invalid(name: str, explanation: str, witness: Sequence[Operation], count: int) -> Finding:
    """Return the finding that something is wrong; the last of the witness is to blame."""
    return Finding(
        verdict="invalid",
        model=name,
        explanation=explanation,
        witness=tuple(sorted(witness, key=lambda o: o.call)),
        blame=witness[-1] if witness else None,
        operation_count=count,
    )


def unknown(name: str, explanation: str, count: int) -> Finding:
    """Return the finding that the history says nothing about the question."""
    return Finding(verdict="unknown", model=name, explanation=explanation, operation_count=count)


def few(values: Sequence[object]) -> str:
    """Return the first values, and how many more there are."""
    shown = ", ".join(show(value) for value in values[:_SHOWN_MAX])
    return shown if len(values) <= _SHOWN_MAX else f"{shown} and {len(values) - _SHOWN_MAX} more"
