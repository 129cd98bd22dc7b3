"""Registers that transactions read and write: who read from whom is certain, which version came first is inferred.

Every value is written to a key once. Certain are: the source of each read (WR), that the initial value comes first, and
that a transaction which read a version and wrote the key replaced it, or a later one. From there two rules are applied
until nothing new follows (the part that Elle leaves out). If T2 wrote x and must come before T3, which read x from T1,
then T2's version is older than T1's. If T1, whose x was read by T3, must come before T2, which wrote x, then T3 comes
before T2. The rules hold for any serial order, so each serializable level is saturated over its own edges; weaker
levels are judged on what is certain.

Source: Kingsbury & Alvaro 2020 (rw-register); the rules as in Biswas & Enea 2019, "On the complexity of checking
transactional consistency", section on saturation.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from quorate.check.collector import collector_paused
from quorate.check.history import History, Operation, show
from quorate.check.txn.anomalies import Inference, Isolation, judge
from quorate.check.txn.graph import PROCESS, REALTIME, RW, WR, WW, Graph
from quorate.check.txn.levels import strongest_of
from quorate.check.txn.transactions import Transaction, parse

# Knots and reachability by bits cost n² / 64: beyond this many transactions only certain edges are used.
SATURATION_MAX: Final = 20_000


@collector_paused()
def check_rw_register(history: History | Iterable[Operation], *, saturate: bool = True) -> Isolation:
    """Return which isolation levels a history of read-write transactions refutes.

    Args:
        history: transactions of `["r", key, value]` and `["w", key, value]`; null is the initial value.
        saturate: apply the rules until nothing follows; without it only what is certain is used, in linear time.

    Complexity: O(rounds × edges × n / 64) bit operations with saturation.
    """
    transactions = parse(history, "rw-register")
    inferring = _Inferring(transactions)
    inference = inferring.run()
    result = judge(inference, transactions)
    if not saturate or len(transactions) > SATURATION_MAX:
        return result
    found = {}
    for kinds, level in (
        (WW | WR | RW, "serializable"),
        (WW | WR | RW | PROCESS, "strong-session-serializable"),
        (WW | WR | RW | PROCESS | REALTIME, "strict-serializable"),
    ):
        if level in result.not_refuted:
            graph = inferring.saturated(kinds)
            if graph is not None:
                found[level] = judge(Inference(graph, inference.anomalies), transactions)
    return _merged(result, found)


def _merged(plain: Isolation, saturated: dict[str, Isolation]) -> Isolation:
    """Add the serializable levels that only saturation refutes; what they imply stands or falls with them."""
    refuted = list(plain.refuted)
    anomalies = dict(plain.anomalies)
    for level, isolation in saturated.items():
        refuted.append(level)
        for name, rows in isolation.anomalies.items():
            anomalies.setdefault(name, rows)
    if "serializable" in saturated:
        # Without predicates, repeatable read asks for the same cycles.
        refuted += ["repeatable-read", "strong-session-serializable", "strict-serializable"]
    if "strong-session-serializable" in saturated:
        refuted.append("strict-serializable")
    gone = dict.fromkeys(refuted)
    held = tuple(level for level in plain.not_refuted if level not in gone)
    return Isolation(
        anomalies=anomalies,
        refuted=tuple(gone),
        not_refuted=held,
        strongest=strongest_of(held),
        transaction_count=plain.transaction_count,
    )


class _Inferring:
    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.transactions = transactions
        self.result = Inference(Graph(len(transactions)), {})
        # (key, value) → writer; values that their writer replaced itself → True.
        self.writers: dict[tuple[Hashable, Hashable], int] = {}
        self.is_inner: dict[tuple[Hashable, Hashable], bool] = {}
        # Committed, or read by somebody: writers by key, and (reader, key, source or None for the initial value).
        self.writers_of: dict[Hashable, list[int]] = {}
        self.reads: list[tuple[int, Hashable, int | None]] = []

    def run(self) -> Inference:
        for transaction in self.transactions:
            self._note_writes(transaction)
        seen: dict[int, None] = {}
        for transaction in self.transactions:
            if transaction.is_committed:
                self._note_reads(transaction, seen)
        for transaction in self.transactions:
            if transaction.is_committed or transaction.number in seen:
                for key in dict.fromkeys(key for f, key, _ in transaction.steps if f == "w"):
                    self.writers_of.setdefault(key, []).append(transaction.number)
        self._add_certain_edges()
        graph = self.result.graph
        graph.add_process_order(self.transactions)
        graph.add_realtime_order(self.transactions)
        return self.result

    def _note_writes(self, transaction: Transaction) -> None:
        last: dict[Hashable, Hashable] = {}
        for f, key, value in transaction.steps:
            if f != "w":
                continue
            if (key, value) in self.writers or value is None:
                sentence = f"{show(value)} was written to {show(key)} twice, or is the initial value"
                self.result.note("duplicate-elements", sentence, transaction)
            self.writers[key, value] = transaction.number
            if key in last:
                self.is_inner[key, last[key]] = True
            last[key] = value

    def _note_reads(self, transaction: Transaction, seen: dict[int, None]) -> None:
        known: dict[Hashable, Hashable] = {}
        for f, key, value in transaction.steps:
            if f == "w":
                known[key] = value
                continue
            if key in known:
                if known[key] != value:
                    sentence = f"it should have read {show(known[key])} of {show(key)}, by its own earlier steps"
                    self.result.note("internal", sentence, transaction)
                continue
            known[key] = value
            self._keep_read(transaction, key, value, seen)

    def _keep_read(self, reader: Transaction, key: Hashable, value: Hashable, seen: dict[int, None]) -> None:
        note, number = self.result.note, reader.number
        if value is None:
            self.reads.append((number, key, None))
            return
        writer = self.writers.get((key, value))
        if writer is None:
            note("garbage-read", f"nobody wrote the {show(value)} that T{number} read of {show(key)}", reader)
        elif writer == number:
            note("future-read", f"it read {show(value)} of {show(key)} before it wrote it", reader)
        elif self.transactions[writer].outcome == "fail":
            sentence = f"T{number} read {show(value)} of {show(key)}, which T{writer} wrote and then aborted"
            note("g1a", sentence, self.transactions[writer], reader)
        else:
            if (key, value) in self.is_inner:
                sentence = f"T{number} read {show(value)} of {show(key)}, a write in the middle of T{writer}"
                note("g1b", sentence, self.transactions[writer], reader)
            seen[writer] = None
            self.reads.append((number, key, writer))

    def _add_certain_edges(self) -> None:
        graph = self.result.graph
        writes = {(number, key): None for key, numbers in self.writers_of.items() for number in numbers}
        first: dict[tuple[Hashable, int | None], int] = {}
        for reader, key, source in self.reads:
            if source is None:
                # The initial value is before all others.
                for writer in self.writers_of.get(key, ()):
                    graph.add(reader, writer, RW)
            else:
                graph.add(source, reader, WR)
            if (reader, key) not in writes:
                continue
            if source is not None:
                graph.add(source, reader, WW)
            other = first.setdefault((key, source), reader)
            if other != reader:
                what = "the initial value" if source is None else f"T{source}'s write"
                sentence = f"T{other} and T{reader} both read {what} of {show(key)} and replaced it"
                self.result.note("lost-update", sentence, self.transactions[other], self.transactions[reader])
        self._find_cyclic_versions(writes)
        for reader, key, read in self.reads:
            # Whoever replaced what was read comes after the reader.
            if read is not None and (key, read) in first:
                graph.add(reader, first[key, read], RW)

    def _find_cyclic_versions(self, writes: dict[tuple[int, Hashable], None]) -> None:
        """Note keys whose versions replaced each other in a circle: each writer read what it replaced."""
        before = {(reader, key): source for reader, key, source in self.reads if (reader, key) in writes}
        is_done: dict[tuple[int, Hashable], None] = {}
        for first in before:
            path: dict[tuple[int, Hashable], None] = {}
            at: tuple[int, Hashable] | None = first
            while at is not None and at in before and at not in is_done and at not in path:
                path[at] = None
                source = before[at]
                at = None if source is None else (source, at[1])
            if at is not None and at in path:
                numbers = sorted(number for number, _ in list(path)[list(path).index(at) :])
                words = " and ".join(f"T{number}" for number in numbers)
                sentence = f"{words} replaced each other's writes of {show(at[1])} in a circle"
                self.result.note("cyclic-versions", sentence, *(self.transactions[number] for number in numbers))
            is_done.update(path)

    def saturated(self, kinds: int) -> Graph | None:
        """Return the graph with all that follows for a serial order over some kinds of edges, once it has a cycle.

        Returns:
            None when nothing more follows and there is no cycle.
        """
        graph = Graph(self.result.graph.size)
        for number, row in enumerate(self.result.graph.edges):
            graph.edges[number] = {target: bits & kinds for target, bits in row.items() if bits & kinds}
        while True:
            after = _descendants(graph)
            if after is None:
                return graph
            is_new = False
            for reader, key, source in self.reads:
                if source is None:
                    continue
                for writer in self.writers_of.get(key, ()):
                    if writer in {source, reader}:
                        continue
                    if after[writer] >> reader & 1 and source not in graph.edges[writer]:
                        graph.add(writer, source, WW)
                        is_new = True
                    if after[source] >> writer & 1 and writer not in graph.edges[reader]:
                        graph.add(reader, writer, RW)
                        is_new = True
            if not is_new:
                return None


def _descendants(graph: Graph) -> list[int] | None:
    """Return for each transaction the bits of all that come after it, or None if there is a cycle."""
    incoming = [0] * graph.size
    for row in graph.edges:
        for target in row:
            incoming[target] += 1
    order = [node for node, count in enumerate(incoming) if not count]
    for node in order:
        for target in graph.edges[node]:
            incoming[target] -= 1
            if not incoming[target]:
                order.append(target)
    if len(order) < graph.size:
        return None
    after = [0] * graph.size
    for node in reversed(order):
        bits = 0
        for target in graph.edges[node]:
            bits |= after[target] | 1 << target
        after[node] = bits
    return after
