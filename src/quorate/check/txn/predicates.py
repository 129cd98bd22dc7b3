"""Predicates over a closed universe: what a query did not return tells which versions it must have seen.

If every version that a key ever had is known, a query that did not return the key chose a version that does not match;
if only one such version exists, it chose that one, although nobody read it. So anti-dependencies of predicates follow:
phantoms, G2 as apart from G2-item. The rest is as for registers: every value is written to a key once.

Steps: ["insert", key, v], ["w", key, v], ["delete", key, null], ["r", key, v or null], ["rp", predicate, {key: v}].
Predicates: "true", ["=", v], ["mod", m, r]; a version not yet born or dead matches none. The first operation may be
`init` with a map of keys to values, that all later transactions certainly see or follow; other keys are unborn.

The order of versions of a key is used only where it is certain: one write at most, or every writer had read what it
replaced. Where it is not, only the first version is known to be before all others. A delete may have found nothing.

Source: Adya 1999, section on predicates (dependencies, version sets); Kingsbury's elle.closed-predicate for the idea of
the closed universe; Bailis et al. 2013 for PMP.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from quorate.check.history import BadHistory, History, Operation, freeze, show
from quorate.check.txn.anomalies import Inference, Isolation, judge
from quorate.check.txn.graph import RW, RWP, WR, WRP, WW, Graph
from quorate.check.txn.transactions import Step, Transaction

_WRITES: Final = ("insert", "w", "delete")


class _Absent(msgspec.Struct, frozen=True):
    """A version that is no value: of whoever deleted the key, or not born yet. Both are read as null."""

    by: int


_UNBORN: Final = _Absent(-1)


def check_closed_predicate(history: History | Iterable[Operation]) -> Isolation:
    """Return which isolation levels a history of predicate transactions refutes.

    Raises:
        BadHistory: another function or step, a predicate or key of another shape, an `init` that is not first.

    Complexity: O(predicate reads × versions of all keys), so keep the universe small.
    """
    operations = history.operations if isinstance(history, History) else tuple(history)
    initial, transactions = _parse(operations)
    return judge(_Inferring(initial, transactions).run(), transactions)


def matches(predicate: Hashable, version: Hashable) -> bool:
    """Say whether a version is one that a (frozen) predicate selects. Complexity: O(1)."""
    if isinstance(version, _Absent):
        return False
    match predicate:
        case "true":
            return True
        case ("=", value):
            return version == value
        case ("mod", int() as modulus, int() as rest):
            return isinstance(version, int) and version % modulus == rest
        case _:
            raise BadHistory(f'a predicate is "true", ["=", v] or ["mod", m, r], not {show(predicate)}')


def _parse(operations: Sequence[Operation]) -> tuple[dict[str, Hashable], list[Transaction]]:
    initial: dict[str, Hashable] = {}
    found: list[Transaction] = []
    for place, operation in enumerate(operations):
        if operation.f == "init":
            if place or operation.outcome != "ok" or not isinstance(operation.value, Mapping):
                raise BadHistory(f"init comes first, succeeds, and has a map of keys to values: {operation}")
            initial = {str(key): freeze(value) for key, value in operation.value.items()}
            continue
        raw = operation.result if operation.outcome == "ok" else operation.value
        if operation.f != "txn" or not isinstance(raw, list | tuple):
            raise BadHistory(f"predicates are checked on operations named txn, each a list of steps: {operation}")
        steps = tuple(_step(step, operation) for step in raw)
        found.append(
            Transaction(
                len(found), operation.process, steps, operation.outcome, operation.call, operation.done, operation
            )
        )
    return initial, found


def _step(raw: object, operation: Operation) -> Step:
    if not isinstance(raw, list | tuple) or len(raw) != 3:
        raise BadHistory(f"a step has three parts: {operation}")
    f, key, value = raw
    if f == "rp":
        predicate = freeze(key)
        matches(predicate, 0)
        if operation.outcome == "ok" and not isinstance(value, Mapping):
            raise BadHistory(f"a predicate read answers with a map of keys to values: {operation}")
        rows = sorted((str(name), freeze(seen)) for name, seen in value.items()) if isinstance(value, Mapping) else []
        return (f, predicate, tuple(rows))
    if not isinstance(key, str) or (f != "r" and f not in _WRITES):
        raise BadHistory(f"a step is insert, w, delete, r or rp, and its key is text: {operation}")
    if f in {"insert", "w"} and value is None:
        raise BadHistory(f"null cannot be written, delete says that: {operation}")
    return (f, key, freeze(value))


class _Key:
    """All versions of one key."""

    def __init__(self, name: str, first: Hashable) -> None:
        self.name = name
        # What it was before all transactions.
        self.first = first
        # Version → who installed it; a delete by its transaction, as there may be several.
        self.writers: dict[Hashable, int] = {}
        # Versions that their own transaction replaced, and those of transactions that aborted.
        self.inner: dict[Hashable, int] = {}
        self.aborted: dict[Hashable, int] = {}
        # Writer → the version that it certainly replaced.
        self.replaced: dict[int, Hashable] = {}
        self.order: list[Hashable] | None = None

    @property
    def versions(self) -> list[Hashable]:
        """Every version that may have been, the first one first."""
        return [self.first, *self.writers]

    def versions_of_others(self, number: int) -> list[Hashable]:
        """Return what a transaction may have seen before it wrote the key itself."""
        return [version for version in self.versions if self.writers.get(version) != number]

    def settle(self) -> None:
        """Find the order of versions where it is certain."""
        installed = list(self.writers)
        if len(installed) <= 1:
            self.order = self.versions
            return
        next_of = {
            before: version for version, w in self.writers.items() if (before := self.replaced.get(w)) is not None
        }
        chain = [self.first]
        while chain[-1] in next_of and len(chain) <= len(installed):
            chain.append(next_of[chain[-1]])
        if len(chain) == len(installed) + 1:
            self.order = chain


class _Inferring:
    def __init__(self, initial: Mapping[str, Hashable], transactions: Sequence[Transaction]) -> None:
        self.transactions = transactions
        self.result = Inference(Graph(len(transactions)), {})
        self.keys: dict[str, _Key] = {name: _Key(name, value) for name, value in initial.items()}
        # What was certainly seen of others: (reader, key, version, predicate or None for a read of the key itself).
        self.seen: list[tuple[int, _Key, Hashable, Hashable]] = []

    def run(self) -> Inference:
        for transaction in self.transactions:
            self._note_writes(transaction)
        for transaction in self.transactions:
            if transaction.is_committed:
                self._note_reads(transaction)
        for key in self.keys.values():
            key.settle()
            self._find_lost_updates(key)
            self._add_version_edges(key)
        for reader, key, version, predicate in self.seen:
            if predicate is None:
                self._add_item_edges(reader, key, version)
            else:
                self._add_predicate_edges(reader, key, version, predicate)
        self.result.graph.add_process_order(self.transactions)
        self.result.graph.add_realtime_order(self.transactions)
        return self.result

    def _note_writes(self, transaction: Transaction) -> None:
        last: dict[str, Hashable] = {}
        for f, name, value in transaction.steps:
            if f in {"r", "rp"}:
                for touched, _ in value if f == "rp" and isinstance(value, tuple) else [(name, None)]:
                    self.keys.setdefault(str(touched), _Key(str(touched), _UNBORN))
                continue
            key = self.keys.setdefault(str(name), _Key(str(name), _UNBORN))
            version = _Absent(transaction.number) if f == "delete" else value
            is_known = version in key.writers or version in key.inner or version in key.aborted or version == key.first
            if is_known and f != "delete":
                sentence = f"{show(version)} was written to {show(name)} twice"
                self.result.note("duplicate-elements", sentence, transaction)
            if key.name in last:
                key.inner[last[key.name]] = transaction.number
                key.writers.pop(last[key.name], None)
            if transaction.outcome == "fail":
                key.aborted[version] = transaction.number
            else:
                key.writers[version] = transaction.number
            last[key.name] = version

    def _note_reads(self, transaction: Transaction) -> None:
        own: dict[str, Hashable] = {}
        # Key → what this transaction's reads have shown of others, and by which predicate.
        known: dict[str, tuple[Hashable, Hashable]] = {}
        for f, name, value in transaction.steps:
            if f in _WRITES:
                key = self.keys[str(name)]
                # A delete that found nothing replaced nothing.
                if (
                    key.name in known
                    and key.name not in own
                    and not (f == "delete" and isinstance(known[key.name][0], _Absent))
                ):
                    key.replaced[transaction.number] = known[key.name][0]
                own[key.name] = _Absent(transaction.number) if f == "delete" else value
            elif f == "r":
                self._note_item(transaction, self.keys[str(name)], value, own, known)
            else:
                assert isinstance(value, tuple), "parsed as pairs"
                answer = dict(value)
                for key in self.keys.values():
                    self._note_predicate(transaction, key, name, answer.get(key.name), own, known)

    def _note_item(
        self,
        transaction: Transaction,
        key: _Key,
        value: Hashable,
        own: Mapping[str, Hashable],
        known: dict[str, tuple[Hashable, Hashable]],
    ) -> None:
        if key.name in own or key.name in known:
            expected = own[key.name] if key.name in own else known[key.name][0]
            if _shown(expected) != value:
                sentence = f"it should have read {show(_shown(expected))} of {show(key.name)}, by its own earlier steps"
                self.result.note("internal", sentence, transaction)
            return
        if value is not None:
            self._keep(transaction, key, value, None, known)
            return
        absent = [version for version in key.versions_of_others(transaction.number) if _shown(version) is None]
        if not absent:
            sentence = f"T{transaction.number} found no {show(key.name)}, which always exists"
            self.result.note("garbage-read", sentence, transaction)
        elif len(absent) == 1:
            self._keep(transaction, key, absent[0], None, known)

    def _note_predicate(
        self,
        transaction: Transaction,
        key: _Key,
        predicate: Hashable,
        value: Hashable,
        own: Mapping[str, Hashable],
        known: dict[str, tuple[Hashable, Hashable]],
    ) -> None:
        if value is not None and not matches(predicate, value):
            sentence = f"{show(value)} of {show(key.name)} does not match {show(predicate)}, and was returned"
            self.result.note("garbage-read", sentence, transaction)
            return
        if key.name in own:
            expected = own[key.name] if matches(predicate, own[key.name]) else None
            if expected != value:
                sentence = (
                    f"{show(predicate)} should have returned {show(expected)} for {show(key.name)}, its own write"
                )
                self.result.note("internal", sentence, transaction)
            return
        version = value
        if value is None:
            others = [one for one in key.versions_of_others(transaction.number) if not matches(predicate, one)]
            if not others:
                sentence = f"every version of {show(key.name)} matches {show(predicate)}, and none was returned"
                self.result.note("predicate-read-miss", sentence, transaction)
            if len(others) != 1:
                return
            version = others[0]
        before = known.get(key.name)
        if before is not None and before[0] != version:
            self._note_change(transaction, key, before, version, predicate)
            return
        self._keep(transaction, key, version, predicate, known)

    def _note_change(
        self, transaction: Transaction, key: _Key, before: tuple[Hashable, Hashable], version: Hashable, by: Hashable
    ) -> None:
        """Two reads of one transaction chose different versions of a key."""
        sentence = f"T{transaction.number} saw {show(key.name)} as {_words(before[0])}, and later as {_words(version)}"
        if before[1] is None:
            self.result.note("internal", sentence, transaction)
            return
        # What both predicates select changed between them.
        was, now = ([matches(p, v) for p in (before[1], by)] for v in (before[0], version))
        if all(was) != all(now):
            self.result.note("pmp", sentence, transaction)

    def _keep(
        self,
        transaction: Transaction,
        key: _Key,
        version: Hashable,
        predicate: Hashable,
        known: dict[str, tuple[Hashable, Hashable]],
    ) -> None:
        """Keep that a transaction saw a version of others, if it could have been."""
        number, note = transaction.number, self.result.note
        writer = key.writers.get(version)
        if version != key.first and writer is None:
            if version in key.inner and key.inner[version] != number:
                by = self.transactions[key.inner[version]]
                sentence = f"T{number} read {show(version)} of {show(key.name)}, in the middle of T{by.number}"
                note("g1a" if by.outcome == "fail" else "g1b", sentence, by, transaction)
            elif version in key.aborted:
                by = self.transactions[key.aborted[version]]
                note(
                    "g1a",
                    f"T{number} read {show(version)} of {show(key.name)}, which T{by.number} aborted",
                    by,
                    transaction,
                )
            else:
                note(
                    "garbage-read",
                    f"nobody wrote the {show(version)} that T{number} read of {show(key.name)}",
                    transaction,
                )
            return
        if writer == number:
            note("future-read", f"it read {_words(version)} of {show(key.name)} before it wrote it", transaction)
            return
        known[key.name] = (version, predicate)
        self.seen.append((number, key, version, predicate))

    def _find_lost_updates(self, key: _Key) -> None:
        first: dict[Hashable, int] = {}
        for writer, version in key.replaced.items():
            other = first.setdefault(version, writer)
            if other != writer:
                sentence = f"T{other} and T{writer} both saw {show(key.name)} as {_words(version)} and replaced it"
                self.result.note("lost-update", sentence, self.transactions[other], self.transactions[writer])

    def _add_version_edges(self, key: _Key) -> None:
        order = key.order or []
        for earlier, later in pairwise(order[1:]):
            self.result.graph.add(key.writers[earlier], key.writers[later], WW)

    def _add_item_edges(self, reader: int, key: _Key, version: Hashable) -> None:
        graph = self.result.graph
        if version in key.writers:
            graph.add(key.writers[version], reader, WR)
        if key.order is not None:
            after = key.order[key.order.index(version) + 1 :]
            if after:
                graph.add(reader, key.writers[after[0]], RW)
        elif version == key.first:
            for writer in key.writers.values():
                graph.add(reader, writer, RW)

    def _add_predicate_edges(self, reader: int, key: _Key, version: Hashable, predicate: Hashable) -> None:
        graph = self.result.graph
        selected = {one: matches(predicate, one) for one in key.versions}
        if selected[version]:
            # What it returned, it also read.
            self._add_item_edges(reader, key, version)
        if key.order is None:
            if version == key.first:
                # Before any version that matches otherwise came the first one that did.
                for later, writer in key.writers.items():
                    if selected[later] != selected[version]:
                        graph.add(reader, writer, RWP)
            return
        order, place = key.order, key.order.index(version)
        changes = [one for one in range(1, len(order)) if selected[order[one]] != selected[order[one - 1]]]
        before = [one for one in changes if one <= place]
        after = [one for one in changes if one > place]
        if before:
            graph.add(key.writers[order[before[-1]]], reader, WRP)
        if after:
            graph.add(reader, key.writers[order[after[0]]], RWP)


def _shown(version: Hashable) -> Hashable:
    """Return what a read shows of a version."""
    return None if isinstance(version, _Absent) else version


def _words(version: Hashable) -> str:
    if isinstance(version, _Absent):
        return "not yet there" if version == _UNBORN else "deleted"
    return show(version)
