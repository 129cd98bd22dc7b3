"""One cluster of SWIM members at core level: quiet, one rumour, one death, and a lossy network."""

import random
import time
from typing import Any

from quorate.kernel import Codec, Duration, NodeId, Output, Record, milliseconds, seconds
from quorate.lab.membership import theory
from quorate.lab.membership.links import large_world
from quorate.lab.membership.options import MembershipOptions, MembershipRow
from quorate.protocols.swim import (
    ALIVE,
    MESSAGES,
    Known,
    Member,
    MemberChanged,
    Swim,
    SwimConfig,
    UpdateMetadata,
    suspicion_min,
)
from quorate.sim import CoreCluster, CoreHost, LinkPolicy

# How long a rumour, and a death, may take to reach all.
SPREAD_TIMEOUT = seconds(60)
DEATH_TIMEOUT = seconds(300)
# Beyond, the lossy phase is left out: every member tells rumours all the time, a thousand times real time.
LOSS_MEMBER_COUNT_MAX = 2_000
# Long enough that timers are spread over their intervals.
WARM_UP = seconds(5)


class CountingCodec(Codec[Any]):
    """Counts messages and their bytes; hands on the object itself, which is immutable, instead of decoding."""

    def __init__(self) -> None:
        super().__init__(Any)
        self.message_count = 0
        self.byte_count = 0
        self._last: Any = None
        self.encode = self._count

    def _count(self, message: Any) -> bytes:  # Any: as the base says
        payload: bytes = MESSAGES.encode(message)
        self.message_count += 1
        self.byte_count += len(payload) + theory.OVERHEAD_BYTES
        self._last = message
        return payload

    def decode(self, data: bytes | memoryview) -> Any:
        """Return the message that was encoded last."""
        return self._last


