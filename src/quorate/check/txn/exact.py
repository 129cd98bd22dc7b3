"""Serializability and snapshot isolation by search: exact, exponential, for small histories.

The referee of the inferring checkers.
"""

from collections.abc import Hashable, Iterable
from typing import Literal

import msgspec

from quorate.check.finding import BUDGET_DEFAULT, Finding
from quorate.check.history import NEVER, History, Operation
from quorate.check.linear import check
from quorate.check.models import Model, State, together
from quorate.check.txn.exact_snapshots import EXACT_SNAPSHOT_LEVELS, ExactSnapshotLevel, search_snapshots
from quorate.check.txn.transactions import Kind, Transaction, parse

ExactLevel = Literal["serializable", "strict-serializable"] | ExactSnapshotLevel


def check_exactly(
    history: History | Iterable[Operation],
    kind: Kind,
    level: ExactLevel = "serializable",
    *,
    budget: int = BUDGET_DEFAULT,
) -> Finding:
    """Say whether some order explains all that was read: of whole transactions, or of their starts and commits.

    Args:
        history: transactions, as for `check_list_append` and `check_rw_register`.
        kind: what their steps are.
        level: the strict and strong ones also respect the order of time, a session's that of each process.
        budget: steps of search.

    Complexity: exponential in the transactions that may be in any order: all of them, for plain serializability.
    """
    transactions = parse(history, kind)
    if level not in {"serializable", "strict-serializable"}:
        return _check_snapshots(transactions, kind, level, budget)
    rows = []
    for transaction in transactions:
        call, done = transaction.call, transaction.done
        if level == "serializable" and transaction.outcome != "fail":
            # All at once: any order will do.
            call = transaction.number
            done = NEVER if transaction.outcome == "info" else len(transactions) + transaction.number
        steps = tuple(transaction.steps)
        rows.append(
            msgspec.structs.replace(transaction.operation, key=None, value=steps, result=None, call=call, done=done)
        )
    finding = check(rows, _model(kind), budget=budget)
    return msgspec.structs.replace(finding, model=level)


def _check_snapshots(transactions: list[Transaction], kind: Kind, level: ExactLevel, budget: int) -> Finding:
    chosen = next(name for name in EXACT_SNAPSHOT_LEVELS if name == level)
    verdict, spent = search_snapshots(transactions, _model(kind).follow, chosen, budget)
    count = len(transactions)
    if verdict is None:
        words = f"the budget of {budget} steps did not suffice"
        return Finding(verdict="unknown", model=level, explanation=words, budget_spent=spent, operation_count=count)
    if verdict:
        words = f"{count} transactions have starts and commits that explain them"
        return Finding(verdict="valid", model=level, explanation=words, budget_spent=spent, operation_count=count)
    return Finding(
        verdict="invalid", model=level, budget_spent=spent, operation_count=count,
        explanation=f"no starts and commits of the {count} transactions explain what was read.",
        witness=tuple(t.operation for t in transactions if t.outcome != "fail"),
    )  # fmt: skip


def _model(kind: Kind) -> Model:
    step = _append_step if kind == "list-append" else _register_step
    return Model(name=f"{kind} transactions", initial=(), step=step, partition=together)


def _append_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "lists by key, as sorted pairs"
    lists: dict[Hashable, tuple[Hashable, ...]] = dict(state)
    for f, key, value in operation.value:
        held = lists.get(key, ())
        if f == "append":
            lists[key] = (*held, value)
        elif operation.outcome == "ok" and held != value:
            return ()
    return (_sorted(lists),)


def _register_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "values by key, as sorted pairs"
    values: dict[Hashable, Hashable] = dict(state)
    for f, key, value in operation.value:
        if f == "w":
            values[key] = value
        elif operation.outcome == "ok" and values.get(key) != value:
            return ()
    return (_sorted(values),)


def _sorted(values: dict[Hashable, Hashable] | dict[Hashable, tuple[Hashable, ...]]) -> State:
    return tuple(sorted(values.items(), key=lambda item: repr(item[0])))
