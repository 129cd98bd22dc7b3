"""Ninth wing: deleted data that comes back, hints that go missing, owners and members that change wrongly."""

from quorate.kernel import NodeId
from quorate.lab.museum.bug import exhibit
from quorate.protocols.leaderless import HandOver, Leaderless
from quorate.protocols.swim import Member, Swim

SECOND = 1_000_000_000
# Node 1 owns nothing and is away for longer than the grace, with hints.
OUTSIDER = {
    "has_outsider": True,
    "has_movement": False,
    "datacenter_count": 1,
    "replica_count": 3,
    "node_count": 5,
    "conflicts": "lww",
    "grace": 3 * SECOND,
    "hint_window": SECOND + SECOND // 2,
    "delete_share": 0.5,
    "has_hints": True,
    "sloppy": False,
    "wipe_max": 0,
}


@exhibit(
    name="hint-of-any-age",
    story="""A node that was away for long hands over the hints that it kept, however old.
The tombstones of what was deleted meanwhile have been purged: the old values live again.""",
    source="Scylla issue 23712; Cassandra: max_hint_window must be below gc_grace_seconds",
    layer="leaderless",
    caught_by=("resurrection", "lost write"),
    level="available",
    conditions=OUTSIDER | {"purge": "grace"},
    seeds_max=200,
)
class HintOfAnyAge(Leaderless):
    """Knows no window."""

    def _is_beyond_window(self, wall_ns: int) -> bool:
        del wall_ns
        return False

    def _on_hand_over(self, sender: NodeId, part: HandOver) -> None:
        self._on_write(sender, part)


@exhibit(
    name="tombstone-purged-at-once",
    story="""A delete is forgotten as soon as it is done, to save space.
Whoever missed it brings the value back, by read repair or anti-entropy.""",
    source="Riak, delete_mode = immediate; Dynamo §4.4: deleted items can resurface",
    layer="leaderless",
    caught_by=("resurrection", "lost write"),
    level="available",
    conditions={"conflicts": "lww", "delete_share": 0.4, "has_movement": False, "purge": "grace"},
    seeds_max=30,
)
class TombstonePurgedAtOnce(Leaderless):
    """Gives no grace."""

    def _purge_age(self) -> int:
        return 0


@exhibit(
    name="repaired-tombstone-forgets-hints",
    story="""Tombstones go as soon as a comparison of all owners has covered them, without regard to hints under way.
A hint of a node that took no part in the repair replays what was deleted.""",
    source="Scylla issue 23712, eleven steps: tombstone_gc = repair and hints",
    layer="leaderless",
    caught_by=("resurrection", "lost write"),
    level="available",
    conditions=OUTSIDER
    | {
        "purge": "repair",
        "grace": 60 * SECOND,
        "hint_window": 30 * SECOND,
        "absence": 3 * SECOND,
        "has_anti_entropy": True,
    },
    seeds_max=200,
)
class RepairedTombstoneForgetsHints(Leaderless):
    """Waits for no hint."""

    def _purge_age(self) -> int:
        return 0


@exhibit(
    name="hint-dropped-when-sent",
    story="""A hint is dropped when it was sent, not when its owner has confirmed it.
With sloppy quorums the hint may have been the only copy of an acknowledged write.""",
    source="Dynamo §4.6: the stand-in may delete its copy once the transfer has succeeded",
    layer="leaderless",
    caught_by=("lost write", "no convergence"),
    level="available",
    conditions={
        "sloppy": True,
        "write_level": "ONE",
        "read_level": "ONE",
        "node_count": 6,
        "key_count": 60,
        "has_collections": False,
        "mix_fields": {
            "partition": 20,
            **dict.fromkeys(("crash", "tear", "pause", "clog", "stall", "skew"), 0),
            "gap_min": SECOND,
            "gap_max": 2 * SECOND,
            "span_min": 2 * SECOND,
            "span_max": 4 * SECOND,
        },
        "has_hints": True,
        "has_movement": False,
        "has_outsider": False,
        "wipe_max": 0,
    },
    seeds_max=60,
)
class HintDroppedWhenSent(Leaderless):
    """Trusts the network."""

    def _hand_over(self, owner: NodeId, budget: int) -> None:
        before = dict(self._handed)
        super()._hand_over(owner, budget)
        for number in [number for number in self._handed if number not in before]:
            self._handed_over(number)


@exhibit(
    name="new-owners-alone",
    story="""When nodes come or go, reads and writes go to the new owners at once.
They have not received the data yet, and the old ones are not asked any more.""",
    source="Cassandra's pending ranges, and what they are for; Raft §6 for the same mistake",
    layer="leaderless",
    caught_by=("lost write",),
    level="available",
    conditions={
        "read_level": "QUORUM",
        "write_level": "QUORUM",
        "sloppy": False,
        "has_movement": True,
        "has_outsider": False,
        "node_count": 5,
        "wipe_max": 0,
    },
    seeds_max=60,
)
class NewOwnersAlone(Leaderless):
    """Settles as soon as it hears of a topology."""

    @property
    def has_gathered(self) -> bool:
        """Claim to hold everything."""
        return self.next_topology is not None

    def _maybe_settle(self) -> bool:
        if self.next_topology is None:
            return False
        self._settle()
        return True


@exhibit(
    name="halves-never-meet-again",
    story="""Each half of a partition believes the other dead, and nobody talks to the dead.
When the links heal there are two clusters for ever, each sure of itself.""",
    source="hashicorp/serf: reconnect_interval; early gossip memberships without it",
    layer="swim",
    caught_by=("no convergence", "no progress"),
    level="available",
    conditions={
        "has_membership": True,
        "has_movement": False,
        "node_count": 6,
        "swim_fields": {"suspicion_max_multiplier": 1, "dead_gossip_span": 0},
        # Cuts add up and last to the end.
        "mix_fields": {
            "partition": 20,
            **dict.fromkeys(("crash", "tear", "pause", "clog", "stall", "skew"), 0),
            "gap_min": SECOND,
            "gap_max": 2 * SECOND,
            "span_min": 20 * SECOND,
            "span_max": 30 * SECOND,
        },
    },
    seeds_max=30,
)
class HalvesNeverMeetAgain(Swim):
    """Asks nobody who is believed dead."""

    def _maybe_reconnect(self) -> bool:
        return False


@exhibit(
    name="still-dead-after-its-return",
    story="""A member that comes back under its old incarnation does not notice that others believe it dead.
It talks and is talked about, and everybody goes on believing what they knew.""",
    source="Das et al. 2002, §4.2: only a member may refute, by a higher incarnation",
    layer="swim",
    caught_by=("no convergence",),
    level="available",
    conditions={
        "has_membership": True,
        "has_movement": False,
        "mix_fields": {"crash": 20, "span_min": 6 * SECOND, "span_max": 12 * SECOND},
    },
    seeds_max=30,
)
class StillDeadAfterItsReturn(Swim):
    """Hears nothing of itself."""

    def _hear_of_self(self, told: Member) -> bool:
        del told
        return False
