"""Failures of a campaign: which are worth making smaller, and which are one and the same."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from quorate.lab.simulation.options import Kind, Level, Outcome
from quorate.sim import Fault, Partition, kind_of

Signature = tuple[Level, Kind, str]
"""Level, kind, and a text: what was done, or how it looks."""


class Failures(NamedTuple):
    """Failures that came down to one schedule; or that look alike and were not made smaller."""

    # The one with the fewest faults, then of the lowest seed.
    smallest: Outcome
    # All of them, that one too, in order.
    seeds: list[int]
    is_shrunk: bool


def chosen(failures: Sequence[Outcome], count: int) -> list[Outcome]:
    """Return so many failures, of as many looks as possible: of each look in turn, the first seeds first."""
    looks: dict[Signature, list[Outcome]] = {}
    for failure in failures:
        looks.setdefault(look_of(failure), []).append(failure)
    found: list[Outcome] = []
    turn = 0
    while len(found) < count and any(len(alike) > turn for alike in looks.values()):
        found += [alike[turn] for alike in looks.values() if len(alike) > turn]
        turn += 1
    return found[:count]


def look_of(outcome: Outcome) -> Signature:
    """Return how a failure looks before anything is known of its cause: its sentence, without the figures."""
    line = outcome.sentence.partition("\n")[0]
    return outcome.options.level, outcome.kind, re.sub(r"0x[0-9a-f]+|\d+", "#", line)[:80]


def signature_of(outcome: Outcome) -> Signature:
    """Return what two failures have in common when the same harm, in the same order, makes them fail alike.

    Nodes are named by their first appearance and times are left out, so that a crash of node 2 at one second and one of
    node 3 at two are the same.
    """
    names: dict[int, str] = {}
    return outcome.options.level, outcome.kind, "; ".join(_words(item.fault, names) for item in outcome.applied)


def _words(fault: Fault, names: dict[int, str]) -> str:
    def name(node: int) -> str:
        return names.setdefault(node, chr(ord("a") + len(names)))

    if isinstance(fault, Partition):
        # The pairs of a cut are a set; who is cut most is named first, whatever the number.
        counts: dict[int, int] = {}
        for pair in fault.cuts:
            for node in pair:
                counts[node] = counts.get(node, 0) + 1
        for node in sorted(counts, key=lambda one: (-counts[one], one)):
            name(node)
        return "cut " + " ".join(sorted(f"{name(a)}{name(b)}" for a, b in fault.cuts))
    return f"{kind_of(fault)} {name(fault.node)}" if hasattr(fault, "node") else kind_of(fault)


def grouped(failures: Sequence[Outcome], shrunk: dict[tuple[Level, int], Outcome]) -> list[Failures]:
    """Return the failures without repetition: by shrunk schedule, and the others by their look; largest groups first.

    Complexity: O(failures x faults).
    """
    groups: dict[tuple[bool, Signature], list[tuple[Outcome, int]]] = {}
    for failure in failures:
        smaller = shrunk.get((failure.options.level, failure.options.seed))
        key = look_of(failure) if smaller is None else signature_of(smaller)
        groups.setdefault((smaller is not None, key), []).append((smaller or failure, failure.options.seed))
    found = []
    for (is_shrunk, _), members in groups.items():
        smallest = min((one for one, _ in members), key=lambda one: (len(one.applied), one.options.seed))
        found.append(Failures(smallest, sorted(seed for _, seed in members), is_shrunk))
    return sorted(found, key=lambda group: (not group.is_shrunk, -len(group.seeds), group.seeds[0]))
