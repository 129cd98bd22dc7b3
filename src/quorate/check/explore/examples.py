"""Two published systems, small enough to be explored whole: two-phase commit, and consensus that may never decide."""

from collections.abc import Hashable, Sequence
from typing import Literal, TypeVar

import msgspec

from quorate.check.explore.system import System

T = TypeVar("T")

ManagerState = Literal["working", "prepared", "committed", "aborted"]


class TwoPhaseState(msgspec.Struct, frozen=True, order=True):
    """Abstract two-phase commit: messages are a set that only grows."""

    managers: tuple[ManagerState, ...]
    coordinator: Literal["init", "committed", "aborted"]
    # Per resource manager: the coordinator has counted its vote; its vote was sent.
    counted: tuple[bool, ...]
    voted: tuple[bool, ...]
    # The coordinator's decision, once sent.
    commit_sent: bool = False
    abort_sent: bool = False


class TwoPhaseCommit(System[TwoPhaseState, tuple[str, int]]):
    """Two-phase commit as Gray and Lamport specify it; 3 resource managers have 288 reachable states.

    Args:
        manager_count: resource managers.
        symmetric: take states that differ only in the managers' names for one.

    Source: Gray & Lamport 2006, "Consensus on transaction commit", appendix (TwoPhase).
    """

    def __init__(self, manager_count: int, *, symmetric: bool = False) -> None:
        self.manager_count = manager_count
        self.renames = symmetric

    def initial(self) -> Sequence[TwoPhaseState]:
        """Return the one state in which all are working."""
        none = (False,) * self.manager_count
        working: ManagerState = "working"
        managers = (working,) * self.manager_count
        return [TwoPhaseState(managers, "init", none, none)]

    def choices(self, state: TwoPhaseState) -> Sequence[tuple[str, int]]:
        """Return the enabled actions of coordinator and managers."""
        found: list[tuple[str, int]] = []
        if state.coordinator == "init":
            if all(state.counted):
                found.append(("decide commit", -1))
            found.append(("decide abort", -1))
        for manager in range(self.manager_count):
            if state.coordinator == "init" and state.voted[manager] and not state.counted[manager]:
                found.append(("count vote", manager))
            if state.managers[manager] == "working":
                found += [("prepare", manager), ("choose abort", manager)]
            if state.commit_sent and state.managers[manager] != "committed":
                found.append(("learn commit", manager))
            if state.abort_sent and state.managers[manager] != "aborted":
                found.append(("learn abort", manager))
        return found

    def take(self, state: TwoPhaseState, choice: tuple[str, int]) -> TwoPhaseState:
        """Return the state after an action."""
        action, manager = choice
        match action:
            case "decide commit":
                return msgspec.structs.replace(state, coordinator="committed", commit_sent=True)
            case "decide abort":
                return msgspec.structs.replace(state, coordinator="aborted", abort_sent=True)
            case "count vote":
                return msgspec.structs.replace(state, counted=_put(state.counted, manager, value=True))
            case "prepare":
                voted = _put(state.voted, manager, value=True)
                return msgspec.structs.replace(
                    state, managers=_put(state.managers, manager, value="prepared"), voted=voted
                )
            case "choose abort" | "learn abort":
                return msgspec.structs.replace(state, managers=_put(state.managers, manager, value="aborted"))
            case _:
                return msgspec.structs.replace(state, managers=_put(state.managers, manager, value="committed"))

    def key(self, state: TwoPhaseState) -> Hashable:
        """Return the state; with symmetry, the managers' parts in order of size."""
        if not self.renames:
            return state
        parts = tuple(sorted(zip(state.managers, state.counted, state.voted, strict=True)))
        return parts, state.coordinator, state.commit_sent, state.abort_sent

    def is_independent(self, one: tuple[str, int], other: tuple[str, int]) -> bool:
        """Say that what two managers do on their own commutes."""
        own = ("prepare", "choose abort", "learn commit", "learn abort")
        return one[0] in own and other[0] in own and one[1] != other[1]

    def lane(self, choice: tuple[str, int]) -> str:
        """Return the manager, or the coordinator."""
        return "coordinator" if choice[1] < 0 or choice[0] == "count vote" else f"manager {choice[1]}"

    def describe(self, choice: tuple[str, int]) -> str:
        """Return the action, and whose vote it is about."""
        return f"{choice[0]} of manager {choice[1]}" if choice[0] == "count vote" else choice[0]


def is_consistent(state: TwoPhaseState) -> bool:
    """Say that no manager has committed while another aborted."""
    return not ("committed" in state.managers and "aborted" in state.managers)


class ProcessState(msgspec.Struct, frozen=True, order=True):
    """One of two processes that try to agree."""

    # What it would decide.
    preference: int
    # What it does next.
    step: Literal["write", "read", "decided"] = "write"


class AgreementState(msgspec.Struct, frozen=True, order=True):
    """Two processes and the register of each."""

    processes: tuple[ProcessState, ProcessState]
    registers: tuple[int | None, int | None] = (None, None)


class TwoProcessConsensus(System[AgreementState, int]):
    """Consensus of two processes without timeouts: safe always, and not sure to end.

    Each process writes what it prefers, then reads what the other wrote. If the other wrote nothing or the same, it
    decides; else it takes the other's preference and begins again. Neither ever waits, so a crash of one cannot stop
    the other; and two that move in step exchange their preferences for ever, though neither is slow or broken.

    Source: Fischer, Lynch & Paterson 1985; for shared registers Loui & Abu-Amara 1987.
    """

    def initial(self) -> Sequence[AgreementState]:
        """Return the states for all pairs of proposals."""
        return [AgreementState((ProcessState(a), ProcessState(b))) for a in (0, 1) for b in (0, 1)]

    def choices(self, state: AgreementState) -> Sequence[int]:
        """Return the processes that have not decided."""
        return [place for place, process in enumerate(state.processes) if process.step != "decided"]

    def take(self, state: AgreementState, choice: int) -> AgreementState:
        """Return the state after one write or one read of a process."""
        process, other = state.processes[choice], state.registers[1 - choice]
        own = state.registers[choice]
        if process.step == "write":
            own, after = process.preference, ProcessState(process.preference, "read")
        elif other is None or other == process.preference:
            after = ProcessState(process.preference, "decided")
        else:
            after = ProcessState(other, "write")
        if choice == 0:
            return AgreementState((after, state.processes[1]), (own, other))
        return AgreementState((state.processes[0], after), (other, own))

    def lane(self, choice: int) -> str:
        """Return the process."""
        return f"process {choice}"

    def describe(self, choice: int) -> str:
        """Say that the process moves."""
        return f"process {choice} moves"


def agrees(state: AgreementState) -> bool:
    """Say that no two processes decided different values."""
    decided = [process.preference for process in state.processes if process.step == "decided"]
    return len(set(decided)) < 2


def is_decided(state: AgreementState) -> bool:
    """Say that some process has decided."""
    return any(process.step == "decided" for process in state.processes)


def _put(items: tuple[T, ...], place: int, *, value: T) -> tuple[T, ...]:
    return (*items[:place], value, *items[place + 1 :])
