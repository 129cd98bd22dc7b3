"""What one run of the available side is like: a design, drawn, beside the weather, drawn."""

from typing import Any, Final, Literal

import msgspec

from quorate.kernel import MICROSECOND, MILLISECOND, Duration, seconds
from quorate.protocols.leaderless import Purge, ReadRepair
from quorate.sim import Atlas, Choices, DiskPolicy, LinkPolicy, Mix, Stream

MISFORTUNES: Final = ("crash", "tear", "pause", "partition", "clog", "skew", "stall")
LEVEL_PAIRS: Final = (("QUORUM", "QUORUM"), ("ONE", "ALL"), ("ALL", "ONE"), ("ONE", "ONE"), ("ONE", "QUORUM"))
"""(read, write); the first three overlap."""
FAR_LEVEL_PAIRS: Final = (("LOCAL_QUORUM", "LOCAL_QUORUM"), ("LOCAL_ONE", "EACH_QUORUM"), ("QUORUM", "QUORUM"))
"""The same for two data centres; the last one overlaps."""


class AvailableConditions(msgspec.Struct, frozen=True, kw_only=True):
    """All of it is drawn from the seed; a bug of the museum may fix some of it."""

    node_count: int
    mix: Mix
    link: LinkPolicy
    disk: DiskPolicy
    # Nodes that may be down at one time, and nodes whose disk may be lost.
    down_max: int
    wipe_max: int = 0
    # How far wall clocks may jump, and clocks be wrong.
    jump_max: Duration = Duration(0)
    drift_ppb_max: int = 200_000
    # The design.
    conflicts: Literal["lww", "siblings"] = "lww"
    # Per data centre; of two, each has every other node.
    replica_count: int = 3
    datacenter_count: int = 1
    read_level: str = "QUORUM"
    write_level: str = "QUORUM"
    sloppy: bool = False
    read_repair: ReadRepair = "blocking"
    digest_reads: bool = True
    purge: Purge = "grace"
    grace: Duration = seconds(600)
    hint_window: Duration = seconds(300)
    has_hints: bool = True
    has_anti_entropy: bool = True
    has_membership: bool = True
    # What differs from SWIM's local profile.
    swim_fields: dict[str, Any] = {}
    # Nodes are added and taken away while all this goes on.
    has_movement: bool = False
    # Node 1 owns no key and is away for longer than the grace, again and again: it comes back with old hints.
    has_outsider: bool = False
    # For at least so long; 0: the grace.
    absence: Duration = Duration(0)
    # Clients: workers, load, share of deletes; sets and counters beside strings.
    worker_count: int = 4
    operations_per_second: int = 80
    key_count: int = 6
    delete_share: float = 0.1
    has_collections: bool = True
    # Writes that say nothing of what their writer has seen. Where siblings are kept, each of them adds one.
    blind_share: float = 0.0
    # Harms end so long before the clients do; 0: at the same time.
    calm: Duration = Duration(0)
    has_random_faults: bool = True

    @property
    def atlas(self) -> Atlas:
        """What the nemesis may do."""
        return Atlas(
            down_max=self.down_max,
            damaged_max=self.wipe_max,
            drift_ppb_max=self.drift_ppb_max,
            jump_max=self.jump_max,
        )

    @property
    def is_overlapping(self) -> bool:
        """Whether every read meets every acknowledged write: R + W > N, and only owners count."""
        copy_count = self.replica_count * self.datacenter_count
        # LOCAL levels of two data centres may not meet.
        counts = {"ONE": 1, "QUORUM": copy_count // 2 + 1, "ALL": copy_count, "EACH_QUORUM": copy_count // 2 + 1}
        least = counts.get(self.read_level, 0) + counts.get(self.write_level, 0)
        return not self.sloppy and least > copy_count

    @property
    def is_strict(self) -> bool:
        """Whether reads are held to that: a disk that was lost takes copies with it."""
        return self.is_overlapping and self.wipe_max == 0


def draw_available(choices: Choices, fixed: dict[str, Any], node_count: int = 0) -> AvailableConditions:
    """Draw what a run is like.

    Args:
        choices: of the run.
        fixed: fields that are not drawn; latency_ms and lose_share are parts of the links, mix_fields of the mix.
        node_count: 0: drawn, 3 to 6.
    """
    dice = choices.stream("conditions")
    nodes = node_count or fixed.get("node_count", 0) or 3 + dice.below(4)
    weights = {name: dice.below(6) if dice.chance(0.7) else 0 for name in MISFORTUNES}
    if not any(weights.values()):
        weights["partition"] = 1
    is_lossy_disk = dice.chance(0.15)
    jump = Duration(dice.between(1, 2_000) * MILLISECOND) if dice.chance(0.5) else Duration(0)
    gap = Duration(dice.between(50, 800) * MILLISECOND)
    mix = Mix(
        **weights,
        wipe=2 if is_lossy_disk else 0,
        gap_min=gap,
        gap_max=Duration(3 * gap),
        span_min=Duration(100 * MILLISECOND),
        span_max=Duration(dice.between(300, 3_000) * MILLISECOND),
        jump_max=jump,
    )
    mix = msgspec.structs.replace(mix, **fixed.get("mix_fields", {}))
    read_level, write_level = LEVEL_PAIRS[dice.below(len(LEVEL_PAIRS))]
    # An owner that misses a delete for longer than the grace brings the value back, in every such design: so the grace
    # is above the longest absence and a cycle of anti-entropy.
    grace_s = dice.between(7, 10) if dice.chance(0.3) else 600
    drawn: dict[str, Any] = {
        "node_count": nodes,
        "mix": mix,
        "link": _draw_link(dice, fixed),
        "disk": _draw_disk(dice),
        "down_max": nodes if dice.chance(0.4) else nodes - 1,
        "wipe_max": 1 if is_lossy_disk and write_level != "ONE" else 0,
        "jump_max": jump,
        "conflicts": "siblings" if dice.chance(0.5) else "lww",
        "read_level": read_level,
        "write_level": write_level,
        "sloppy": dice.chance(0.3),
        "read_repair": ("blocking", "background", "none")[dice.below(3)],
        "digest_reads": dice.chance(0.7),
        "grace": seconds(grace_s),
        "hint_window": seconds(grace_s / 2),
        "has_hints": dice.chance(0.8),
        "has_membership": dice.chance(0.7),
        "has_movement": nodes >= 4 and dice.chance(0.4),
        "has_outsider": nodes >= 4 and grace_s <= 10 and dice.chance(0.5),
        "worker_count": dice.between(2, 6),
        "operations_per_second": dice.between(40, 160),
        "delete_share": 0.3 if dice.chance(0.3) else 0.1,
    }
    if nodes >= 4 and not drawn["has_outsider"] and dice.chance(0.2):
        read_level, write_level = FAR_LEVEL_PAIRS[dice.below(len(FAR_LEVEL_PAIRS))]
        drawn |= {"datacenter_count": 2, "replica_count": 2, "read_level": read_level, "write_level": write_level}
        drawn["has_movement"] = False
    drawn["blind_share"] = dice.below(5) / 10 if drawn["conflicts"] == "lww" else 0.0
    # An outsider that became an owner would be an owner that was away for longer than the grace.
    drawn["has_movement"] = drawn["has_movement"] and not drawn["has_outsider"]
    drawn |= {name: value for name, value in fixed.items() if name not in _PARTS}
    return msgspec.convert(drawn, AvailableConditions, from_attributes=True)


# Given for a part of something that is drawn as a whole.
_PARTS: Final = ("latency_ms", "lose_share", "mix_fields", "node_count")


def _draw_link(dice: Stream, fixed: dict[str, Any]) -> LinkPolicy:
    is_far = dice.chance(0.3)
    link = LinkPolicy(
        latency=Duration((dice.between(1_000, 15_000) if is_far else dice.between(50, 500)) * MICROSECOND),
        jitter=Duration((dice.between(1_000, 20_000) if is_far else dice.between(0, 1_000)) * MICROSECOND),
        lose=dice.below(15) / 100 if dice.chance(0.4) else 0.0,
        repeat=dice.below(20) / 100 if dice.chance(0.4) else 0.0,
        reorder=dice.below(20) / 100 if dice.chance(0.4) else 0.0,
        reorder_delay=Duration(dice.between(1, 60) * MILLISECOND),
    )
    if "latency_ms" in fixed:
        latency = Duration(fixed["latency_ms"] * MILLISECOND)
        link = msgspec.structs.replace(link, latency=latency, jitter=latency)
    if "lose_share" in fixed:
        link = msgspec.structs.replace(link, lose=fixed["lose_share"])
    return link


def _draw_disk(dice: Stream) -> DiskPolicy:
    return DiskPolicy(
        sync_max=Duration(dice.between(500, 6_000) * MICROSECOND),
        stall_share=0.02 if dice.chance(0.25) else 0.0,
        stall=Duration(dice.between(20, 400) * MILLISECOND),
    )
