"""A FIFO queue whose elements all differ is judged in O(n log n), exactly.

All dequeues must be certain and have found something. Then only three things can be wrong: an element comes out that
was not put in before; one comes out twice; or one was put in entirely before another, and the other comes out entirely
before it, or comes out while the first never does.

Source: Henzinger, Sezgin & Vafeiadis 2013, "Aspect-oriented linearizability proofs", theorem on complete queue
histories.
"""

from bisect import bisect_right
from collections.abc import Hashable, Sequence

from quorate.check.history import NEVER, Operation, freeze


def judge_fifo_queue(operations: Sequence[Operation], initial: Hashable) -> list[Operation] | None:
    """Return operations that contradict a queue; empty if it is linearizable, None if not applicable.

    Complexity: O(n log n).
    """
    puts: dict[Hashable, Operation] = {}
    takes: dict[Hashable, Operation] = {}
    repeated: list[Operation] = []
    for operation in operations:
        if operation.outcome == "fail":
            continue
        if operation.f == "enqueue":
            value = freeze(operation.value)
            if value in puts or value is None:
                return None
            puts[value] = operation
        elif operation.f != "dequeue" or operation.outcome != "ok" or operation.result is None:
            return None
        else:
            value = freeze(operation.result)
            if value in takes and not repeated:
                repeated = [takes[value], operation]
            takes[value] = operation
    if initial != ():
        return None
    if repeated:
        put = puts.get(freeze(repeated[0].result))
        return repeated if put is None else [put, *repeated]
    for value, take in takes.items():
        if value not in puts:
            return [take]
        if take.done < puts[value].call:
            return [puts[value], take]
    return _judge_order(puts, takes)


def _judge_order(puts: dict[Hashable, Operation], takes: dict[Hashable, Operation]) -> list[Operation]:
    """Look for a and b, put in in this order and taken out in the other."""
    # Elements that came out, the one that was put in last first; for each the earliest to come out so far.
    out = sorted(((put.call, value) for value, put in puts.items() if value in takes), key=lambda row: -row[0])
    starts = [-call for call, _ in out]
    earliest: list[Hashable] = []
    for _, value in out:
        is_earlier = not earliest or takes[value].done < takes[earliest[-1]].done
        earliest.append(value if is_earlier else earliest[-1])
    for value, put in puts.items():
        if put.done == NEVER:
            # Nothing is behind a put of unknown end.
            continue
        count = bisect_right(starts, -put.done - 1)
        if not count:
            continue
        other = earliest[count - 1]
        mine = takes.get(value)
        if other != value and (mine is None or takes[other].done < mine.call):
            witness = [put, puts[other], takes[other]]
            return witness if mine is None else [*witness, mine]
    return []
