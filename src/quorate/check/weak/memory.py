"""A history of registers in which every read names its write: what the weak models are judged on.

Each value is written to a key once at most, so a read shows which write it saw. Sessions are the processes; an
operation whose end nobody knows is a session of its own, as nothing is ordered behind it.
"""

from collections.abc import Hashable, Iterable
from typing import Final

import msgspec

from quorate.check.finding import Finding
from quorate.check.history import History, Operation, freeze, show

READS: Final = ("read", "get")
WRITES: Final = ("write", "put")

# The source of a read that saw the initial value.
INITIAL: Final = -1


class NotDistinct(Exception):
    """The history cannot be judged by its reads alone; the sentence says why."""


class Memory(msgspec.Struct):
    """Reads and writes, numbered; failed operations and writes that nobody saw and nobody vouches for are left out."""

    operations: list[Operation]
    keys: list[Hashable]
    is_write: list[bool]
    # Of a read: the write that it saw, or INITIAL. Of a write: itself.
    source: list[int]
    # Numbers of operations, in the order of each session.
    sessions: list[list[int]]
    # A read of a value that nobody wrote.
    thin_air: int | None = None

    def place_in_session(self) -> list[tuple[int, int]]:
        """Return (session, place) of each operation."""
        places = [(0, 0)] * len(self.operations)
        for number, session in enumerate(self.sessions):
            for place, operation in enumerate(session):
                places[operation] = (number, place)
        return places


def read_memory(history: History | Iterable[Operation]) -> Memory:
    """Return a history as reads that name their writes.

    Raises:
        NotDistinct: another function than reads and writes, a value written twice, or null written.

    Complexity: O(n).
    """
    given = history.operations if isinstance(history, History) else tuple(history)
    writers: dict[tuple[Hashable, Hashable], int] = {}
    seen: dict[tuple[Hashable, Hashable], None] = {}
    for operation in given:
        if operation.f not in READS and operation.f not in WRITES:
            raise NotDistinct(f"only reads and writes can be judged by what was read: {operation}")
        if operation.f in READS and operation.outcome == "ok":
            seen[freeze(operation.key), freeze(operation.result)] = None
    memory = Memory([], [], [], [], [])
    sessions: dict[object, list[int]] = {}
    for operation in sorted(given, key=lambda o: o.call):
        is_write = operation.f in WRITES
        name = (freeze(operation.key), freeze(operation.value if is_write else operation.result))
        if operation.outcome == "fail" or (operation.outcome == "info" and not (is_write and name in seen)):
            continue
        number = len(memory.operations)
        if is_write:
            if name in writers or name[1] is None:
                raise NotDistinct(f"{show(name[1])} is written to {show(name[0])} twice, or is the initial value")
            writers[name] = number
        memory.operations.append(operation)
        memory.keys.append(name[0])
        memory.is_write.append(is_write)
        session = operation.process if operation.outcome == "ok" else ("unknown", number)
        sessions.setdefault(session, []).append(number)
    for number, operation in enumerate(memory.operations):
        if memory.is_write[number]:
            memory.source.append(number)
            continue
        value = freeze(operation.result)
        source = INITIAL if value is None else writers.get((memory.keys[number], value))
        if source is None:
            memory.thin_air = number
            source = INITIAL
        memory.source.append(source)
    memory.sessions = list(sessions.values())
    return memory


def refuted(model: str, explanation: str, *witness: Operation) -> Finding:
    """Return the finding that a model does not hold."""
    ordered = tuple(sorted(witness, key=lambda o: o.call))
    return Finding(
        verdict="invalid", model=model, explanation=explanation, witness=ordered, blame=witness[0] if witness else None
    )


def held(model: str, memory: Memory) -> Finding:
    """Return the finding that a model holds."""
    count = len(memory.operations)
    return Finding(verdict="valid", model=model, explanation=f"{count} operations fit {model}", operation_count=count)


def undecided(model: str, why: str, spent: int = 0) -> Finding:
    """Return the finding that nothing can be said."""
    return Finding(verdict="unknown", model=model, explanation=why, budget_spent=spent)


def acyclic_order(edges: list[dict[int, None]]) -> list[int] | None:
    """Return an order that respects all edges, or None if there is a cycle. Complexity: O(edges)."""
    incoming = [0] * len(edges)
    for row in edges:
        for target in row:
            incoming[target] += 1
    order = [node for node, count in enumerate(incoming) if not count]
    for node in order:
        for target in edges[node]:
            incoming[target] -= 1
            if not incoming[target]:
                order.append(target)
    return order if len(order) == len(edges) else None


def find_cycle(edges: list[dict[int, None]]) -> list[int]:
    """Return the nodes of some cycle, in order; the edges are known to have one. Complexity: O(edges)."""
    incoming = [0] * len(edges)
    for row in edges:
        for target in row:
            incoming[target] += 1
    work = [node for node, count in enumerate(incoming) if not count]
    while work:
        for target in edges[work.pop()]:
            incoming[target] -= 1
            if not incoming[target]:
                work.append(target)
    # Every node that is left has a predecessor that is left: walk backwards until one comes again.
    before: dict[int, int] = {}
    for node, row in enumerate(edges):
        if incoming[node]:
            for target in row:
                if incoming[target]:
                    before[target] = node
    node = next(iter(before))
    trail: dict[int, None] = {}
    while node not in trail:
        trail[node] = None
        node = before[node]
    names = list(trail)
    return names[names.index(node) :][::-1]
