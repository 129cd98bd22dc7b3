"""Which anomaly refutes which isolation level.

A level is refuted by anomalies that no cycle shows (an aborted read), and by any cycle over its own edges. Levels are
listed from weak to strong; `STRONGER` says which ones a refutation carries over to.

Source: Adya 1999 (PL levels); Kingsbury & Alvaro 2020 (session and real-time variants); Cerone & Gotsman 2018 (SI).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from quorate.check.txn.graph import PROCESS, REALTIME, RW, WR, WW


class Level(msgspec.Struct, frozen=True):
    """One isolation level."""

    name: str
    # Kinds of edges that must have no cycle; for snapshot levels the base to which one RW edge may be added at a time.
    kinds: int
    is_snapshot: bool = False
    # Anomalies without a cycle that refute it.
    forbids: tuple[str, ...] = ()


_UNCOMMITTED: Final = ("duplicate-elements", "garbage-read", "dirty-update", "incompatible-order", "cyclic-versions")
_COMMITTED: Final = (*_UNCOMMITTED, "g1a", "g1b")
_ATOMIC: Final = (*_COMMITTED, "internal", "future-read", "lost-update")

LEVELS: Final = (
    Level("read-uncommitted", WW, forbids=_UNCOMMITTED),
    Level("read-committed", WW | WR, forbids=_COMMITTED),
    Level("snapshot-isolation", WW | WR, is_snapshot=True, forbids=_ATOMIC),
    Level("serializable", WW | WR | RW, forbids=_ATOMIC),
    Level("strong-session-read-uncommitted", WW | PROCESS, forbids=_UNCOMMITTED),
    Level("strong-session-read-committed", WW | WR | PROCESS, forbids=_COMMITTED),
    Level("strong-session-snapshot-isolation", WW | WR | PROCESS, is_snapshot=True, forbids=_ATOMIC),
    Level("strong-session-serializable", WW | WR | RW | PROCESS, forbids=_ATOMIC),
    Level("strong-read-uncommitted", WW | PROCESS | REALTIME, forbids=_UNCOMMITTED),
    Level("strong-read-committed", WW | WR | PROCESS | REALTIME, forbids=_COMMITTED),
    Level("strong-snapshot-isolation", WW | WR | PROCESS | REALTIME, is_snapshot=True, forbids=_ATOMIC),
    Level("strict-serializable", WW | WR | RW | PROCESS | REALTIME, forbids=_ATOMIC),
)
LEVEL_NAMES: Final = tuple(level.name for level in LEVELS)


def level_named(name: str) -> Level | None:
    """Return a level by its name, or None."""
    return next((level for level in LEVELS if level.name == name), None)


def strongest_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of some levels that no other of them implies."""
    held = [level for level in LEVELS if level.name in names]
    return tuple(
        level.name for level in held if not any(other is not level and implies(other, level) for other in held)
    )


def shows(name: str, level: Level) -> bool:
    """Say whether an anomaly of this name refutes a level."""
    if name in level.forbids:
        return True
    base, _, suffix = name.rpartition("-")
    needed = {"process": PROCESS, "realtime": REALTIME}.get(suffix, 0)
    if needed & ~level.kinds:
        return False
    match base if needed else name:
        case "g0":
            return True
        case "g1c":
            return bool(level.kinds & WR)
        case "g-single" | "g-nonadjacent":
            return level.is_snapshot or bool(level.kinds & RW)
        case "g2-item":
            return bool(level.kinds & RW)
        case _:
            return False


def implies(stronger: Level, weaker: Level) -> bool:
    """Say whether every history of one level is of the other too."""
    if stronger.kinds & weaker.kinds != weaker.kinds or not set(weaker.forbids) <= set(stronger.forbids):
        return False
    # Serializability over the same edges is above snapshot isolation; snapshot isolation allows RW cycles.
    return not stronger.is_snapshot or weaker.is_snapshot or not weaker.kinds & RW
