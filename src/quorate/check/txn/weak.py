"""Weak isolation of read-write transactions, exactly: read committed, read atomic, causal.

Each level says which transactions must come before which in one commit order, which contains the order of each session
and reads-from. If T3 read x from T1 and T2 also wrote x, then T2 comes before T1 whenever T3 (read committed) had read
something of T2 before; (read atomic) reads from T2, or follows it in its session; (causal) has T2 in its causal past.
The level holds if and only if these edges have no cycle. Values are written to a key once.

Source: Biswas & Enea 2019, "On the complexity of checking transactional consistency" (the axioms); Møldrup &
Pavlogiannis 2025, AWDIT (only the latest writer of each session needs an edge).
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from itertools import pairwise
from typing import Final, Literal

from quorate.check.finding import Finding
from quorate.check.history import History, Operation, show
from quorate.check.txn.transactions import Transaction, parse
from quorate.check.weak.memory import acyclic_order, find_cycle

WeakLevel = Literal["read-committed", "read-atomic", "causal"]
WEAK_LEVELS: Final[tuple[WeakLevel, ...]] = ("read-committed", "read-atomic", "causal")

_Edges = list[dict[int, None]]


def check_weak(history: History | Iterable[Operation], level: WeakLevel) -> Finding:
    """Say whether a history of `["r", key, value]` and `["w", key, value]` transactions keeps a weak isolation level.

    Complexity: O(n × sessions × log n) for causal, n steps in all; for the others O(sum of the squares of the reads of
    one transaction).
    """
    transactions = parse(history, "rw-register")
    judge = _Judge(transactions)
    sentence, members = judge.run(level)
    if sentence is None:
        words = f"{len(transactions)} transactions fit {level}"
        return Finding(verdict="valid", model=level, explanation=words, operation_count=len(transactions))
    return Finding(
        verdict="unknown" if not members else "invalid",
        model=level,
        explanation=sentence,
        witness=tuple(transactions[number].operation for number in sorted(members)),
        blame=transactions[members[0]].operation if members else None,
        operation_count=len(transactions),
    )


class _Judge:
    def __init__(self, transactions: list[Transaction]) -> None:
        self.transactions = transactions
        self.writers: dict[tuple[Hashable, Hashable], int] = {}
        self.duplicate: str | None = None
        # What each transaction leaves behind: key → value.
        self.last_writes: list[dict[Hashable, Hashable]] = []
        for transaction in transactions:
            last: dict[Hashable, Hashable] = {}
            for f, key, value in transaction.steps:
                if f == "w":
                    if (key, value) in self.writers or value is None:
                        self.duplicate = f"{show(value)} is written to {show(key)} twice, or is the initial value"
                    self.writers[key, value] = transaction.number
                    last[key] = value
            self.last_writes.append(last)
        self.reads: list[list[tuple[Hashable, int | None]]] = [[] for _ in transactions]
        self.sessions: list[list[int]] = []
        self.places: dict[int, tuple[int, int]] = {}
        # (session, key) → (places of its writers, the writers).
        self.session_writers: dict[tuple[int, Hashable], tuple[list[int], list[int]]] = {}
        self.writing_sessions: dict[Hashable, dict[int, None]] = {}

    def run(self, level: WeakLevel) -> tuple[str | None, list[int]]:
        """Return why the level does not hold and the transactions that show it; nothing if it holds."""
        if self.duplicate is not None:
            return self.duplicate, []
        for transaction in self.transactions:
            if transaction.is_committed:
                wrong = self._note_reads(transaction, level)
                if wrong is not None:
                    return wrong
        self._note_sessions()
        base: _Edges = [{} for _ in self.transactions]
        for session in self.sessions:
            for earlier, later in pairwise(session):
                base[earlier][later] = None
        for number, reads in enumerate(self.reads):
            for _, source in reads:
                if source is not None:
                    base[source][number] = None
        order = acyclic_order(base)
        if order is None:
            return "transactions read from each other in a circle.", find_cycle(base)
        return self._judge(level, base, order)

    def _judge(self, level: WeakLevel, base: _Edges, order: list[int]) -> tuple[str | None, list[int]]:
        edges: _Edges = [dict(row) for row in base]
        reasons: dict[tuple[int, int], int] = {}
        for number, key, source, before in self._demands(level, order):
            if source is None:
                sentence = (
                    f"T{number} read the initial value of {show(key)}, though T{before} comes before it and wrote it."
                )
                return sentence, [number, before]
            if source not in edges[before]:
                edges[before][source] = None
                reasons[before, source] = number
        if acyclic_order(edges) is not None:
            return None, []
        cycle = find_cycle(edges)
        readers = [reasons[pair] for pair in zip(cycle, [*cycle[1:], cycle[0]], strict=True) if pair in reasons]
        words = ", ".join(f"T{number}" for number in cycle)
        return f"no commit order suits {level}: each of {words} would come before itself.", [
            *dict.fromkeys([*cycle, *readers])
        ]

    def _note_reads(self, transaction: Transaction, level: WeakLevel) -> tuple[str, list[int]] | None:
        number = transaction.number
        own: dict[Hashable, Hashable] = {}
        known: dict[Hashable, Hashable] = {}
        for f, key, value in transaction.steps:
            if f == "w":
                own[key] = value
                continue
            if key in own:
                if own[key] != value:
                    return f"T{number} did not read its own write of {show(key)}.", [number]
                continue
            if level != "read-committed" and known.setdefault(key, value) != value:
                return f"T{number} read {show(known[key])} and then {show(value)} of {show(key)}.", [number]
            writer = None if value is None else self.writers.get((key, value))
            if value is not None:
                if writer is None or writer == number:
                    return f"T{number} read {show(value)} of {show(key)}, which nobody had written.", [number]
                if self.transactions[writer].outcome == "fail":
                    return f"T{number} read {show(value)} of {show(key)}, which T{writer} aborted.", [number, writer]
                if self.last_writes[writer][key] != value:
                    return f"T{number} read {show(value)} of {show(key)} in the middle of T{writer}.", [number, writer]
            self.reads[number].append((key, writer))
        return None

    def _note_sessions(self) -> None:
        """Order the committed transactions of each process; one of unknown end that was read is alone."""
        read = dict.fromkeys(source for reads in self.reads for _, source in reads)
        sessions: dict[object, list[int]] = {}
        for transaction in self.transactions:
            if transaction.is_committed:
                sessions.setdefault(transaction.process, []).append(transaction.number)
            elif transaction.outcome == "info" and transaction.number in read:
                sessions[("unknown", transaction.number)] = [transaction.number]
        self.sessions = list(sessions.values())
        for number, session in enumerate(self.sessions):
            for place, member in enumerate(session):
                self.places[member] = (number, place)
                for key in self.last_writes[member]:
                    row = self.session_writers.setdefault((number, key), ([], []))
                    row[0].append(place)
                    row[1].append(member)
                    self.writing_sessions.setdefault(key, {})[number] = None

    def _demands(self, level: WeakLevel, order: list[int]) -> Iterator[tuple[int, Hashable, int | None, int]]:
        """Yield (reader, key, source, another writer of the key that must come before the source)."""
        if level == "causal":
            yield from self._causal_demands(order)
            return
        for number, reads in enumerate(self.reads):
            earlier: dict[int, None] = {}
            sources = dict.fromkeys(source for _, source in reads if source is not None)
            for key, source in reads:
                for other in earlier if level == "read-committed" else sources:
                    if other != source and key in self.last_writes[other]:
                        yield number, key, source, other
                if source is not None:
                    earlier[source] = None
                if level == "read-atomic":
                    session, place = self.places[number]
                    before = self._latest(session, key, place)
                    if before is not None and before != source:
                        yield number, key, source, before

    def _latest(self, session: int, key: Hashable, place: int) -> int | None:
        """Return the last writer of a key in a session before a place."""
        places, writers = self.session_writers.get((session, key), ([], []))
        count = bisect_left(places, place)
        return writers[count - 1] if count else None

    def _causal_demands(self, order: list[int]) -> Iterator[tuple[int, Hashable, int | None, int]]:
        clocks: dict[int, list[int]] = {}
        for number in order:
            if number not in self.places:
                continue
            session, place = self.places[number]
            clock = list(clocks[self.sessions[session][place - 1]]) if place else [0] * len(self.sessions)
            for cause in dict.fromkeys(source for _, source in self.reads[number] if source is not None):
                clock = [max(a, b) for a, b in zip(clock, clocks[cause], strict=True)]
            # So far: how many of each session are before this transaction.
            for key, source in self.reads[number]:
                for other_session in self.writing_sessions.get(key, ()):
                    before = self._latest(other_session, key, clock[other_session])
                    if before is not None and before != source:
                        yield number, key, source, before
            clock[session] = place + 1
            clocks[number] = clock
