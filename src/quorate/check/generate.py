"""Random histories of a model: correct ones, and ones with lies in them, to try checkers and user models on."""

import random
from collections.abc import Callable, Sequence

import msgspec

from quorate.check.history import NEVER, Operation, Value, freeze
from quorate.check.models import Model, State

# A call to make: function, argument, and the answers it might get.
Choice = tuple[str, Value, Sequence[Value]]
Workload = Callable[[random.Random], Choice]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a history is drawn."""

    operation_count: int = 8
    # At once, at most.
    process_count: int = 3
    # Chances, each of one operation: to end unknown; to fail; to answer something drawn at random.
    crash_chance: float = 0.1
    fail_chance: float = 0.05
    lie_chance: float = 0.0
    key: Value = None


class _Running(msgspec.Struct):
    choice: Choice
    call: int
    result: Value = None
    happened: bool = False


def generate(rng: random.Random, model: Model, workload: Workload, recipe: Recipe) -> list[Operation]:
    """Return the operations of one object, in the order of their calls; linearizable when nothing lies.

    Complexity: O(operations × answers).
    """
    state: State = model.initial
    running: dict[int, _Running] = {}
    finished: list[Operation] = []
    started = place = 0
    next_process = recipe.process_count
    names = list(range(recipe.process_count))
    while started < recipe.operation_count or running:
        seat = rng.randrange(len(names))
        process = names[seat]
        mine = running.get(process)
        place += 1
        if mine is None:
            if started < recipe.operation_count:
                running[process] = _Running(workload(rng), place)
                started += 1
        elif not mine.happened and rng.random() > recipe.fail_chance:
            state, mine.happened, mine.result = _perform(rng, model, state, mine.choice, process)
            if not mine.happened and rng.random() < recipe.lie_chance:
                # Claims what the model forbids.
                mine.happened, mine.result = True, rng.choice(mine.choice[2]) if mine.choice[2] else None
            if not mine.happened and rng.random() < 0.5:
                finished.append(_finish(recipe, process, mine, "fail", place))
                del running[process]
            elif not mine.happened or rng.random() < recipe.crash_chance:
                # A crashed process is never heard of again; a new one takes its place.
                finished.append(_finish(recipe, process, mine, "info", place))
                names[seat], next_process = next_process, next_process + 1
                del running[process]
        else:
            outcome = "ok" if mine.happened else "fail"
            if mine.happened and mine.choice[2] and rng.random() < recipe.lie_chance:
                mine.result = rng.choice(mine.choice[2])
            finished.append(_finish(recipe, process, mine, outcome, place))
            del running[process]
    return sorted(finished, key=lambda operation: operation.call)


def _perform(rng: random.Random, model: Model, state: State, choice: Choice, process: int) -> tuple[State, bool, Value]:
    """Let a call take effect: return the state after it, whether it could, and its answer."""
    f, value, answers = choice
    for answer in rng.sample(list(answers), len(answers)) if answers else [None]:
        trial = Operation(process=process, f=f, value=freeze(value), result=freeze(answer))
        states = model.follow(state, trial)
        if states:
            return rng.choice(states), True, answer
    return state, False, None


def _finish(recipe: Recipe, process: int, mine: _Running, outcome: str, place: int) -> Operation:
    f, value, _ = mine.choice
    is_known = outcome != "info"
    return msgspec.convert(
        {
            "process": process,
            "f": f,
            "key": recipe.key,
            "value": value,
            "result": mine.result if outcome == "ok" else None,
            "invoke_ns": mine.call * 1_000_000,
            "complete_ns": place * 1_000_000 if is_known else None,
            "outcome": outcome,
            "call": mine.call,
            "done": place if is_known else NEVER,
        },
        Operation,
    )
