"""How stale were the reads: by how many versions, and for how long. Only what is certain is counted.

A read is stale by a version if a write was called after the write that it saw had answered, and had answered before the
read was called: however the concurrent rest is ordered, that version was newer. It is stale for as long as the first
such write had already been answered.

Source: Bailis and others 2012, "Probabilistically bounded staleness" (k-staleness and t-visibility).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable

import msgspec

from quorate.check.finding import Finding
from quorate.check.history import NEVER, History, Operation
from quorate.check.weak.memory import INITIAL, Memory, NotDistinct, held, read_memory, refuted, undecided


class StaleRead(msgspec.Struct, frozen=True):
    """One read that missed what had certainly been written before it began."""

    read: Operation
    # Newer versions that had been answered before it was called; at least 1.
    version_count: int
    # From the first of those answers to the call of the read, in nanoseconds.
    age_ns: int
    # The write that gave the first of them.
    missed: Operation


def find_stale_reads(history: History | Iterable[Operation]) -> list[StaleRead]:
    """Return all stale reads, in the order of their calls.

    Args:
        history: reads and writes of registers; each value is written to a key once.

    Raises:
        NotDistinct: the reads do not show which write they saw.

    Complexity: O(n log n), and O(writes of the key) for each stale read while writes are running.
    """
    return _find(read_memory(history))


def check_staleness(
    history: History | Iterable[Operation], *, version_count_max: int | None = None, age_ns_max: int | None = None
) -> Finding:
    """Say whether no read is staler than some bounds; a bound that is None does not count.

    Complexity: as `find_stale_reads`.
    """
    try:
        memory = read_memory(history)
    except NotDistinct as why:
        return undecided("bounded-staleness", str(why))
    if memory.thin_air is not None:
        return refuted("bounded-staleness", "a value was read that nobody wrote.", memory.operations[memory.thin_air])
    for stale in _find(memory):
        sentence = None
        if version_count_max is not None and stale.version_count > version_count_max:
            sentence = f"a read is {stale.version_count} versions old; {version_count_max} are allowed."
        elif age_ns_max is not None and stale.age_ns > age_ns_max:
            sentence = f"a read is stale for {stale.age_ns / 1e6:.3f} ms; {age_ns_max / 1e6:.3f} ms are allowed."
        if sentence is not None:
            return refuted("bounded-staleness", sentence, stale.read, stale.missed)
    return held("bounded-staleness", memory)


def _find(memory: Memory) -> list[StaleRead]:
    by_key: dict[Hashable, list[int]] = {}
    for number, key in enumerate(memory.keys):
        by_key.setdefault(key, []).append(number)
    found = [stale for numbers in by_key.values() for stale in _find_in_key(memory, numbers)]
    return sorted(found, key=lambda stale: stale.read.call)


def _find_in_key(memory: Memory, numbers: list[int]) -> list[StaleRead]:
    writes = [memory.operations[n] for n in numbers if memory.is_write[n] and memory.operations[n].done != NEVER]
    by_call = sorted(writes, key=lambda o: o.call)
    calls = [o.call for o in by_call]
    dones = sorted(o.done for o in writes)
    # Of the writes from each place in the order of calls on, the one that answered first.
    first_answered: list[Operation] = list(by_call)
    for place in range(len(by_call) - 2, -1, -1):
        if first_answered[place + 1].done < first_answered[place].done:
            first_answered[place] = first_answered[place + 1]
    found: list[StaleRead] = []
    for number in numbers:
        if memory.is_write[number]:
            continue
        read, source = memory.operations[number], memory.source[number]
        seen_done = -1 if source == INITIAL else memory.operations[source].done
        after = bisect_right(calls, seen_done)
        if after == len(calls) or first_answered[after].done >= read.call:
            continue
        answered = bisect_left(dones, read.call)
        # All answered ones, without those that were called before the seen one had answered.
        running = sum(1 for o in by_call[:after] if o.done >= read.call) if answered < len(dones) else 0
        missed = first_answered[after]
        age_ns = read.invoke_ns - (missed.complete_ns or 0)
        found.append(StaleRead(read, answered - (after - running), age_ns, missed))
    return found
