"""What a search gives away: packed states there, their successors back. How they travel is the pool's matter."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Any, Final, Protocol

import msgspec

from quorate.check.explore.system import Property, S, System

# States that a worker expands at a time: enough to pay for the way there and back.
_SHARE_STATES: Final = 32


class Packed(msgspec.Struct, frozen=True, gc=False):
    """A state as `System.pack` made it: for other processes, and for files."""

    data: bytes


class Successor(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state behind one choice, in the order of the choices."""

    key: Hashable
    # Names of the claims that it decides: an `always` that it breaks, a `sometimes` that it reaches.
    met: tuple[str, ...] = ()
    # None: the same share holds an equal state before this one.
    packed: bytes | None = None


class Pool(Protocol):
    """Who expands shares: `expand_share` in other processes, or on other machines."""

    @property
    def share_count(self) -> int:
        """How many shares should be on their way at a time: a few for each worker."""

    def expand(self, states: Sequence[bytes]) -> Callable[[], list[list[Successor]]]:
        """Begin to expand packed states; return what waits for the answer: the successors of each, in order."""


def expand_share(
    system: System[S, Any], properties: Sequence[Property], states: Sequence[bytes]
) -> list[list[Successor]]:
    """Return the successors of packed states: what a worker does. It keeps nothing, so it can be done twice.

    Complexity: O(states × choices) steps.
    """
    claims = [claim for claim in properties if claim.kind != "eventually"]
    seen: dict[Hashable, None] = {}
    expanded: list[list[Successor]] = []
    for data in states:
        state = system.unpack(data)
        successors: list[Successor] = []
        expanded.append(successors)
        for choice in system.choices(state):
            after = system.take(state, choice)
            key = system.key(after)
            if key in seen:
                successors.append(Successor(key))
                continue
            seen[key] = None
            met = tuple([claim.name for claim in claims if claim.holds(after) == (claim.kind == "sometimes")])
            successors.append(Successor(key, met, system.pack(after)))
    return expanded


class Ahead:
    """Asks a pool for the states at the head of a queue before their turn, and gives its answers in their order."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        # States at the head of the queue that were asked for and not taken yet.
        self._asked_count = 0
        # Shares on their way: whether each of their states was sent, and what waits for the answer.
        self._under_way: deque[tuple[list[bool], Callable[[], list[list[Successor]]]]] = deque()
        self._answers: deque[list[Successor] | None] = deque()

    def ask(self, queue: deque[Any], pack: Callable[[Any], bytes | None]) -> None:
        """Keep the pool busy.

        Args:
            queue: whose head is asked for, beyond what was asked for already.
            pack: gives a row's packed state, or None for one that is not to be expanded.
        """
        while len(self._under_way) < self.pool.share_count and self._asked_count < len(queue):
            waiting_count = len(queue) - self._asked_count
            # Small shares while the queue is short: all workers must have something to do.
            size = min(_SHARE_STATES, max(1, waiting_count // self.pool.share_count))
            states = [pack(row) for row in islice(queue, self._asked_count, self._asked_count + size)]
            answer = self.pool.expand([state for state in states if state is not None])
            self._under_way.append(([state is not None for state in states], answer))
            self._asked_count += size

    def answer(self) -> list[Successor] | None:
        """Return the successors of the state at the head, waiting for them; None: it was not to be expanded."""
        assert self._asked_count, "what is answered was asked"
        if not self._answers:
            sent, wait = self._under_way.popleft()
            expanded = iter(wait())
            self._answers.extend([next(expanded) if is_sent else None for is_sent in sent])
        self._asked_count -= 1
        return self._answers.popleft()
