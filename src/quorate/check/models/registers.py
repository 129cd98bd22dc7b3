"""Registers, key-value pairs, counters, append-only lists."""

from collections.abc import Hashable, Mapping

from quorate.check.history import BadHistory, Operation, freeze, show, thaw
from quorate.check.models.model import REFUSED, Model, State, number_of, pair_of, together


def _is_refused(operation: Operation) -> bool:
    """Say whether a conditional write answered that its condition did not hold."""
    return operation.outcome == "ok" and operation.result == REFUSED


def _compare_and_set(state: State, operation: Operation) -> tuple[State, ...]:
    expected, value = pair_of(operation)
    if operation.outcome == "info":
        return (value,) if state == expected else (state,)
    if _is_refused(operation):
        return () if state == expected else (state,)
    return (value,) if state == expected else ()


def _register_step(state: State, operation: Operation) -> tuple[State, ...]:
    match operation.f:
        case "read":
            return (state,) if operation.outcome == "info" or operation.result == state else ()
        case "write":
            return (operation.value,)
        case _:
            return _compare_and_set(state, operation)


def register(initial: object = None) -> Model:
    """Return the model of one value: read, write. Each key is a register of its own."""
    return Model(
        name="register",
        initial=freeze(initial),
        step=_register_step,
        functions=("read", "write"),
        readonly=("read",),
    )


def cas_register(initial: object = None) -> Model:
    """Return a register that also has cas [from, to]; an answer of false says that the value was another."""
    return Model(
        name="cas-register",
        initial=freeze(initial),
        step=_register_step,
        functions=("read", "write", "cas"),
        readonly=("read",),
        refusable=("cas",),
    )


# A key's state: its value (None when absent), its version if a client saw it, and a bound that the version exceeds.
_Pair = tuple[Hashable, int | None, int]
_ABSENT: _Pair = (None, None, 0)


def _written(state: _Pair, value: Hashable) -> _Pair:
    """Return the state after a write: a version that nobody saw yet, above all that were seen."""
    _, known, bound = state
    return value, None, bound if known is None else known


def _with_version(state: _Pair, version: object) -> _Pair | None:
    """Return the state that has this version, or None if it cannot have it."""
    value, known, bound = state
    if known is not None:
        return state if known == version else None
    if isinstance(version, int) and not isinstance(version, bool) and version > bound:
        return value, version, bound
    return None


def _put_if_version(state: _Pair, operation: Operation) -> tuple[_Pair, ...]:
    version, value = pair_of(operation)
    # Version 0 stands for an absent key.
    seen = state if version == 0 and state[0] is None else _with_version(state, version)
    if operation.outcome == "info":
        return (state,) if seen is None else (_written(seen, value), state)
    if _is_refused(operation):
        # A version that nobody saw may well be another.
        return (state,) if state[1] is None or seen is None else ()
    return () if seen is None else (_written(seen, value),)


def _add(state: _Pair, operation: Operation) -> tuple[_Pair, ...]:
    amount = number_of(operation, default=1)
    value = state[0] if state[0] is not None else 0
    if not isinstance(value, int):
        return ()
    total = value + amount
    is_told = operation.f == "increment" and operation.outcome == "ok" and operation.result is not None
    return () if is_told and operation.result != total else (_written(state, total),)


def _get(state: _Pair, operation: Operation) -> tuple[_Pair, ...]:
    if operation.outcome == "info":
        return (state,)
    if operation.f != "get_version":
        return (state,) if operation.result == state[0] else ()
    if not isinstance(operation.result, tuple) or len(operation.result) != 2:
        raise BadHistory(f"get_version needs a pair of value and version as its answer: {operation}")
    value, version = operation.result
    if value != state[0]:
        return ()
    seen = state if value is None else _with_version(state, version)
    return () if seen is None else (seen,)


def _kv_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a key's state is a triple"
    value, known, bound = state
    pair: _Pair = (value, known, bound)
    match operation.f:
        case "read" | "get" | "get_version":
            return _get(pair, operation)
        case "write" | "put":
            return (_written(pair, operation.value),)
        case "delete":
            return (_written(pair, None),)
        case "add" | "increment":
            return _add(pair, operation)
        case "put_if_absent":
            if operation.outcome == "info":
                return (_written(pair, operation.value) if value is None else pair,)
            if _is_refused(operation):
                return () if value is None else (pair,)
            return (_written(pair, operation.value),) if value is None else ()
        case "put_if_version":
            return _put_if_version(pair, operation)
        case _:
            after = _compare_and_set(value, operation)
            # A refused cas leaves the version alone; a success makes a new one even for an equal value.
            if _is_refused(operation) or (operation.outcome == "info" and value != pair_of(operation)[0]):
                return (pair,) if after else ()
            return tuple(_written(pair, new) for new in after)


