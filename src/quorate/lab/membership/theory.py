"""What the papers predict, so that every measured figure has something to stand beside."""

import math

from quorate.kernel import NodeId, Seeds
from quorate.protocols.swim import MESSAGES, Ack, Member, Ping, SwimConfig, SyncRequest, sync_span

HOUR_S = 3_600
SECOND_NS = 1_000_000_000
# UDP and IPv4 headers.
OVERHEAD_BYTES = 28


def spread_rounds(member_count: int, fanout: int) -> float:
    """Return the gossip rounds until all know: log_{f+1} n to reach most, ln n / f to reach the rest.

    Source: Pittel 1987 (fanout 1); Eugster et al. 2004 for fanout f.
    """
    if member_count < 2:
        return 0.0
    return math.log(member_count, fanout + 1) + math.log(member_count) / fanout


def first_suspicion_s(config: SwimConfig, member_count: int) -> float:
    """Return the expected time from a crash to the first suspicion.

    Each of the other n - 1 members probes it in a given interval with chance 1 / (n - 1), at a moment of its own; the
    first of them suspects one interval after its ping. Expected wait for the first ping: with n - 1 independent
    moments spread over their rounds, one interval; together two intervals (SWIM's e / (e - 1) is for probes in step).

    Source: Das et al. 2002, section 3.1, for a constant number of intervals whatever n is.
    """
    if member_count < 2:
        return 0.0
    interval = config.probe_interval / SECOND_NS
    others = member_count - 1
    # The least of n - 1 waits, each uniform over a round of n - 1 intervals.
    return interval * others / (others + 1) + interval


def quiet_messages(config: SwimConfig, member_count: int) -> float:
    """Return messages sent per member and second while nothing happens: a ping, an answer, a comparison of tables."""
    if member_count < 2:
        return 0.0
    return 2 * SECOND_NS / config.probe_interval + SECOND_NS / sync_span(config, member_count)


def quiet_bytes(config: SwimConfig, member_count: int) -> float:
    """Return bytes sent per member and second while nothing happens, headers included."""
    if member_count < 2:
        return 0.0
    rng = Seeds(1).stream("theory")
    ping = len(MESSAGES.encode(Ping(rng.randrange(1 << 48)))) + len(MESSAGES.encode(Ack(rng.randrange(1 << 48))))
    sync = len(MESSAGES.encode(SyncRequest(rng.randrange(1 << 63), Member(NodeId(member_count), 0, 0))))
    return (ping + 2 * OVERHEAD_BYTES) * SECOND_NS / config.probe_interval + (
        sync + OVERHEAD_BYTES
    ) * SECOND_NS / sync_span(config, member_count)


def suspicions_per_hour(config: SwimConfig, member_count: int, loss: float) -> float:
    """Return wrong suspicions raised per member and hour: direct and all indirect ways lose a message.

    A direct probe is two messages, one through a helper four.

    Source: Das et al. 2002, section 3.1 (probability of a mistaken detection).
    """
    if member_count < 2:
        return 0.0
    helper_count = min(config.indirect_count, member_count - 2)
    failed = (1 - (1 - loss) ** 2) * (1 - (1 - loss) ** 4) ** helper_count
    return failed * HOUR_S * SECOND_NS / config.probe_interval
