"""Locks: a plain mutex, and one that hands out fencing tokens."""

from quorate.check.history import BadHistory, Operation, show
from quorate.check.models.model import Model, State

_FREE = "free"
_HELD = "held"


def _mutex_step(state: State, operation: Operation) -> tuple[State, ...]:
    match operation.f, state:
        case "acquire", "free":
            return (_HELD,)
        case "release", "held":
            return (_FREE,)
        case _:
            # A crashed call that could not have succeeded simply did not happen.
            return (state,) if operation.outcome == "info" else ()


def mutex() -> Model:
    """Return the model of a lock: acquire, release, whoever calls them."""
    return Model(
        name="mutex",
        initial=_FREE,
        step=_mutex_step,
        functions=("acquire", "release"),
        describe=str,
    )


def _fenced_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a fenced lock is its holder and a bound on tokens"
    holder, bound = state
    if operation.f == "release":
        if holder == operation.process:
            return ((None, bound),)
        return (state,) if operation.outcome == "info" else ()
    if operation.outcome == "info":
        # Some token above the bound was handed out; nobody knows which.
        return ((operation.process, bound + 1),) if holder is None else (state,)
    token = operation.result
    if not isinstance(token, int) or isinstance(token, bool):
        raise BadHistory(f"acquire of a fenced lock needs an integer token as its answer: {operation}")
    return ((operation.process, token),) if holder is None and token > bound else ()


def _describe_fenced(state: State) -> str:
    assert isinstance(state, tuple), "a fenced lock is its holder and a bound on tokens"
    holder, bound = state
    words = "free" if holder is None else f"held by process {show(holder)}"
    return f"{words}, tokens up to {bound} used"


def fenced_lock() -> Model:
    """Return a lock with an owner whose tokens grow: acquire → token, release by the holder only."""
    return Model(
        name="fenced-lock",
        initial=(None, 0),
        step=_fenced_step,
        functions=("acquire", "release"),
        uses_process=True,
        describe=_describe_fenced,
    )
