"""What a read must have seen when session guarantees hold for the whole store, not for each key alone.

Every read sees a set of writes, and answers with the newest of its key, in one order of all writes. The guarantees say
what is in the set: what the session wrote (read your writes), what its reads had seen (monotonic reads), with a write
also those that its session wrote before it (monotonic writes), and those that its session had read before it (writes
follow reads); the last two also order the writes. The smallest sets that do are found by clocks that count the writes
of each session, so a history keeps the guarantees if and only if the order that these sets demand has no cycle.

Source: Terry and others 1994 (DB sets, RelevantWrites, WriteOrder). All four together are causal convergence.
"""

from bisect import bisect_right
from collections.abc import Collection, Hashable, Iterator

from quorate.check.weak.memory import INITIAL, Memory

Demand = tuple[int, int, str, int]


def demand_writes(memory: Memory, guarantees: Collection[str]) -> Iterator[Demand]:
    """Yield (older write, newer write, guarantee, the operation that says so) for writes alone, of any keys."""
    for session in memory.sessions:
        last = None
        sources: dict[int, None] = {}
        for number in session:
            if not memory.is_write[number]:
                if memory.source[number] != INITIAL:
                    sources[memory.source[number]] = None
                continue
            if last is not None and "monotonic-writes" in guarantees:
                yield last, number, "monotonic-writes", number
            if "writes-follow-reads" in guarantees:
                for source in sources:
                    yield source, number, "writes-follow-reads", number
            # What comes behind the next write comes behind this one.
            sources = {}
            last = number


class Visibility:
    """The smallest sets of writes that reads saw, as counts of the writes of each session.

    Needs monotonic writes: only then is a set a beginning of each session.

    Args:
        memory: the history.
        guarantees: those that hold; monotonic writes among them.
        order: all operations, so that whatever `demand_writes` says is older comes first.

    Complexity: O(n × sessions).
    """

    def __init__(self, memory: Memory, guarantees: Collection[str], order: list[int]) -> None:
        assert "monotonic-writes" in guarantees, "without it a set is no beginning of each session"
        self.memory = memory
        self.guarantees = guarantees
        self.name = " and ".join(guarantees)
        self.places = memory.place_in_session()
        # (session, key) → ranks of its writes in the session, and the writes.
        self.writes: dict[tuple[int, Hashable], tuple[list[int], list[int]]] = {}
        self.writing_sessions: dict[Hashable, dict[int, None]] = {}
        self.ranks: dict[int, int] = {}
        # Of each write: those that its session read since its write before, and that write.
        self.past: dict[int, tuple[list[int], int | None]] = {}
        for place, session in enumerate(memory.sessions):
            self._note(place, session)
        self.clocks: dict[int, list[int]] = {}
        for number in order:
            if number in self.ranks:
                self.clocks[number] = self._clock_of(number)

    def _note(self, place: int, session: list[int]) -> None:
        last, sources, rank = None, list[int](), 0
        for number in session:
            if not self.memory.is_write[number]:
                if self.memory.source[number] != INITIAL:
                    sources.append(self.memory.source[number])
                continue
            self.ranks[number], rank = rank, rank + 1
            self.past[number] = (sources, last)
            last, sources = number, []
            key = self.memory.keys[number]
            row = self.writes.setdefault((place, key), ([], []))
            row[0].append(self.ranks[number])
            row[1].append(number)
            self.writing_sessions.setdefault(key, {})[place] = None

    def _clock_of(self, number: int) -> list[int]:
        sources, last = self.past[number]
        clock = list(self.clocks[last]) if last is not None else [0] * len(self.memory.sessions)
        if "writes-follow-reads" in self.guarantees:
            for source in dict.fromkeys(sources):
                clock = _later(clock, self.clocks[source])
        clock[self.places[number][0]] = self.ranks[number] + 1
        return clock

    def demand_reads(self) -> Iterator[Demand]:
        """Yield (visible write, the write that was read or INITIAL, why, the read)."""
        memory = self.memory
        for session in memory.sessions:
            seen = [0] * len(memory.sessions)
            for number in session:
                source = memory.source[number]
                if memory.is_write[number]:
                    if "read-your-writes" in self.guarantees:
                        seen = _later(seen, self.clocks[number])
                    continue
                visible = seen if source == INITIAL else _later(seen, self.clocks[source])
                if "monotonic-reads" in self.guarantees:
                    seen = visible
                yield from self._newer(number, visible)

    def _newer(self, read: int, visible: list[int]) -> Iterator[Demand]:
        source, key = self.memory.source[read], self.memory.keys[read]
        for session in self.writing_sessions.get(key, ()):
            ranks, writes = self.writes[session, key]
            count = bisect_right(ranks, visible[session] - 1)
            if count and writes[count - 1] != source:
                yield writes[count - 1], source, self.name, read


def _later(one: list[int], other: list[int]) -> list[int]:
    return list(map(max, one, other))
