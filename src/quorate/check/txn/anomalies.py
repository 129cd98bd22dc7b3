"""What is wrong with a history of transactions, and what a judge says about it."""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import msgspec

from quorate.check.finding import Finding
from quorate.check.txn.cycles import explain, find_cycles
from quorate.check.txn.graph import ANTI, Graph
from quorate.check.txn.levels import LEVELS, Level, level_named, shows, strongest_of
from quorate.check.txn.shapes import find_shapes
from quorate.check.txn.transactions import Transaction

_READS: Final = ("r", "rp")
# Anomalies of one name that are kept; all count.
_KEPT_MAX: Final = 10


class Anomaly(msgspec.Struct, frozen=True):
    """One thing that went wrong."""

    name: str
    # Plain sentences.
    explanation: str
    transactions: tuple[Transaction, ...]


class Inference(msgspec.Struct):
    """What was inferred from a history, before any level is judged."""

    graph: Graph
    # Name → what was found, without those that are cycles.
    anomalies: dict[str, list[Anomaly]]

    def note(self, name: str, explanation: str, *transactions: Transaction) -> None:
        """Add an anomaly; only the first few of a name are kept."""
        known = self.anomalies.setdefault(name, [])
        if len(known) < _KEPT_MAX:
            known.append(Anomaly(name, explanation, transactions))


class Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """Which isolation levels a history refutes. What is not refuted may still not hold: inference is not complete."""

    # Name → anomalies, the most severe cycles first.
    anomalies: Mapping[str, Sequence[Anomaly]]
    refuted: tuple[str, ...]
    not_refuted: tuple[str, ...]
    # Levels that are not refuted, and that no other such level implies.
    strongest: tuple[str, ...]
    transaction_count: int


def judge(inference: Inference, transactions: Sequence[Transaction]) -> Isolation:
    """Judge all levels on one graph; the verdicts rest on knots alone, cycles are only found to explain.

    Complexity: O(edges) when there is no cycle; else as `find_cycles`.
    """
    graph = inference.graph
    knotted = [node for part in graph.knots(LEVELS[-1].kinds) for node in part]
    anomalies: dict[str, list[Anomaly]] = {}
    if knotted:
        cycles = find_cycles(graph, knotted)
        for cycle in cycles:
            members = tuple(transactions[member] for member in cycle.members)
            anomalies[cycle.name] = [Anomaly(cycle.name, explain(graph, cycle), members)]
        for name, words, members in find_shapes(graph, knotted, cycles, transactions):
            known = anomalies.setdefault(name, [])
            if len(known) < _KEPT_MAX:
                known.append(Anomaly(name, words, members))
    anomalies.update(inference.anomalies)
    readers = dict.fromkeys(number for number in knotted if all(f in _READS for f, _, _ in transactions[number].steps))
    refuted = {level.name: None for level in LEVELS if _is_refuted(level, graph, knotted, anomalies, readers)}
    held = tuple(level.name for level in LEVELS if level.name not in refuted)
    return Isolation(
        anomalies=anomalies,
        refuted=tuple(refuted),
        not_refuted=held,
        strongest=strongest_of(held),
        transaction_count=len(transactions),
    )


def _is_refuted(
    level: Level,
    graph: Graph,
    knotted: list[int],
    anomalies: Mapping[str, Sequence[Anomaly]],
    readers: dict[int, None],
) -> bool:
    if any(name in anomalies for name in level.forbids):
        return True
    if not knotted:
        return False
    base = level.kinds & ~ANTI
    match level.rule:
        case "acyclic":
            return bool(graph.knots(level.kinds, knotted))
        case "snapshot" | "prefix":
            return bool(graph.hopping_knots(base, level.before_anti or base, knotted))
        case "one-anti":
            return bool(graph.knots(base, knotted)) or graph.closes_with_one_anti(level.before_anti or base, knotted)
        case "atomic":
            # The other half of its rule, a fractured read, is among the anomalies.
            return bool(graph.knots(base, knotted))
        case "updates":
            writers = [number for number in knotted if number not in readers]
            return bool(graph.knots(level.kinds, writers)) or graph.closes_through_one(level.kinds, readers, knotted)
        case _:
            assert_never(level.rule)


def finding_of(isolation: Isolation, level: str) -> Finding:
    """Return what an isolation says about one level; `valid` means that this history does not refute it.

    Args:
        isolation: of a whole history.
        level: one of `LEVEL_NAMES`.
    """
    count = isolation.transaction_count
    if level not in isolation.refuted:
        return Finding(verdict="valid", model=level, explanation="not refuted", operation_count=count)
    judged = level_named(level)
    assert judged is not None, "a level has one of the known names"
    # A level that only a stronger inference refutes shows the most severe anomaly that there is.
    names = [name for name in isolation.anomalies if shows(name, judged)] or list(isolation.anomalies)
    name, rows = names[0], isolation.anomalies[names[0]]
    return Finding(
        verdict="invalid",
        model=level,
        explanation=f"{name}: {rows[0].explanation}",
        witness=tuple(transaction.operation for transaction in rows[0].transactions),
        operation_count=count,
    )
