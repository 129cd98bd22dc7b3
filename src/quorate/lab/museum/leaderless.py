"""Eighth wing: keyspaces without a leader that lose writes, apply them twice, or let values pile up."""

from collections.abc import Iterable
from typing import Any

from quorate.clocks import HybridStamp
from quorate.kernel import NodeId, milliseconds, seconds
from quorate.lab.museum.bug import exhibit
from quorate.protocols.leaderless import AnyChange, Forward, LastWriterWins, Leaderless, Siblings, Stamper
from quorate.sim import DiskPolicy

# Every read crosses every acknowledged write, and a read that has answered has repaired what it saw.
QUORUMS = {
    "read_level": "QUORUM",
    "write_level": "QUORUM",
    "sloppy": False,
    "read_repair": "blocking",
    "wipe_max": 0,
    "has_movement": False,
    "has_outsider": False,
    "datacenter_count": 1,
    "replica_count": 3,
    "grace": seconds(600),
    "hint_window": seconds(300),
}

OFTEN = {"gap_min": 50_000_000, "gap_max": 300_000_000, "span_min": 50_000_000, "span_max": 300_000_000}
SLOW_DISK = DiskPolicy(sync_min=milliseconds(5), sync_max=milliseconds(25))


@exhibit(
    name="copy-acknowledged-before-disk",
    story="""A replica says that it has a write when it has it in memory; the coordinator counts its own copy so too.
A power cut takes back what a quorum had acknowledged.""",
    source="Dynamo §6: an object buffer in memory trades durability; hinted writes without fsync in Cassandra",
    layer="leaderless",
    caught_by=("lost write",),
    level="available",
    conditions=QUORUMS
    | {
        "mix_fields": OFTEN | {"tear": 20, "pause": 0, "stall": 0, "crash": 0},
        "disk": SLOW_DISK,
        "has_hints": False,
        "operations_per_second": 160,
        "has_anti_entropy": False,
    },
    seeds_max=60,
)
class CopyAcknowledgedBeforeDisk(Leaderless):
    """Waits for no disk."""

    def _say_written(self, to: NodeId, number: int, *, eager: bool) -> None:
        del eager
        super()._say_written(to, number, eager=True)

    def _count_when_stable(self, ordinal: int, number: int, owner: NodeId) -> None:
        del ordinal
        self._on_written_by(number, owner)


@exhibit(
    name="digests-never-compared",
    story="""A read takes the one full cell and counts the digests of the others without looking at them.
The quorum answers, and what is returned is whatever the nearest replica held.""",
    source="digest reads of Dynamo-style stores; CASSANDRA-2830 and others on mismatches that were not resolved",
    layer="leaderless",
    caught_by=("lost write",),
    level="available",
    conditions=QUORUMS | {"digest_reads": True},
    seeds_max=30,
)
class DigestsNeverCompared(Leaderless):
    """Takes all digests for equal."""

    def _digest(self, cell: bytes) -> int:
        del cell
        return 0


@exhibit(
    name="answer-before-the-repair",
    story="""A read that found replicas apart answers with the newest and repairs afterwards.
A later read of another quorum can miss what was read already: quorum reads that are not monotonic.""",
    source="Cassandra, read_repair = NONE against BLOCKING (CASSANDRA-10726)",
    layer="leaderless",
    caught_by=("lost write",),
    level="available",
    conditions=QUORUMS
    | {
        "mix_fields": OFTEN | {"crash": 12, "partition": 6, "pause": 0, "stall": 0, "clog": 0, "skew": 0, "tear": 0},
        "lose_share": 0.2,
        "has_hints": False,
        "has_collections": False,
        "key_count": 2,
        "worker_count": 6,
        "operations_per_second": 160,
    },
    seeds_max=120,
)
class AnswerBeforeTheRepair(Leaderless):
    """Waits for no repair."""

    def _progress_repair(self, read: Any) -> None:
        self._answer_read(read)


@exhibit(
    name="hint-counted-as-a-copy",
    story="""The coordinator's own hint counts towards the write quorum, as if a replica had the write.
No read asks the coordinator for its hints, so reads of a quorum miss it.""",
    source="Cassandra, CASSANDRA-2034 and the documentation of level ANY: a hint satisfies ANY and nothing else",
    layer="leaderless",
    caught_by=("lost write",),
    level="available",
    conditions=QUORUMS | {"has_hints": True},
    seeds_max=30,
)
class HintCountedAsACopy(Leaderless):
    """Counts its own hints."""

    def _hint_for(self, write: Any, owner: NodeId) -> None:
        super()._hint_for(write, owner)
        if owner != self.node and owner in write.told:
            self._count_when_stable(self._ordinal(), write.number, owner)


