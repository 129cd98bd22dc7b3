"""`eventually`, soundly: a run that ends without it, or goes round for ever without it, fairly.

Only states that lack the property matter, reached over such states only. A run is fair if every choice that stays
possible is taken in the end (weak fairness): otherwise "the message is never delivered" would refute everything.
A strongly connected part is a fair loop if each fair choice that is possible in all its states is taken on one of its
edges; if a part is not, no smaller one inside it is, so maximal parts suffice.

Source: Vardi & Wolper 1986 for the reduction to loops; Tarjan 1972 for the parts (here with an explicit stack).
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Generic

import msgspec

from quorate.check.explore.system import C, Example, S, System


class Lasso(msgspec.Struct, Generic[C], frozen=True):
    """Whether the question was decided, and the run that refutes the property, if there is one."""

    is_decided: bool
    example: Example[C] | None = None


class _Graph(Generic[C]):
    """States without the property, numbered, with the edges between them."""

    def __init__(self) -> None:
        self.edges: list[list[tuple[C, int]]] = []
        # All choices of a state, those that lead out of the region included.
        self.choices: list[tuple[C, ...]] = []
        # How each state was first reached: (parent, choice), or (-1 - initial number, None).
        self.parents: list[tuple[int, C | None]] = []

    def path_to(self, state: int) -> Example[C]:
        choices: list[C] = []
        parent, choice = self.parents[state]
        while choice is not None:
            choices.append(choice)
            parent, choice = self.parents[parent]
        return Example(-1 - parent, tuple(reversed(choices)))


def find_lasso(system: System[S, C], holds: Callable[[Any], bool], *, state_count_max: int | None = None) -> Lasso[C]:
    """Return a fair run that never reaches the property.

    Complexity: O(states × choices) for the states without the property.
    """
    assert not system.renames, "a loop up to renaming cannot be replayed"
    graph = _build(system, holds, state_count_max)
    if graph is None:
        return Lasso(is_decided=False)
    for state, choices in enumerate(graph.choices):
        if not choices:
            return Lasso(is_decided=True, example=graph.path_to(state))
    # States are numbered in order of their distance, so parts found by their least state come nearest first.
    for part in sorted(_components(graph), key=min):
        members = dict.fromkeys(part)
        if not any(target in members for state in part for _, target in graph.edges[state]):
            continue
        loop = _fair_loop(system, graph, sorted(part), members)
        if loop is not None:
            stem = graph.path_to(min(part))
            return Lasso(is_decided=True, example=Example(stem.start, stem.choices + loop, len(stem.choices)))
    return Lasso(is_decided=True)


def _build(system: System[S, C], holds: Callable[[Any], bool], state_count_max: int | None) -> _Graph[C] | None:
    graph: _Graph[C] = _Graph()
    numbers: dict[Hashable, int] = {}
    work: deque[S] = deque()

    def number_of(state: S, parent: int, choice: C | None) -> int:
        key = system.key(state)
        if key not in numbers:
            numbers[key] = len(numbers)
            graph.parents.append((parent, choice))
            work.append(state)
        return numbers[key]

    for start, state in enumerate(system.initial()):
        if not holds(state):
            number_of(state, -1 - start, None)
    while work:
        if state_count_max is not None and len(numbers) > state_count_max:
            return None
        state = work.popleft()
        here = len(graph.edges)
        choices = tuple(system.choices(state))
        graph.choices.append(choices)
        edges: list[tuple[C, int]] = []
        graph.edges.append(edges)
        for choice in choices:
            after = system.take(state, choice)
            if not holds(after):
                edges.append((choice, number_of(after, here, choice)))
    return graph


def _components(graph: _Graph[C]) -> list[list[int]]:
    """Return the strongly connected parts (Tarjan, without recursion)."""
    size = len(graph.edges)
    index = [-1] * size
    low = [0] * size
    on_stack = [False] * size
    stack: list[int] = []
    parts: list[list[int]] = []
    counter = 0
    for root in range(size):
        if index[root] >= 0:
            continue
        calls = [(root, 0)]
        while calls:
            state, place = calls.pop()
            if place == 0:
                index[state] = low[state] = counter
                counter += 1
                stack.append(state)
                on_stack[state] = True
            edges = graph.edges[state]
            while place < len(edges):
                target = edges[place][1]
                place += 1
                if index[target] < 0:
                    calls.append((state, place))
                    calls.append((target, 0))
                    break
                if on_stack[target]:
                    low[state] = min(low[state], index[target])
            else:
                if low[state] == index[state]:
                    part: list[int] = []
                    while not part or part[-1] != state:
                        part.append(stack.pop())
                        on_stack[part[-1]] = False
                    parts.append(part)
                if calls:
                    parent = calls[-1][0]
                    low[parent] = min(low[parent], low[state])
    return parts


def _fair_loop(
    system: System[S, C], graph: _Graph[C], part: list[int], members: dict[int, None]
) -> tuple[C, ...] | None:
    """Return a closed walk from the part's least state that is fair to all, or None if the part allows none."""
    possible = [{system.fairness(choice): None for choice in graph.choices[state]} for state in part]
    names = [name for name in dict.fromkeys(name for row in possible for name in row) if name is not None]
    home = at = part[0]
    walk: list[C] = []
    for name in names:
        without = {state: None for state, row in zip(part, possible, strict=True) if name not in row}
        # Either the loop passes where the choice is not possible, or it takes it.

        def is_met(choice: C | None, state: int, name: Hashable = name, without: dict[int, None] = without) -> bool:
            return state in without or (choice is not None and system.fairness(choice) == name)

        leg = _walk(graph, members, at, is_met)
        if leg is None:
            return None
        walk += leg[0]
        at = leg[1]
    if at != home or not walk:
        leg = _walk(graph, members, at, lambda choice, state: state == home and choice is not None)
        assert leg is not None, "in a strongly connected part there is a way home"
        walk += leg[0]
    return tuple(walk)


def _walk(
    graph: _Graph[C], members: dict[int, None], start: int, is_goal: Callable[[C | None, int], bool]
) -> tuple[list[C], int] | None:
    """Return the shortest walk inside a part to an edge or state that is a goal, and where it ends."""
    if is_goal(None, start):
        return [], start
    came: dict[int, tuple[int, C]] = {}
    work = deque([start])
    seen = {start: None}
    while work:
        state = work.popleft()
        for choice, target in graph.edges[state]:
            if target not in members:
                continue
            if is_goal(choice, target):
                path = [choice]
                while state != start:
                    state, step = came[state]
                    path.append(step)
                return path[::-1], target
            if target not in seen:
                seen[target] = None
                came[target] = (state, choice)
                work.append(target)
    return None
