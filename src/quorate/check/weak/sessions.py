"""The four session guarantees, alone or together, for registers whose written values differ.

Each guarantee says of a read or write which version of its key must be older than which. The history keeps a set of
guarantees if for every key some order of its versions, the initial one first, agrees with all that they say.

What one guarantee says alone is little: that reads go back from 3 to 1 breaks monotonic reads only if 1 is known to be
the older version. The guarantees that are asked for together tell each other (monotonic writes: one session wrote 1
before 3), and so may time, if the system is known to order versions as they were written.

Source: Terry and others 1994, "Session guarantees for weakly consistent replicated data"; Viotti & Vukolić 2016,
"Consistency in non-transactional distributed storage systems" (the same as relations of visibility and arbitration).
"""

from collections.abc import Container, Hashable, Iterable, Sequence
from typing import Final

from quorate.check.collector import collector_paused
from quorate.check.finding import Finding
from quorate.check.history import NEVER, History, Operation
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
from quorate.check.weak.visibility import Demand, Visibility, demand_writes

GUARANTEES: Final = ("read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads")


@collector_paused()
def check_sessions(
    history: History | Iterable[Operation],
    guarantees: Sequence[str] = GUARANTEES,
    *,
    across_keys: bool = False,
    versions_by_time: bool = False,
) -> Finding:
    """Say whether a history keeps some session guarantees together.

    Args:
        history: reads and writes of registers.
        guarantees: names out of `GUARANTEES`.
        across_keys: the guarantees are those of one store with many keys: who sees a write also sees what its session
            wrote to other keys before it. Else each key is judged as a store of its own.
        versions_by_time: the system is known to order two versions of a key as they were written, if the first had
            been answered before the second was called (one leader for each key, or exact clocks).

    Complexity: O(n × writes of one session to one key) at worst, O(n) for usual histories; across keys O(n × sessions).
    """
    name = " and ".join(guarantees)
    assert all(guarantee in GUARANTEES for guarantee in guarantees), f"there are {', '.join(GUARANTEES)}"
    try:
        memory = read_memory(history, partly=True)
    except NotDistinct as why:
        return undecided(name, str(why))
    if memory.thin_air is not None:
        return refuted(name, "a value was read that nobody wrote.", memory.operations[memory.thin_air])
    versions = _Versions(memory, name)
    if versions_by_time:
        versions.follow_time()
    # Without the last two, what is visible of a key are reads and own writes of that key: nothing comes across.
    if not across_keys or not {"monotonic-writes", "writes-follow-reads"} & set(guarantees):
        return versions.judge(
            demand for session in memory.sessions for demand in _demands(versions, session, guarantees)
        )
    if "monotonic-writes" not in guarantees:
        return undecided(name, "across keys, writes-follow-reads is judged together with monotonic-writes only")
    finding = versions.judge(demand_writes(memory, guarantees))
    if finding.verdict == "invalid":
        return finding
    order = acyclic_order(versions.older)
    assert order is not None, "it was judged"
    return versions.judge(Visibility(memory, guarantees, order).demand_reads())


