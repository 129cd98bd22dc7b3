"""Causal consistency in its three published forms, for registers whose written values differ.

Causal order is (session order ∪ reads-from)⁺. CC: no read misses a write that is causally between what it saw and
itself. CCv: moreover all sessions could agree on one order of conflicting writes. CM: moreover each session, alone, can
be explained by one order of all writes. CCv and CM do not imply each other.

Source: Bouajjani, Enea, Guerraoui & Hamza 2017, "On verifying causal consistency" (bad patterns).
"""

from bisect import bisect_right
from collections.abc import Hashable, Iterable
from itertools import pairwise
from typing import Final, Literal

from quorate.check.collector import collector_paused
from quorate.check.finding import BUDGET_DEFAULT, Finding
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
from quorate.check.weak.views import Problem, judge_view, with_reasons

CausalModel = Literal["causal", "causal-convergence", "causal-memory"]
CAUSAL_MODELS: Final[tuple[CausalModel, ...]] = ("causal", "causal-convergence", "causal-memory")


@collector_paused()
def check_causal(
    history: History | Iterable[Operation], model: CausalModel = "causal", *, budget: int = BUDGET_DEFAULT
) -> Finding:
    """Say whether a history of registers is causally consistent.

    Args:
        history: reads and writes; every value is written to a key once.
        model: `causal` (CC), `causal-convergence` (CCv) or `causal-memory` (CM).
        budget: for causal memory, steps: one moves the bits of 512 operations.

    Complexity: O(n × sessions × log n) for CC and CCv; O(n³) at worst for CM.
    """
    try:
        memory = read_memory(history, partly=True)
    except NotDistinct as why:
        return undecided(model, str(why))
    if memory.thin_air is not None:
        return refuted(model, "a value was read that nobody wrote.", memory.operations[memory.thin_air])
    causes = _Causes(memory)
    problem = causes.judge(model)
    if problem is None and model == "causal-memory":
        found = _judge_memory(memory, causes, budget)
        if isinstance(found, int):
            return undecided(model, f"the budget of {budget} steps did not suffice", found)
        problem = found
    return held(model, memory) if problem is None else refuted(model, problem[0], *problem[1])


class _Causes:
    """Causal order as clocks: how many operations of each session come before an operation, itself included."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.places = memory.place_in_session()
        self.edges: list[dict[int, None]] = [{} for _ in memory.operations]
        for session in memory.sessions:
            for earlier, later in pairwise(session):
                self.edges[earlier][later] = None
        for number, source in enumerate(memory.source):
            if source not in {INITIAL, number}:
                self.edges[source][number] = None
        self.clocks: list[list[int]] = []
        # (session, key) → numbers of its writes, and their places in the session.
        self.writes: dict[tuple[int, Hashable], tuple[list[int], list[int]]] = {}
        self.writing_sessions: dict[Hashable, dict[int, None]] = {}
        for session_number, session in enumerate(memory.sessions):
            for place, number in enumerate(session):
                if memory.is_write[number]:
                    row = self.writes.setdefault((session_number, memory.keys[number]), ([], []))
                    row[0].append(number)
                    row[1].append(place)
                    self.writing_sessions.setdefault(memory.keys[number], {})[session_number] = None

    def judge(self, model: CausalModel) -> Problem | None:
        memory = self.memory
        order = acyclic_order(self.edges)
        if order is None:
            cycle = find_cycle(self.edges)
            return "operations cause each other in a circle.", [memory.operations[number] for number in cycle]
        self._tick(order)
        conflicts: list[dict[int, None]] = [dict(row) for row in self.edges]
        reasons: dict[tuple[int, int], int] = {}
        for number, source in enumerate(memory.source):
            if memory.is_write[number]:
                continue
            for write in self.latest_writes_before(number):
                if write == source:
                    continue
                if source == INITIAL or self.is_before(source, write):
                    return (
                        f"{memory.operations[number]}, though a newer value had been written in its causal past.",
                        self._named(number, write, source),
                    )
                conflicts[write][source] = None
                reasons.setdefault((write, source), number)
        if model == "causal-convergence" and acyclic_order(conflicts) is None:
            sentence = "no order of the conflicting writes suits all sessions: each of these would come before itself."
            return sentence, with_reasons(memory, find_cycle(conflicts), reasons)
        return None

    def latest_writes_before(self, number: int) -> Iterable[int]:
        """Yield, for each session, its last write to the same key that is causally before an operation."""
        clock, key = self.clocks[number], self.memory.keys[number]
        for session in self.writing_sessions.get(key, ()):
            writes, places = self.writes[session, key]
            count = bisect_right(places, clock[session] - 1)
            if count and writes[count - 1] != number:
                yield writes[count - 1]

    def is_before(self, one: int, other: int) -> bool:
        """Say whether one operation is causally before another."""
        session, place = self.places[one]
        return one != other and place < self.clocks[other][session]

    def _tick(self, order: list[int]) -> None:
        memory = self.memory
        self.clocks = [[] for _ in memory.operations]
        zero = [0] * len(memory.sessions)
        for number in order:
            session, place = self.places[number]
            before = self.clocks[memory.sessions[session][place - 1]] if place else zero
            source = memory.source[number]
            # What is known already has brought all of its own past along.
            if source in {INITIAL, number} or self.places[source][1] < before[self.places[source][0]]:
                clock = before[:]
            else:
                clock = list(map(max, before, self.clocks[source]))
            clock[session] = place + 1
            self.clocks[number] = clock

    def _named(self, *numbers: int) -> list[Operation]:
        return [self.memory.operations[number] for number in numbers if number != INITIAL]


def _judge_memory(memory: Memory, causes: _Causes, budget: int) -> Problem | int | None:
    """Look for a session whose reads no one order of the writes explains; return the steps when the budget is spent."""
    spent = 0
    for session in memory.sessions:
        if all(memory.is_write[number] for number in session):
            continue
        # The past of the session's last operation; it is closed under what comes before.
        clock = causes.clocks[session[-1]]
        past = [number for row, count in zip(memory.sessions, clock, strict=True) for number in row[:count]]
        inside = dict.fromkeys(past)
        edges = {number: {target: None for target in causes.edges[number] if target in inside} for number in past}
        problem, steps = judge_view(memory, session, past, edges, budget - spent)
        spent += steps
        if problem is not None:
            return problem
        if spent > budget:
            return spent
    return None
