"""Depth-first search for one linearization, remembering every configuration it has tried.

A configuration is (first operation not placed, bits of the placed ones from there on, crashed ones used, state), so the
memo's keys stay as small as the concurrency, however long the history. Reads that fit are placed at once.

Source: Wing & Gong 1993; Lowe 2017 for the memo. Deviations: an explicit stack in place of recursion and of the linked
list, and crashed operations as counters.
"""

from bisect import bisect_left
from collections.abc import Generator

from quorate.check.linear.problem import Outcome, Problem

_Configuration = tuple[int, int, int, int]


def search_depth(problem: Problem) -> Generator[int, None, Outcome]:
    """Decide a problem depth first; yields the number of steps since it last yielded.

    Complexity: O(configurations × running operations), configurations ≤ places × 2^running × crashed uses × states.
    """
    tried: set[_Configuration] = set()
    # The latest answer that some configuration stands before, and the states of those configurations.
    latest, states = -1, {0: None}
    blame: int | None = None
    stack: list[_Configuration] = [(0, 0, 0, 0)]
    step_count = 0
    while stack:
        base, mask, used, state = stack.pop()
        step_count += 1
        if step_count >= 256:
            yield step_count
            step_count = 0
        base, mask, limit, earliest, candidates = _settle(problem, base, mask, state)
        if base == problem.size:
            yield step_count
            return Outcome(is_valid=True)
        configuration = (base, mask, used, state)
        if configuration in tried:
            continue
        tried.add(configuration)
        if limit > latest:
            latest, states, blame = limit, {state: None}, earliest
        elif limit == latest:
            states[state] = None
        _push(problem, configuration, limit, candidates, stack)
    yield step_count
    return Outcome(is_valid=False, blame=blame, states=tuple(states))


def _settle(problem: Problem, base: int, mask: int, state: int) -> tuple[int, int, int, int, list[int]]:
    """Place all reads that fit; return the place, the first answer to come, whose it is, and what may be next."""
    calls, dones, kinds, is_read = problem.calls, problem.dones, problem.kinds, problem.is_read
    size = problem.size
    while True:
        while mask & 1:
            mask >>= 1
            base += 1
        if base == size:
            return base, 0, -1, -1, []
        limit, earliest, place = dones[base], base, base
        bits = mask
        candidates: list[int] = []
        while place < size and calls[place] < limit:
            if not bits & 1:
                candidates.append(place)
                if dones[place] < limit:
                    limit, earliest = dones[place], place
            bits >>= 1
            place += 1
        placed = mask
        for place in candidates:
            if is_read[place] and problem.step(state, kinds[place]):
                placed |= 1 << (place - base)
        if placed == mask:
            return base, mask, limit, earliest, candidates
        mask = placed


def _push(
    problem: Problem, configuration: _Configuration, limit: int, candidates: list[int], stack: list[_Configuration]
) -> None:
    """Push what may follow, so that the operation that answers first is tried first and crashed ones last."""
    base, mask, used, state = configuration
    for place, kind in enumerate(problem.class_kinds):
        calls = problem.class_calls[place]
        if calls[0] >= limit:
            break
        shift = problem.class_shifts[place]
        if (used >> shift) & problem.class_masks[place] < bisect_left(calls, limit):
            more = used + (1 << shift)
            stack.extend((base, mask, more, after) for after in problem.step(state, kind) if after != state)
    candidates.sort(key=problem.dones.__getitem__, reverse=True)
    for place in candidates:
        if not problem.is_read[place]:
            placed = mask | 1 << (place - base)
            stack.extend((base, placed, used, after) for after in problem.step(state, problem.kinds[place]))
