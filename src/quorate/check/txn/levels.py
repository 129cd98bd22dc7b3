"""Which anomaly refutes which isolation level.

A level is refuted by anomalies that no cycle shows (an aborted read), and by what its rule forbids over its own edges.
Levels are listed from weak to strong; `weaker` says what each implies, so that a refutation carries over.

Source: Adya 1999 (PL levels: read uncommitted to repeatable read, consistent view, update serializability); Bailis et
al. 2013 (monotonic atomic view); Cerone, Bernardi & Gotsman 2015 and Cerone & Gotsman 2018 (read atomic, causal,
parallel snapshot isolation, prefix, snapshot isolation as dependency graphs); Kingsbury & Alvaro 2020 (session and
real-time variants, and the lattice).
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from quorate.check.txn.graph import PROCESS, REALTIME, RW, RWP, WR, WRP, WW

Rule = Literal["acyclic", "snapshot", "prefix", "one-anti", "atomic", "updates"]
"""What must not be, with base edges B (those of the level but RW) and anti-dependencies A (RW):

acyclic   a cycle of any edges of the level
snapshot  a cycle of B edges, each followed by at most one A
prefix    a cycle of WW edges and of other B edges, each of these followed by at most one A
one-anti  a cycle of B edges with at most one A
atomic    a cycle of B edges, or one WR edge followed by one A back
updates   a cycle through at most one transaction that only reads
"""


class Level(msgspec.Struct, frozen=True):
    """One isolation level."""

    name: str
    # Kinds of edges that count.
    kinds: int
    # Levels that it implies directly.
    weaker: tuple[str, ...] = ()
    # Anomalies without a cycle, and shapes of cycles, that refute it.
    forbids: tuple[str, ...] = ()
    rule: Rule = "acyclic"
    # Base edges after which an anti-dependency counts, where that is not all of them.
    before_anti: int = 0


_WR: Final = WR | WRP
_ITEM: Final = WW | _WR | RW
_ALL: Final = _ITEM | RWP

_UNCOMMITTED: Final = ("duplicate-elements", "garbage-read", "cyclic-versions")
_COMMITTED: Final = (*_UNCOMMITTED, "incompatible-order", "dirty-update", "g1a", "g1b", "future-read")
_MONOTONIC: Final = (*_COMMITTED, "otv")
_ATOMIC: Final = (*_MONOTONIC, "internal", "fractured-read")
_SNAPSHOT: Final = (*_ATOMIC, "lost-update", "pmp", "predicate-read-miss")


def _family(prefix: str, more: int) -> tuple[Level, ...]:
    """Return the four levels that exist with the order of processes, and with that of time."""
    ru, rc, si = (f"{prefix}{name}" for name in ("read-uncommitted", "read-committed", "snapshot-isolation"))
    top = "strict-serializable" if prefix == "strong-" else f"{prefix}serializable"
    below = "" if prefix == "strong-session-" else "strong-session-"
    si_above = (f"{below}snapshot-isolation", rc)
    return (
        Level(ru, WW | more, (f"{below}read-uncommitted",), _UNCOMMITTED),
        Level(rc, WW | _WR | more, (f"{below}read-committed", ru), _COMMITTED),
        Level(si, _ALL | more, si_above, _SNAPSHOT, "snapshot"),
        Level(top, _ALL | more, (f"{below}serializable", si), _SNAPSHOT),
    )


LEVELS: Final = (
    Level("read-uncommitted", WW, (), _UNCOMMITTED),
    Level("read-committed", WW | _WR, ("read-uncommitted",), _COMMITTED),
    Level("cursor-stability", WW | _WR, ("read-committed",), (*_COMMITTED, "lost-update")),
    Level("monotonic-atomic-view", WW | _WR, ("read-committed",), _MONOTONIC),
    Level("read-atomic", _ALL, ("monotonic-atomic-view",), _ATOMIC, "atomic"),
    Level("causal", _ALL, ("read-atomic",), _ATOMIC, "one-anti", before_anti=_WR),
    Level("prefix", _ALL, ("causal",), (*_ATOMIC, "long-fork"), "prefix", before_anti=_WR),
    Level(
        "consistent-view", _ALL, ("cursor-stability", "monotonic-atomic-view"), (*_MONOTONIC, "lost-update"), "one-anti"
    ),
    Level("parallel-snapshot-isolation", _ALL, ("causal", "consistent-view"), _SNAPSHOT, "one-anti"),
    Level("snapshot-isolation", _ALL, ("prefix", "parallel-snapshot-isolation"), _SNAPSHOT, "snapshot"),
    Level("repeatable-read", _ITEM, ("cursor-stability", "monotonic-atomic-view"), (*_MONOTONIC, "lost-update")),
    Level("update-serializable", _ALL, ("consistent-view",), (*_MONOTONIC, "lost-update"), "updates"),
    Level("serializable", _ALL, ("repeatable-read", "update-serializable", "snapshot-isolation"), _SNAPSHOT),
    *_family("strong-session-", PROCESS),
    *_family("strong-", PROCESS | REALTIME),
)
LEVEL_NAMES: Final = tuple(level.name for level in LEVELS)
_BY_NAME: Final = {level.name: level for level in LEVELS}


def level_named(name: str) -> Level | None:
    """Return a level by its name, or None."""
    return _BY_NAME.get(name)


def strongest_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of some levels that no other of them implies."""
    held = [level for level in LEVELS if level.name in names]
    return tuple(
        level.name for level in held if not any(other is not level and implies(other, level) for other in held)
    )


def shows(name: str, level: Level) -> bool:
    """Say whether an anomaly of this name, wherever it occurs, refutes a level."""
    if name in level.forbids:
        return True
    base, _, suffix = name.rpartition("-")
    needed = {"process": PROCESS, "realtime": REALTIME}.get(suffix, 0)
    if needed & ~level.kinds:
        return False
    is_whole = level.rule == "acyclic"
    match base if needed else name:
        case "g0":
            return True
        case "g1c":
            return bool(level.kinds & WR)
        case "g-single":
            return bool(level.kinds & RW) and (is_whole or level.rule == "snapshot" or level.name in _NO_SINGLE)
        case "g-nonadjacent":
            return bool(level.kinds & RW) and (is_whole or level.rule == "snapshot")
        case "g2-item" | "write-skew":
            return bool(level.kinds & RW) and is_whole
        case "g-single-predicate":
            return bool(level.kinds & RWP) and (is_whole or level.rule == "snapshot" or level.name in _NO_SINGLE)
        case "g-nonadjacent-predicate":
            return bool(level.kinds & RWP) and (is_whole or level.rule == "snapshot")
        case "g2":
            return bool(level.kinds & RWP) and is_whole
        case _:
            return False


_NO_SINGLE: Final = ("consistent-view", "parallel-snapshot-isolation")


def implies(stronger: Level, weaker: Level) -> bool:
    """Say whether every history of one level is of the other too."""
    return stronger is weaker or any(implies(_BY_NAME[name], weaker) for name in stronger.weaker)
