"""Guided random runs: those that met something new are kept, changed a little, and run again.

A run is a list of numbers, each of which picks among the choices that are possible where it stands (modulo their
count): so any list is a run, and a list that was cut, changed or joined to another is one too. New is a shape of a
state that no run had before (`System.shape`), or a mark of the kernel that none had reached, or had not so often.

Source: Zalewski, American Fuzzy Lop (corpus, counts in buckets); Böhme and others 2016 (rare places first); Meng and
others 2023, "Greybox fuzzing of distributed systems" (Mallory), for the idea on schedules.
"""

import random
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, Generic

import msgspec

from quorate.check.explore.system import C, Example, Property, S, System
from quorate.check.explore.walk import Walks

# So many runs begin anew: a corpus alone would never leave its own neighbourhood.
_FRESH_CHANCE: Final = 0.5
_DRAWN_COUNT: Final = 4
_CORPUS_MAX: Final = 2_000
_NUMBER_MAX: Final = 1 << 16


class _Kept(msgspec.Struct):
    """A run of the corpus."""

    start: int
    numbers: list[int]
    # The last thing that was new in it: a shape, or a mark and how often.
    end: Hashable


def walk_by_coverage(
    system: System[S, C],
    properties: Sequence[Property],
    rng: random.Random,
    *,
    walk_count: int,
    step_count_max: int,
    marks: Mapping[str, int] | None = None,
    stop_at_first: bool = False,
) -> Walks[C]:
    """Take runs that are changes of runs which met something new.

    Args:
        system: what to explore.
        properties: what to ask; no `eventually`.
        rng: of all draws.
        walk_count: runs.
        step_count_max: choices in each.
        marks: counts of places that were reached, looked at before and after each run (`kernel.marks.counts`).
        stop_at_first: end with the first run that refutes something.

    Complexity: O(walks × steps), and one shape for each step.
    """
    assert all(claim.kind != "eventually" for claim in properties), "a finite run cannot refute `eventually`"
    guide = _Guide(system, properties, rng, step_count_max, marks)
    run_count = 0
    while run_count < walk_count and not (stop_at_first and guide.counterexamples):
        run_count += 1
        guide.run()
    return Walks(
        walk_count=run_count,
        step_count=guide.step_count,
        counterexamples=guide.counterexamples,
        seen=guide.seen,
        shape_count=len(guide.known),
        found_after=guide.found_after,
    )


class _Guide(Generic[S, C]):
    def __init__(
        self,
        system: System[S, C],
        properties: Sequence[Property],
        rng: random.Random,
        step_count_max: int,
        marks: Mapping[str, int] | None,
    ) -> None:
        self.system = system
        self.properties = properties
        self.rng = rng
        self.step_count_max = step_count_max
        self.marks = marks
        self.starts = system.initial()
        self.corpus: list[_Kept] = []
        # Shapes and marks that some run had, and how often.
        self.known: Counter[Hashable] = Counter()
        self.step_count = 0
        self.counterexamples: dict[str, Example[C]] = {}
        self.found_after: dict[str, int] = {}
        self.seen = {claim.name: 0 for claim in properties if claim.kind == "sometimes"}

    def run(self) -> None:
        """Take one run; keep it, up to the last new thing, if it met any."""
        parent = self._choose()
        start = self.rng.randrange(len(self.starts)) if parent is None else parent.start
        planned = iter(()) if parent is None else self._changed(parent)
        marks_before = dict(self.marks or {})
        state = self.starts[start]
        numbers: list[int] = []
        taken: list[C] = []
        met: dict[str, None] = {}
        last_new = -1
        end: Hashable = None
        while True:
            shape = self.system.shape(state)
            if self._is_new(shape):
                last_new, end = len(numbers), shape
            self._judge(state, start, taken, met)
            choices = self.system.choices(state)
            if not choices or len(taken) == self.step_count_max:
                break
            number = next(planned, None)
            if number is None:
                number = self.rng.randrange(_NUMBER_MAX)
            numbers.append(number)
            taken.append(choices[number % len(choices)])
            state = self.system.take(state, taken[-1])
            self.step_count += 1
        for name in met:
            if name in self.seen:
                self.seen[name] += 1
        for mark, count in (self.marks or {}).items():
            # In powers of two: once, twice, a few times, often.
            times = (mark, (count - marks_before.get(mark, 0)).bit_length())
            if times[1] and self._is_new(times):
                last_new, end = len(numbers), times
        if last_new >= 0:
            self.corpus.append(_Kept(start, numbers[:last_new], end))
            if len(self.corpus) > _CORPUS_MAX:
                self.corpus.remove(max(self.corpus, key=lambda kept: self.known[kept.end]))

    def _judge(self, state: S, start: int, taken: list[C], met: dict[str, None]) -> None:
        for claim in self.properties:
            if claim.holds(state) != (claim.kind == "sometimes"):
                continue
            met[claim.name] = None
            if claim.kind == "always" and claim.name not in self.counterexamples:
                self.counterexamples[claim.name] = Example(start, tuple(taken))
                self.found_after[claim.name] = self.step_count

    def _is_new(self, feature: Hashable) -> bool:
        self.known[feature] += 1
        return self.known[feature] == 1

    def _choose(self) -> _Kept | None:
        """Return a run to change: of a few the one that ends in the rarest shape; None: begin anew."""
        if not self.corpus or self.rng.random() < _FRESH_CHANCE:
            return None
        drawn = [self.corpus[self.rng.randrange(len(self.corpus))] for _ in range(_DRAWN_COUNT)]
        return min(drawn, key=lambda kept: self.known[kept.end])

    def _changed(self, parent: _Kept) -> Iterator[int]:
        """Return a change of a run: gone on, cut and gone on, with a number changed, left out or put in, or joined."""
        numbers = list(parent.numbers)
        if numbers:
            place = self.rng.randrange(len(numbers))
            match self.rng.randrange(6):
                case 0:
                    del numbers[place:]
                case 1:
                    numbers[place] = self.rng.randrange(_NUMBER_MAX)
                case 2:
                    del numbers[place]
                case 3:
                    numbers.insert(place, self.rng.randrange(_NUMBER_MAX))
                case 4:
                    other = self.corpus[self.rng.randrange(len(self.corpus))]
                    numbers[place:] = other.numbers[place:]
                case _:
                    pass  # as it is, and on from there
        return iter(numbers)
