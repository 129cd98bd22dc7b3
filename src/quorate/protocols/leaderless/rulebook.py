"""The conflict rules by their words in a configuration."""

from collections.abc import Mapping
from typing import Final

from quorate.kernel.errors import ConfigError
from quorate.protocols.leaderless.cells import CellRule, Kind
from quorate.protocols.leaderless.crdt_cells import Counter, Hash, Set
from quorate.protocols.leaderless.lastwriter import LastWriterWins
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.siblings import MergeFunction, Siblings

OTHER_KINDS: Final[tuple[Kind, ...]] = (Counter(), Set(), Hash())
"""Kinds beside strings, which every rule holds: counters, sets, hashes."""


def _lines(values: tuple[bytes, ...]) -> bytes:
    """Return the lines of all values, each once, ascending: Dynamo's shopping cart, where an add is never lost."""
    return b"\n".join(sorted(dict.fromkeys(line for value in values for line in value.split(b"\n") if line)))


MERGES: Final[Mapping[str, MergeFunction]] = {"lines": _lines, "max": max, "min": min}
"""Merge functions that need no registration."""


def rule_named(name: str, *, merges: Mapping[str, MergeFunction] = MERGES) -> Rule:
    """Return a conflict rule.

    Args:
        name: `lww`, `siblings`, `merge:NAME`, or `crdt` (counters, sets and hashes merge in every rule; its strings are
            `lww`).
        merges: the functions that NAME may mean.

    Raises:
        ConfigError: there is no such rule or function; the sentence names those that there are.
    """
    if name in {"lww", "crdt"}:
        return CellRule(name, LastWriterWins(), OTHER_KINDS, dots=False)
    if name == "siblings":
        return CellRule(name, Siblings(), OTHER_KINDS, dots=True)
    if name.startswith("merge:"):
        function = merges.get(name.removeprefix("merge:"))
        if function is None:
            raise ConfigError(f"conflicts: no function {name!r}; there are {', '.join(sorted(merges)) or 'none'}")
        return CellRule(name, Siblings(function), OTHER_KINDS, dots=True)
    raise ConfigError(f"conflicts: {name!r} is none of lww, siblings, merge:NAME, crdt")
