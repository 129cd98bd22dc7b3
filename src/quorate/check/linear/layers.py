"""Objects whose reads show their whole past: append-only lists, and sets that only grow. Judged in O(n log n), exactly.

If every element is added once, the reads can only be explained in one order: each must hold all that shorter ones hold.
That puts all operations into layers: the elements new to a read, then the reads that show just those, and so on; what
nobody saw comes last. Operations of one layer may be in any order, so the history is linearizable if and only if no
operation answered before one of an earlier layer was called.

Source: the order of versions as in Kingsbury & Alvaro 2020, section on lists; the test of layers is an interval order.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from quorate.check.history import NEVER, Operation, freeze

_Layers = list[list[Operation]]
_EMPTY: Final[tuple[Hashable, ...]] = ((), frozenset())
# Beyond this many elements a witness leaves out the adds that the reads speak of.
_WITNESS_MAX: Final = 1_000


def judge_append_register(operations: Sequence[Operation], initial: Hashable) -> list[Operation] | None:
    """Return operations that contradict an append-only list; empty if it is linearizable, None if not applicable.

    Complexity: O(n log n + elements read).
    """
    return _judge(operations, "append", initial, is_ordered=True)


def judge_set(operations: Sequence[Operation], initial: Hashable) -> list[Operation] | None:
    """Return the same for a set with nothing but add and read.

    Complexity: O(n log n + elements read).
    """
    return _judge(operations, "add", initial, is_ordered=False)


def _judge(operations: Sequence[Operation], f: str, initial: Hashable, *, is_ordered: bool) -> list[Operation] | None:
    if initial not in _EMPTY:
        return None
    adds: dict[Hashable, Operation] = {}
    reads: list[tuple[tuple[Hashable, ...], Operation]] = []
    for operation in operations:
        if operation.f == f:
            if operation.outcome == "fail":
                continue
            value = freeze(operation.value)
            if value in adds:
                return None
            adds[value] = operation
        elif operation.f != "read":
            return None
        elif operation.outcome == "ok":
            # An empty list may be answered as null.
            seen = () if is_ordered and operation.result is None else freeze(operation.result)
            if not isinstance(seen, tuple):
                # An answer of another shape is for the model to refuse.
                return None
            reads.append((seen if is_ordered else tuple(dict.fromkeys(seen)), operation))
    reads.sort(key=lambda row: len(row[0]))
    wrong, layers = _layers(adds, reads, is_ordered=is_ordered)
    if not wrong:
        wrong = _judge_layers(layers)
    return _with_adds(wrong, adds, reads)


def _with_adds(
    wrong: list[Operation], adds: dict[Hashable, Operation], reads: list[tuple[tuple[Hashable, ...], Operation]]
) -> list[Operation]:
    """Add to two operations in the wrong order what shows their order: the shortest read of both, and its elements."""
    if not wrong:
        return []
    added = [freeze(o.value) for o in wrong if o.f != "read"]
    shown = [seen for seen, read in reads if any(read is o for o in wrong)]
    least = max((len(seen) for seen in shown), default=0)
    enough = (row for row in reads if len(row[0]) >= least and all(value in row[0] for value in added))
    seen, read = next(enough, reads[-1] if reads else ((), wrong[0]))
    chosen = [*wrong, read]
    if len(seen) <= _WITNESS_MAX:
        chosen += [adds[value] for row in [seen, *shown] for value in row if value in adds]
    return list({o.call: o for o in chosen}.values())


def _layers(
    adds: dict[Hashable, Operation], reads: list[tuple[tuple[Hashable, ...], Operation]], *, is_ordered: bool
) -> tuple[list[Operation], _Layers]:
    """Return reads that no order explains, or else the layers of all operations."""
    layers: _Layers = []
    placed: dict[Hashable, None] = {}
    last: tuple[Hashable, ...] = ()
    showing: list[Operation] = []
    last_read: Operation | None = None
    for seen, read in reads:
        if len(seen) != len(last):
            new = seen[len(last) :] if is_ordered else tuple(value for value in seen if value not in placed)
            is_longer = seen[: len(last)] == last if is_ordered else len(new) + len(placed) == len(seen)
            distinct = dict.fromkeys(new)
            known = all(value in adds and value not in placed for value in distinct)
            if not is_longer or not known or len(distinct) != len(new):
                return [read] if last_read is None or is_longer else [read, last_read], []
            layers.append(showing)
            if is_ordered:
                layers += [[adds[value]] for value in new]
            else:
                layers.append([adds[value] for value in new])
            placed.update(distinct)
            last, showing = seen, []
        elif seen != last and (is_ordered or any(value not in placed for value in seen)):
            return [read] if last_read is None else [read, last_read], []
        showing.append(read)
        last_read = read
    layers.append(showing)
    layers.append([add for value, add in adds.items() if value not in placed and add.done != NEVER])
    return [], layers


def _judge_layers(layers: _Layers) -> list[Operation]:
    latest: Operation | None = None
    latest_layer = 0
    for number, layer in enumerate(layers):
        for operation in layer:
            if latest is not None and operation.done < latest.call:
                # A read between the two layers shows which of them is first.
                between = [o for row in layers[latest_layer + 1 : number] for o in row[:1] if o.f == "read"]
                return [operation, latest, *between[:1]]
        for operation in layer:
            if latest is None or operation.call > latest.call:
                latest, latest_layer = operation, number
    return []
