"""The four session guarantees, alone or together, for registers whose written values differ.

Each guarantee says of a read or write which version of its key must be older than which. The history keeps a set of
guarantees if for every key some order of its versions, the initial one first, agrees with all that they say.

Source: Terry and others 1994, "Session guarantees for weakly consistent replicated data".
Deviation: orders are compared key by key; what one key's order says about another's is left to the causal models.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from quorate.check.collector import collector_paused
from quorate.check.finding import Finding
from quorate.check.history import History, Operation
from quorate.check.weak.memory import (
    INITIAL,
    Memory,
    NotDistinct,
    acyclic_order,
    find_cycle,
    held,
    read_memory,
    refuted,
    undecided,
)

GUARANTEES: Final = ("read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads")


@collector_paused()
def check_sessions(history: History | Iterable[Operation], guarantees: Sequence[str] = GUARANTEES) -> Finding:
    """Say whether a history keeps some session guarantees together.

    Args:
        history: reads and writes of registers.
        guarantees: names out of `GUARANTEES`.

    Complexity: O(n × writes of one session to one key) at worst; O(n) for usual histories.
    """
    name = " and ".join(guarantees)
    assert all(guarantee in GUARANTEES for guarantee in guarantees), f"there are {', '.join(GUARANTEES)}"
    try:
        memory = read_memory(history, partly=True)
    except NotDistinct as why:
        return undecided(name, str(why))
    if memory.thin_air is not None:
        return refuted(name, "a value was read that nobody wrote.", memory.operations[memory.thin_air])
    # older[a] holds b: version a is older than version b, and why: the operation that says so.
    older: list[dict[int, None]] = [{} for _ in memory.operations]
    reasons: dict[tuple[int, int], tuple[str, int]] = {}
    for session in memory.sessions:
        for a, b, guarantee, by in _demands(memory, session):
            if guarantee not in guarantees or a == b:
                continue
            if b == INITIAL:
                sentence = f"{guarantee} is broken: {memory.operations[by]}, though a newer version was due."
                return refuted(name, sentence, memory.operations[by], memory.operations[a])
            if a != INITIAL and b not in older[a]:
                older[a][b] = None
                reasons[a, b] = (guarantee, by)
    if acyclic_order(older) is not None:
        return held(name, memory)
    cycle = find_cycle(older)
    witness: list[Operation] = []
    for place, version in enumerate(cycle):
        after = cycle[(place + 1) % len(cycle)]
        _, by = reasons[version, after]
        witness += [memory.operations[version], memory.operations[by]]
    unique = list(dict.fromkeys((o.call, place) for place, o in enumerate(witness)))
    chosen = {call: witness[place] for call, place in reversed(unique)}
    sentence = (
        f"no order of the versions of one key agrees with {name}: each of {len(cycle)} would be older than itself."
    )
    return refuted(name, sentence, *chosen.values())


def _demands(memory: Memory, session: list[int]) -> Iterable[tuple[int, int, str, int]]:
    """Yield (older version, newer version, guarantee, the operation that says so)."""
    last_write: dict[object, int] = {}
    last_seen: dict[object, int] = {}
    for number in session:
        key, source = memory.keys[number], memory.source[number]
        if memory.is_write[number]:
            if key in last_write:
                yield last_write[key], number, "monotonic-writes", number
            if key in last_seen:
                yield last_seen[key], number, "writes-follow-reads", number
            last_write[key] = number
        else:
            if key in last_write:
                yield last_write[key], source, "read-your-writes", number
            if key in last_seen:
                yield last_seen[key], source, "monotonic-reads", number
            last_seen[key] = source
