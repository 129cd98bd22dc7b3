"""Snapshot isolation when the system states when each transaction began and committed: replay, near linear, and exact.

A transaction reads the state that all commits up to its start left, plus its own writes; and between its start and its
commit nobody else commits a write to a key that it writes. Stamps are any whole numbers on one scale: a time, a
revision, a log index. They are doubted: wrong ones can only refute, never excuse.

Source: Lu et al. 2025, "Online timestamp-based transactional isolation checking of database systems" (Chronos).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal

from quorate.check.collector import collector_paused
from quorate.check.finding import Finding
from quorate.check.history import BadHistory, History, Operation, show
from quorate.check.txn.transactions import Kind, Transaction, parse

SnapshotLevel = Literal["snapshot-isolation", "strong-session-snapshot-isolation", "strong-snapshot-isolation"]
_Wrong = tuple[str, list[Transaction]]


@collector_paused()
def check_stated_snapshots(
    history: History | Iterable[Operation],
    kind: Kind,
    stamps: Mapping[int, tuple[int, int]],
    level: SnapshotLevel = "strong-snapshot-isolation",
) -> Finding:
    """Say whether the stated starts and commits explain all reads, exclude lost updates and keep the level's order.

    Args:
        history: transactions, as for `check_list_append` and `check_rw_register`.
        kind: what their steps are.
        stamps: `call` of a transaction → (start, commit). A commit is seen by starts of the same stamp and later ones.
            All that are certain need stamps; one of unknown end that has some counts as committed.
        level: what the stamps must agree with besides: nothing, the processes, or time. A transaction must start no
            earlier than the commit of those that come before it.

    Raises:
        BadHistory: a certain transaction without stamps, one that starts after its commit, or two writers that commit
            at one stamp.

    Complexity: O(n log n + size of the history).
    """
    transactions = parse(history, kind)
    chosen = [t for t in transactions if t.call in stamps]
    _check_stamps(transactions, stamps)
    wrong = _replay(chosen, stamps, kind) or _disorder(chosen, stamps, level)
    if wrong is None:
        words = f"{len(chosen)} transactions fit the starts and commits that were stated"
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


def _writes(transaction: Transaction) -> bool:
    return any(f != "r" for f, _, _ in transaction.steps)


def _check_stamps(transactions: Sequence[Transaction], stamps: Mapping[int, tuple[int, int]]) -> None:
    commits: dict[int, Transaction] = {}
    for transaction in transactions:
        if transaction.call not in stamps:
            if transaction.is_committed:
                raise BadHistory(f"T{transaction.number} committed and states no stamps: {transaction}")
            continue
        start, commit = stamps[transaction.call]
        if start > commit or (start == commit and _writes(transaction)):
            raise BadHistory(f"T{transaction.number} starts at {start} and commits at {commit}: {transaction}")
        other = commits.get(commit)
        if _writes(transaction):
            if other is not None:
                raise BadHistory(f"T{other.number} and T{transaction.number} both commit at {commit}")
            commits[commit] = transaction


def _replay(chosen: Sequence[Transaction], stamps: Mapping[int, tuple[int, int]], kind: Kind) -> _Wrong | None:
    # (stamp, commits before starts, transaction).
    events = sorted(
        [(stamps[t.call][0], 1, t.number, t) for t in chosen] + [(stamps[t.call][1], 0, t.number, t) for t in chosen],
        key=lambda event: event[:3],
    )
    held: dict[Hashable, Hashable] = {}
    # Key → who committed a write to it last.
    last: dict[Hashable, Transaction] = {}
    for _, is_start, _, transaction in events:
        if transaction.outcome == "fail":
            return f"T{transaction.number} aborted, and is stated to have committed.", [transaction]
        if is_start:
            wrong = _read(transaction, held, last, kind) if transaction.is_committed else None
            if wrong is not None:
                return wrong
            continue
        start = stamps[transaction.call][0]
        for f, key, value in transaction.steps:
            if f == "r":
                continue
            other = last.get(key)
            if other is not None and other is not transaction and stamps[other.call][1] > start:
                sentence = (
                    f"T{transaction.number} started before T{other.number} committed its write to {show(key)}, and"
                    " committed one too."
                )
                return sentence, [other, transaction]
            last[key] = transaction
            held[key] = _after(held.get(key), value, kind)
    return None


def _after(before: Hashable, value: Hashable, kind: Kind) -> Hashable:
    if kind == "rw-register":
        return value
    return (*before, value) if isinstance(before, tuple) else (value,)


def _read(
    transaction: Transaction, held: Mapping[Hashable, Hashable], last: Mapping[Hashable, Transaction], kind: Kind
) -> _Wrong | None:
    own: dict[Hashable, Hashable] = {}
    nothing = () if kind == "list-append" else None
    for f, key, value in transaction.steps:
        now = own[key] if key in own else held.get(key, nothing)
        if f != "r":
            own[key] = _after(now, value, kind)
        elif now != value:
            sentence = f"T{transaction.number} read {show(value)} of {show(key)}; at its start it was {show(now)}."
            by = [last[key]] if key in last and key not in own else []
            return sentence, [*by, transaction]
    return None


def _disorder(
    chosen: Sequence[Transaction], stamps: Mapping[int, tuple[int, int]], level: SnapshotLevel
) -> _Wrong | None:
    """Look for a transaction that starts before the commit of one that it must come after."""
    if level == "snapshot-isolation":
        return None
    by_call = sorted(chosen, key=lambda t: t.call)
    by_done = sorted((t for t in chosen if t.is_committed), key=lambda t: t.done)
    # The latest commit of those that had answered: of each process, or of all.
    latest: dict[int, Transaction] = {}
    place = 0
    for transaction in by_call:
        while place < len(by_done) and by_done[place].done < transaction.call:
            group = by_done[place].process if level == "strong-session-snapshot-isolation" else 0
            known = latest.get(group)
            if known is None or stamps[known.call][1] < stamps[by_done[place].call][1]:
                latest[group] = by_done[place]
            place += 1
        before = latest.get(transaction.process if level == "strong-session-snapshot-isolation" else 0)
        if before is not None and stamps[transaction.call][0] < stamps[before.call][1]:
            sentence = (
                f"T{before.number} had answered before T{transaction.number} was called, and T{transaction.number} is"
                " stated to start before its commit."
            )
            return sentence, [before, transaction]
    return None
