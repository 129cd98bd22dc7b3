"""What a model is: an initial state and a step. Everything a sequential object does, and nothing about concurrency."""

from collections.abc import Callable, Hashable, Iterable
from typing import Final

import msgspec

from quorate.check.history import BadHistory, Operation, freeze, show
from quorate.kernel import errors

State = Hashable
Step = Callable[[State, Operation], Iterable[State] | None]


REFUSED: Final = freeze(value=False)
"""What a conditional operation answers when its condition did not hold."""


class ModelError(errors.UsageError):
    """A model's step raised; the sentence names the model, the state and the operation."""

    code = "MODEL"


def by_key(operation: Operation) -> Hashable:
    """Return the key that separates independent objects. Complexity: O(size of the key)."""
    key = operation.key
    return key if type(key) is str else freeze(key)


def together(_operation: Operation) -> Hashable:
    """Return one partition for all operations: the object cannot be split."""
    return None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A sequential object.

    `step` is pure. It gets a state and an operation whose values are frozen (lists are tuples), and returns the states
    that may follow: none (or None) when the operation cannot answer so in that state, several when the object may
    choose. An operation whose outcome is `info` has no result: any answer is allowed.
    """

    name: str
    # Frozen values only: states are compared and hashed.
    initial: State
    step: Step
    # The functions that the model knows; any other is a bad history. Empty: the step decides.
    functions: tuple[str, ...] = ()
    # Functions that never change the state. They may be placed as early as they fit: a large saving.
    readonly: tuple[str, ...] = ()
    # Functions that change nothing when they answer false; such an answer then counts as a read.
    refusable: tuple[str, ...] = ()
    # True if the step looks at `process`.
    uses_process: bool = False
    # Names the independent objects: linearizability is checked for each alone.
    partition: Callable[[Operation], Hashable] = by_key
    # Says a state in words.
    describe: Callable[[State], str] = show

    def follow(self, state: State, operation: Operation) -> tuple[State, ...]:
        """Return the states after an operation, each once.

        Raises:
            BadHistory: the operation is none of this model's, or its value has the wrong shape.
            ModelError: the step raised anything else.
        """
        if self.functions and operation.f not in self.functions:
            known = ", ".join(self.functions)
            raise BadHistory(f"the model {self.name} has no function {operation.f!r} (it has {known}): {operation}")
        try:
            states = self.step(state, operation)
            return () if states is None else tuple(dict.fromkeys(states))
        except BadHistory:
            raise
        except Exception as cause:
            sentence = (
                f"the model {self.name} raised {type(cause).__name__}: {cause}, in state {state!r} at {operation}"
            )
            raise ModelError(sentence) from cause


def pair_of(operation: Operation) -> tuple[Hashable, Hashable]:
    """Return the two halves of an argument such as [from, to]."""
    if isinstance(operation.value, tuple) and len(operation.value) == 2:
        return operation.value[0], operation.value[1]
    raise BadHistory(f"{operation.f} needs a pair as its value: {operation}")


def number_of(operation: Operation, default: int) -> int:
    """Return an integer argument; `default` where there is none."""
    if operation.value is None:
        return default
    if isinstance(operation.value, int) and not isinstance(operation.value, bool):
        return operation.value
    raise BadHistory(f"{operation.f} needs an integer as its value: {operation}")
