"""Lists to which transactions append: reads show the order of versions, so dependencies are inferred, not searched.

A read of [1, 2, 3] says that 1 was appended before 2 and 2 before 3, and who wrote what was read (WR), who overwrote
whom (WW), and whose append came after the read (RW). Each element may be appended once only.

Source: Kingsbury & Alvaro 2020, "Elle: inferring isolation anomalies from experimental observations".
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from quorate.check.history import History, Operation, show
from quorate.check.txn.anomalies import Inference, Isolation, judge
from quorate.check.txn.graph import RW, WR, WW, Graph
from quorate.check.txn.transactions import Transaction, parse

_List = tuple[Hashable, ...]

# Appends that nobody read follow every read of the longest list; with more of them the edges would outgrow the use.
_UNREAD_MAX: Final = 8


def check_list_append(history: History | Iterable[Operation]) -> Isolation:
    """Return which isolation levels a history of list-append transactions refutes.

    Complexity: O(steps + elements read + transactions × concurrency).
    """
    transactions = parse(history, "list-append")
    return judge(infer_list_append(transactions), transactions)


def infer_list_append(transactions: Sequence[Transaction]) -> Inference:
    """Return the dependencies and the anomalies that no cycle shows. Complexity: as `check_list_append`."""
    return _Inferring(transactions).run()


class _Inferring:
    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.transactions = transactions
        self.result = Inference(Graph(len(transactions)), {})
        # (key, element) → who appended it.
        self.writers: dict[tuple[Hashable, Hashable], int] = {}
        # (key, element) of appends that were followed by another of the same transaction and key → True.
        self.is_inner: dict[tuple[Hashable, Hashable], bool] = {}
        # Key → the longest list that a committed transaction read, and who.
        self.longest: dict[Hashable, tuple[_List, int]] = {}
        # External reads of committed transactions: (transaction, key, list).
        self.reads: list[tuple[int, Hashable, _List]] = []
        # Those of transactions that also appended to the key.
        self.updates: list[tuple[int, Hashable, _List]] = []

    def run(self) -> Inference:
        for transaction in self.transactions:
            self._note_appends(transaction)
        for transaction in self.transactions:
            if transaction.is_committed:
                self._note_reads(transaction)
        self._check_prefixes()
        self._add_version_edges()
        self._add_read_edges()
        self._find_lost_updates()
        graph = self.result.graph
        graph.add_process_order(self.transactions)
        graph.add_realtime_order(self.transactions)
        return self.result

    def _note_appends(self, transaction: Transaction) -> None:
        last: dict[Hashable, Hashable] = {}
        for f, key, value in transaction.steps:
            if f != "append":
                continue
            if (key, value) in self.writers:
                earlier = self.transactions[self.writers[key, value]]
                sentence = f"{show(value)} was appended to {show(key)} twice: nobody can tell which one a read saw"
                self.result.note("duplicate-elements", sentence, earlier, transaction)
            self.writers[key, value] = transaction.number
            if key in last:
                self.is_inner[key, last[key]] = True
            last[key] = value

    def _note_reads(self, transaction: Transaction) -> None:
        """Check a transaction against itself, and keep what it read of others."""
        # Key → what it must read next; None where only its own appends so far are known.
        known: dict[Hashable, _List] = {}
        own: dict[Hashable, list[Hashable]] = {}
        # All that it appends, before and after its reads.
        mine: dict[Hashable, list[Hashable]] = {}
        for f, key, value in transaction.steps:
            if f == "append":
                mine.setdefault(key, []).append(value)
        for f, key, value in transaction.steps:
            if f == "append":
                own.setdefault(key, []).append(value)
                if key in known:
                    known[key] = (*known[key], value)
                continue
            assert isinstance(value, tuple), "a read of a list is a tuple"
            if key in known:
                if known[key] != value:
                    sentence = f"it should have read {show(known[key])} of {show(key)}, by its own earlier steps"
                    self.result.note("internal", sentence, transaction)
                continue
            known[key] = value
            seen = value
            if key in own:
                tail = tuple(own[key])
                if value[-len(tail) :] != tail:
                    sentence = f"it appended {show(tail)} to {show(key)} and then read {show(value)}"
                    self.result.note("internal", sentence, transaction)
                seen = value[: len(value) - len(tail)]
            self._keep_read(transaction, key, seen, mine.get(key))

    def _keep_read(self, transaction: Transaction, key: Hashable, seen: _List, mine: Sequence[Hashable] | None) -> None:
        number = transaction.number
        longest = self.longest.get(key)
        if longest is None or len(longest[0]) < len(seen):
            self.longest[key] = (seen, number)
        self.reads.append((number, key, seen))
        if mine:
            self.updates.append((number, key, seen))
            for value in mine:
                if value in seen:
                    sentence = f"it read {show(value)} of {show(key)} before it appended it"
                    self.result.note("future-read", sentence, transaction)
        if seen and (key, seen[-1]) in self.is_inner and self.writers[key, seen[-1]] != number:
            writer = self.writers[key, seen[-1]]
            sentence = f"T{number} read {show(seen[-1])} as the last of {show(key)}, an append in the"
            sentence += f" middle of T{writer}"
            self.result.note("g1b", sentence, self.transactions[writer], transaction)

    def _check_prefixes(self) -> None:
        """Every list read must begin the longest one; every element must come from a transaction that committed."""
        for key, (longest, by) in self.longest.items():
            self._check_elements(by, key, longest)
        for number, key, seen in self.reads:
            longest, by = self.longest[key]
            if longest is not seen and longest[: len(seen)] != seen:
                sentence = f"{show(key)} was read as {show(seen)} and as {show(longest)}: neither begins the other"
                self.result.note("incompatible-order", sentence, self.transactions[number], self.transactions[by])
                self._check_elements(number, key, seen)

    def _check_elements(self, number: int, key: Hashable, seen: _List) -> None:
        reader = self.transactions[number]
        if len(dict.fromkeys(seen)) != len(seen):
            sentence = f"T{number}'s read of {show(key)} holds an element twice: {show(seen)}"
            self.result.note("duplicate-elements", sentence, reader)
        for value in seen:
            writer = self.writers.get((key, value))
            if writer is None:
                sentence = f"nobody appended the {show(value)} that T{number} read of {show(key)}"
                self.result.note("garbage-read", sentence, reader)
            elif self.transactions[writer].outcome == "fail":
                sentence = f"T{number} read {show(value)} of {show(key)}, which T{writer} appended and then aborted"
                self.result.note("g1a", sentence, self.transactions[writer], reader)

    def _add_version_edges(self) -> None:
        graph, transactions = self.result.graph, self.transactions
        for key, (order, _) in self.longest.items():
            last: int | None = None
            for place, value in enumerate(order):
                writer = self.writers.get((key, value))
                if writer is None:
                    continue
                if transactions[writer].outcome == "fail":
                    after = [self.writers.get((key, later)) for later in order[place + 1 :]]
                    for other in after:
                        if other is not None and transactions[other].outcome == "ok":
                            sentence = f"T{other} appended to {show(key)} on top of {show(value)}, which was aborted"
                            self.result.note("dirty-update", sentence, transactions[writer], transactions[other])
                            break
                    continue
                if last is not None and last != writer:
                    graph.add(last, writer, WW)
                last = writer

    def _add_read_edges(self) -> None:
        graph, writers, transactions = self.result.graph, self.writers, self.transactions
        edges = graph.edges
        unread = self._unread()
        for number, key, seen in self.reads:
            order = self.longest[key][0]
            place = len(seen)
            if seen:
                writer = writers.get((key, seen[-1]))
                if writer is not None and writer != number and transactions[writer].outcome != "fail":
                    row = edges[writer]
                    row[number] = row.get(number, 0) | WR
                if order[place - 1] != seen[-1]:
                    # Of another order than the longest: what follows it is not known.
                    continue
            if place < len(order):
                follower = writers.get((key, order[place]))
                if follower is not None and follower != number and transactions[follower].outcome != "fail":
                    row = edges[number]
                    row[follower] = row.get(follower, 0) | RW
            else:
                for follower in unread.get(key, ()):
                    graph.add(number, follower, RW)
        for key, followers in unread.items():
            order = self.longest[key][0] if key in self.longest else ()
            last = writers.get((key, order[-1])) if order else None
            if last is not None and transactions[last].outcome != "fail":
                for follower in followers:
                    graph.add(last, follower, WW)

    def _unread(self) -> dict[Hashable, list[int]]:
        """Return, by key, who committed appends that no longest list holds: they come after all that was read."""
        read = {key: dict.fromkeys(order) for key, (order, _) in self.longest.items()}
        found: dict[Hashable, list[int]] = {}
        for (key, value), writer in self.writers.items():
            if self.transactions[writer].is_committed and value not in read.get(key, ()):
                found.setdefault(key, []).append(writer)
        return {key: list(dict.fromkeys(row)) for key, row in found.items() if len(row) <= _UNREAD_MAX}

    def _find_lost_updates(self) -> None:
        """Two committed transactions read the same version and both wrote: one of them overwrote unseen."""
        first: dict[tuple[Hashable, int], int] = {}
        for number, key, seen in self.updates:
            # A read after its own append is no proof that the version was read before writing; both see `seen`.
            version = (key, len(seen))
            if self.longest[key][0][: len(seen)] != seen:
                continue
            other = first.setdefault(version, number)
            if other != number:
                sentence = f"T{other} and T{number} both read {show(seen)} of {show(key)} and appended to it"
                self.result.note("lost-update", sentence, self.transactions[other], self.transactions[number])
