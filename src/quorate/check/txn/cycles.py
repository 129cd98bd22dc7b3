"""From a graph with knots to the shortest cycle of the most severe kind, in words.

Kinds, most severe first: g0 (only WW), g1c (WR too), g-single (exactly one RW), g-nonadjacent (several RW, no two in a
row), g2-item (two in a row); each with `-process` or `-realtime` when it needs such edges. Where an anti-dependency is
one of a predicate, the last three are g-single-predicate, g-nonadjacent-predicate and g2.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from quorate.check.txn.graph import ANTI, NAMES, PROCESS, REALTIME, RW, RWP, WR, WRP, WW, Graph

# Edges tried as the one that a cycle must have; bounds the time of the explanation, never of the verdict.
_TRIES: Final = 300


class Cycle(msgspec.Struct, frozen=True):
    """Transactions that each must come before the next, and the last before the first."""

    name: str
    members: tuple[int, ...]
    # kinds[i] is why members[i] comes before its follower.
    kinds: tuple[int, ...]


def find_cycles(graph: Graph, within: Sequence[int]) -> list[Cycle]:
    """Return the shortest cycle found of each kind, most severe kind first.

    Complexity: O(kinds × edges of the knots × tries).
    """
    found: dict[str, Cycle] = {}
    for extra, _ in ((0, ""), (PROCESS, "-process"), (PROCESS | REALTIME, "-realtime")):
        for needed, others in (
            (WW, WW),
            (_WR, _BASE),
            (RW, _BASE),
            (RW, _BASE | RW),
            (RWP, _BASE),
            (ANTI, _BASE | ANTI),
        ):
            kinds = others | extra
            for cycle in _through(graph, needed, kinds, extra, within):
                known = found.get(cycle.name)
                if known is None or len(cycle.members) < len(known.members):
                    found[cycle.name] = cycle
    return sorted(found.values(), key=lambda cycle: SEVERITY.index(cycle.name))


_WR: Final = WR | WRP
_BASE: Final = WW | _WR
_NAMES: Final = (
    "g0", "g1c", "g-single", "g-single-predicate", "g-nonadjacent", "g-nonadjacent-predicate", "g2-item", "g2",
)  # fmt: skip
SEVERITY: Final = tuple(name + suffix for suffix in ("", "-process", "-realtime") for name in _NAMES)


def _through(graph: Graph, needed: int, kinds: int, extra: int, within: Sequence[int]) -> list[Cycle]:
    """Return the shortest cycles through single edges of the needed kind (or of the extra kind), one for each name."""
    best: dict[str, Cycle] = {}
    tries = 0
    for part in graph.knots(kinds | needed, within):
        members = dict.fromkeys(part)
        for source in sorted(part):
            for target, bits in graph.edges[source].items():
                if not bits & needed or target not in members:
                    continue
                tries += 1
                if tries > _TRIES:
                    return list(best.values())
                back = graph.path(target, source, kinds, members)
                if back is None:
                    continue
                cycle = _named(graph, [source, *back[:-1]], kinds | needed)
                if cycle.name not in best or len(cycle.members) < len(best[cycle.name].members):
                    best[cycle.name] = cycle
    del extra
    return list(best.values())


def _named(graph: Graph, members: list[int], allowed: int) -> Cycle:
    kinds = []
    for place, member in enumerate(members):
        bits = graph.edges[member][members[(place + 1) % len(members)]] & allowed
        # Of several reasons the one that makes the cycle most severe.
        kinds.append(next(kind for kind in (WW, WR, WRP, RW, RWP, PROCESS, REALTIME) if bits & kind))
    least = members.index(min(members))
    members = members[least:] + members[:least]
    kinds = kinds[least:] + kinds[:least]
    antis = [place for place, kind in enumerate(kinds) if kind & ANTI]
    is_item = RWP not in kinds
    if not antis:
        name = "g1c" if WR in kinds or WRP in kinds else "g0"
    elif len(antis) == 1:
        name = "g-single" if is_item else "g-single-predicate"
    elif any(kinds[place - 1] & ANTI for place in antis):
        name = "g2-item" if is_item else "g2"
    else:
        name = "g-nonadjacent" if is_item else "g-nonadjacent-predicate"
    suffix = "-realtime" if REALTIME in kinds else "-process" if PROCESS in kinds else ""
    return Cycle(name + suffix, tuple(members), tuple(kinds))


def explain(graph: Graph, cycle: Cycle) -> str:
    """Return a cycle in plain sentences."""
    sentences = []
    for place, member in enumerate(cycle.members):
        follower = cycle.members[(place + 1) % len(cycle.members)]
        kind = cycle.kinds[place]
        reason = graph.reasons.get((member, follower, kind)) or _PLAIN[kind]
        sentences.append(f"T{member} comes before T{follower} ({NAMES[kind]}): {reason}.")
    return " ".join(sentences) + " So each would have to come before itself."


_PLAIN: Final = {
    WW: "its write was overwritten",
    WR: "its write was read",
    RW: "what it read was overwritten",
    WRP: "its predicate read depends on it",
    RWP: "what its predicate matched was changed",
    PROCESS: "the same process did it first",
    REALTIME: "it had answered before the other was called",
}
