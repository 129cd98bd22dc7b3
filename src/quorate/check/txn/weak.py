"""Weak isolation of read-write transactions, exactly: read committed, read atomic, causal.

Each level says which transactions must come before which in one commit order, which contains the order of each session
and reads-from. If T3 read x from T1 and T2 also wrote x, then T2 comes before T1 whenever T3 (read committed) had read
something of T2 before; (read atomic) reads from T2, or follows it in its session; (causal) has T2 in its causal past.
The level holds if and only if these edges have no cycle. Values are written to a key once.

Source: Biswas & Enea 2019, "On the complexity of checking transactional consistency" (the axioms); Møldrup &
Pavlogiannis 2025, "AWDIT: an optimal weak database isolation tester" (which edges suffice, and the bounds).
Deviation: the last writer of a session is found by halving, where AWDIT keeps a finger: a factor of log n for causal.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final, Literal

from quorate.check.collector import collector_paused
from quorate.check.finding import Finding
from quorate.check.history import History, Operation, show
from quorate.check.txn.transactions import Transaction, parse
from quorate.check.weak.memory import acyclic_order, find_cycle

WeakLevel = Literal["read-committed", "read-atomic", "causal"]
WEAK_LEVELS: Final[tuple[WeakLevel, ...]] = ("read-committed", "read-atomic", "causal")

_Edges = list[dict[int, None]]


@collector_paused()
def check_weak(history: History | Iterable[Operation], level: WeakLevel) -> Finding:
    """Say whether a history of `["r", key, value]` and `["w", key, value]` transactions keeps a weak isolation level.

    Complexity: O(n^1.5) for read committed and read atomic, O(n × sessions × log n) for causal; n steps in all.
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


class _Nothing:
    """There is no second source of a key."""


_NOTHING: Final = _Nothing()

# Reader, key, source, another writer of the key.
Demand = tuple[int, Hashable, int | None, int]


def _shared(one: Mapping[Hashable, object], other: Mapping[Hashable, object]) -> list[Hashable]:
    """Return the keys of both, walking along the smaller: this is what makes the whole O(n^1.5)."""
    if len(one) <= len(other):
        return [key for key in one if key in other]
    return [key for key in other if key in one]


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

    def _demands(self, level: WeakLevel, order: list[int]) -> Iterator[Demand]:
        """Yield (reader, key, source, another writer of the key that must come before the source)."""
        if level == "causal":
            yield from self._causal_demands(order)
        elif level == "read-atomic":
            yield from self._atomic_demands()
        else:
            for number, reads in enumerate(self.reads):
                yield from self._committed_demands(number, reads)

    def _committed_demands(self, number: int, reads: list[tuple[Hashable, int | None]]) -> Iterator[Demand]:
        """Yield what read committed says of one transaction: who was read from is not older than what is read later.

        Of the later reads of a key only the first that is of somebody else counts: those behind it are ordered behind
        it by the same rule, as it was read before them. So walking backwards, two of a key are remembered.
        """
        first_places: dict[int | None, int] = {}
        for place, (_, source) in enumerate(reads):
            first_places.setdefault(source, place)
        # Key → (source of the next read of it, the next source that is another).
        later: dict[Hashable, tuple[int | None, int | _Nothing | None]] = {}
        for place in range(len(reads) - 1, -1, -1):
            key, source = reads[place]
            if source is not None and first_places[source] == place:
                for shared in _shared(self.last_writes[source], later):
                    nearest, second = later[shared]
                    other = second if nearest == source else nearest
                    if not isinstance(other, _Nothing):
                        yield number, shared, other, source
            known = later.get(key)
            if known is None:
                later[key] = (source, _NOTHING)
            elif known[0] != source:
                later[key] = (source, known[0])

    def _atomic_demands(self) -> Iterator[Demand]:
        """Yield what read atomic says: of the session before, and of each writer that was read from."""
        for session in self.sessions:
            last: dict[Hashable, int] = {}
            for number in session:
                # Reads repeat, or it has been refuted.
                sources = dict(self.reads[number])
                for key, source in sources.items():
                    before = last.get(key)
                    if before is not None and before != source:
                        yield number, key, source, before
                for other in dict.fromkeys(source for source in sources.values() if source is not None):
                    for key in _shared(self.last_writes[other], sources):
                        if sources[key] != other:
                            yield number, key, sources[key], other
                for key in self.last_writes[number]:
                    last[key] = number

    def _causal_demands(self, order: list[int]) -> Iterator[Demand]:
        clocks: dict[int, list[int]] = {}
        # Key → (session, places of its writers there, the writers).
        rows: dict[Hashable, list[tuple[int, list[int], list[int]]]] = {}
        for (writing, key), (places, writers) in self.session_writers.items():
            rows.setdefault(key, []).append((writing, places, writers))
        for number in order:
            if number not in self.places:
                continue
            session, place = self.places[number]
            clock = list(clocks[self.sessions[session][place - 1]]) if place else [0] * len(self.sessions)
            for cause in dict.fromkeys(source for _, source in self.reads[number] if source is not None):
                at, rank = self.places[cause]
                # What is known already has brought all of its own past along.
                if rank >= clock[at]:
                    clock = list(map(max, clock, clocks[cause]))
            # So far: how many of each session are before this transaction.
            for key, source in self.reads[number]:
                known = None if source is None else clocks[source]
                for other_session, places, writers in rows.get(key, ()):
                    count = bisect_left(places, clock[other_session])
                    # A writer in the source's own past comes before it already.
                    if count and (known is None or places[count - 1] >= known[other_session]):
                        yield number, key, source, writers[count - 1]
            clock[session] = place + 1
            clocks[number] = clock
