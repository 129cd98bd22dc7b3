"""Sets, ids, counters and queues, judged by counting: linear, whatever the concurrency.

Source: the workloads of the Jepsen tests of the same names (set-full, unique-ids, counter, total-queue).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import accumulate

from quorate.check.finding import Finding
from quorate.check.history import BadHistory, History, Operation, freeze
from quorate.check.workloads.answers import few, invalid, operations_of, unknown, valid


def check_set_full(history: History | Iterable[Operation], *, linearizable: bool = False) -> Finding:
    """Say whether a set keeps what it acknowledged: add v; read → list.

    An element is known from its acknowledgement, or from the first read that holds it. It is lost if, after that, the
    latest read that could tell does not hold it. It is stale if a read misses it and a later one has it: an error only
    where the set claims to be linearizable.

    Complexity: O(elements × reads).
    """
    operations = operations_of(history)
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok"]
    if not reads:
        return unknown("set-full", "nothing was read, so nothing is known to be kept", len(operations))
    held: list[dict[Hashable, None]] = []
    for read in reads:
        if not isinstance(read.result, list | tuple):
            raise BadHistory(f"read of a set needs a list as its answer: {read}")
        values = [freeze(value) for value in read.result]
        held.append(dict.fromkeys(values))
        if len(held[-1]) != len(values):
            twice = [value for value, count in Counter(values).items() if count > 1]
            return invalid("set-full", f"a read holds {few(twice)} twice.", [read], len(operations))
    added = {freeze(o.value): o for o in operations if o.f == "add"}
    known: dict[Hashable, int] = {value: o.done for value, o in added.items() if o.outcome == "ok"}
    for read, elements in zip(reads, held, strict=True):
        for value in elements:
            if value not in added or added[value].outcome == "fail":
                return invalid(
                    "set-full", f"a read holds {few([value])}, which was never added.", [read], len(operations)
                )
            known[value] = min(known.get(value, read.done), read.done)
    lost: list[tuple[Hashable, Operation]] = []
    stale: list[tuple[Hashable, Operation]] = []
    for value, since in known.items():
        present = max((read.call for read, values in zip(reads, held, strict=True) if value in values), default=-1)
        absent = [read for read, values in zip(reads, held, strict=True) if value not in values and read.call > since]
        if absent:
            (lost if absent[-1].call > present else stale).append((value, absent[-1]))
    if lost or (stale and linearizable):
        what, found = ("lost", lost) if lost else ("stale", stale)
        value, read = found[0]
        sentence = f"{few([v for v, _ in found])} {what}: known to be in the set, and missing from a later read."
        return invalid("set-full", sentence, [added[value], read], len(operations))
    return valid("set-full", f"{len(known)} elements kept, {len(stale)} of them read late", len(operations))


def check_unique_ids(history: History | Iterable[Operation]) -> Finding:
    """Say whether all ids handed out differ: generate → id. Complexity: O(n)."""
    operations = operations_of(history)
    first: dict[Hashable, Operation] = {}
    for operation in operations:
        if operation.f != "generate" or operation.outcome != "ok":
            continue
        name = freeze(operation.result)
        if name in first:
            return invalid(
                "unique-ids", f"{few([name])} was handed out twice.", [first[name], operation], len(operations)
            )
        first[name] = operation
    if not first:
        return unknown("unique-ids", "no id was handed out", len(operations))
    return valid("unique-ids", f"{len(first)} ids, all different", len(operations))


def check_counter(history: History | Iterable[Operation]) -> Finding:
    """Say whether each read of a counter lies within what could have been added: add n (of either sign); read → total.

    At least what was acknowledged before the read was called must be in it; at most what was called before it answered.
    It is weaker than the counter model and linear.

    Complexity: O(n log n).
    """
    operations = operations_of(history)
    adds = [o for o in operations if o.f == "add" and o.outcome != "fail"]
    for add in adds:
        if not isinstance(add.value, int) or isinstance(add.value, bool):
            raise BadHistory(f"add needs an integer as its value: {add}")
    called, rises, falls = _sums([(o.call, o.value) for o in adds])
    done, risen, fallen = _sums(sorted((o.done, o.value) for o in adds if o.outcome == "ok"))
    for read in operations:
        if read.f != "read" or read.outcome != "ok":
            continue
        before, until = bisect_left(done, read.call), bisect_left(called, read.done)
        least, most = risen[before] + falls[until], rises[until] + fallen[before]
        if not isinstance(read.result, int) or not least <= read.result <= most:
            sentence = f"a read answered {few([read.result])}, outside of what was possible: {least} to {most}."
            return invalid("counter-bounds", sentence, [read], len(operations))
    return valid("counter-bounds", "every read is within its bounds", len(operations))


def _sums(rows: list[tuple[int, int]]) -> tuple[list[int], list[int], list[int]]:
    """Return the places, and the sums of the first k positive and negative amounts, for k from 0."""
    rises = list(accumulate((max(amount, 0) for _, amount in rows), initial=0))
    falls = list(accumulate((min(amount, 0) for _, amount in rows), initial=0))
    return [place for place, _ in rows], rises, falls


def check_total_queue(history: History | Iterable[Operation], *, exactly_once: bool = False) -> Finding:
    """Say whether a drained queue handed out what was put in: enqueue v; dequeue → element or null.

    Lost: acknowledged, and never handed out. Unexpected: handed out, and never put in. Elements handed out twice are an
    error only where the queue promises exactly one delivery.

    Complexity: O(n).
    """
    operations = operations_of(history)
    attempts: dict[Hashable, list[Operation]] = {}
    acknowledged: Counter[Hashable] = Counter()
    taken: dict[Hashable, list[Operation]] = {}
    crashed = 0
    for operation in operations:
        if operation.f == "enqueue" and operation.outcome != "fail":
            attempts.setdefault(freeze(operation.value), []).append(operation)
            acknowledged[freeze(operation.value)] += operation.outcome == "ok"
        elif operation.f == "dequeue" and operation.outcome == "ok" and operation.result is not None:
            taken.setdefault(freeze(operation.result), []).append(operation)
        elif operation.f == "dequeue" and operation.outcome == "info":
            crashed += 1
    for value, rows in taken.items():
        if value not in attempts:
            return invalid("total-queue", f"{few([value])} came out and was never put in.", rows, len(operations))
        if exactly_once and len(rows) > len(attempts[value]):
            witness = [*attempts[value], *rows]
            return invalid("total-queue", f"{few([value])} came out {len(rows)} times.", witness, len(operations))
    lost = [value for value, count in acknowledged.items() if count > len(taken.get(value, ()))]
    if len(lost) > crashed:
        # A dequeue that nobody knows the end of may have taken one element.
        sentence = f"{few(lost)} were acknowledged and never came out"
        sentence += f" ({crashed} dequeues without an answer cannot explain them all)." if crashed else "."
        return invalid("total-queue", sentence, attempts[lost[0]], len(operations))
    return valid("total-queue", f"{len(taken)} different elements came out, none lost", len(operations))
