"""Edges as they are found, before anything is indexed: most histories have no cycle, and that is seen on flat numbers.

A transaction that nothing must come before is first in some order; take it away, and look again. What is left in the
end holds all cycles, and only that is worth a graph with reasons. The order of time needs no edges here: walking along
the answers of the history, a call is free once all answers before it belong to transactions that were taken away.

Source: Kahn 1962, "Topological sorting of large networks". The walk along the answers in place of real-time edges is
ours: it costs O(n) where edges cost O(n × concurrency).
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from quorate.check.history import NEVER
from quorate.check.txn.graph import Graph
from quorate.check.txn.transactions import Transaction

# An arc is target << KIND_BITS | kind: one small integer where a pair would be an object of three.
KIND_BITS: Final = 3


class Arcs:
    """Dependencies between numbered transactions; `rows[source]` holds arcs, `incoming[target]` counts them.

    Whoever adds an arc does so in both places, by hand: this is the inner loop of inference. An arc from a transaction
    to itself is never added.
    """

    def __init__(self, size: int) -> None:
        self.rows: list[list[int]] = [[] for _ in range(size)]
        # One for the call itself, until time lets it go.
        self.incoming = [1] * size

    def add(self, source: int, target: int, kind: int) -> None:
        """Add a reason for one transaction to come before another."""
        if source != target:
            self.rows[source].append(target << KIND_BITS | kind)
            self.incoming[target] += 1

    def knotted(self, transactions: Sequence[Transaction]) -> list[int]:
        """Return the transactions that may be on a cycle of any kind of edge; none if there is no cycle.

        To be called once: it uses up the counts.

        Complexity: O(edges + n log n), n transactions.
        """
        alive = [transaction for transaction in transactions if transaction.outcome != "fail"]
        overtaken = _overtaken(alive)
        for source, target in overtaken:
            # Without a kind: the graph of what is left gets the order of processes again, with its name.
            self.add(source, target, 0)
        return self._peel(alive)

    def _peel(self, alive: list[Transaction]) -> list[int]:
        rows, incoming = self.rows, self.incoming
        called = sorted(alive, key=attrgetter("call"))
        calls = [transaction.call for transaction in called]
        answered = sorted([t for t in alive if t.outcome == "ok"], key=attrgetter("done"))
        answers = [transaction.number for transaction in answered]
        limits = [transaction.done for transaction in answered]
        # A last answer that never comes.
        answers.append(len(rows))
        limits.append(NEVER)
        is_taken = bytearray(len(rows) + 1)
        next_call = next_answer = 0
        call_count = len(called)
        work: list[int] = []
        while True:
            while is_taken[answers[next_answer]]:
                next_answer += 1
            # A call at the place of an answer overlaps with it.
            limit = limits[next_answer]
            while next_call < call_count and calls[next_call] <= limit:
                number = called[next_call].number
                next_call += 1
                incoming[number] -= 1
                if not incoming[number]:
                    work.append(number)
            if not work:
                return [transaction.number for transaction in alive if not is_taken[transaction.number]]
            while work:
                source = work.pop()
                is_taken[source] = 1
                for arc in rows[source]:
                    target = arc >> KIND_BITS
                    incoming[target] -= 1
                    if not incoming[target]:
                        work.append(target)

    def graph(self, transactions: Sequence[Transaction], within: Sequence[int]) -> Graph:
        """Return the graph of some transactions, with the order of processes and of time among them.

        Complexity: O(arcs of these + their number × concurrency).
        """
        graph = Graph(len(transactions))
        inside = dict.fromkeys(within)
        mask = (1 << KIND_BITS) - 1
        for source in within:
            for arc in self.rows[source]:
                if arc & mask and arc >> KIND_BITS in inside:
                    graph.add(source, arc >> KIND_BITS, arc & mask)
        some = [transactions[number] for number in within]
        graph.add_process_order(some)
        graph.add_realtime_order(some)
        return graph


def _overtaken(alive: Sequence[Transaction]) -> list[tuple[int, int]]:
    """Return the steps in the order of a process that the order of time does not hold: its calls overlap."""
    last: dict[int, Transaction] = {}
    found: list[tuple[int, int]] = []
    for transaction in alive:
        before = last.get(transaction.process)
        if before is not None and before.done >= transaction.call:
            found.append((before.number, transaction.number))
        if transaction.outcome == "ok":
            last[transaction.process] = transaction
    return found
