"""Depth-first search for one linearization, remembering every configuration it has tried.

A configuration is (first operation not placed, bits of the placed ones from there on, crashed ones used, state), so the
memo's keys stay as small as the concurrency, however long the history. Reads that fit are placed at once. What may be
next is tried in the order of the middles between call and answer, as the likeliest moments of effect, crashed ones
last: where no lie is told, the first way is nearly always a right one, so nothing is prepared for ways that are never
taken. A configuration is not tried if one was that differs only in fewer crashed operations used.

Source: Wing & Gong 1993; Lowe 2017 for the memo and the list of what is not placed. Deviations: an explicit stack in
place of recursion, crashed operations as counters, and their dominance.
"""

from bisect import bisect_left
from collections.abc import Generator
from typing import Final

from quorate.check.history import NEVER
from quorate.check.linear.problem import Outcome, Problem


def search_depth(problem: Problem) -> Generator[int, None, Outcome]:
    """Decide a problem depth first; yields the number of steps since it last yielded.

    Complexity: O(configurations × running operations), configurations ≤ places × 2^running × crashed uses × states.
    """
    search = _Search(problem)
    step_count = 0
    is_placed = search.enter(0, 0, 0, 0)
    while not is_placed:
        step_count += 1
        if step_count >= 256:
            yield step_count
            step_count = 0
        if not search.frames:
            yield step_count
            return Outcome(is_valid=False, blame=search.blame, states=tuple(search.states))
        is_placed = search.advance()
    yield step_count
    return Outcome(is_valid=True)


# A configuration on the way, and what was not tried from it yet: (how much of the trail was placed before, base, bits
# of the placed, crashed used, state, the first answer to come, moves). What is called after that answer cannot be next.
_Frame = tuple[int, int, int, int, int, int, list[int]]


_NONE_USED: Final = [0]


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.size = size = problem.size
        # What is not placed, as a ring in the order of calls; `size` is before the first and after the last.
        self.after = [*range(1, size + 1), 0]
        self.before = [size, *range(size)]
        self.calls = [*problem.calls, NEVER]
        self.trail: list[int] = []
        self.frames: list[_Frame] = []
        # (first not placed, bits, state) → crashed ones used: who used at least as many of each finds nothing new.
        self.tried: dict[tuple[int, int, int], list[int]] = {}
        # A move is an operation, or `size` + a class of crashed ones; above that, which of several states follows.
        self.shift = (size + len(problem.class_kinds) + 1).bit_length()
        self.all_crashed = size + len(problem.class_kinds)
        # The latest answer that some configuration stands before, and the states of those configurations.
        self.latest = -1
        self.states: dict[int, None] = {0: None}
        self.blame: int | None = None

    def enter(self, base: int, mask: int, used: int, state: int) -> bool:
        """Place the reads that fit and stand in the configuration that follows; say whether all is placed."""
        problem = self.problem
        after, before, calls, dones = self.after, self.before, self.calls, problem.dones
        kinds, is_read, rows = problem.kinds, problem.is_read, problem.rows
        mark, earliest, limit = len(self.trail), -1, NEVER
        moves: list[int] = []
        place = after[self.size]
        while calls[place] < limit:
            if is_read[place]:
                states = rows[kinds[place]].get(state)
                if states is None:
                    states = problem.step(state, kinds[place])
                if states:
                    self.trail.append(place)
                    mask |= 1 << (place - base)
                    left, right = before[place], after[place]
                    after[left], before[right] = right, left
                    place = right
                    continue
            else:
                moves.append(place)
            if dones[place] < limit:
                limit, earliest = dones[place], place
            place = after[place]
        first = after[self.size]
        if first == self.size:
            return True
        mask >>= first - base
        if self._is_known((first, mask, state), used):
            self._take_back(mark)
            return False
        if limit > self.latest:
            self.latest, self.states, self.blame = limit, {state: None}, earliest
        elif limit == self.latest:
            self.states[state] = None
        if len(moves) > 1:
            moves.sort(key=problem.middles.__getitem__, reverse=True)
        if problem.class_kinds:
            moves.insert(0, self.all_crashed)
        if is_read[earliest]:
            self._prefer(moves, state, used, limit, kinds[earliest])
        self.frames.append((len(self.trail), first, mask, used, state, limit, moves))
        return False

    def _is_known(self, name: tuple[int, int, int], used: int) -> bool:
        """Say whether a configuration that was no worse was tried before; remember this one if not."""
        bucket = self.tried.get(name)
        if bucket is None:
            self.tried[name] = [used] if used else _NONE_USED
            return False
        guards = self.problem.guards
        for other in bucket:
            # A guard bit above each counter survives unless `other` used more of that class.
            if ((used | guards) - other) & guards == guards:
                return True
        self.tried[name] = [*bucket, used]
        return False

    def _prefer(self, moves: list[int], state: int, used: int, limit: int, read: int) -> None:
        """Let those moves be tried first after which a read fits that must be next of all reads."""
        problem = self.problem
        rows, right = problem.rows, []
        for move in moves:
            if move == self.all_crashed:
                continue
            kind = problem.kinds[move]
            for after in rows[kind].get(state) or problem.step(state, kind):
                if rows[read].get(after) or problem.step(after, read):
                    right.append(move)
                    break
        if right and len(right) < len(moves):
            moves[:] = [move for move in moves if move not in right] + right

    def advance(self) -> bool:
        """Go one way on from the last configuration, or leave it; say whether all is placed."""
        mark, base, mask, used, state, limit, moves = self.frames[-1]
        if len(self.trail) > mark:
            self._take_back(mark)
        problem, size, shift = self.problem, self.size, self.shift
        kinds, rows = problem.kinds, problem.rows
        while moves:
            move = moves.pop()
            number, choice = move & ((1 << shift) - 1), move >> shift
            if number == self.all_crashed:
                self._add_crashed(used, limit, moves)
                continue
            kind = kinds[number] if number < size else problem.class_kinds[number - size]
            states = rows[kind].get(state)
            if states is None:
                states = problem.step(state, kind)
            if choice >= len(states):
                continue
            if choice + 1 < len(states):
                moves.append(move + (1 << shift))
            if number < size:
                self.trail.append(number)
                left, right = self.before[number], self.after[number]
                self.after[left], self.before[right] = right, left
                return self.enter(base, mask | 1 << (number - base), used, states[choice])
            # A crashed operation that changes nothing need not have happened.
            if states[choice] != state:
                return self.enter(base, mask, used + (1 << problem.class_shifts[number - size]), states[choice])
        self.frames.pop()
        return False

    def _take_back(self, mark: int) -> None:
        trail, after, before = self.trail, self.after, self.before
        while len(trail) > mark:
            place = trail.pop()
            after[before[place]] = before[after[place]] = place

    def _add_crashed(self, used: int, limit: int, moves: list[int]) -> None:
        """Add the crashed operations that may be next: one of each class that has one left."""
        problem = self.problem
        for place, calls in enumerate(problem.class_calls):
            if calls[0] >= limit:
                break
            count = (used >> problem.class_shifts[place]) & problem.class_masks[place]
            if count < bisect_left(calls, limit):
                moves.append(self.size + place)
