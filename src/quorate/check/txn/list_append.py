"""Lists to which transactions append: reads show the order of versions, so dependencies are inferred, not searched.

A read of [1, 2, 3] says that 1 was appended before 2 and 2 before 3, and who wrote what was read (WR), who overwrote
whom (WW), and whose append came after the read (RW). Each element may be appended once only.

Two passes: over the steps of all transactions, which only sorts them by key, and over the keys. The order of processes
and of time is walked, not written down, unless there may be a cycle (`arcs`).

Source: Kingsbury & Alvaro 2020, "Elle: inferring isolation anomalies from experimental observations".
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from quorate.check.collector import collector_paused
from quorate.check.history import History, Operation, show
from quorate.check.txn.anomalies import Inference, Isolation, judge
from quorate.check.txn.arcs import KIND_BITS, Arcs
from quorate.check.txn.graph import RW, WR, WW, Graph
from quorate.check.txn.transactions import Transaction, parse

_List = tuple[Hashable, ...]

# Appends that nobody read follow every read of the longest list; with more of them the edges would outgrow the use.
_UNREAD_MAX: Final = 8


def check_list_append(history: History | Iterable[Operation]) -> Isolation:
    """Return which isolation levels a history of list-append transactions refutes.

    Complexity: O(steps + elements read), and × concurrency for what may be on a cycle.
    """
    with collector_paused():
        transactions = parse(history, "list-append")
        return judge(infer_list_append(transactions), transactions)


def infer_list_append(transactions: Sequence[Transaction]) -> Inference:
    """Return the dependencies and the anomalies that no cycle shows. Complexity: as `check_list_append`."""
    return _Inferring(transactions).run()


class _Key:
    """What happened to one key."""

    __slots__ = ("inner", "last_value", "last_writer", "name", "readers", "seen", "touched", "updates", "writers")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        # Element → who appended it.
        self.writers: dict[Hashable, int] = {}
        # Elements that were followed by another of the same transaction.
        self.inner: dict[Hashable, None] = {}
        self.last_writer = -1
        self.last_value: Hashable = None
        # The transaction whose steps touched it last.
        self.touched = -1
        # External reads of committed transactions: who, and the list.
        self.readers: list[int] = []
        self.seen: list[_List] = []
        # Those of transactions that also appended.
        self.updates: list[tuple[int, _List]] = []


class _Inferring:
    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.transactions = transactions
        self.result = Inference(Graph(0), {})
        self.arcs = Arcs(len(transactions))
        self.keys: dict[Hashable, _Key] = {}
        self.aborted = {t.number: None for t in transactions if t.outcome == "fail"}

    def run(self) -> Inference:
        for transaction in self.transactions:
            if self._sort(transaction):
                self._check_itself(transaction)
        for key in self.keys.values():
            self._relate(key)
        knotted = self.arcs.knotted(self.transactions)
        if knotted:
            self.result.graph = self.arcs.graph(self.transactions, knotted)
        return self.result

    def _sort(self, transaction: Transaction) -> bool:
        """Hand the steps of a transaction to their keys; say whether it touched a key twice."""
        keys, number = self.keys, transaction.number
        is_read_certain = transaction.outcome == "ok"
        is_mixed = False
        for f, name, value in transaction.steps:
            key = keys.get(name)
            if key is None:
                key = keys[name] = _Key(name)
            is_first = key.touched != number
            key.touched = number
            if f != "append":
                if not is_first:
                    is_mixed = True
                elif is_read_certain:
                    key.readers.append(number)
                    key.seen.append(value)  # type: ignore[arg-type]  # parse made it a tuple
                continue
            writers = key.writers
            if value in writers:
                self._note_twice(key, value, transaction)
            writers[value] = number
            if not is_first:
                is_mixed = True
                if key.last_writer == number:
                    key.inner[key.last_value] = None
            key.last_writer, key.last_value = number, value
        return is_mixed and is_read_certain

    def _note_twice(self, key: _Key, value: Hashable, transaction: Transaction) -> None:
        earlier = self.transactions[key.writers[value]]
        sentence = f"{show(value)} was appended to {show(key.name)} twice: nobody can tell which one a read saw"
        self.result.note("duplicate-elements", sentence, earlier, transaction)

    def _check_itself(self, transaction: Transaction) -> None:
        """Check a committed transaction against its own steps, and keep what it read of others."""
        # Key → what it must read next; absent where only its own appends so far are known.
        known: dict[Hashable, _List] = {}
        own: dict[Hashable, list[Hashable]] = {}
        # All that it appends, before and after its reads.
        mine: dict[Hashable, list[Hashable]] = {}
        for f, name, value in transaction.steps:
            if f == "append":
                mine.setdefault(name, []).append(value)
        for f, name, value in transaction.steps:
            if f == "append":
                own.setdefault(name, []).append(value)
                if name in known:
                    known[name] = (*known[name], value)
                continue
            assert isinstance(value, tuple), "a read of a list is a tuple"
            if name in known:
                if known[name] != value:
                    sentence = f"it should have read {show(known[name])} of {show(name)}, by its own earlier steps"
                    self.result.note("internal", sentence, transaction)
                continue
            known[name] = seen = value
            key = self.keys[name]
            if name in own:
                tail = tuple(own[name])
                if value[-len(tail) :] != tail:
                    sentence = f"it appended {show(tail)} to {show(name)} and then read {show(value)}"
                    self.result.note("internal", sentence, transaction)
                seen = value[: len(value) - len(tail)]
                key.readers.append(transaction.number)
                key.seen.append(seen)
            if name in mine:
                self._keep_update(transaction, key, seen, mine[name])

    def _keep_update(self, transaction: Transaction, key: _Key, seen: _List, mine: Sequence[Hashable]) -> None:
        key.updates.append((transaction.number, seen))
        for value in mine:
            if value in seen:
                sentence = f"it read {show(value)} of {show(key.name)} before it appended it"
                self.result.note("future-read", sentence, transaction)

    def _relate(self, key: _Key) -> None:
        """Say what the reads of a key tell of its writers, its readers, and their order."""
        order = max(key.seen, key=len, default=())
        writers, aborted = key.writers, self.aborted
        found = [writers.get(value, -1) for value in order]
        # Who appended each element of the longest list; -1 where nobody did who could have.
        chain = [-1 if writer in aborted else writer for writer in found] if aborted else found
        if -1 in chain or len(dict.fromkeys(order)) != len(order):
            self._check_elements(key.readers[key.seen.index(order)], key, order)
            self._find_dirty_updates(key, order, found)
        self._add_version_edges(key, chain)
        # Appends that no longest list holds come after all that was read.
        unread = self._unread(key, order) if len(writers) > len(order) or -1 in found else ()
        self._add_read_edges(key, order, chain, unread)
        if key.inner:
            self._find_intermediate_reads(key)
        if key.updates:
            self._find_lost_updates(key, order)

    def _add_version_edges(self, key: _Key, chain: list[int]) -> None:
        rows, incoming = self.arcs.rows, self.arcs.incoming
        last = -1
        for writer in chain:
            if writer != last and writer >= 0:
                if last >= 0:
                    rows[last].append(writer << KIND_BITS | WW)
                    incoming[writer] += 1
                last = writer

    def _add_read_edges(self, key: _Key, order: _List, chain: list[int], unread: Sequence[int]) -> None:
        rows, incoming = self.arcs.rows, self.arcs.incoming
        length = len(order)
        for number, seen in zip(key.readers, key.seen, strict=True):
            place = len(seen)
            if place:
                if seen is not order and order[:place] != seen:
                    self._read_another_order(key, number, seen, order)
                    if order[place - 1] != seen[-1]:
                        # What follows it is not known.
                        continue
                writer = chain[place - 1]
                if writer >= 0 and writer != number:
                    rows[writer].append(number << KIND_BITS | WR)
                    incoming[number] += 1
            if place < length:
                follower = chain[place]
                if follower >= 0 and follower != number:
                    rows[number].append(follower << KIND_BITS | RW)
                    incoming[follower] += 1
            else:
                for follower in unread:
                    self.arcs.add(number, follower, RW)
        if unread and chain and chain[-1] >= 0:
            for follower in unread:
                self.arcs.add(chain[-1], follower, WW)

    def _read_another_order(self, key: _Key, number: int, seen: _List, order: _List) -> None:
        """Note a read that does not begin the longest list; its last element still says whose write it saw."""
        transactions = self.transactions
        by = key.readers[key.seen.index(order)]
        sentence = f"{show(key.name)} was read as {show(seen)} and as {show(order)}: neither begins the other"
        self.result.note("incompatible-order", sentence, transactions[number], transactions[by])
        self._check_elements(number, key, seen)
        writer = key.writers.get(seen[-1], -1)
        if order[len(seen) - 1] != seen[-1] and writer >= 0 and writer not in self.aborted:
            self.arcs.add(writer, number, WR)

    def _check_elements(self, number: int, key: _Key, seen: _List) -> None:
        """Note elements that come twice, from nobody, or from a transaction that aborted."""
        reader = self.transactions[number]
        if len(dict.fromkeys(seen)) != len(seen):
            sentence = f"T{number}'s read of {show(key.name)} holds an element twice: {show(seen)}"
            self.result.note("duplicate-elements", sentence, reader)
        for value in seen:
            writer = key.writers.get(value)
            if writer is None:
                sentence = f"nobody appended the {show(value)} that T{number} read of {show(key.name)}"
                self.result.note("garbage-read", sentence, reader)
            elif writer in self.aborted:
                sentence = (
                    f"T{number} read {show(value)} of {show(key.name)}, which T{writer} appended and then aborted"
                )
                self.result.note("g1a", sentence, self.transactions[writer], reader)

    def _find_dirty_updates(self, key: _Key, order: _List, found: list[int]) -> None:
        """Note who committed on top of what was aborted."""
        transactions = self.transactions
        for place, writer in enumerate(found):
            if writer in self.aborted:
                after = next(
                    (other for other in found[place + 1 :] if other >= 0 and transactions[other].is_committed), -1
                )
                if after >= 0:
                    sentence = (
                        f"T{after} appended to {show(key.name)} on top of {show(order[place])}, which was aborted"
                    )
                    self.result.note("dirty-update", sentence, transactions[writer], transactions[after])

    def _unread(self, key: _Key, order: _List) -> list[int]:
        read = dict.fromkeys(order)
        committed = self.transactions
        rows = [writer for value, writer in key.writers.items() if value not in read and committed[writer].is_committed]
        return list(dict.fromkeys(rows)) if len(rows) <= _UNREAD_MAX else []

    def _find_intermediate_reads(self, key: _Key) -> None:
        for number, seen in zip(key.readers, key.seen, strict=True):
            if seen and seen[-1] in key.inner and key.writers[seen[-1]] != number:
                writer = key.writers[seen[-1]]
                sentence = f"T{number} read {show(seen[-1])} as the last of {show(key.name)}, an append in the"
                sentence += f" middle of T{writer}"
                self.result.note("g1b", sentence, self.transactions[writer], self.transactions[number])

    def _find_lost_updates(self, key: _Key, order: _List) -> None:
        """Two committed transactions read the same version and both wrote: one of them overwrote unseen."""
        first: dict[int, int] = {}
        for number, seen in key.updates:
            # A read after its own append is no proof that the version was read before writing; both see `seen`.
            if order[: len(seen)] != seen:
                continue
            other = first.setdefault(len(seen), number)
            if other != number:
                sentence = f"T{other} and T{number} both read {show(seen)} of {show(key.name)} and appended to it"
                self.result.note("lost-update", sentence, self.transactions[other], self.transactions[number])
