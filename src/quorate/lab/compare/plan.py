"""One run as plain data: equal plans give equal results, on any machine and in any process."""

import msgspec

from quorate.kernel import MICROSECOND, Duration, milliseconds, seconds
from quorate.kernel.errors import UsageError
from quorate.lab.compare.spec import Design

RATE_MAX = 2_000.0
SPAN_MAX = seconds(600)


class Timeline(msgspec.Struct, frozen=True):
    """When what happens in a run, simulated time since the load began."""

    # Load without harm, under harm, and after it.
    calm: Duration = seconds(1.5)
    harm: Duration = seconds(4)
    healed: Duration = seconds(1.5)

    @property
    def heal_at(self) -> Duration:
        """When the harm ends."""
        return Duration(self.calm + self.harm)

    @property
    def end(self) -> Duration:
        """When the load ends."""
        return Duration(self.heal_at + self.healed)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What clients do: operations begin at drawn moments on every node, whatever became of the earlier ones."""

    # Operations per second of all nodes together, without the reads that follow writes.
    rate: float = 120.0
    # Registers that everybody reads and writes.
    key_count: int = 10
    # Shares: writes to registers, each followed by one read elsewhere; inserts of new keys; the rest are reads.
    write_share: float = 0.45
    insert_share: float = 0.20
    # When the read that follows a write begins after its acknowledgement, milliseconds; in turns.
    probe_delays_ms: tuple[float, ...] = (0.0, 0.5, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 5.0, 10.0, 25.0, 100.0)
    # A client gives up after this.
    timeout: Duration = seconds(1)


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster stands on: every link the same; a sync of a disk takes from the first to the second."""

    latency: Duration = milliseconds(0.5)
    jitter: Duration = milliseconds(1.5)
    lose: float = 0.0
    sync_min: Duration = Duration(200 * MICROSECOND)
    sync_max: Duration = Duration(2_000 * MICROSECOND)


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One design under one scenario with one seed."""

    design: Design
    scenario: str = "none"
    seed: int = 1
    node_count: int = 5
    timeline: Timeline = Timeline()
    load: Load = Load()
    network: Network = Network()


def check_load(*, rate: float, span_s: float) -> None:
    """Raise UsageError for a load that cannot be made."""
    if not 1 <= rate <= RATE_MAX:
        raise UsageError(f"rate: from 1 to {RATE_MAX:,.0f} operations a second, not {rate:g}")
    if not 2 <= span_s <= SPAN_MAX / seconds(1):
        raise UsageError(f"span: from 2 to 600 seconds of harm, not {span_s:g}")
