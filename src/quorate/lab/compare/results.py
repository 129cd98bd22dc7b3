"""What one run came to: plain data that travels between processes and into JSON. Times in nanoseconds."""

import msgspec

from quorate.lab.compare.plan import RunPlan


class Observed(msgspec.Struct, kw_only=True):
    """What was seen of a cluster, beside the history of its clients."""

    # When the load began.
    began_ns: int = 0
    # Sent while nobody asked anything, per second.
    idle_messages: float = 0.0
    idle_bytes: float = 0.0
    # Sent while the load ran.
    messages: int = 0
    bytes: int = 0
    # Kind of message → how many, from the start on.
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    # From the healing on, until everybody had what was known then; None: not within the bound.
    converged_ns: int | None = None
    # Node → copies of keys that it held at the end.
    copies: dict[int, int] = msgspec.field(default_factory=dict)
    # A sample of the delays of messages without harm.
    delays_ns: list[int] = msgspec.field(default_factory=list)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How reads, or writes, of the clients of one side were served while the harm lasted."""

    asked: int = 0
    served: int = 0
    # The same of the last third alone: what remains after failover.
    late_asked: int = 0
    late_served: int = 0
    # Of those served.
    p50_ns: int = 0
    p99_ns: int = 0
    # Longest time between two of the clients' answers that served, from the beginning of the harm to the end of load.
    gap_ns: int = 0

    @property
    def share(self) -> float:
        """Share of the operations that were served; 1 when none were asked."""
        return self.served / self.asked if self.asked else 1.0

    @property
    def late_share(self) -> float:
        """The same of the last third of the harm."""
        return self.late_served / self.late_asked if self.late_asked else 1.0


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side of the harm: the clients of some nodes."""

    name: str
    nodes: tuple[int, ...]
    reads: Service
    writes: Service
    # Share served of what was asked in each step of the whole run; None where nothing was.
    read_strip: list[float | None]
    write_strip: list[float | None]


class Staleness(msgspec.Struct, frozen=True, kw_only=True):
    """How old what reads returned was, of registers; only what is certain counts."""

    read_count: int = 0
    stale_count: int = 0
    # Newer versions that had been acknowledged before the read began, of stale reads.
    versions_p50: int = 0
    versions_max: int = 0
    # For how long the first of them had been.
    age_p50_ns: int = 0
    age_max_ns: int = 0

    @property
    def share(self) -> float:
        """Share of the reads that were stale."""
        return self.stale_count / self.read_count if self.read_count else 0.0


class Moment(msgspec.Struct, frozen=True):
    """One read of a register without harm: how long after the last acknowledged write it began, and what it saw."""

    after_ms: float
    is_consistent: bool


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Which consistency models the history refutes."""

    # Model → valid (not refuted), invalid (refuted), unknown; the strongest first.
    verdicts: dict[str, str]
    # The strongest that is not refuted, the weakest that is; empty: none.
    strongest: str
    weakest: str
    # Of the weakest that is refuted: why, and the operations that show it.
    explanation: str = ""
    witness: tuple[str, ...] = ()
    # How many operations it takes: more than are told where the witness is long.
    witness_count: int = 0


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run came to."""

    plan: RunPlan
    sides: list[Side]
    # All clients together.
    reads: Service
    writes: Service
    staleness: Staleness
    moments: list[Moment]
    judgement: Judgement
    outcomes: dict[str, int]
    errors: dict[str, int]
    # Operations that were asked while the load ran.
    operation_count: int
    observed: Observed
    # Inserts that were acknowledged; keys that nobody has at the end.
    acknowledged_count: int
    lost: list[str]
    # Acknowledged writes to registers that are newer than what the register is at the end.
    undone_count: int
    strip_step_ns: int
    # On real processes: times are those of this machine, and messages were not counted.
    is_real: bool = False
