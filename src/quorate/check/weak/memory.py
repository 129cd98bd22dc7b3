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


# Nodes of a cycle that shorter ones are looked for through.
_STARTS: Final = 8


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
    # Why what fits here need not fit whole: keys that were left out, changes that were split. What is refuted stays so.
    partly: str = ""

    def place_in_session(self) -> list[tuple[int, int]]:
        """Return (session, place) of each operation."""
        places = [(0, 0)] * len(self.operations)
        for number, session in enumerate(self.sessions):
            for place, operation in enumerate(session):
                places[operation] = (number, place)
        return places


def read_memory(history: History | Iterable[Operation], *, partly: bool = False) -> Memory:
    """Return a history as reads that name their writes.

    Args:
        history: operations.
        partly: take what can be judged: keys that cannot are left out, and a conditional write or an increment counts
            as a read and a write after it. What this refutes is refuted; whether it holds is then not known.

    Raises:
        NotDistinct: another function than reads and writes, a value written twice, or null written; if partly, of
            every key.

    Complexity: O(n).
    """
    given = history.operations if isinstance(history, History) else tuple(history)
    rows: list[_Row] = []
    doubts: dict[Hashable, str] = {}
    notes: dict[str, None] = {}
    for operation in sorted(given, key=lambda o: o.call):
        if operation.outcome == "fail":
            continue
        key = freeze(operation.key)
        if operation.f in WRITES:
            rows.append(_Row(operation, key, freeze(operation.value), is_write=True))
        elif operation.f in READS:
            if operation.outcome == "ok":
                rows.append(_Row(operation, key, freeze(operation.result), is_write=False))
        elif partly and (halves := _halves(operation)) is not None:
            notes["conditional writes and increments count as a read and a write"] = None
            rows += [_Row(operation, key, value, is_write=is_write) for is_write, value in halves]
        else:
            doubts.setdefault(key, f"only reads and writes can be judged by what was read: {operation}")
    # A counter that nobody has touched reads as zero or as null.
    counters = dict.fromkeys(row.key for row in rows if row.operation.f == "increment")
    for row in rows:
        if row.key in counters and not row.is_write and row.value == 0:
            row.value = None
    written: dict[tuple[Hashable, Hashable], None] = {}
    for row in rows:
        if row.is_write:
            if row.name in written or row.value is None:
                sentence = f"{show(row.value)} is written to {show(row.key)} twice, or is the initial value"
                doubts.setdefault(row.key, sentence)
            written[row.name] = None
    if doubts and (not partly or all(row.key in doubts for row in rows)):
        raise NotDistinct(next(iter(doubts.values())))
    if doubts:
        notes[f"{len(doubts)} keys were left out, as {next(iter(doubts.values()))}"] = None
    memory = _numbered([row for row in rows if row.key not in doubts])
    memory.partly = "; ".join(notes)
    return memory


class _Row(msgspec.Struct):
    """A read or a write to be: of what it saw or leaves behind."""

    operation: Operation
    key: Hashable
    value: Hashable
    is_write: bool = msgspec.field(default=False)

    @property
    def name(self) -> tuple[Hashable, Hashable]:
        return self.key, self.value


def _halves(operation: Operation) -> list[tuple[bool, Hashable]] | None:
    """Return a conditional write or an increment as (is it a write, value); None if its answer does not tell them."""
    if operation.f == "cas" and isinstance(operation.value, list | tuple) and len(operation.value) == 2:
        expected, value = (freeze(half) for half in operation.value)
        if operation.outcome != "ok":
            return [(True, value)]
        # A refused one saw some other value, and nobody knows which.
        return [] if freeze(operation.result) == freeze(value=False) else [(False, expected), (True, value)]
    amount = 1 if operation.value is None else operation.value
    if operation.f == "increment" and type(operation.result) is int and type(amount) is int and amount != 0:
        before = operation.result - amount
        return [(False, before or None), (True, operation.result)]
    return None


def _numbered(rows: list[_Row]) -> Memory:
    """Return the memory of rows; what nobody vouches for and nobody saw is left out."""
    memory = Memory([], [], [], [], [])
    seen = {row.name: None for row in rows if not row.is_write}
    writers: dict[tuple[Hashable, Hashable], int] = {}
    sessions: dict[object, list[int]] = {}
    kept: list[_Row] = []
    for row in rows:
        operation = row.operation
        if operation.outcome == "info" and row.name not in seen:
            continue
        number = len(kept)
        kept.append(row)
        if row.is_write:
            writers[row.name] = number
        memory.operations.append(operation)
        memory.keys.append(row.key)
        memory.is_write.append(row.is_write)
        session = operation.process if operation.outcome == "ok" else ("unknown", number)
        sessions.setdefault(session, []).append(number)
    for number, row in enumerate(kept):
        if row.is_write:
            memory.source.append(number)
            continue
        source = INITIAL if row.value is None else writers.get(row.name)
        if source is None:
            memory.thin_air = number
            source = INITIAL
        memory.source.append(source)
    memory.sessions = list(sessions.values())
    return memory


def refuted(model: str, explanation: str, *witness: Operation) -> Finding:
    """Return the finding that a model does not hold."""
    ordered = tuple({o.call: o for o in sorted(witness, key=lambda o: o.call)}.values())
    return Finding(
        verdict="invalid", model=model, explanation=explanation, witness=ordered, blame=witness[0] if witness else None
    )


def held(model: str, memory: Memory) -> Finding:
    """Return the finding that a model holds; unknown if only a part could be judged."""
    if memory.partly:
        return undecided(model, f"what could be judged fits; {memory.partly}")
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
    """Return the nodes of some short cycle, in order; the edges are known to have one. Complexity: O(edges)."""
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
    cycle = names[names.index(node) :][::-1]
    # Any would do; people read a short one. A few starts spread over it are tried.
    for start in cycle[:: max(1, len(cycle) // _STARTS)]:
        if len(cycle) > 2:
            cycle = _shorter_through(edges, start, len(cycle)) or cycle
    return cycle


def _shorter_through(edges: list[dict[int, None]], start: int, length: int) -> list[int] | None:
    """Return a shortest cycle through a node, if it has fewer nodes than a length. Complexity: O(edges)."""
    before: dict[int, int] = {start: start}
    layer = [start]
    for _ in range(length - 1):
        following: list[int] = []
        for node in layer:
            for target in edges[node]:
                if target == start:
                    trail = [node]
                    while trail[-1] != start:
                        trail.append(before[trail[-1]])
                    return trail[::-1]
                if target not in before:
                    before[target] = node
                    following.append(target)
        layer = following
    return None
