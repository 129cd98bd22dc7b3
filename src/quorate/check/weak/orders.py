"""Depth-first search for one order of the operations of several sessions, each in its own order.

Three things keep it short. What changes nothing is placed as soon as it fits. Moves are tried in the order in which
they were answered, which is nearly an order that explains them. And where a value never comes back once it is gone
(values that are written to a key once, counters that only grow), it is not replaced while somebody has still to see it.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final

from quorate.check.history import NEVER, Operation
from quorate.check.models import REFUSED, Model, model_named

Places = tuple[int, ...]
States = tuple[Hashable, ...]

# Sessions and keys that one step looks at: a few microseconds.
STEP_WIDTH: Final = 32

# Session → the last place of it that needs a value.
_Needs = dict[int, int]


class Orders:
    """How far each session has come, and the states of all keys; remembers what was tried."""

    def __init__(self, model: Model, sessions: Sequence[Sequence[Operation]]) -> None:
        self.model = model
        self.sessions = sessions
        names = dict.fromkeys(model.partition(o) for session in sessions for o in session)
        self.keys = {name: place for place, name in enumerate(names)}
        self.is_optional = [all(o.done == NEVER for o in session) for session in sessions]
        self.key_at = [[self.keys[model.partition(o)] for o in session] for session in sessions]
        self.needs = self._note_needs()

    def search(self, budget: int) -> tuple[bool | None, int]:
        """Return whether there is an order, None when the budget is spent; and the steps.

        Complexity: O(places × states) states at worst, each O(sessions + keys).
        """
        start = ((0,) * len(self.sessions), (self.model.initial,) * len(self.keys))
        # Moves are made when their turn comes: mostly the first is right, and the others are never looked at.
        stack: list[Iterator[tuple[Places, States]]] = [iter((start,))]
        tried: dict[tuple[Places, States], None] = {}
        spent, price = 0, 1 + (len(self.sessions) + len(self.keys)) // STEP_WIDTH
        while stack:
            move = next(stack[-1], None)
            if move is None:
                stack.pop()
                continue
            places, states = move
            spent += price
            if spent > budget:
                return None, spent
            places = self._settle(places, states)
            if all(
                self.is_optional[number] or place == len(self.sessions[number]) for number, place in enumerate(places)
            ):
                return True, spent
            if (places, states) in tried:
                continue
            tried[places, states] = None
            stack.append(self._moves(places, states))
        return False, spent

    def _moves(self, places: Places, states: States) -> Iterator[tuple[Places, States]]:
        """Yield what can come next, the most promising first."""
        ready = [
            (session[place].done, number)
            for number, (session, place) in enumerate(zip(self.sessions, places, strict=True))
            if place < len(session)
        ]
        for _, number in sorted(ready):
            place = places[number]
            operation, key = self.sessions[number][place], self.key_at[number][place]
            moved = (*places[:number], place + 1, *places[number + 1 :])
            for after in self.model.follow(states[key], operation):
                if after == states[key] or not self._is_needed(key, states[key], moved):
                    yield moved, (*states[:key], after, *states[key + 1 :])

    def _is_needed(self, key: int, state: Hashable, places: Places) -> bool:
        """Say whether a value that cannot come back has still to be seen by somebody."""
        needs = self.needs[key]
        if needs is None:
            return False
        value = state[0] if self.model.name == "kv" and isinstance(state, tuple) else state
        return any(places[number] <= last for number, last in needs.get(value, {}).items())

    def _settle(self, places: Places, states: States) -> Places:
        """Place all that changes nothing and fits now: waiting is no use."""
        found = list(places)
        for number, session in enumerate(self.sessions):
            while found[number] < len(session):
                operation = session[found[number]]
                if not is_still(self.model, operation):
                    break
                if not self.model.follow(states[self.key_at[number][found[number]]], operation):
                    break
                found[number] += 1
        return tuple(found)

    def _note_needs(self) -> list[dict[Hashable, _Needs] | None]:
        """Return for each key who needs which value; None where values may come back."""
        rows: list[list[tuple[int, int, Operation]]] = [[] for _ in self.keys]
        for number, session in enumerate(self.sessions):
            for place, operation in enumerate(session):
                rows[self.key_at[number][place]].append((number, place, operation))
        found: list[dict[Hashable, _Needs] | None] = []
        for row in rows:
            if not _is_known(self.model) or not _is_one_way((o for _, _, o in row), self.model.initial):
                found.append(None)
                continue
            needs: dict[Hashable, _Needs] = {}
            for number, place, operation in row:
                if operation.outcome == "ok":
                    is_told, value = _seen_by(operation)
                    if is_told:
                        needs.setdefault(value, {})[number] = place
            found.append(needs)
        return found


# Models whose reads, writes, cas and sums are the ones below.
_KNOWN: Final = ("kv", "register", "cas-register", "counter")
_READS: Final = ("read", "get")
_WRITES: Final = ("write", "put")
_SUMS: Final = ("add", "increment")


def is_still(model: Model, operation: Operation) -> bool:
    """Say whether an operation changes nothing: a read, or a conditional write that was refused."""
    return operation.f in model.readonly or (
        operation.f in model.refusable and operation.outcome == "ok" and operation.result == REFUSED
    )


def _is_known(model: Model) -> bool:
    """Say whether a model is one of ours, and not another of the same name."""
    return model.name in _KNOWN and model.step is model_named(model.name).step


def _is_one_way(operations: Iterable[Operation], initial: Hashable) -> bool:
    """Say whether no value of a key can come back: each is written once, or there are only sums that grow."""
    written: dict[Hashable, None] = {initial: None, None: None}
    is_summed = is_written = False
    is_summed = False
    for operation in operations:
        if operation.f in _READS:
            continue
        if operation.f in _SUMS:
            amount = 1 if operation.value is None else operation.value
            if not isinstance(amount, int) or amount <= 0:
                return False
            is_summed = True
            continue
        if operation.f in _WRITES:
            value = operation.value
        elif operation.f == "cas" and isinstance(operation.value, tuple) and len(operation.value) == 2:
            if operation.outcome == "ok" and operation.result == REFUSED:
                continue
            value = operation.value[1]
        else:
            return False
        if value in written:
            return False
        written[value] = None
        is_written = True
    return not (is_written and is_summed)


def _seen_by(operation: Operation) -> tuple[bool, Hashable]:
    """Return whether an answer tells the value just before it, and that value."""
    if operation.f in _READS:
        return True, operation.result
    if operation.f == "cas" and operation.result != REFUSED:
        return True, operation.value[0]
    if operation.f == "increment" and isinstance(operation.result, int):
        amount = operation.result - (1 if operation.value is None else operation.value)
        # An absent key counts as zero; both may be what was there.
        return amount != 0, amount
    return False, None
