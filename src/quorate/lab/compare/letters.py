"""PACELC letters, derived from what was measured by rules that are printed beside them.

If there is a Partition, does a design keep Availability or Consistency; Else, does it prefer Latency or Consistency?

Source      Abadi 2012, "Consistency tradeoffs in modern distributed database system design"; there, as in every table
            of systems since, the letters are asserted.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from quorate.lab.compare.results import RunResult
from quorate.lab.compare.scenarios import scenario_named

AVAILABLE_SHARE: Final = 0.99

RULES: Final = (
    f"PA: in the last third of every partition between zones each side had {AVAILABLE_SHARE:.0%} of reads and writes.",
    "PC: some side was refused, and no run with a fault, one-way links among them, refutes linearizability.",
    "P-: some side was refused, and still a run with a fault refutes linearizability: neither was kept.",
    "EC: no run without a partition (none, slow-link) refutes linearizability.",
    "EL: one of them does: answers were given before they were known to be the newest.",
    "A letter in brackets: both sides of the choice were kept in these runs, which only a longer look can tell apart.",
)


class Letters(msgspec.Struct, frozen=True, kw_only=True):
    """What was derived, and from what."""

    # PA, PC, P-, or with brackets; empty when no partition was run.
    under_partition: str
    # EL or EC; empty when no run was without a partition.
    otherwise: str
    # Why, a sentence each.
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """The letters as people write them, such as PA/EL."""
        return "/".join([part for part in (self.under_partition, self.otherwise) if part]) or "?"


def derive(runs: Sequence[RunResult]) -> Letters:
    """Derive the letters of one design from its runs."""
    partition, why = _under_partition(runs)
    otherwise, why_else = _otherwise(runs)
    return Letters(under_partition=partition, otherwise=otherwise, reasons=(*why, *why_else))


def _under_partition(runs: Sequence[RunResult]) -> tuple[str, list[str]]:
    cut = [run for run in runs if scenario_named(run.plan.scenario, run.plan.node_count).is_between_zones]
    if not cut:
        return "", []
    worst = min(
        [
            (service.late_share, word, run.plan.scenario, side.name)
            for run in cut
            for side in run.sides
            for word, service in (("reads", side.reads), ("writes", side.writes))
            if service.late_asked
        ],
        default=(1.0, "reads", "none", "all"),
    )
    share, word, scenario, side = worst
    least = f"least served under partition: {share:.0%} of {word} ({scenario}, {side})"
    harmed = [run for run in runs if run.plan.scenario not in {"none", "slow-link"}]
    refuted = _refuted(harmed)
    is_available = share >= AVAILABLE_SHARE
    if refuted is not None:
        seen = f"linearizability is refuted under {refuted.plan.scenario} (weakest: {refuted.judgement.weakest})"
        return ("PA" if is_available else "P-"), [least, seen]
    return ("P(A)" if is_available else "PC"), [
        least,
        f"linearizability is not refuted in {_runs(harmed)} with faults",
    ]


def _otherwise(runs: Sequence[RunResult]) -> tuple[str, list[str]]:
    calm = [run for run in runs if run.plan.scenario in {"none", "slow-link"}]
    if not calm:
        return "", []
    refuted = _refuted(calm)
    if refuted is not None:
        share = refuted.staleness.share
        return "EL", [f"without partition ({refuted.plan.scenario}) {share:.1%} of the reads were stale"]
    return "EC", [f"linearizability is not refuted in {_runs(calm)} without partition"]


def _runs(runs: Sequence[RunResult]) -> str:
    return f"{len(runs)} run{'s' if len(runs) != 1 else ''}"


def _refuted(runs: Sequence[RunResult]) -> RunResult | None:
    return next((run for run in runs if run.judgement.verdicts["linearizable"] == "invalid"), None)
