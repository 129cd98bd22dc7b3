"""The weather of one run: every seed draws another mix of what is allowed (swarm testing).

A run that always does a little of everything seldom does much of one thing; so each seed leaves some harms out and
does others often. Source: Groce et al. 2012, "Swarm testing".
"""

from typing import Any

import msgspec

from quorate.kernel import MICROSECOND, MILLISECOND, Duration
from quorate.sim import Atlas, Choices, DiskPolicy, LinkPolicy, Mix

MISFORTUNES = ("crash", "tear", "pause", "partition", "clog", "skew", "stall")


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is like. All of it is drawn from the seed; a bug of the museum may fix some of it."""

    node_count: int
    mix: Mix
    link: LinkPolicy
    disk: DiskPolicy
    # Nodes that may be down at one time; with all of them, the whole cluster may lose power at once.
    down_max: int
    # Aim → share of its moments that are used; 0 for one that sleeps.
    aims: dict[str, float]
    worker_count: int
    operations_per_second: int
    checkpoint_entry_count: int
    trailing_entry_count: int
    lease_reads: bool = False
    # How far clocks may be wrong, in parts per billion.
    drift_ppb_max: int = 200_000
    # Other commands beside the judged ones: collections, expiry, chance.
    has_chores: bool = True
    # Leaders are asked to hand over now and then, members are exchanged (core level).
    has_operator: bool = True
    # About how often members are exchanged, milliseconds.
    operator_ms: int = 600
    # Chores write values of several pages, so that a write can be torn.
    large_values: bool = False
    pre_vote: bool = True
    check_quorum: bool = True
    group_count: int = 1
    # How much a leader says at once, and how often before it is answered (core level).
    append_bytes_max: int = 400
    inflight_count_max: int = 8
    # Random faults that nobody aims.
    has_random_faults: bool = True

    @property
    def atlas(self) -> Atlas:
        """What the nemesis may do."""
        return Atlas(down_max=self.down_max, drift_ppb_max=self.drift_ppb_max)


def draw_conditions(choices: Choices, aims: tuple[str, ...], fixed: dict[str, Any], node_count: int = 0) -> Conditions:
    """Draw what a run is like.

    Args:
        choices: of the run.
        aims: all names that there are.
        fixed: fields that are not drawn, and parts of links and disks (see below).
        node_count: 0: drawn.
    """
    dice = choices.stream("conditions")
    nodes = node_count or fixed.get("node_count", 0) or (5 if dice.chance(0.3) else 3)
    weights = {name: dice.below(6) if dice.chance(0.7) else 0 for name in MISFORTUNES}
    if not any(weights.values()):
        weights["partition"] = 1
    gap = Duration(dice.between(50, 800) * MILLISECOND)
    mix = Mix(
        crash=weights["crash"],
        tear=weights["tear"],
        pause=weights["pause"],
        partition=weights["partition"],
        clog=weights["clog"],
        skew=weights["skew"],
        stall=weights["stall"],
        gap_min=gap,
        gap_max=Duration(3 * gap),
        span_min=Duration(100 * MILLISECOND),
        span_max=Duration(dice.between(300, 2_500) * MILLISECOND),
    )
    is_far = dice.chance(0.3)
    link = LinkPolicy(
        latency=Duration((dice.between(1_000, 15_000) if is_far else dice.between(50, 500)) * MICROSECOND),
        jitter=Duration((dice.between(1_000, 20_000) if is_far else dice.between(0, 1_000)) * MICROSECOND),
        lose=dice.below(10) / 100 if dice.chance(0.3) else 0.0,
        repeat=dice.below(20) / 100 if dice.chance(0.4) else 0.0,
        reorder=dice.below(20) / 100 if dice.chance(0.4) else 0.0,
        reorder_delay=Duration(dice.between(1, 60) * MILLISECOND),
    )
    slow_share = 0.02 if dice.chance(0.25) else 0.0
    disk = DiskPolicy(
        sync_max=Duration(dice.between(500, 6_000) * MICROSECOND),
        stall_share=slow_share,
        stall=Duration(dice.between(20, 400) * MILLISECOND),
        sync_error=0.004 if dice.chance(0.15) else 0.0,
    )
    drawn: dict[str, Any] = {
        "node_count": nodes,
        "mix": mix,
        "link": link,
        "disk": disk,
        "down_max": nodes if dice.chance(0.4) else (nodes - 1) // 2,
        "aims": {name: (0.05 + 0.25 * dice.draw()) if dice.chance(0.5) else 0.0 for name in aims},
        "worker_count": dice.between(3, 6),
        "operations_per_second": dice.between(60, 160),
        "checkpoint_entry_count": dice.between(15, 80),
        "trailing_entry_count": dice.between(0, 30),
        "lease_reads": dice.chance(0.25),
        "has_chores": dice.chance(0.6),
        "has_operator": dice.chance(0.5),
        "pre_vote": not dice.chance(0.2),
        "check_quorum": not dice.chance(0.1),
        "large_values": dice.chance(0.2),
        "group_count": 2 if dice.chance(0.15) else 1,
    }
    drawn["link"], drawn["disk"] = _fixed_link(link, fixed), _fixed_disk(disk, fixed)
    drawn |= {"aims": {name: fixed["aims"].get(name, 0.0) for name in aims}} if "aims" in fixed else {}
    drawn |= {name: value for name, value in fixed.items() if name not in _PARTS}
    if drawn["lease_reads"]:
        # A lease is only as good as a leader that steps down and voters that keep still.
        drawn["check_quorum"] = True
    return msgspec.convert(drawn, Conditions, from_attributes=True)


# Given for a part of something that is drawn as a whole.
_PARTS = {
    "aims",
    "node_count",
    "lose_share",
    "repeat_share",
    "reorder_share",
    "latency_ms",
    "sync_min_us",
    "sync_max_us",
    "sync_error",
}


def _fixed_disk(disk: DiskPolicy, fixed: dict[str, Any]) -> DiskPolicy:
    """Return a disk with some of its behaviour given: sync_min_us, sync_max_us, sync_error."""
    least, most = fixed.get("sync_min_us"), fixed.get("sync_max_us")
    return DiskPolicy(
        sync_min=disk.sync_min if least is None else Duration(least * MICROSECOND),
        sync_max=disk.sync_max if most is None else Duration(most * MICROSECOND),
        stall_share=disk.stall_share,
        stall=disk.stall,
        sync_error=fixed.get("sync_error", disk.sync_error),
    )


def _fixed_link(link: LinkPolicy, fixed: dict[str, Any]) -> LinkPolicy:
    """Return a link with some of its behaviour given: lose_share, repeat_share, reorder_share, latency_ms."""
    latency = Duration(fixed["latency_ms"] * MILLISECOND) if "latency_ms" in fixed else link.latency
    return LinkPolicy(
        latency=latency,
        jitter=latency if "latency_ms" in fixed else link.jitter,
        lose=fixed.get("lose_share", link.lose),
        repeat=fixed.get("repeat_share", link.repeat),
        reorder=fixed.get("reorder_share", link.reorder),
        reorder_delay=link.reorder_delay,
    )
