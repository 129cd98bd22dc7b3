"""What can be explored: states, the choices that each allows, and where a choice leads. And what is asked of them."""

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

S = TypeVar("S")
C = TypeVar("C", bound=Hashable)

PropertyKind = Literal["always", "sometimes", "eventually"]


class System(ABC, Generic[S, C]):
    """A transition system. States are never changed once made: `take` returns a new one."""

    # True if `key` takes states that are renamings of each other for one (symmetry reduction). Sleep sets and
    # `eventually` are then refused, as both compare choices of different states by name.
    renames: bool = False

    @abstractmethod
    def initial(self) -> Sequence[S]:
        """Return the states that a run may begin in, in a fixed order."""

    @abstractmethod
    def choices(self, state: S) -> Sequence[C]:
        """Return what may happen next, in a fixed order; nothing in a final state."""

    @abstractmethod
    def take(self, state: S, choice: C) -> S:
        """Return the state after a choice."""

    def key(self, state: S) -> Hashable:
        """Return what identifies a state.

        States with equal keys must behave alike. For symmetry reduction return the least key among all renamings of
        the state; properties must then not tell the renamed parts apart.
        """
        assert isinstance(state, Hashable), "a system with states that cannot be hashed names them itself"
        return state

    def pack(self, state: S) -> bytes:
        """Return a state for another process or a file; by default a pickle."""
        return pickle.dumps(state)

    def unpack(self, data: bytes) -> S:
        """Return what `pack` took (never a stranger's: a pickle may do anything)."""
        state: S = pickle.loads(data)
        return state

    def shape(self, state: S) -> Hashable:
        """Return a state without its details: what a guided search counts as new. By default nothing is left out."""
        return self.key(state)

    def is_independent(self, one: C, other: C) -> bool:
        """Say whether two choices commute wherever both are possible, and neither enables or disables the other.

        A false yes makes sleep sets miss states; no is always safe.
        """
        del one, other
        return False

    def fairness(self, choice: C) -> Hashable | None:
        """Return the name under which a choice must be taken in the end if it stays possible; None if it need not be.

        Faults need not happen. By default every other choice is fair by itself.
        """
        return choice

    def lane(self, choice: C) -> str:
        """Return whose choice it is, for diagrams."""
        del choice
        return "system"

    def describe(self, choice: C) -> str:
        """Return a choice in words."""
        return str(choice)


class Property(msgspec.Struct, frozen=True):
    """A claim about a system.

    `always`: no reachable state is without it. `sometimes`: some reachable state has it. `eventually`: every run comes
    to a state that has it, runs that go round for ever included.
    """

    kind: PropertyKind
    name: str
    holds: Callable[[Any], bool]  # Any: the system's own states


def always(name: str, holds: Callable[[Any], bool]) -> Property:
    """Claim that every reachable state has something."""
    return Property("always", name, holds)


def sometimes(name: str, holds: Callable[[Any], bool]) -> Property:
    """Claim that some reachable state has something: a sanity check of the system, or a goal to be found."""
    return Property("sometimes", name, holds)


def eventually(name: str, holds: Callable[[Any], bool]) -> Property:
    """Claim that every fair run reaches something."""
    return Property("eventually", name, holds)


class Example(msgspec.Struct, Generic[C], frozen=True):
    """A run: the choices from an initial state. Replaying them gives the same states again."""

    # Which of the initial states.
    start: int
    choices: tuple[C, ...]
    # Where the part that repeats for ever begins, as a place in `choices`; None: the run ends.
    loop: int | None = None


def replay(system: System[S, C], example: Example[C]) -> list[S]:
    """Return the states of a run, the initial one first.

    Raises:
        ValueError: a choice is not possible where it stands: the run is of another system.

    Complexity: O(choices).
    """
    state = system.initial()[example.start]
    states = [state]
    for place, choice in enumerate(example.choices):
        if choice not in system.choices(state):
            raise ValueError(f"choice {place} is not possible: {system.describe(choice)}")
        state = system.take(state, choice)
        states.append(state)
    return states
