"""Brute force: tries every order. The dumb twin that all clever checkers are compared with."""

from collections.abc import Iterable

import msgspec

from quorate.check.history import NEVER, Operation, freeze
from quorate.check.models import Model, State


def brute_force(model: Model, operations: Iterable[Operation]) -> bool:
    """Say whether some order explains a small history (about ten operations).

    Complexity: O(n! · 2^crashed), n operations.
    """
    frozen = [
        msgspec.structs.replace(o, value=freeze(o.value), result=freeze(o.result))
        for o in operations
        if o.outcome != "fail"
    ]
    return _extends(model, model.initial, frozen)


def _extends(model: Model, state: State, left: list[Operation]) -> bool:
    first_answer = min((o.done for o in left), default=NEVER)
    if first_answer == NEVER:
        return True
    for place, operation in enumerate(left):
        if operation.call < first_answer:
            rest = left[:place] + left[place + 1 :]
            if any(_extends(model, after, rest) for after in model.follow(state, operation)):
                return True
    return False
