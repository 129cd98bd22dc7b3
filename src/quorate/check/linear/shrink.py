"""From a history that is not linearizable to a few operations that are not.

Dropping a write would prove nothing: of course nobody can read what was never written. So an operation is not dropped
but *freed*: it may take effect at any time with the answer it gave, or never. If the history stays impossible, the
order of the freed operation is not to blame. What cannot be freed is the witness, and it is impossible on its own too.
"""

from collections.abc import Sequence

import msgspec

from quorate.check.history import NEVER, Operation
from quorate.check.linear.problem import Problem
from quorate.check.linear.race import decide
from quorate.check.models import Model

# Steps for one attempt, beyond a few for each operation, and for all attempts together.
_ATTEMPT_STEPS = 2_000
_SHRINK_STEPS = 60_000


def shrink(model: Model, operations: Sequence[Operation], blame: Operation) -> list[Operation]:
    """Return a small part of a history that is not linearizable, in the order of the calls.

    Args:
        model: the sequential object.
        operations: one partition; not linearizable up to the answer of `blame`.
        blame: the operation whose answer nothing explains.

    Complexity: O(k log n) searches of bounded length, k operations in the witness.
    """
    strict = sorted((o for o in operations if o.outcome != "fail" and o.call < blame.done), key=lambda o: o.call)
    freed: list[Operation] = []
    budget = _SHRINK_STEPS
    chunk = max(1, len(strict) // 2)
    while budget > 0:
        place, is_smaller = 0, False
        while place < len(strict) and budget > 0:
            part = strict[place : place + chunk]
            kept = [o for o in part if o is blame]
            if len(kept) == len(part):
                place += chunk
                continue
            rest = strict[:place] + kept + strict[place + chunk :]
            candidate = freed + [
                msgspec.structs.replace(o, call=-1, done=NEVER)
                for o in part
                if o is not blame and o.f not in model.readonly
            ]
            limit = min(budget, _ATTEMPT_STEPS + 4 * len(strict))
            outcome, spent = decide(_until(model, candidate + rest, blame), step_count_max=limit)
            budget -= spent + 1
            if outcome is not None and not outcome.is_valid:
                strict, freed, is_smaller = rest, candidate, True
            else:
                place += chunk
        if chunk == 1 and not is_smaller:
            break
        chunk = max(1, chunk // 2)
    return strict


def _until(model: Model, operations: Sequence[Operation], blame: Operation) -> Problem:
    """Return the problem up to an answer: what answers later may or may not have taken effect yet."""
    return Problem(model, [msgspec.structs.replace(o, done=NEVER) if o.done > blame.done else o for o in operations])
