"""Serializability when the system says in which order it committed: replay in place of search, and the word is checked.

A statement is a hint, not a proof: every read is compared with what that very order gives it, and the order itself with
the processes or with time. So a wrong statement can only refute, never excuse.
"""

from collections.abc import Hashable, Iterable, Mapping
from itertools import pairwise
from typing import Literal

from quorate.check.collector import collector_paused
from quorate.check.finding import Finding
from quorate.check.history import BadHistory, History, Operation, show
from quorate.check.txn.transactions import Kind, Transaction, parse

StatedLevel = Literal["serializable", "strong-session-serializable", "strict-serializable"]


@collector_paused()
def check_stated_order(
    history: History | Iterable[Operation],
    kind: Kind,
    positions: Mapping[int, int],
    level: StatedLevel = "strict-serializable",
) -> Finding:
    """Say whether the stated commit order explains all reads and keeps the order that the level asks for.

    Args:
        history: transactions, as for `check_list_append` and `check_rw_register`.
        kind: what their steps are.
        positions: `call` of a transaction → its place in the commit order, such as a revision or a log index. All that
            are certain need one; one of unknown end that has one counts as committed.
        level: what the order must agree with besides the reads: nothing, the processes, or time.

    Raises:
        BadHistory: a certain transaction without a position, or two with the same.

    Complexity: O(n log n + size of the history).
    """
    transactions = parse(history, kind)
    order = sorted((t for t in transactions if t.call in positions), key=lambda t: positions[t.call])
    for earlier, later in pairwise(order):
        if positions[earlier.call] == positions[later.call]:
            raise BadHistory(f"T{earlier.number} and T{later.number} state one position: {positions[later.call]}")
    for transaction in transactions:
        if transaction.is_committed and transaction.call not in positions:
            raise BadHistory(f"T{transaction.number} committed and states no position: {transaction}")
    wrong = _replay(order, kind) or _disorder(order, level)
    if wrong is None:
        words = f"{len(order)} transactions fit the order that was stated"
        return Finding(verdict="valid", model=level, explanation=words, operation_count=len(transactions))
    sentence, members = wrong
    return Finding(
        verdict="invalid",
        model=level,
        explanation=sentence,
        witness=tuple(t.operation for t in members),
        blame=members[-1].operation,
        operation_count=len(transactions),
    )


_Wrong = tuple[str, list[Transaction]]


def _replay(order: list[Transaction], kind: Kind) -> _Wrong | None:
    lists: dict[Hashable, list[Hashable]] = {}
    values: dict[Hashable, Hashable] = {}
    writers: dict[Hashable, Transaction] = {}
    for transaction in order:
        if transaction.outcome == "fail":
            return f"T{transaction.number} aborted, and is stated to have committed.", [transaction]
        for f, key, value in transaction.steps:
            if f != "r":
                lists.setdefault(key, []).append(value)
                values[key] = value
                writers[key] = transaction
            elif transaction.is_committed:
                held = tuple(lists.get(key, ())) if kind == "list-append" else values.get(key)
                if held != value:
                    sentence = f"T{transaction.number} read {show(value)} of {show(key)}; in the stated order it is"
                    by = [writers[key]] if key in writers and writers[key] is not transaction else []
                    return f"{sentence} {show(held)}.", [*by, transaction]
    return None


def _disorder(order: list[Transaction], level: StatedLevel) -> _Wrong | None:
    if level == "serializable":
        return None
    latest: dict[int, Transaction] = {}
    for transaction in order:
        # The transaction so far that was called last: nothing that answered before its call may come later.
        group = transaction.process if level == "strong-session-serializable" else 0
        before = latest.get(group)
        if before is not None and transaction.done < before.call:
            sentence = (
                f"T{transaction.number} had answered before T{before.number} was called, and is stated to come after."
            )
            return sentence, [before, transaction]
        if before is None or before.call < transaction.call:
            latest[group] = transaction
    return None
