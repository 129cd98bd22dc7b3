"""What one simulated run is made from, and what came of it."""

from typing import Literal

import msgspec

from quorate.kernel import Duration, seconds
from quorate.sim import FaultSchedule

Level = Literal["loop", "core", "available"]
LEVELS: tuple[Level, ...] = ("loop", "core", "available")
"""Whole servers; Raft machines alone; machines of a leaderless keyspace alone."""

# What went wrong, in one word; "" is a run that passed.
Kind = Literal[
    "",
    "invariant",
    "divergence",
    "not linearizable",
    "undecided",
    "no progress",
    "data lost",
    "lost write",
    "resurrection",
    "no convergence",
    "applied twice",
    "swallowed write",
    "happened after all",
    "sibling explosion",
    "node stopped",
    "exception",
]

SPANS: dict[Level, Duration] = {"loop": seconds(6), "core": seconds(12), "available": seconds(15)}
"""Simulated time under faults, unless told otherwise."""


class SimOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One run; equal options give equal runs, to the last callback.

    Fields:
        seed: generates every choice.
        level: loop runs the whole shipped server on its own event loop, core runs Raft's machines alone, available
            those of a leaderless keyspace.
        node_count: 0: drawn.
        span: time under faults, before the second phase; 0: that of the level.
        bug: a planted bug of the museum, by name.
        faults: replaces drawn and aimed faults; what an earlier run applied replays it.
    """

    seed: int
    level: Level = "loop"
    node_count: int = 0
    span: Duration = Duration(0)
    bug: str | None = None
    faults: FaultSchedule | None = None

    @property
    def time(self) -> Duration:
        """Simulated time under faults, ns."""
        return self.span or SPANS[self.level]

    @property
    def command(self) -> str:
        """What replays this run from a shell."""
        parts = [f"quorate sim --seed {self.seed} --level {self.level}"]
        if self.node_count:
            parts.append(f"--nodes {self.node_count}")
        if self.span:
            parts.append(f"--span {self.span / 1e9:g}")
        if self.bug:
            parts.append(f"--bug {self.bug}")
        return " ".join(parts)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run."""

    options: SimOptions
    # As the run drew it, when the options left it open.
    node_count: int
    kind: Kind
    # Why it failed; "" when it passed.
    sentence: str
    # Every fault that was done; as `faults` of the options it replays the run without drawing or aiming.
    applied: FaultSchedule
    fault_counts: dict[str, int]
    operations: dict[str, int]
    # Places of the code that were reached, and how often.
    marks: dict[str, int]
    trace_hash: int
    simulated_ns: int
    # Processor time is the machine's business, so it takes no part in comparisons of runs.
    wall_s: float = 0.0

    @property
    def is_failed(self) -> bool:
        """Whether a claim broke."""
        return self.kind != ""

    def same_as(self, other: "Outcome") -> bool:
        """Return whether two runs were one and the same, to the last callback."""
        return (self.trace_hash, self.simulated_ns, self.kind, self.operations, self.applied) == (
            other.trace_hash,
            other.simulated_ns,
            other.kind,
            other.operations,
            other.applied,
        )


class Failed(Exception):
    """A claim broke in a run."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence
