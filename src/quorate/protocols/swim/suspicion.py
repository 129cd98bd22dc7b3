"""The arithmetic: how long to suspect, how often to repeat a rumour, how rarely to compare tables."""

import math

import msgspec

from quorate.kernel import MILLISECOND, Duration, Instant, NodeId
from quorate.protocols.swim.config import SwimConfig


def suspicion_min(config: SwimConfig, member_count: int) -> Duration:
    """Return how long a suspect has at least: multiplier * max(1, log10(n)) probe intervals.

    Rounded to a millisecond, so that the last bits of a logarithm do not matter.

    Example:
        >>> suspicion_min(SwimConfig(node=NodeId(1)), 1000) / 10**9
        12.0
    """
    scale = max(1.0, math.log10(max(1, member_count)))
    return _rounded(config.suspicion_multiplier * scale * config.probe_interval)


def confirmations_wanted(config: SwimConfig, member_count: int) -> int:
    """Return how many further accusers bring the window down to its least: multiplier - 2; 0 in small clusters."""
    wanted = config.suspicion_multiplier - 2
    return wanted if config.dynamic_suspicion and 1 <= wanted <= member_count - 2 else 0


def suspicion_span(config: SwimConfig, member_count: int, confirmation_count: int) -> Duration:
    """Return how long a suspect has after so many confirmations by distinct accusers.

    max - (max - min) * log(confirmations + 1) / log(wanted + 1), and never below min.

    Source: Dadgar, Phillips & Currey 2018 (Lifeguard), section IV-B.
    """
    least = suspicion_min(config, member_count)
    wanted = confirmations_wanted(config, member_count)
    if wanted < 1:
        return least
    most = least * config.suspicion_max_multiplier
    share = math.log(confirmation_count + 1) / math.log(wanted + 1)
    return max(least, _rounded(most - share * (most - least)))


def retransmit_limit(config: SwimConfig, member_count: int) -> int:
    """Return how often one member tells one rumour: multiplier * ceil(log10(n + 1)).

    The number of decimal digits is that logarithm, rounded up, without floating point.

    Example:
        >>> [retransmit_limit(SwimConfig(node=NodeId(1)), count) for count in (1, 9, 10, 999, 1000)]
        [4, 4, 8, 12, 16]
    """
    return config.retransmit_multiplier * len(str(member_count))


def sync_span(config: SwimConfig, member_count: int) -> Duration:
    """Return the pause between comparisons of tables; grows above 32 members.

    Example:
        >>> sync_span(SwimConfig(node=NodeId(1)), 1000) // 10**9
        180
    """
    scale = 1 if member_count <= 32 else (member_count - 1).bit_length() - 5 + 1
    return Duration(config.sync_interval * scale)


def _rounded(span: float) -> Duration:
    return Duration(round(span / MILLISECOND) * MILLISECOND)


class Suspicion(msgspec.Struct):
    """One suspect's window, as this node sees it."""

    incarnation: int
    began_at: Instant
    deadline: Instant
    # In the order in which they were heard; the first is not a confirmation. At most wanted + 1.
    accusers: list[NodeId]