@exhibit(
    name="increment-sent-twice-counts-twice",
    story="""A node that owns no copy hands an increment to an owner, hears nothing, and sends it again.
The owner does not remember that it has applied it.""",
    source="Cassandra counters before 2.1 (CASSANDRA-4775): a retry after a time-out counts twice",
    layer="leaderless",
    caught_by=("applied twice",),
    level="available",
    conditions={"node_count": 6, "lose_share": 0.2, "has_movement": False},
    seeds_max=30,
)
class IncrementCountsTwice(Leaderless):
    """Remembers nothing of what it was sent."""

    def _on_forward(self, sender: NodeId, part: Forward, life: int) -> None:
        self._once.clear()
        super()._on_forward(sender, part, life)


@exhibit(
    name="stamped-by-the-wall-clock",
    story="""Writes are stamped with the coordinator's wall clock alone.
A client reads a value, writes another through a node whose clock is behind, is told that it was done, and the older
value stays: last writer wins, by the wrong clock.""",
    source="Kingsbury 2013, 'The trouble with timestamps' (Cassandra, Riak with last-write-wins)",
    layer="leaderless",
    caught_by=("swallowed write",),
    level="available",
    conditions={"conflicts": "lww", "jump_max": 2_000_000_000, "mix_fields": {"skew": 6, "jump_max": 2_000_000_000}},
    seeds_max=40,
)
class StampedByTheWallClock(Stamper):
    """Looks at nobody else's stamps."""

    def stamp(self, wall_ns: int, seen: Iterable[HybridStamp]) -> HybridStamp:
        """Return the wall clock's time, whatever was seen."""
        del seen
        return super().stamp(wall_ns, ())


@exhibit(
    name="last-arrival-wins",
    story="""A replica takes what arrives last, not what was written last.
Replicas that heard of two writes in different orders stay apart for ever, or drop what was acknowledged.""",
    source="the Thomas write rule, left out; Jepsen on early multi-master stores",
    layer="leaderless",
    caught_by=("lost write", "no convergence"),
    level="available",
    conditions={"conflicts": "lww", "has_movement": False},
    seeds_max=20,
)
class LastArrivalWins(LastWriterWins):
    """Merges by the order of arrival."""

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return theirs."""
        del mine
        return self.check(theirs)


@exhibit(
    name="siblings-by-version-vector",
    story="""A write that has not seen all that the server holds keeps all of it beside itself: with one vector for the
whole key nobody can tell which values its writer had seen. Two clients that take turns make ever more siblings,
without a failure and without real concurrency.""",
    source="riak_kv pull 746 and riak_cs pull 1006: sibling explosion, cured by dotted version vectors",
    layer="leaderless",
    caught_by=("sibling explosion",),
    level="available",
    conditions={"conflicts": "siblings", "has_movement": False, "delete_share": 0.0},
    seeds_max=20,
)
class SiblingsByVersionVector(Siblings):
    """Knows only whether a writer has seen everything."""

    def change(self, part: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the part after a change; a context that lacks anything alive counts for nothing."""
        made = super().change(part, change, actor=actor, stamp=stamp, context=context)
        if self.sibling_count(made) <= 1:
            return made
        return super().change(part, change, actor=actor, stamp=stamp, context=b"")


@exhibit(
    name="actor-used-again-after-a-lost-disk",
    story="""A node that lost its disk starts again under its old name and counts from the beginning.
Replicas take its new increments for old ones that they know already.""",
    source="riak_kv pull 1070: a vnode that lost data must not reuse dots; key epochs",
    layer="leaderless",
    caught_by=("lost write", "no convergence"),
    level="available",
    conditions={
        "wipe_max": 1,
        "mix_fields": {"wipe": 8},
        "read_level": "ONE",
        "write_level": "QUORUM",
        "has_movement": False,
        "has_outsider": False,
        "sloppy": False,
    },
    seeds_max=60,
)
class ActorUsedAgain(Leaderless):
    """Stamps as the node itself, in every life."""

    def _new_actor(self) -> int:
        return int(self.node) << 32
