"""Snapshot isolation by search: exact, exponential, for small histories. The referee of what is inferred or stated.

Every transaction has a start and a later commit. It reads what all commits before its start left, and its own writes;
and nobody else commits a write to a key that it writes between the two. The search looks for one order of all starts
and commits. A transaction that only reads commits where it starts, as nobody waits for it to be later.

Source: Berenson and others 1995, "A critique of ANSI SQL isolation levels"; Elnikety and others 2005 (snapshots that
may be old); Daudjee & Salem 2006 (strong and strong session snapshot isolation).
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from quorate.check.history import Operation
from quorate.check.models import State
from quorate.check.txn.transactions import Transaction

ExactSnapshotLevel = Literal["snapshot-isolation", "strong-session-snapshot-isolation", "strong-snapshot-isolation"]
EXACT_SNAPSHOT_LEVELS: Final[tuple[ExactSnapshotLevel, ...]] = (
    "snapshot-isolation",
    "strong-session-snapshot-isolation",
    "strong-snapshot-isolation",
)

# A step over the values of all keys: the states after a transaction, none if it cannot have read so.
_Step = Callable[[State, Operation], tuple[State, ...]]
# Bits of those that began and did not commit, bits of those that committed, values of all keys.
_Place = tuple[int, int, State]


def search_snapshots(
    transactions: Sequence[Transaction], step: _Step, level: ExactSnapshotLevel, budget: int
) -> tuple[bool | None, int]:
    """Return whether starts and commits can be ordered so, None when the budget is spent; and the steps.

    Complexity: exponential in the transactions that may run at once: all of them, for plain snapshot isolation.
    """
    search = _Search([t for t in transactions if t.outcome != "fail"], step, level)
    stack: list[_Place] = [(0, 0, ())]
    tried: dict[_Place, None] = {}
    spent = 0
    while stack:
        place = stack.pop()
        if place in tried:
            continue
        tried[place] = None
        spent += 1
        if spent > budget:
            return None, spent
        running, committed, _ = place
        if not running and not search.certain & ~committed:
            return True, spent
        stack.extend(search.moves(place))
    return False, spent


class _Search:
    def __init__(self, transactions: Sequence[Transaction], step: _Step, level: ExactSnapshotLevel) -> None:
        self.step = step
        self.operations = [
            msgspec.structs.replace(t.operation, key=None, value=t.steps, result=None) for t in transactions
        ]
        # The same without answers: what is left behind at the commit.
        self.blind = [msgspec.structs.replace(o, outcome="info") for o in self.operations]
        self.writes = [
            dict.fromkeys(key for f, key, _ in transaction.steps if f != "r") for transaction in transactions
        ]
        self.certain = sum(1 << place for place, t in enumerate(transactions) if t.is_committed)
        # Bits of those that must have committed before one starts.
        self.before = [
            sum(1 << place for place, other in enumerate(transactions) if _precedes(other, one, level))
            for one in transactions
        ]
        # Bits of those that write a key of one's.
        self.rivals = [
            sum(1 << place for place, row in enumerate(self.writes) if row is not mine and row.keys() & mine.keys())
            for mine in self.writes
        ]

    def moves(self, place: _Place) -> list[_Place]:
        """Return what can happen next: a start whose reads are right, or a commit that nobody else's start forbids."""
        running, committed, values = place
        found: list[_Place] = []
        for number, operation in enumerate(self.operations):
            bit = 1 << number
            if committed & bit:
                continue
            if running & bit:
                # Whoever runs will commit, so a rival's commit meanwhile is a dead end.
                if not running & self.rivals[number]:
                    after = self.step(values, self.blind[number])
                    found += [(running ^ bit, committed | bit, state) for state in after]
            elif not self.before[number] & ~committed and self.step(values, operation):
                is_writer = bool(self.writes[number])
                found.append((running | bit, committed, values) if is_writer else (running, committed | bit, values))
        return found


def _precedes(one: Transaction, other: Transaction, level: ExactSnapshotLevel) -> bool:
    """Say whether a certain transaction must have committed before another starts."""
    if not one.is_committed or one.done >= other.call or level == "snapshot-isolation":
        return False
    return level == "strong-snapshot-isolation" or one.process == other.process
