"""Hunts for planted bugs: how many seeds, and how long, until a campaign catches one."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from quorate.lab.museum.bug import Bug, bug_named, planted
from quorate.lab.simulation.campaign import runner_of
from quorate.lab.simulation.options import Kind, Outcome, SimOptions

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
    # It loads the modules of the level, in which names are replaced next.
    run = runner_of(options.level)
    with planted(bug if is_planted else None):
        return run(options, dict(bug.conditions))


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


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a hunt when many are made."""

    bug: str
    first_seed: int
    seed_count: int
    processor_s: float
    # As what it was caught; "" when it got away.
    kind: Kind


def follow(configuration: Any, first_seed: int, seed_count: int) -> Trail:
    """Hunt one bug; a job of `quorate.lab.scale`.

    Args:
        configuration: {"bug": name}.
        first_seed: where the hunt begins.
        seed_count: after so many it is given up.
    """
    bug = bug_named(configuration["bug"])
    return trail_of(hunt(bug, first_seed=first_seed, seed_count_max=seed_count))


def trail_of(found: Hunt) -> Trail:
    """Return what is kept of a hunt."""
    return Trail(
        bug=found.bug,
        first_seed=found.first_seed,
        seed_count=found.seed_count,
        processor_s=found.processor_s,
        kind=found.caught.kind if found.caught is not None else "",
    )


def summed(trails: Sequence[Trail]) -> Measured:
    """Return what several hunts for one bug took; at least one."""
    caught_count = sum(trail.kind != "" for trail in trails)
    return Measured(
        bug=trails[0].bug,
        hunt_count=len(trails),
        caught_count=caught_count,
        mean_seeds=sum(trail.seed_count for trail in trails) / max(1, caught_count),
        mean_s=sum(trail.processor_s for trail in trails) / max(1, caught_count),
        most_seeds=max(trail.seed_count for trail in trails),
        kinds=tuple(sorted({trail.kind for trail in trails if trail.kind})),
    )


def measure(bug: Bug, *, hunt_count: int = 10, seed_count_max: int = 300) -> Measured:
    """Hunt a bug several times from seeds that are far apart."""
    return summed(
        [
            trail_of(hunt(bug, first_seed=1 + STRIDE * place, seed_count_max=seed_count_max))
            for place in range(hunt_count)
        ]
    )
