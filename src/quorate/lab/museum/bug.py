"""What the museum knows of a bug, and how one is planted.

A bug is a small subclass of a production class. Planting it replaces the class by the subclass wherever a module of
this package names it, for as long as the bug is planted; nothing in production code knows of bugs.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from quorate.kernel import errors
from quorate.lab.simulation.options import Level

CHECKERS: Final = {
    "invariant": "the five safety properties of Raft, over all nodes after every step",
    "divergence": "the same entry has the same effect on every node and after every restart",
    "not linearizable": "what clients saw is judged key by key",
    "lost write": "what was acknowledged is in every overlapping read, and everywhere at the end",
    "resurrection": "what was deleted and not written again is not there at the end",
    "no convergence": "when all is healed, replicas become equal and no hint is left",
    "applied twice": "a sum is what was acknowledged, and at most what is unknown more",
    "swallowed write": "a write that followed a read is newer than what was read",
    "happened after all": "a write that failed for certain is never seen",
    "sibling explosion": "siblings are as few as those who wrote them",
    "no progress": "a healthy quorum must serve again in the second phase",
    "node stopped": "a node's own assertions",
    "exception": "an exception that nobody caught",
}
"""The judges, by the kind of failure that they report."""


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    """One exhibit."""

    name: str
    # What was done wrong and what it costs, in up to five lines.
    story: str
    # Paper, issue or system where it was seen.
    source: str
    # Part of the house: raft, storage, replication, store, server.
    layer: str
    # Kinds of failure by which it shows; any other is a failure of the museum.
    caught_by: tuple[str, ...]
    # Level at which it is run.
    level: Level
    # Production class or function → what is planted instead of it.
    plants: tuple[tuple[Any, Any], ...]
    # Conditions that are not drawn; the rest is the seed's.
    conditions: Mapping[str, Any] = {}
    # It is found within so many seeds; tests hold it to that.
    seeds_max: int = 50
    # Its hunt takes long, so that only long runs of the tests make it.
    is_slow: bool = False


BUGS: dict[str, Bug] = {}
"""All exhibits, by name; filled by the wings."""


def exhibit(**fields: Any) -> Callable[[type], type]:
    """Put a planted class on show: the decorated class replaces its first base. See `Bug` for the fields."""

    def show(kind: type) -> type:
        add(Bug(plants=((kind.__mro__[1], kind),), **fields))
        return kind

    return show


def add(bug: Bug) -> None:
    """Put a bug on show."""
    assert bug.name not in BUGS, "each bug has its own name"
    assert len(bug.story.strip().splitlines()) <= 5, "a story has up to five lines"
    assert all(checker in CHECKERS for checker in bug.caught_by), "a checker catches it"
    BUGS[bug.name] = bug


def bug_named(name: str) -> Bug:
    """Return a bug; raise UsageError with the known names."""
    if name not in BUGS:
        raise errors.UsageError(f"no bug is named {name!r}; known are {', '.join(sorted(BUGS))}")
    return BUGS[name]


@contextmanager
def planted(bug: Bug | None) -> Iterator[None]:
    """Plant a bug for the length of a block; None plants nothing.

    Import what the block runs before it: a module that is loaded in between gets its names back, but what it made of
    them meanwhile, say a subclass, keeps the bug.

    Complexity: O(names in the modules of this package).
    """
    plants = bug.plants if bug is not None else ()
    for original, replacement in plants:
        _rename(original, replacement)
    try:
        yield
    finally:
        for original, replacement in reversed(plants):
            _rename(replacement, original)


def _rename(old: Any, new: Any) -> None:
    """Let every module outside the museum that names one thing name another."""
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("quorate.") or name.startswith("quorate.lab.museum"):
            continue
        names = vars(module)
        for key in [key for key, value in names.items() if value is old]:
            names[key] = new
