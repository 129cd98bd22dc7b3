"""One order of the writes for one reader: what causal memory and PRAM ask of each session alone.

Where every read names its write, an order must put a write that comes before a read, and is not the one that was read,
before that one. The reads of one session are in a line, so repeating this to a fixed point decides.

Source: Bouajjani, Enea, Guerraoui & Hamza 2017 (happened-before of causal memory); Wei and others 2016, "Verifying
pipelined-RAM consistency over read/write traces of data replicas" (the same closure for PRAM).
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from quorate.check.history import Operation
from quorate.check.weak.memory import INITIAL, Memory, find_cycle

Problem = tuple[str, list[Operation]]

Edges = dict[int, dict[int, None]]

# Operations whose bits one step of the budget moves: a few microseconds.
STEP_BITS: Final = 512


def judge_view(
    memory: Memory, session: Sequence[int], past: Sequence[int], edges: Edges, budget: int
) -> tuple[Problem | None, int]:
    """Look for one order of some operations that explains what one session read.

    Args:
        memory: the history.
        session: numbers of the session's operations.
        past: numbers of all operations that the order holds: the session, and writes closed under what comes before.
        edges: of each of `past`, what must come after it; more are added.
        budget: steps; the rows of bits of all operations are counted before they are made.

    Returns the contradiction or None, and the steps. More steps than the budget: undecided.

    Complexity: O(rounds × past²/64) time and O(past²/64) memory.
    """
    reads = [number for number in session if not memory.is_write[number]]
    bits = {number: 1 << place for place, number in enumerate(past)}
    writes: dict[Hashable, int] = {}
    for number in past:
        if memory.is_write[number]:
            writes[memory.keys[number]] = writes.get(memory.keys[number], 0) | bits[number]
    reasons: dict[tuple[int, int], int] = {}
    spent = 0
    while reads:
        spent += len(past) * (1 + len(past) // STEP_BITS)
        if spent > budget:
            # The round is not made, so it is not told as spent.
            return None, budget + 1
        before = _before(edges, past, bits)
        if before is None:
            process = memory.operations[session[0]].process
            sentence = f"no one order of all writes explains what process {process} read."
            return (sentence, with_reasons(memory, _cycle(edges, past), reasons)), spent
        is_new = False
        for read in reads:
            source = memory.source[read]
            # Writes to the key that come before the read, and are not known to come before the one that was read.
            loose = before[read] & writes.get(memory.keys[read], 0)
            if source != INITIAL:
                loose &= ~before[source]
            while loose:
                write = past[loose.bit_length() - 1]
                loose ^= bits[write]
                if source == INITIAL:
                    sentence = f"{memory.operations[read]}, though a write to it must come before."
                    return (sentence, [memory.operations[read], memory.operations[write]]), spent
                if source not in edges[write]:
                    edges[write][source] = None
                    reasons.setdefault((write, source), read)
                    is_new = True
                    spent += 1
        if not is_new:
            break
    return None, spent


def judge_pram(memory: Memory, budget: int) -> tuple[Problem | None, int]:
    """Look for a process that no order of all writes, each process's own kept, explains; return the steps too.

    More steps than the budget: undecided.
    """
    places = memory.place_in_session()
    written = [[number for number in session if memory.is_write[number]] for session in memory.sessions]
    ranks = {number: rank for session in written for rank, number in enumerate(session)}
    spent = 0
    for mine, session in enumerate(memory.sessions):
        # Of each other process: how many of its writes come before something that was read here.
        counts: dict[int, int] = {}
        for number in session:
            source = memory.source[number]
            if source not in {INITIAL, number}:
                writer = places[source][0]
                if writer != mine:
                    counts[writer] = max(counts.get(writer, 0), ranks[source] + 1)
        rows = [session, *(written[writer][:count] for writer, count in counts.items())]
        edges: Edges = {number: {} for row in rows for number in row}
        for row in rows:
            for earlier, later in pairwise(row):
                edges[earlier][later] = None
        for number in session:
            if memory.source[number] not in {INITIAL, number}:
                edges[memory.source[number]][number] = None
        problem, steps = judge_view(memory, session, list(edges), edges, budget - spent)
        spent += steps
        if problem is not None or spent > budget:
            return problem, spent
    return None, spent


def with_reasons(memory: Memory, cycle: Sequence[int], reasons: Mapping[tuple[int, int], int]) -> list[Operation]:
    """Return the operations of a cycle and the reads that demand its edges."""
    chosen = dict.fromkeys(cycle)
    for place, number in enumerate(cycle):
        read = reasons.get((number, cycle[(place + 1) % len(cycle)]))
        if read is not None:
            chosen[read] = None
    return [memory.operations[number] for number in chosen]


def _before(edges: Edges, past: Sequence[int], bits: Mapping[int, int]) -> dict[int, int] | None:
    """Return for each operation the bits of all before it and its own, or None if there is a cycle."""
    incoming = dict.fromkeys(past, 0)
    for number in past:
        for target in edges[number]:
            incoming[target] += 1
    order = [number for number in past if not incoming[number]]
    before = dict(bits)
    for number in order:
        row = before[number]
        for target in edges[number]:
            before[target] |= row
            incoming[target] -= 1
            if not incoming[target]:
                order.append(target)
    return before if len(order) == len(past) else None


def _cycle(edges: Edges, past: Sequence[int]) -> list[int]:
    """Return the operations of some cycle, in order."""
    at = {number: place for place, number in enumerate(past)}
    rows = [{at[target]: None for target in edges[number]} for number in past]
    return [past[place] for place in find_cycle(rows)]
