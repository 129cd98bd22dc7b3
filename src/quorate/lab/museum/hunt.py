"""Hunts for planted bugs: how many seeds, and how long, until a campaign catches one."""

import time

import msgspec

from quorate.lab.museum.bug import Bug, planted
from quorate.lab.simulation.campaign import runner_of
from quorate.lab.simulation.options import Outcome, SimOptions

# Hunts begin at seeds that are so far apart.
STRIDE = 10_000


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """One hunt."""

    bug: str
    first_seed: int
    # Runs made, the one that caught it among them.
    seed_count: int
    # Processor time of all of them, seconds.
    processor_s: float
    # The run that caught it; None when the hunt was given up.
    caught: Outcome | None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What several hunts for one bug took."""

    bug: str
    hunt_count: int
    caught_count: int
    # Over all hunts, also those that were given up: then it is a lower bound.
    mean_seeds: float
    mean_s: float
    most_seeds: int
    kinds: tuple[str, ...]


def options_for(bug: Bug, seed: int) -> SimOptions:
    """Return the run of a seed with a bug planted."""
    return SimOptions(seed=seed, level=bug.level, bug=bug.name)


def run_with(bug: Bug, seed: int, *, is_planted: bool = True) -> Outcome:
    """Run one seed under the bug's conditions, with or without the bug itself."""
    options = options_for(bug, seed)
    with planted(bug if is_planted else None):
        return runner_of(options.level)(options, dict(bug.conditions))


def hunt(bug: Bug, *, first_seed: int = 1, seed_count_max: int = 500) -> Hunt:
    """Run seeds until one fails by a checker that may catch the bug."""
    began = time.process_time()
    for count in range(1, seed_count_max + 1):
        outcome = run_with(bug, first_seed + count - 1)
        if outcome.kind in bug.caught_by:
            return Hunt(
                bug=bug.name,
                first_seed=first_seed,
                seed_count=count,
                processor_s=time.process_time() - began,
                caught=outcome,
            )
    return Hunt(
        bug=bug.name,
        first_seed=first_seed,
        seed_count=seed_count_max,
        processor_s=time.process_time() - began,
        caught=None,
    )


def measure(bug: Bug, *, hunt_count: int = 10, seed_count_max: int = 300) -> Measured:
    """Hunt a bug several times from seeds that are far apart."""
    hunts = [hunt(bug, first_seed=1 + STRIDE * place, seed_count_max=seed_count_max) for place in range(hunt_count)]
    kinds = {found.caught.kind: None for found in hunts if found.caught is not None}
    caught_count = sum(found.caught is not None for found in hunts)
    return Measured(
        bug=bug.name,
        hunt_count=hunt_count,
        caught_count=caught_count,
        mean_seeds=sum(found.seed_count for found in hunts) / max(1, caught_count),
        mean_s=sum(found.processor_s for found in hunts) / max(1, caught_count),
        most_seeds=max(found.seed_count for found in hunts),
        kinds=tuple(sorted(kinds)),
    )