class Experiment:
    """Runs the phases of one size of cluster."""

    def __init__(self, options: MembershipOptions, member_count: int) -> None:
        self.options = options
        self.member_count = member_count
        self.codec = CountingCodec()
        self.world = large_world(options.seed)
        known = Known([Member(node, 0, ALIVE) for node in range(1, member_count + 1)])
        config = SwimConfig.profile(options.profile, node=NodeId(1), known=known)
        self.config = config if options.lifeguard else config.without_lifeguard()
        self.cluster = CoreCluster(self.world, self._make, range(1, member_count + 1), on_deliver=self._on_deliver)
        # (kind, subject) → true times at which members heard of it.
        self._heard: dict[tuple[str, int], list[int]] = {}

    def _make(self, node: NodeId, records: list[Record], rng: random.Random) -> Swim:
        # The nodes differ in their number only.
        fields = {name: getattr(self.config, name) for name in self.config.__struct_fields__}
        return Swim(SwimConfig(**{**fields, "node": node}), records, rng)

    def _on_deliver(self, _: CoreHost, output: Output) -> None:
        if isinstance(output, MemberChanged):
            self._heard.setdefault((output.kind, output.member.node), []).append(self.world.now)

    def run(self) -> MembershipRow:
        """Run all phases; return the figures."""
        self.cluster.start()
        self.cluster.run_for(WARM_UP)
        speed = self._measure_speed()
        quiet_messages, quiet_bytes = self._measure_quiet()
        spread, spread_message_count = self._measure_spread()
        suspect_first, dead_all = self._measure_death()
        suspicions, false_deaths = self._measure_loss()
        count, config = self.member_count, self.config
        least = suspicion_min(config, count) / theory.SECOND_NS
        most = least * (config.suspicion_max_multiplier if config.dynamic_suspicion else 1)
        interval_s = config.gossip_interval / theory.SECOND_NS
        return MembershipRow(
            member_count=count,
            spread_half=_at_share(spread, count - 1, 0.5),
            spread_99=_at_share(spread, count - 1, 0.99),
            spread_all=_at_share(spread, count - 1, 1.0),
            spread_rounds=None if not spread or len(spread) < count - 1 else spread[-1] / interval_s,
            spread_rounds_theory=theory.spread_rounds(count, config.gossip_count),
            spread_message_count=spread_message_count,
            suspect_first=suspect_first,
            suspect_first_theory=theory.first_suspicion_s(config, count),
            dead_all=dead_all,
            dead_window_theory=(least, most),
            quiet_messages=quiet_messages,
            quiet_messages_theory=theory.quiet_messages(config, count),
            quiet_bytes=quiet_bytes,
            quiet_bytes_theory=theory.quiet_bytes(config, count),
            suspicions=suspicions,
            suspicions_theory=theory.suspicions_per_hour(config, count, self.options.loss),
            false_deaths=false_deaths,
            speed=speed,
        )

    def _measure_speed(self) -> float:
        """Return simulated seconds per second of processor time, messages passed as objects."""
        began = time.process_time()
        self.cluster.run_for(self.options.quiet_span)
        return self.options.quiet_span / theory.SECOND_NS / max(1e-9, time.process_time() - began)

    def _measure_quiet(self) -> tuple[float, float]:
        self.cluster.codec = self.codec
        before = self.codec.message_count, self.codec.byte_count
        self.cluster.run_for(self.options.quiet_span)
        per_member = self.options.quiet_span / theory.SECOND_NS * self.member_count
        return (self.codec.message_count - before[0]) / per_member, (self.codec.byte_count - before[1]) / per_member

    def _measure_spread(self) -> tuple[list[float], int]:
        """Return when each other member learned of a change, and how many messages were sent until the last did."""
        began, before = self.world.now, self.codec.message_count
        self.cluster.hosts[NodeId(1)].call(UpdateMetadata(b"zone=b"))
        heard = self._heard.setdefault(("updated", 1), [])
        self.cluster.run_until(
            lambda: len(heard) >= self.member_count - 1, timeout=SPREAD_TIMEOUT, period=milliseconds(20)
        )
        message_count = self.codec.message_count - before
        # What is still told would be counted to the next phase.
        self.cluster.run_for(seconds(5))
        return [(at - began) / theory.SECOND_NS for at in heard], message_count

    def _measure_death(self) -> tuple[float | None, float | None]:
        if self.member_count < 2:
            return None, None
        victim = NodeId(self.member_count)
        began = self.world.now
        self.cluster.hosts[victim].power_cut()
        heard = self._heard.setdefault(("failed", victim), [])
        self.cluster.run_until(
            lambda: len(heard) >= self.member_count - 1, timeout=DEATH_TIMEOUT, period=milliseconds(100)
        )
        suspected = self._heard.get(("suspected", victim), [])
        return (
            (suspected[0] - began) / theory.SECOND_NS if suspected else None,
            (heard[-1] - began) / theory.SECOND_NS if len(heard) == self.member_count - 1 else None,
        )

    def _measure_loss(self) -> tuple[float | None, float | None]:
        """Return wrong suspicions and deaths per living member and hour: incidents, not how many heard of each."""
        if not 3 <= self.member_count <= LOSS_MEMBER_COUNT_MAX or not self.options.loss_span or not self.options.loss:
            return None, None
        # Larger clusters make as many samples in less time; never less than the window of a suspicion takes.
        span = Duration(int(self.options.loss_span * max(1 / 3, min(1.0, 100 / self.member_count))))
        self.cluster.run_for(seconds(5))
        self._heard.clear()
        accusations = _Accusations(self.cluster)
        self.world.links.policy = LinkPolicy(lose=self.options.loss)
        self.cluster.run_for(span)
        hours = span / theory.SECOND_NS / theory.HOUR_S * (self.member_count - 1)
        deaths = [subject for kind, subject in self._heard if kind == "failed"]
        return accusations.count / hours, len(deaths) / hours


class _Accusations:
    """Counts probes that ended in an accusation, over all machines."""

    def __init__(self, cluster: CoreCluster) -> None:
        self.count = 0
        for host in cluster.hosts.values():
            if host.is_running and isinstance(host.machine, Swim):
                self._listen(host.machine)

    def _listen(self, machine: Swim) -> None:
        inner = machine._suspect

        def suspect(node: NodeId) -> None:
            self.count += 1
            inner(node)

        machine._suspect = suspect  # type: ignore[method-assign]  # a listener on this object alone


def _at_share(times: list[float], count: int, share: float) -> float | None:
    """Return when this share of all had heard; None when they never did."""
    needed = max(1, -(-int(count * share * 1_000) // 1_000))
    return times[needed - 1] if count > 0 and len(times) >= needed else None


def compare_sizes(options: MembershipOptions) -> list[MembershipRow]:
    """Run every size; return a row each. Complexity: O(members * simulated time); 1,000 members take a minute."""
    return [Experiment(options, count).run() for count in options.member_counts]
