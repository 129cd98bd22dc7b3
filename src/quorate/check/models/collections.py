"""Sets, queues of three kinds, stacks."""

from collections.abc import Hashable

from quorate.check.history import BadHistory, Operation, freeze, show
from quorate.check.models.model import Model, State

_TRUE = freeze(value=True)


def rank(value: Hashable) -> tuple[str, str] | tuple[str, float, str]:
    """Return a total order over frozen values of mixed types: numbers by size, then everything else by its words."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ("", value, "")
    return (type(value).__name__, show(value))


def _set_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, frozenset), "a set's state is a frozen set"
    match operation.f:
        case "add":
            return (state | {operation.value},)
        case "remove":
            return (state - {operation.value},)
        case "contains":
            is_in = operation.value in state
            return (state,) if operation.outcome == "info" or (operation.result == _TRUE) == is_in else ()
        case _:
            if operation.outcome == "info":
                return (state,)
            if not isinstance(operation.result, tuple):
                raise BadHistory(f"read of a set needs a list as its answer: {operation}")
            return (state,) if frozenset(operation.result) == state else ()


def _describe_set(state: State) -> str:
    assert isinstance(state, frozenset), "a set's state is a frozen set"
    return "{" + ", ".join(show(value) for value in sorted(state, key=rank)) + "}"


def grow_set() -> Model:
    """Return the model of a set: add v, remove v, contains v → true or false, read → list of all, in any order."""
    return Model(
        name="set",
        initial=frozenset(),
        step=_set_step,
        functions=("add", "remove", "contains", "read"),
        readonly=("contains", "read"),
        describe=_describe_set,
    )


def _taken(state: tuple[Hashable, ...], operation: Operation, place: int) -> tuple[State, ...]:
    """Return what is left after one element was taken; an answer of null says that there was none."""
    if operation.outcome == "info":
        return (state,) if not state else (_without(state, place),)
    if operation.result is None:
        return () if state else (state,)
    return (_without(state, place),) if state and state[place] == operation.result else ()


def _without(state: tuple[Hashable, ...], place: int) -> tuple[Hashable, ...]:
    place %= len(state)
    return state[:place] + state[place + 1 :]


def _fifo_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a queue is frozen as a tuple"
    if operation.f == "enqueue":
        return ((*state, operation.value),)
    return _taken(state, operation, 0)


def _unordered_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a bag is frozen as a sorted tuple"
    if operation.f == "enqueue":
        return (tuple(sorted((*state, operation.value), key=rank)),)
    if operation.outcome == "info":
        return tuple(_without(state, place) for place in range(len(state))) or (state,)
    if operation.result is None:
        return () if state else (state,)
    return (_without(state, state.index(operation.result)),) if operation.result in state else ()


def priority_of(value: Hashable) -> tuple[str, str] | tuple[str, float, str]:
    """Return what a priority queue orders by: the first half of a pair, else the value itself."""
    return rank(value[0] if isinstance(value, tuple) and len(value) == 2 else value)


def _priority_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a priority queue is frozen as a sorted tuple"
    if operation.f == "enqueue":
        return (tuple(sorted((*state, operation.value), key=lambda value: (priority_of(value), rank(value)))),)
    if operation.outcome == "ok" and operation.result is None:
        return () if state else (state,)
    # Among equal priorities the queue may choose.
    best = [place for place, value in enumerate(state) if priority_of(value) == priority_of(state[0])]
    if operation.outcome == "info":
        return tuple(_without(state, place) for place in best) or (state,)
    return tuple(_without(state, place) for place in best if state[place] == operation.result)


def _stack_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a stack is frozen as a tuple"
    if operation.f == "push":
        return ((*state, operation.value),)
    return _taken(state, operation, -1)


def fifo_queue() -> Model:
    """Return the model of a queue: enqueue v, dequeue → the oldest element, or null when there is none."""
    return Model(name="fifo-queue", initial=(), step=_fifo_step, functions=("enqueue", "dequeue"))


def unordered_queue() -> Model:
    """Return a queue that may hand out any of its elements: enqueue v, dequeue → an element or null."""
    return Model(name="unordered-queue", initial=(), step=_unordered_step, functions=("enqueue", "dequeue"))


def priority_queue() -> Model:
    """Return a queue that hands out a smallest element: enqueue v or [priority, v], dequeue → an element or null."""
    return Model(name="priority-queue", initial=(), step=_priority_step, functions=("enqueue", "dequeue"))


def stack() -> Model:
    """Return the model of a stack: push v, pop → the youngest element, or null when there is none."""
    return Model(name="stack", initial=(), step=_stack_step, functions=("push", "pop"))
