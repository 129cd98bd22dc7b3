"""The frontier: all configurations that the history allows so far, carried from answer to answer.

A configuration is (state, which of the running operations took effect, how many crashed ones of each class were used).
At each answer, operations take effect only as far as needed for the answering one: every linearization can be brought
into this just-in-time form. Two prunings keep the frontier small. *Symmetry*: crashed operations of equal effect are a
counter. *Dominance*: of two configurations with the same state and the same writes, one that has more reads behind it
and used fewer crashed operations makes the other superfluous. A read takes effect as soon as it fits, as it changes
nothing.

Source: Lowe 2017, "Testing for linearizability" (just-in-time graph search); symmetry and dominance are ours.
"""

from collections.abc import Generator

from quorate.check.linear.problem import Outcome, Problem

# The same state and writes → (reads done, crashed used) of the configurations that no other dominates.
_Frontier = dict[tuple[int, int], list[tuple[int, int]]]
# State, operations that took effect, crashed ones used.
_Configuration = tuple[int, int, int]
_Move = tuple[int, int, int, int, int, int]


def search_frontier(problem: Problem) -> Generator[int, None, Outcome]:
    """Decide a problem by carrying its frontier; yields the number of steps since it last yielded.

    Complexity: O(answers × configurations × running operations); configurations ≤ states × 2^running × antichain.
    """
    return (yield from _Search(problem).run())


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.guards = problem.guards
        # Bits of running reads; the bits of an operation are reused after its answer.
        self.reads = 0
        self.slots: list[int] = [-1] * problem.size
        self.free: list[int] = []
        self.slot_count = 0
        # Running operations, by slot.
        self.running: dict[int, int] = {}
        self.used_max: list[int] = [0] * len(problem.class_kinds)
        self.classes_open = 0
        # State → bits of the running reads that fit it; for one answer.
        self.fitting: dict[int, int] = {}
        self.step_count = 0

    def run(self) -> Generator[int, None, Outcome]:
        problem = self.problem
        frontier: _Frontier = {(0, 0): [(0, 0)]}
        answers = sorted(range(problem.size), key=problem.dones.__getitem__)
        next_call = 0
        for answered in answers:
            done = problem.dones[answered]
            while next_call < problem.size and problem.calls[next_call] < done:
                self._start(next_call)
                next_call += 1
            self._open_crashed(done)
            after = yield from self._answer(frontier, answered)
            if not after:
                states = dict.fromkeys(state for state, _ in frontier)
                yield self.step_count
                return Outcome(is_valid=False, blame=answered, states=tuple(states))
            frontier = after
        yield self.step_count
        ends = [(state, used) for (state, _), bucket in frontier.items() for _, used in bucket]
        return Outcome(is_valid=True, ends=ends)

    def _start(self, operation: int) -> None:
        if self.free:
            slot = self.free.pop()
        else:
            slot = self.slot_count
            self.slot_count += 1
        self.slots[operation] = slot
        self.running[slot] = operation
        if self.problem.is_read[operation]:
            self.reads |= 1 << slot

    def _open_crashed(self, done: int) -> None:
        """Count the crashed operations that were called before an answer."""
        class_calls = self.problem.class_calls
        while self.classes_open < len(class_calls) and class_calls[self.classes_open][0] < done:
            self.classes_open += 1
        for place in range(self.classes_open):
            calls, count = class_calls[place], self.used_max[place]
            while count < len(calls) and calls[count] < done:
                count += 1
            self.used_max[place] = count

    def _fits(self, state: int) -> int:
        """Return the bits of the running reads that are right in a state."""
        bits = self.fitting.get(state)
        if bits is None:
            bits = 0
            problem, reads = self.problem, self.reads
            for slot, operation in self.running.items():
                if reads >> slot & 1 and problem.step(state, problem.kinds[operation]):
                    bits |= 1 << slot
            self.fitting[state] = bits
        return bits

    def _add(self, frontier: _Frontier, state: int, mask: int, used: int) -> bool:
        """Add a configuration unless another dominates it; drop those that it dominates."""
        reads = mask & self.reads
        key = (state, mask ^ reads)
        bucket = frontier.get(key)
        if bucket is None:
            frontier[key] = [(reads, used)]
            return True
        guards = self.guards
        for other_reads, other_used in bucket:
            if not reads & ~other_reads and ((used | guards) - other_used) & guards == guards:
                return False
        bucket[:] = [
            (other_reads, other_used)
            for other_reads, other_used in bucket
            if other_reads & ~reads or ((other_used | guards) - used) & guards != guards
        ]
        bucket.append((reads, used))
        return True

    def _answer(self, frontier: _Frontier, answered: int) -> Generator[int, None, _Frontier]:
        """Return the frontier after an answer; empty if no configuration explains it."""
        problem = self.problem
        slot = self.slots[answered]
        bit = 1 << slot
        self.fitting.clear()
        reached: _Frontier = {}
        waiting: _Frontier = {}
        work: list[_Configuration] = []
        for (state, writes), bucket in frontier.items():
            fits = self._fits(state)
            for reads, used in bucket:
                mask = writes | reads | fits
                if mask & bit:
                    self._add(reached, state, mask, used)
                elif self._add(waiting, state, mask, used):
                    work.append((state, mask, used))
        if work:
            moves = self._moves(slot)
            own = -1 if self.reads & bit else problem.kinds[answered]
            while work:
                self.step_count += 1
                if self.step_count >= 256:
                    yield self.step_count
                    self.step_count = 0
                self._expand(work, bit, own, moves, reached, waiting)
        del self.running[slot]
        self.free.append(slot)
        self.step_count += len(reached)
        after = self._without(reached, bit)
        self.reads &= ~bit
        return after

    def _moves(self, slot: int) -> list[_Move]:
        """Return what may take effect before an answer: (kind, bit; one use, shift, mask, most uses of crashed)."""
        problem, reads = self.problem, self.reads
        moves = [
            (problem.kinds[operation], 1 << other, 0, 0, 0, 0)
            for other, operation in self.running.items()
            if other != slot and not reads >> other & 1
        ]
        for place in range(self.classes_open):
            shift, mask = problem.class_shifts[place], problem.class_masks[place]
            moves.append((problem.class_kinds[place], 0, 1 << shift, shift, mask, self.used_max[place]))
        return moves

    def _expand(
        self,
        work: list[_Configuration],
        bit: int,
        own: int,
        moves: list[_Move],
        reached: _Frontier,
        waiting: _Frontier,
    ) -> None:
        """Let the answering operation take effect, and each other one that may come before it."""
        problem = self.problem
        rows = problem.rows
        state, mask, used = work.pop()
        if own >= 0:
            for after in problem.step(state, own):
                self._add(reached, after, mask | bit | self._fits(after), used)
        for kind, other, use, shift, width, most in moves:
            if mask & other or (use and (used >> shift) & width >= most):
                continue
            states = rows[kind].get(state)
            if states is None:
                states = problem.step(state, kind)
            for after in states:
                # A crashed operation that changes nothing need not have happened.
                if after == state and use:
                    continue
                placed = mask | other | self._fits(after)
                if placed & bit:
                    # The answering operation is a read that fits now: nothing else needs to happen yet.
                    self._add(reached, after, placed, used + use)
                elif self._add(waiting, after, placed, used + use):
                    work.append((after, placed, used + use))

    def _without(self, reached: _Frontier, bit: int) -> _Frontier:
        """Forget the answered operation, which every configuration now has behind it."""
        after: _Frontier = {}
        if self.reads & bit:
            for key, bucket in reached.items():
                after[key] = [(reads & ~bit, used) for reads, used in bucket]
            return after
        for (state, writes), bucket in reached.items():
            after[state, writes & ~bit] = bucket
        return after
