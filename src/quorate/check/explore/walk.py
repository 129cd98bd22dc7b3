"""Random runs: plain walks, and PCT, whose chance to find a bug of a given depth has a lower bound."""

import random
from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from quorate.check.explore.system import C, Example, Property, S, System


class Walks(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """What random runs found; a pass proves nothing, a counterexample does."""

    walk_count: int
    step_count: int
    counterexamples: dict[str, Example[C]]
    # `sometimes` property → in how many runs it was seen.
    seen: dict[str, int]
    # `always` property → choices taken, over all runs, until its first counterexample.
    found_after: dict[str, int] = {}
    # Guided: different shapes and marks that were met.
    shape_count: int = 0


_Pick = Callable[[Sequence[C]], int]


def walk(
    system: System[S, C],
    properties: Sequence[Property],
    rng: random.Random,
    *,
    walk_count: int,
    step_count_max: int,
    stop_at_first: bool = False,
) -> Walks[C]:
    """Take random choices, each as likely as the others.

    Complexity: O(walks × steps).
    """

    def plain(_choices: Sequence[C], _rng: random.Random = rng) -> int:
        return _rng.randrange(len(_choices))

    return _run(system, properties, rng, lambda: plain, walk_count, step_count_max, stop_at_first=stop_at_first)


def walk_by_priority(
    system: System[S, C],
    properties: Sequence[Property],
    rng: random.Random,
    *,
    walk_count: int,
    step_count_max: int,
    depth: int = 3,
    stop_at_first: bool = False,
) -> Walks[C]:
    """Take choices by random priorities of their lanes, lowering the leader's at `depth` - 1 random steps.

    A bug that needs `depth` ordered steps is found in one run with a chance of at least 1 / (lanes × steps^(depth-1)).

    Complexity: O(walks × steps × choices).
    Source: Burckhardt and others 2010, "A randomized scheduler with probabilistic guarantees of finding bugs" (PCT).
    Deviation: among the choices of one lane the first is taken at random, as lanes here may have several.
    """
    assert depth >= 1, "every bug needs at least one step"

    def scheduler() -> _Pick[C]:
        changes = sorted(rng.randrange(1, step_count_max + 1) for _ in range(depth - 1))
        priorities: dict[str, float] = {}
        step = 0

        def pick(choices: Sequence[C]) -> int:
            nonlocal step
            step += 1
            lanes = [system.lane(choice) for choice in choices]
            for lane in lanes:
                if lane not in priorities:
                    priorities[lane] = depth + rng.random()
            first = max(lanes, key=priorities.__getitem__)
            if changes and step >= changes[0]:
                # A change point: whoever leads now falls behind all that were never lowered.
                priorities[first] = len(changes) - 1
                changes.pop(0)
                first = max(lanes, key=priorities.__getitem__)
            return rng.choice([place for place, lane in enumerate(lanes) if lane == first])

        return pick

    return _run(system, properties, rng, scheduler, walk_count, step_count_max, stop_at_first=stop_at_first)


def _run(
    system: System[S, C],
    properties: Sequence[Property],
    rng: random.Random,
    scheduler: Callable[[], _Pick[C]],
    walk_count: int,
    step_count_max: int,
    *,
    stop_at_first: bool,
) -> Walks[C]:
    counterexamples: dict[str, Example[C]] = {}
    found_after: dict[str, int] = {}
    seen = {claim.name: 0 for claim in properties if claim.kind == "sometimes"}
    assert all(claim.kind != "eventually" for claim in properties), "a finite run cannot refute `eventually`"
    total = run_count = 0
    starts = system.initial()
    while run_count < walk_count and not (stop_at_first and counterexamples):
        run_count += 1
        start = rng.randrange(len(starts))
        state = starts[start]
        pick = scheduler()
        taken: list[C] = []
        met: dict[str, None] = {}
        while True:
            for claim in properties:
                if claim.holds(state) != (claim.kind == "sometimes"):
                    continue
                met[claim.name] = None
                if claim.kind == "always" and claim.name not in counterexamples:
                    counterexamples[claim.name] = Example(start, tuple(taken))
                    found_after[claim.name] = total
            choices = system.choices(state)
            if not choices or len(taken) == step_count_max:
                break
            choice = choices[pick(choices)]
            state = system.take(state, choice)
            taken.append(choice)
            total += 1
        for name in met:
            if name in seen:
                seen[name] += 1
    return Walks(
        walk_count=run_count, step_count=total, counterexamples=counterexamples, seen=seen, found_after=found_after
    )
