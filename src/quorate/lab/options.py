"""What a trial is asked to do, and what it hands back."""

from dataclasses import dataclass, field
from pathlib import Path

from quorate.check import Finding, Verdict
from quorate.kernel import SECOND, Duration
from quorate.lab.faults import PlannedFault
from quorate.lab.nemesis import FaultSpan
from quorate.lab.recorder import Call
from quorate.lab.second_act import ActResult
from quorate.lab.statistics import Latencies, Outage
from quorate.lab.systems import Leadership

_DURATION = Duration(30 * SECOND)
_FAULT_DURATION = Duration(19 * SECOND // 10)
_RECOVERY_TIMEOUT = Duration(20 * SECOND)


@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """All knobs of a trial."""

    # A name of `lab.SYSTEM_NAMES`; ignored when `run_trial` is given a system.
    system: str = "quorate"
    # Node processes, 1 to 9.
    node_count: int = 5
    # How long the load runs; final reads and the verdict come on top.
    duration: Duration = _DURATION
    # Draws the schedule of faults and the operations. (Real processes are not deterministic: the seed repeats what was
    # asked, not what came of it.)
    seed: int = 1
    # Operations per second of all clients together, at most.
    rate_per_second: float = 400.0
    # Client processes, spread over all nodes.
    worker_count: int = 20
    # Keys in use at a time, and operations per key until another takes its place. Larger is harder to judge.
    key_count: int = 16
    key_operation_count: int = 120
    # How long a client waits for an answer.
    timeout: Duration = SECOND
    # Names of `lab.FAULT_NAMES`; None draws from all, the empty tuple harms nothing.
    faults: tuple[str, ...] | None = None
    # About how long each fault lasts; the time between faults is about half of it.
    fault_duration: Duration = _FAULT_DURATION
    # How long the cluster may take to serve again, at the start and after the last fault.
    recovery_timeout: Duration = _RECOVERY_TIMEOUT
    # 2: a partition on two keyspaces follows (see `second_act`), if Quorate is tried on three nodes or more.
    act_count: int = 1
    # Where report.html, history.jsonl and the nodes' files go.
    output: Path = field(default_factory=lambda: Path("trial"))
    # Steps of search for the judge, all keys together; None leaves its default.
    budget: int | None = None


@dataclass(kw_only=True)
class TrialResult:
    """Everything that was seen."""

    options: TrialOptions
    system: str
    verdict: Verdict
    # One sentence: why the verdict is what it is.
    reason: str
    finding: Finding
    planned: list[PlannedFault]
    spans: list[FaultSpan]
    calls: list[Call]
    outcomes: dict[str, int]
    error_codes: dict[str, int]
    key_count: int
    # When the load ended, and when the last final read did; ns since the trial began.
    load_end_ns: int
    end_ns: int
    # Time from the end of the last fault until the cluster served again; None if it never did.
    recovery_ns: int | None
    availability: list[float | None]
    throughput: list[int]
    outages: list[Outage]
    reads: Latencies
    updates: Latencies
    # Changes of what the nodes said about their leader.
    leaders: list[tuple[int, Leadership]]
    # Processor time in units of one processor, while the load ran: clients with proxies, and servers.
    generator_cpu: float
    server_cpu: float
    # The node that each client talks to, in words; empty where it moves.
    where: list[str]
    # How long judging took.
    judge_ns: int
    # What came of the second act; None where there was none.
    act: ActResult | None
    report: Path
    history: Path

    @property
    def exit_status(self) -> int:
        """0 only if all acts are valid, 1 if any is invalid, else 2."""
        verdicts = [self.verdict, *([] if self.act is None else [self.act.verdict])]
        if "invalid" in verdicts:
            return 1
        return 2 if "unknown" in verdicts else 0
