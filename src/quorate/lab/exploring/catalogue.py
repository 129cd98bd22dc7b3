"""What can be explored by name, and the small scope that is documented for each.

A new machine is one function in a file of this package:

    @explorable("gossip", "rumours among three", machines=(Gossip,), states=1234, node_count=3, campaign_count=1)
    def gossip(options: ExploreOptions) -> Explorable:
        system = x.Cluster(make, scope_of(options, timers=(("gossip", campaigns(options)),)), ignore=("now", "config"))
        return Explorable(system, (x.always("…", …),))

`states` is what `quorate explore gossip` counts; `tests/exhaustive` asserts it.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from quorate.check import explore as x
from quorate.kernel import Call, Machine, NodeId, errors
from quorate.lab.exploring.options import Explorable, ExploreOptions


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One system, and its documented scope."""

    name: str
    # What it is, in a few words.
    words: str
    make: Callable[[ExploreOptions], Explorable]
    # States of the documented scope; None: it ends at a counterexample, which is its point.
    state_count: int | None
    # Classes of `protocols` that it explores.
    machines: tuple[type[Machine], ...]
    # What the options are when nobody says.
    defaults: dict[str, Any]
    can_rename: bool = False


EXPLORABLE: Final[dict[str, Entry]] = {}
"""All systems by name; filled by the files of this package."""

_DEFAULTS: Final[dict[str, Any]] = {
    "node_count": 3, "campaign_count": 1, "proposal_count": 0, "quiet": (), "lose_count": 0, "repeat_count": 0,
    "crash_count": 0,
}  # fmt: skip

_Make = Callable[[ExploreOptions], Explorable]


def explorable(
    name: str,
    words: str,
    *,
    states: int | None,
    machines: tuple[type[Machine], ...] = (),
    can_rename: bool = False,
    **defaults: Any,
) -> Callable[[_Make], _Make]:
    """Make a function's system known by name.

    Args:
        name: on the command line.
        words: what it is.
        states: how many its documented scope has.
        machines: classes of `protocols` that it covers.
        can_rename: whether `--symmetry` means something for it.
        defaults: the documented scope, as fields of `ExploreOptions`.
    """

    def note(make: _Make) -> _Make:
        assert name not in EXPLORABLE, "each system has its own name"
        assert defaults.keys() <= _DEFAULTS.keys(), "a scope is made of the counts of the options"
        EXPLORABLE[name] = Entry(
            name=name, words=words, make=make, state_count=states, machines=machines,
            defaults={**_DEFAULTS, **defaults}, can_rename=can_rename,
        )  # fmt: skip
        return make

    return note


def filled(options: ExploreOptions) -> ExploreOptions:
    """Return options with the documented scope wherever nothing was said; raise UsageError for what cannot be."""
    entry = EXPLORABLE.get(options.name)
    if entry is None:
        raise errors.UsageError(f"no system is named {options.name!r}; there are {', '.join(EXPLORABLE)}")
    missing = {name: value for name, value in entry.defaults.items() if getattr(options, name) is None}
    if options.node_count is not None and "quiet" in missing:
        # The quiet nodes of the documented scope, as far as they exist in this one.
        missing["quiet"] = tuple(node for node in missing["quiet"] if node <= options.node_count)
    options = msgspec.structs.replace(options, **missing)
    assert options.quiet is not None, "it was filled in"
    assert options.node_count is not None, "it was filled in"
    if options.sleep_sets and (options.order == "breadth" or options.is_symmetric or options.name == "2pc-symmetric"):
        raise errors.UsageError("--sleep-sets needs --order depth and a system without symmetry")
    if options.worker_count > 1 and (options.order == "depth" or options.walk_count):
        raise errors.UsageError("--workers share a search that is breadth first")
    if options.is_symmetric and not entry.can_rename:
        able = ", ".join(name for name, known in EXPLORABLE.items() if known.can_rename)
        raise errors.UsageError(f"--symmetry: the nodes of {options.name} are not alike; of these they are: {able}")
    if options.quiet and not set(options.quiet) <= set(range(1, options.node_count + 1)):
        raise errors.UsageError(f"--quiet names nodes of 1 to {options.node_count}")
    return options


def make_explorable(options: ExploreOptions) -> Explorable:
    """Return a system by its name, in the scope that the options give or that is documented for it.

    Raises:
        UsageError: none has that name, or the options do not fit it.
    """
    return EXPLORABLE[options.name].make(options) if options.name in EXPLORABLE else _refuse(options)


def _refuse(options: ExploreOptions) -> Explorable:
    filled(options)
    raise AssertionError("an unknown name was refused")


def nodes_of(options: ExploreOptions) -> tuple[NodeId, ...]:
    """Return the nodes of a scope: 1 to as many as the options say."""
    assert options.node_count is not None, "options are filled in before a system is made"
    kind = x.Name if options.is_symmetric else int
    return tuple(NodeId(kind(place)) for place in range(1, options.node_count + 1))


def campaigns(options: ExploreOptions) -> int:
    """Return how often the clock of each node may act."""
    assert options.campaign_count is not None, "options are filled in before a system is made"
    return options.campaign_count


def alike_of(options: ExploreOptions, *, special: tuple[NodeId, ...] = ()) -> tuple[tuple[NodeId, ...], ...]:
    """Return the groups of nodes that a scope treats alike: those whose clock acts, and those that are quiet.

    Args:
        options: without `is_symmetric` there are none.
        special: nodes that are called, or are set apart in another way.
    """
    if not options.is_symmetric:
        return ()
    rest = [node for node in nodes_of(options) if node not in special]
    quiet = tuple(node for node in rest if node in (options.quiet or ()))
    return tuple(group for group in (tuple(node for node in rest if node not in quiet), quiet) if len(group) > 1)


def scope_of(
    options: ExploreOptions,
    *,
    timers: tuple[tuple[str, int], ...],
    calls: tuple[tuple[NodeId, Call], ...] = (),
    is_punctual: bool = False,
) -> x.Scope:
    """Return a scope with the faults and links of the options."""
    return x.Scope(
        nodes=nodes_of(options),
        calls=calls,
        timers=timers,
        quiet=tuple(NodeId(node) for node in options.quiet or ()),
        lose_count=options.lose_count or 0,
        repeat_count=options.repeat_count or 0,
        crash_count=options.crash_count or 0,
        is_fifo=not options.is_unordered,
        is_punctual=is_punctual,
        is_disk_instant=not options.is_disk_slow,
    )