def _describe_kv(state: State) -> str:
    assert isinstance(state, tuple), "a key's state is a triple"
    value, known, _ = state
    words = "absent" if value is None else show(value)
    return words if known is None else f"{words} at version {known}"


def key_value() -> Model:
    """Return the model of a store of independent keys, each absent (null) at first.

    get or read → value or null; get_version → [value, version]; put or write; delete; put_if_absent → false when there
    was a value; put_if_version [version, value] → false on conflict, version 0 meaning absent; cas [from, to] → false
    when the value was another, null meaning absent; add n, whose answer is not judged; increment n → the new total.
    Versions are numbers that grow with every write; the model learns them from the answers.
    """
    return Model(
        name="kv",
        initial=_ABSENT,
        step=_kv_step,
        functions=(
            "get", "read", "get_version", "put", "write", "delete", "put_if_absent", "put_if_version", "cas", "add",
            "increment",
        ),
        readonly=("get", "read"),
        refusable=("cas", "put_if_absent", "put_if_version"),
        describe=_describe_kv,
    )  # fmt: skip


def _counter_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, int), "a counter is an integer"
    if operation.f == "read":
        return (state,) if operation.outcome == "info" or operation.result == state else ()
    total = state + number_of(operation, default=1)
    is_told = operation.f == "increment" and operation.outcome == "ok" and operation.result is not None
    return () if is_told and operation.result != total else (total,)


def counter(initial: int = 0) -> Model:
    """Return the model of a counter: read → total; add n (answer not judged); increment n → the new total."""
    return Model(
        name="counter",
        initial=initial,
        step=_counter_step,
        functions=("read", "add", "increment"),
        readonly=("read",),
    )


def _append_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "a list is frozen as a tuple"
    if operation.f == "read":
        result = () if operation.result is None else operation.result
        return (state,) if operation.outcome == "info" or result == state else ()
    return ((*state, operation.value),)


def append_register() -> Model:
    """Return the model of a list: append v, read → the whole list (null for the empty one)."""
    return Model(
        name="append-register",
        initial=(),
        step=_append_step,
        functions=("read", "append"),
        readonly=("read",),
    )


def _items_of(value: object, operation: Operation) -> list[tuple[str, Hashable]]:
    plain = thaw(freeze(value))
    if not isinstance(plain, dict):
        raise BadHistory(f"{operation.f} of several registers needs an object of names and values: {operation}")
    return [(name, freeze(item)) for name, item in plain.items()]


def _is_step(step: object) -> bool:
    return isinstance(step, tuple) and len(step) == 3 and step[0] in {"r", "w"}


def _multi_step(state: State, operation: Operation) -> tuple[State, ...]:
    assert isinstance(state, tuple), "registers are frozen as pairs"
    values: dict[str, Hashable] = dict(state)
    match operation.f:
        case "read":
            if operation.outcome == "info":
                return (state,)
            seen = _items_of(operation.result, operation)
            return (state,) if all(values.get(name) == value for name, value in seen) else ()
        case "write":
            values.update(_items_of(operation.value, operation))
        case _:
            # The answer holds what the reads saw; without one, reads may have seen anything.
            steps = operation.value if operation.outcome == "info" else operation.result or operation.value
            if not isinstance(steps, tuple) or not all(map(_is_step, steps)):
                raise BadHistory(f'txn needs a list of ["r" or "w", name, value]: {operation}')
            for kind, name, value in steps:
                if kind == "w":
                    values[str(name)] = value
                elif operation.outcome == "ok" and values.get(str(name)) != value:
                    return ()
    return (tuple(sorted(values.items(), key=lambda item: item[0])),)


def multi_register(initial: Mapping[str, object] | None = None) -> Model:
    """Return several registers that are read and written together.

    read → {name: value}; write {name: value}; txn [["r", name, null], ["w", name, v]] → the same with what was read.
    """
    state = tuple(sorted((name, freeze(value)) for name, value in (initial or {}).items()))
    return Model(
        name="multi-register",
        initial=state,
        step=_multi_step,
        functions=("read", "write", "txn"),
        readonly=("read",),
        partition=together,
    )