class _Versions:
    """What is known of the order of versions, and who said so."""

    def __init__(self, memory: Memory, name: str) -> None:
        self.memory = memory
        self.name = name
        # older[a] holds b: version a is older than version b. Behind the operations may come moments of time.
        self.older: list[dict[int, None]] = [{} for _ in memory.operations]
        self.reasons: dict[tuple[int, int], int] = {}

    def judge(self, demands: Iterable[Demand]) -> Finding:
        """Add what is demanded: (older, newer, guarantee, the operation that says so); say whether it has an order."""
        operations = self.memory.operations
        for a, b, guarantee, by in demands:
            if a in {b, INITIAL}:
                continue
            if b == INITIAL:
                sentence = f"{guarantee} is broken: {operations[by]}, though a newer version was due."
                return refuted(self.name, sentence, operations[by], operations[a])
            if b not in self.older[a]:
                self.older[a][b] = None
                self.reasons[a, b] = by
        if acyclic_order(self.older) is not None:
            return held(self.name, self.memory)
        cycle = find_cycle(self.older)
        witness: dict[int, Operation] = {}
        for place, version in enumerate(cycle):
            by = self.reasons.get((version, cycle[(place + 1) % len(cycle)]), version)
            for number in (version, by):
                if number < len(operations):
                    witness.setdefault(operations[number].call, operations[number])
        count = sum(version < len(operations) for version in cycle)
        sentence = f"no order of the versions agrees with {self.name}: each of {count} would be older than itself."
        return refuted(self.name, sentence, *witness.values())

    def follow_time(self) -> None:
        """Order the versions of each key as they were written, where one had been answered before the other's call."""
        moments: dict[Hashable, list[tuple[int, bool, int]]] = {}
        for number, operation in enumerate(self.memory.operations):
            if self.memory.is_write[number]:
                row = moments.setdefault(self.memory.keys[number], [])
                row.append((operation.call, False, number))
                if operation.done != NEVER:
                    row.append((operation.done, True, number))
        for row in moments.values():
            now = None
            for _, is_done, number in sorted(row):
                if not is_done:
                    if now is not None:
                        self.older[now][number] = None
                    continue
                self.older.append({})
                moment = len(self.older) - 1
                self.older[number][moment] = None
                if now is not None:
                    self.older[now][moment] = None
                now = moment


def _demands(versions: _Versions, session: list[int], guarantees: Container[str]) -> Iterable[Demand]:
    """Yield (older version, newer version, guarantee, the operation that says so) for each key alone.

    Where the guarantees that are asked for do not put earlier ones behind each other, all of them count, not the last.
    """
    memory = versions.memory
    written: dict[Hashable, _Past] = {}
    seen: dict[Hashable, _Past] = {}
    for number in session:
        key, source = memory.keys[number], memory.source[number]
        mine = written.get(key)
        if mine is None:
            mine = written[key] = _Past(versions, is_line="monotonic-writes" in guarantees)
            seen[key] = _Past(versions, is_line="monotonic-reads" in guarantees)
        if memory.is_write[number]:
            if "monotonic-writes" in guarantees and mine.last is not None:
                yield mine.last, number, "monotonic-writes", number
            if "writes-follow-reads" in guarantees:
                for older in seen[key].all_but(number):
                    yield older, number, "writes-follow-reads", number
            mine.add(number)
            continue
        if "read-your-writes" in guarantees:
            for older in mine.all_but(source):
                yield older, source, "read-your-writes", number
        last = seen[key].last
        if "monotonic-reads" in guarantees and last is not None:
            yield last, source, "monotonic-reads", number
        if source != INITIAL:
            seen[key].add(source)


class _Past:
    """Versions that one session met: in a line by themselves, or held together by gathering nodes."""

    def __init__(self, versions: _Versions, *, is_line: bool) -> None:
        self.versions = versions
        self.is_line = is_line
        self.last: int | None = None
        # Version → its place; and for each place a node behind all versions up to there.
        self.places: dict[int, int] = {}
        self.met: list[int] = []
        self.gathered: list[int] = []

    def add(self, version: int) -> None:
        self.last = version
        if self.is_line or version in self.places:
            return
        older = self.versions.older
        older.append({})
        node = len(older) - 1
        older[version][node] = None
        if self.gathered:
            older[self.gathered[-1]][node] = None
        self.places[version] = len(self.met)
        self.met.append(version)
        self.gathered.append(node)

    def all_but(self, version: int) -> Iterable[int]:
        """Yield nodes behind which all versions are that were met, without one of them."""
        if self.last is None:
            return
        if self.is_line:
            yield self.last
        elif version == INITIAL:
            # Somebody is named in the refutation: a version, not a node.
            yield self.last
        elif version not in self.places:
            yield self.gathered[-1]
        else:
            place = self.places[version]
            if place:
                yield self.gathered[place - 1]
            yield from self.met[place + 1 :]
