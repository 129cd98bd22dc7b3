"""Exhaustive search of a bounded system, breadth first or depth first, resumable, with exact counts.

Breadth first finds shortest counterexamples. Depth first can leave out choices that only reorder independent ones
(sleep sets): all states are still visited, over fewer edges.

Source: Godefroid 1996, "Partial-order methods", chapters 2 and 5.2 (sleep sets with a store of states: a state that is
met again with a smaller sleep set is expanded again for the difference).

With a pool the states are expanded elsewhere, many at a time, and their successors are taken in here in the order in
which one process would have found them: counts, examples and checkpoints do not depend on how many workers there are.
"""

import pickle
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, Literal

import msgspec

from quorate.check.explore.lasso import Lasso, find_lasso
from quorate.check.explore.shares import Ahead, Packed, Pool, Successor
from quorate.check.explore.system import C, Example, Property, S, System

Order = Literal["breadth", "depth"]

_PROGRESS_STATES: Final = 1_000


class Progress(msgspec.Struct, frozen=True):
    """How far a search has come; states per second are the caller's to compute, who has a clock."""

    state_count: int
    edge_count: int
    # Choices from the start to the deepest state.
    depth: int
    # States that wait to be expanded.
    frontier_count: int


class Exploration(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """What a search found."""

    # Distinct keys of reachable states: exact when complete.
    state_count: int
    # Choices taken.
    edge_count: int
    depth: int
    # Every reachable state was expanded.
    is_complete: bool
    # Final states: those without choices.
    final_count: int
    # Name of a property that does not hold → a run that shows it (the shortest, when breadth first).
    counterexamples: dict[str, Example[C]]
    # Name of a `sometimes` property → a run to a state that has it.
    reached: dict[str, Example[C]]
    # Properties that this search could not decide, as it did not end.
    undecided: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Say whether the search ended and every property holds."""
        return self.is_complete and not self.counterexamples and not self.undecided


class _Visited(msgspec.Struct, gc=False):
    """How a state was first reached: its parent's key, and which of the parent's choices; or which initial state."""

    # None: an initial state.
    parent: Hashable
    number: int
    depth: int


class Search(Generic[S, C]):
    """A search that can be run in parts.

    Args:
        system: what to explore.
        properties: what to ask.
        order: breadth first (shortest counterexamples) or depth first (less memory for wide systems).
        sleep_sets: leave out reorderings of independent choices; depth first only.
        depth_max: states further away are not expanded, and the search is then not complete.
        stop_at_first: end at the first counterexample of an `always` property.
        progress: called every thousand states.

    Complexity: O(states × choices) steps; memory for one key and parent for each state.
    """

    def __init__(
        self,
        system: System[S, C],
        properties: Sequence[Property] = (),
        *,
        order: Order = "breadth",
        sleep_sets: bool = False,
        depth_max: int | None = None,
        stop_at_first: bool = True,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        assert not (sleep_sets and order == "breadth"), "sleep sets need depth first"
        assert not (sleep_sets and system.renames), "sleep sets name choices, which symmetry renames"
        self.system = system
        self.properties = tuple(properties)
        self.order = order
        self.sleep_sets = sleep_sets
        self.depth_max = depth_max
        self.stop_at_first = stop_at_first
        self.progress = progress
        self._visited: dict[Hashable, _Visited] = {}
        # Choices asleep at each state when it was last expanded; kept with sleep sets only.
        self._asleep: dict[Hashable, frozenset[C]] = {}
        self._work: deque[tuple[S | Packed, Hashable, int, frozenset[C]]] = deque()
        self._edge_count = self._depth = self._final_count = 0
        self._is_cut = False
        # What a pool was asked and has not been taken in yet.
        self._ahead: Ahead | None = None
        # Properties of single states that are not decided yet.
        self._open = [p for p in self.properties if p.kind != "eventually"]
        self._found: dict[str, Hashable] = {}
        for number, state in enumerate(system.initial()):
            self._meet(state, None, number, 0, frozenset())

    def run(self, *, state_count_max: int | None = None, pool: Pool | None = None) -> Exploration[C]:
        """Search until all is done, or until so many states are known; call again to go on.

        `eventually` properties are judged when all states are known, in this process.

        Args:
            state_count_max: states after which to stop, those of earlier calls among them.
            pool: expands states elsewhere; breadth first only.
        """
        if pool is not None:
            self._run_with(pool, state_count_max)
            return self._conclude()
        self._ahead = None
        next_report = len(self._visited) + _PROGRESS_STATES
        while self._work and not self._is_stopped():
            if state_count_max is not None and len(self._visited) >= state_count_max:
                break
            state, key, depth, asleep = self._work.popleft() if self.order == "breadth" else self._work.pop()
            self._expand(self._unpacked(state), key, depth, asleep)
            if self.progress is not None and len(self._visited) >= next_report:
                next_report = len(self._visited) + _PROGRESS_STATES
                self.progress(self._report())
        if self.progress is not None:
            self.progress(self._report())
        return self._conclude()

    def _run_with(self, pool: Pool, state_count_max: int | None) -> None:
        """Search breadth first, while others expand the states at the head of the queue."""
        assert self.order == "breadth", "a pool expands the states of a queue"
        if self._ahead is None or self._ahead.pool is not pool:
            self._ahead = Ahead(pool)
        ahead = self._ahead
        next_report = len(self._visited) + _PROGRESS_STATES
        while self._work and not self._is_full(state_count_max):
            # What is asked stays in the queue until it is taken in, so that a checkpoint has it.
            ahead.ask(self._work, lambda row: None if self._is_too_deep(row[2]) else self._packed(row[0]))
            successors = ahead.answer()
            state, key, depth, _ = self._work.popleft()
            if successors is None:
                # Too deep, but a state without choices is whole at any depth.
                self._expand(self._unpacked(state), key, depth, frozenset())
            else:
                self._take_in(successors, key, depth + 1)
            if self.progress is not None and len(self._visited) >= next_report:
                next_report = len(self._visited) + _PROGRESS_STATES
                self.progress(self._report())
        if self.progress is not None:
            self.progress(self._report())

    def _is_full(self, state_count_max: int | None) -> bool:
        return self._is_stopped() or (state_count_max is not None and len(self._visited) >= state_count_max)

    def _is_too_deep(self, depth: int) -> bool:
        return self.depth_max is not None and depth >= self.depth_max

    def _take_in(self, successors: list[Successor], parent: Hashable, depth: int) -> None:
        """Note what somebody else found behind a state."""
        self._final_count += not successors
        self._edge_count += len(successors)
        for number, after in enumerate(successors):
            if after.key in self._visited:
                continue
            assert after.packed is not None, "what is met first comes with its state"
            self._visited[after.key] = _Visited(parent, number, depth)
            self._depth = max(self._depth, depth)
            for claim in self._open:
                if claim.name in after.met:
                    self._found[claim.name] = after.key
            if after.met:
                self._open = [claim for claim in self._open if claim.name not in self._found]
            self._work.append((Packed(after.packed), after.key, depth, frozenset()))

    def _packed(self, state: S | Packed) -> bytes:
        return state.data if isinstance(state, Packed) else self.system.pack(state)

    def _unpacked(self, state: S | Packed) -> S:
        return self.system.unpack(state.data) if isinstance(state, Packed) else state

    def checkpoint(self) -> bytes:
        """Return all that is needed to go on later, with any number of workers; states must be picklable."""
        work = [(Packed(self._packed(state)), *rest) for state, *rest in self._work]
        return pickle.dumps(
            (
                self._visited, self._asleep, deque(work), self._edge_count, self._depth, self._final_count,
                self._is_cut, self._found,
            )
        )  # fmt: skip

    def restore(self, checkpoint: bytes) -> None:
        """Go on from a checkpoint of a search of the same system, made by `checkpoint` (never from a stranger)."""
        (
            self._visited, self._asleep, self._work, self._edge_count, self._depth, self._final_count,
            self._is_cut, self._found,
        ) = pickle.loads(checkpoint)  # fmt: skip
        self._open = [p for p in self._open if p.name not in self._found]
        self._ahead = None

    def _is_stopped(self) -> bool:
        return self.stop_at_first and any(p.kind == "always" and p.name in self._found for p in self.properties)

    def _report(self) -> Progress:
        return Progress(len(self._visited), self._edge_count, self._depth, len(self._work))

    def _meet(self, state: S, parent: Hashable, number: int, depth: int, asleep: frozenset[C]) -> None:
        """Note a state; let it be expanded if it is new, or if choices that slept here before are now awake."""
        key = self.system.key(state)
        if key in self._visited:
            if self.sleep_sets and self._asleep[key] - asleep:
                self._work.append((state, key, depth, asleep))
            return
        self._visited[key] = _Visited(parent, number, depth)
        self._depth = max(self._depth, depth)
        if self.sleep_sets:
            # Nothing was expanded yet: all that is possible is still to do, all of it "asleep until now".
            self._asleep[key] = frozenset(self.system.choices(state))
        undecided = []
        for claim in self._open:
            if claim.holds(state) == (claim.kind == "sometimes"):
                self._found[claim.name] = key
            else:
                undecided.append(claim)
        self._open = undecided
        self._work.append((state, key, depth, asleep))

    def _expand(self, state: S, key: Hashable, depth: int, asleep: frozenset[C]) -> None:
        choices = self.system.choices(state)
        if not choices:
            self._final_count += 1
            return
        if self._is_too_deep(depth):
            self._is_cut = True
            return
        if not self.sleep_sets:
            for number, choice in enumerate(choices):
                self._edge_count += 1
                self._meet(self.system.take(state, choice), key, number, depth + 1, asleep)
            return
        waiting = self._asleep[key]
        awake = [(place, choice) for place, choice in enumerate(choices) if choice in waiting and choice not in asleep]
        self._asleep[key] = waiting & asleep
        # The last one pushed is expanded first, so it is the one that the others must not wait for.
        done: list[C] = [choice for choice in choices if choice in asleep]
        steps = []
        for number, choice in awake:
            self._edge_count += 1
            still = frozenset(other for other in done if self.system.is_independent(other, choice))
            steps.append((self.system.take(state, choice), number, still))
            done.append(choice)
        for after, number, still in reversed(steps):
            self._meet(after, key, number, depth + 1, still)

    def _example(self, key: Hashable) -> Example[C]:
        """Return the run that first met a state. Numbers of choices are kept, not choices: so it is walked once."""
        numbers: list[int] = []
        at = self._visited[key]
        while at.parent is not None:
            numbers.append(at.number)
            at = self._visited[at.parent]
        state = self.system.initial()[at.number]
        choices: list[C] = []
        for number in reversed(numbers):
            choices.append(self.system.choices(state)[number])
            state = self.system.take(state, choices[-1])
        return Example(at.number, tuple(choices))

    def _conclude(self) -> Exploration[C]:
        is_complete = not self._work and not self._is_cut
        counterexamples: dict[str, Example[C]] = {}
        reached: dict[str, Example[C]] = {}
        undecided: list[str] = []
        for claim in self.properties:
            match claim.kind:
                case "always":
                    if claim.name in self._found:
                        counterexamples[claim.name] = self._example(self._found[claim.name])
                    elif not is_complete:
                        undecided.append(claim.name)
                case "sometimes":
                    if claim.name in self._found:
                        reached[claim.name] = self._example(self._found[claim.name])
                    elif is_complete:
                        # No run shows that something never happens; the empty one stands for all.
                        counterexamples[claim.name] = Example(0, ())
                    else:
                        undecided.append(claim.name)
                case "eventually":
                    lasso = find_lasso(self.system, claim.holds) if is_complete else Lasso(is_decided=False)
                    if not lasso.is_decided:
                        undecided.append(claim.name)
                    elif lasso.example is not None:
                        counterexamples[claim.name] = lasso.example
        return Exploration(
            state_count=len(self._visited),
            edge_count=self._edge_count,
            depth=self._depth,
            is_complete=is_complete,
            final_count=self._final_count,
            counterexamples=counterexamples,
            reached=reached,
            undecided=tuple(undecided),
        )


def explore(
    system: System[S, C],
    properties: Sequence[Property] = (),
    *,
    order: Order = "breadth",
    sleep_sets: bool = False,
    state_count_max: int | None = None,
    depth_max: int | None = None,
    stop_at_first: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> Exploration[C]:
    """Search a system once; see `Search` for the arguments."""
    search = Search(
        system,
        properties,
        order=order,
        sleep_sets=sleep_sets,
        depth_max=depth_max,
        stop_at_first=stop_at_first,
        progress=progress,
    )
    return search.run(state_count_max=state_count_max)
