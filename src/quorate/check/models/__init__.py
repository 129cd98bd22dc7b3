"""Sequential objects that a history can be judged against."""

from collections.abc import Callable, Mapping
from typing import Final

from quorate.check.models.collections import fifo_queue, grow_set, priority_queue, stack, unordered_queue
from quorate.check.models.locks import fenced_lock, mutex
from quorate.check.models.model import REFUSED, Model, ModelError, State, Step, by_key, together
from quorate.check.models.registers import (
    append_register,
    cas_register,
    counter,
    key_value,
    multi_register,
    register,
)
from quorate.kernel import errors

__all__ = [
    "MODELS",
    "REFUSED",
    "Model",
    "ModelError",
    "State",
    "Step",
    "append_register",
    "by_key",
    "cas_register",
    "counter",
    "fenced_lock",
    "fifo_queue",
    "grow_set",
    "key_value",
    "model_named",
    "multi_register",
    "mutex",
    "priority_queue",
    "register",
    "stack",
    "together",
    "unordered_queue",
]

MODELS: Final[Mapping[str, Callable[[], Model]]] = {
    "append-register": append_register,
    "cas-register": cas_register,
    "counter": counter,
    "fenced-lock": fenced_lock,
    "fifo-queue": fifo_queue,
    "kv": key_value,
    "multi-register": multi_register,
    "mutex": mutex,
    "priority-queue": priority_queue,
    "register": register,
    "set": grow_set,
    "stack": stack,
    "unordered-queue": unordered_queue,
}
"""The models that a command line can name."""


def model_named(name: str) -> Model:
    """Return a model by its name.

    Raises:
        UsageError: no model has that name; the sentence lists those there are.
    """
    if name not in MODELS:
        raise errors.UsageError(f"no model is named {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name]()
