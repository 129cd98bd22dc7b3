"""Faults of a trial: a schedule drawn from a seed, printed before it is run.

Who is hit is drawn too, but roles are resolved when the moment comes: "the leader" is whoever leads then.
"""

import random
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from quorate.kernel import SECOND, Duration, errors

FaultName = Literal[
    "crash-leader",
    "crash-follower",
    "crash-majority",
    "pause-leader",
    "pause-follower",
    "isolate-leader",
    "partition-halves",
    "partition-one-way",
    "partition-bridge",
    "slow-links",
    "lossy-links",
    "reset-links",
    "skew",
]

FAULT_NAMES: tuple[FaultName, ...] = get_args(FaultName)

# Drawn only when they are asked for: not every system allows them.
_BY_NAME_ALONE: tuple[FaultName, ...] = ("skew",)

# What a trial of default length must hold; the rest fills longer ones.
_FIRST: tuple[FaultName, ...] = (
    "crash-leader",
    "pause-follower",
    "partition-halves",
    "partition-one-way",
    "isolate-leader",
    "slow-links",
    "lossy-links",
    "crash-majority",
)

_WARM_UP_NS = 2 * SECOND
_COOL_DOWN_NS = 1 * SECOND
_FAULT_DURATION = Duration(19 * SECOND // 10)

_WORDS: dict[FaultName, str] = {
    "crash-leader": "kill -9 the leader, then restart it",
    "crash-follower": "kill -9 a follower, then restart it",
    "crash-majority": "kill -9 a majority at once, the leader among them, then restart it",
    "pause-leader": "SIGSTOP the leader, then SIGCONT",
    "pause-follower": "SIGSTOP a follower, then SIGCONT",
    "isolate-leader": "cut the leader off from all others",
    "partition-halves": "cut a minority off from the majority",
    "partition-one-way": "let one node send but not hear",
    "partition-bridge": "two halves that reach each other only through one node",
    "slow-links": "delay every link by 40 to 120 ms",
    "lossy-links": "lose a fifth of all segments, at 1 MB/s",
    "reset-links": "reset every connection, again and again",
    "skew": "set one node's wall clock wrong, by up to two minutes",
}


class PlannedFault(msgspec.Struct, frozen=True):
    """One fault of a schedule."""

    name: FaultName
    # Since the trial began.
    start_ns: int
    duration_ns: int
    # Settles every choice that is left until the fault begins.
    seed: int

    @property
    def end_ns(self) -> int:
        """When it is healed."""
        return self.start_ns + self.duration_ns

    def __str__(self) -> str:
        return (
            f"{self.start_ns / SECOND:5.1f} s  {self.name:<18} {self.duration_ns / SECOND:.1f} s  {_WORDS[self.name]}"
        )


def plan_faults(
    rng: random.Random,
    *,
    duration: Duration,
    node_count: int,
    names: Sequence[str] | None = None,
    fault_duration: Duration = _FAULT_DURATION,
) -> list[PlannedFault]:
    """Return a schedule: one fault at a time, calm between them, all healed a second before the end.

    Args:
        rng: the stream for all choices.
        duration: how long the load runs.
        node_count: nodes of the cluster; with one, only faults of its process and clock remain.
        names: the faults to draw from, each as often as there is room; None takes the default set first and then all.
            Empty: no faults.
        fault_duration: about how long each lasts; the calm after it is about half of it.

    Raises:
        UsageError: a name is unknown.

    Complexity: O(duration).
    """
    unknown = [name for name in names or () if name not in FAULT_NAMES]
    if unknown:
        raise errors.UsageError(f"no fault is named {unknown[0]!r} (known: {', '.join(FAULT_NAMES)})")
    planned: list[PlannedFault] = []
    bag: list[FaultName] = []
    pool = _pool(names, node_count)
    rounds = 0
    at_ns = min(_WARM_UP_NS, duration // 6)
    while pool:
        if not bag:
            bag = [*(_first_of(pool) if rounds == 0 and names is None else pool)]
            rng.shuffle(bag)
            rounds += 1
        length_ns = round(fault_duration * rng.uniform(0.85, 1.15))
        if at_ns + length_ns + _COOL_DOWN_NS > duration:
            break
        planned.append(PlannedFault(bag.pop(), at_ns, length_ns, rng.getrandbits(32)))
        at_ns += length_ns + round(fault_duration * rng.uniform(0.45, 0.65))
    return planned


def _first_of(pool: Sequence[FaultName]) -> list[FaultName]:
    return [name for name in _FIRST if name in pool] or list(pool)


def _pool(names: Sequence[str] | None, node_count: int) -> list[FaultName]:
    wanted = [name for name in FAULT_NAMES if name not in _BY_NAME_ALONE] if names is None else names
    chosen: list[FaultName] = [name for name in FAULT_NAMES if name in wanted]
    if node_count > 1:
        return chosen
    alone: list[FaultName] = ["crash-leader", "pause-leader", "skew"]
    return [name for name in alone if name in chosen]
