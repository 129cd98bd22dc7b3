"""AvailableReplica: a leaderless keyspace on one node: its machine, its copies at rest, the commands under way.

Nothing here waits for a leader: a node that starts alone answers what its levels allow. Which nodes hold the data comes
from the log of the first Raft group, when that says something newer than what this node wrote down itself.

Records go to the node's log. A checkpoint writes what changed since the last one to the base, and the log before it can
go. The log may hold records that are at rest already: replayed in order, the last one of a key counts.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from quorate.kernel import Instant, NodeId, Output, Record, milliseconds, seconds
from quorate.kernel.errors import DiskFull, StorageError
from quorate.protocols.anti_entropy import Agreed, Divergent
from quorate.protocols.leaderless import (
    RECORDS,
    Adopted,
    Answered,
    Batch,
    Failed,
    LeaderlessConfig,
    PeerDown,
    PeerUp,
    Purge,
    ReadRepair,
    Reconfigure,
    Settled,
    Tick,
    Topology,
    canonical,
    rule_named,
)
from quorate.replication import AVAILABLE_MESSAGES, Available, AvailableConfig, Caller, Gathering, Host
from quorate.server.declared import STICKY, level_word
from quorate.server.keyspaces import Keyspace, group_of
from quorate.server.merges import load_merges
from quorate.server.repairs import Repair
from quorate.server.rest import Unwritten, decoded, records_at_rest
from quorate.storage import Base
from quorate.store import ReplyError, available

if TYPE_CHECKING:
    from quorate.server.node import Node

log = logging.getLogger("quorate.available")

_TICK_INTERVAL: Final = seconds(1)
_WATCH_INTERVAL: Final = milliseconds(200)
_RETRY_AFTER: Final = seconds(5)
_SEGMENT_COUNT_KEPT: Final = 2
_NOT_YET: Final = ReplyError(
    "UNREACHABLE", "this node has not been told yet which nodes hold the keyspace; nothing was done"
)
_STOPPED: Final = ReplyError("UNREACHABLE", "the node has stopped; nothing was done")
_DISK_FULL: Final = ReplyError("DISKFULL", "no space is left on this node's disk; reads go on, nothing was done")


class AvailableReplica:
    """Wires one leaderless keyspace together on one node."""

    def __init__(self, node: "Node", name: str, keyspace: Keyspace, base: Base) -> None:
        self.node = node
        self.name = name
        self.keyspace = keyspace
        self.group = group_of(name)
        self.base = base
        self.rule = rule_named(keyspace.rule, merges=load_merges(node.config.merges))
        self.machine: Available | None = None
        self.host: Host | None = None
        # An operator's repair that is under way.
        self.repair: Repair | None = None
        self.checkpoint_count = 0
        self.jobs = available.Jobs(
            name,
            self.rule,
            {},
            keeps_contexts=keyspace.rule == "siblings" or keyspace.rule.startswith("merge:"),
            keeps_reads=keyspace.consistency in STICKY,
            flush=self._mark_dirty,
            wake=node.turn.ask,
        )
        self.jobs.refusal = _NOT_YET
        self._dirty: dict[Caller, None] = {}
        self._gathering = Gathering(turn_max=node.config.limits.gather_turn_max)
        self._unwritten = Unwritten()
        self._last_ordinal = 0
        self._record_count = 0
        self._lock = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._retry_at = Instant(0)
        self._is_stopped = False

    # -- life --------

    def start(self) -> None:
        """Begin with what was written down; a node that was never told who holds the data waits to be told."""
        records: list[Record] = list(records_at_rest(self.base))
        for ordinal, record in decoded(self.group, self.node.wal.recovered(self.group)):
            self._note(record, ordinal)
            records.append(record)
        # The next checkpoint says again what stands beside the cells.
        self._unwritten.heads = Unwritten(records).heads
        topology = next((record.topology for record in records if isinstance(record, Adopted)), None)
        if topology is None:
            topology = self.node.first_topology(self.keyspace)
        if topology is not None:
            self._begin(canonical(records), topology)
        self._watch()

    def _begin(self, records: list[Record], topology: Topology) -> None:
        if not any(isinstance(record, Adopted) for record in records):
            # Remembered before it is used: after a restart the configuration may name other nodes.
            adopted = Adopted(topology, is_settled=True)
            ordinal = self.node.wal.append(self.group, [RECORDS.encode(adopted)])
            self._note(adopted, ordinal)
            records = [adopted, *records]
        self.machine = self.make_machine(records, topology)
        self.host = Host(
            self.node.env,
            self.machine,
            group=self.group,
            messages=AVAILABLE_MESSAGES,
            log=self.node.wal,
            links=self.node.links,
            on_output=self._on_output,
            on_persist=self._on_persist,
        )
        self.jobs.cells = self.machine.leaderless.cells
        self.jobs.refusal = None
        self.host.start()
        self._tick()

    def make_machine(self, records: list[Record], topology: Topology) -> Available:
        """Return the machine with what it had persisted."""
        config = machine_config(self.node.env.node, self.keyspace, topology, self.node.config.limits.value_bytes_max)
        return Available(config, records, self.node.env.rng, rule=self.rule)

    def stop(self) -> None:
        """Answer what waits; take no more."""
        self._is_stopped = True
        self.jobs.refusal = _STOPPED
        if self.host is not None:
            self.host.stop()
        self.jobs.end_all()
        self.flush_callers()

    def halt(self) -> None:
        """Take no more events: the node cannot go on."""
        if self.host is not None:
            self.host.stop()

    def stable(self, ordinal: int) -> None:
        """Learn that the log is stable up to an ordinal."""
        if self.host is not None:
            self.host.stable(ordinal)

    async def close(self) -> None:
        """Wait for what is under way with the state at rest, and close it."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.base.close()

    def _tick(self) -> None:
        if self._is_stopped or self.host is None or self.node.failed.done():
            return
        self.host.call(Tick(self.node.env.clock.wall_ns()))
        self.node.turn.ask()
        self.node.env.clock.call_after(_TICK_INTERVAL, self._tick)

    # -- requests --------

    def end_turn(self) -> None:
        """Give the machine the requests of this turn. A stage of the turn."""
        host, jobs = self.host, self.jobs
        if jobs.waiting_count and self._gathering.waits(jobs.waiting_count):
            self.node.turn.ask()
            return
        self._gathering.took(jobs.waiting_count)
        # An answer from this node's own copy may come at once, and lead to the next step of its command.
        while host is not None and (requests := jobs.take()):
            host.call(Batch(requests, self.node.env.clock.wall_ns()))

    def flush_callers(self) -> None:
        """Let every caller with new replies write them. A stage of the turn."""
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            for caller in dirty:
                caller.flush()

    def _mark_dirty(self, caller: Caller) -> None:
        if not self._dirty:
            self.node.turn.ask()
        self._dirty[caller] = None

    def receive(self, sender: NodeId, payload: bytes) -> None:
        """Take a peer's message; what comes before this node knows who holds the data is lost, as on any network."""
        if self.host is not None:
            self.host.receive(sender, payload)

    def peer_lost(self, peer: NodeId) -> None:
        """Learn that the link to a peer broke: nothing reaches it, whatever the failure detector still believes."""
        if self.host is not None:
            self.host.call(PeerDown(peer))
            self.node.turn.ask()

    def peer_found(self, peer: NodeId) -> None:
        """Learn that the link to a peer stands."""
        if self.host is not None:
            self.host.call(PeerUp(peer))
            self.node.turn.ask()

    def _on_output(self, output: Output) -> None:
        match output:
            case Answered():
                self.jobs.answered(output)
            case Failed():
                self.jobs.failed(output)
            case Settled(version):
                log.info("node %d: keyspace %s is settled on topology %d", self.node.env.node, self.name, version)
            case Agreed(peer, start, end):
                if self.repair is not None:
                    self.repair.agree(peer, start, end)
            case Divergent(peer, keys):
                if self.repair is not None:
                    self.repair.differ(peer, keys)
            case _:
                pass

    def _on_persist(self, records: tuple[Record, ...], ordinal: int) -> None:
        for record in records:
            self._note(record, ordinal)

    def _note(self, record: Record, ordinal: int) -> None:
        self._unwritten.note(record)
        self._last_ordinal = ordinal
        self._record_count += 1

    # -- checkpoints --------

    def _watch(self) -> None:
        """Every now and then: is there a newer topology, is a checkpoint due, is the disk full or free again?"""
        if self._is_stopped or self.node.failed.done():
            return
        self.check_space()
        self._take_topology()
        if self._is_checkpoint_due() and not self._tasks:
            task = asyncio.get_running_loop().create_task(self._checkpoint_quietly(), name="checkpoint")
            self._tasks[task] = None
            task.add_done_callback(lambda done: self._tasks.pop(done, None))
        self.node.env.clock.call_after(_WATCH_INTERVAL, self._watch)

    def check_space(self) -> None:
        """Refuse writes while the disk is short of space, and accept them when it is not any more."""
        self.jobs.write_refusal = _DISK_FULL if self.node.wal.is_short_of_space else None

    def _take_topology(self) -> None:
        """Take over what the log of the cluster says about who holds the data."""
        agreed = self.node.topologies.agreed(self.name)
        if agreed is None:
            return
        if self.machine is None:
            # A newcomer begins with those from whom it takes over its part.
            self._begin([], agreed.before)
        assert self.machine is not None, "it has begun"
        assert self.host is not None, "it has begun"
        # What follows later than next is told by peers: this node missed a movement.
        if agreed.topology.version == self.settled_version + 1 and agreed.topology != self.topology:
            self.host.call(Reconfigure(agreed.topology))
            self.node.turn.ask()

    def _is_checkpoint_due(self) -> bool:
        if self.node.env.clock.now() < self._retry_at or not self._record_count:
            return False
        storage = self.node.config.storage
        if self._unwritten.log_bytes >= storage.checkpoint_log_bytes:
            return True
        if self._record_count >= storage.checkpoint_entry_count:
            return True
        wal = self.node.wal
        return wal.segment_count > _SEGMENT_COUNT_KEPT and self.group in wal.holding_back()

    async def _checkpoint_quietly(self) -> None:
        try:
            await self.checkpoint()
        except DiskFull as cause:
            self._retry_at = Instant(self.node.env.clock.now() + _RETRY_AFTER)
            log.error("node %d: no checkpoint of %s: %s", self.node.env.node, self.name, cause)
        except StorageError as cause:
            self.node.fail(cause)

    async def checkpoint(self) -> None:
        """Make the copies durable at rest and let the log before them go."""
        async with self._lock:
            if not self._record_count:
                return
            taken, ordinal, record_count = self._unwritten, self._last_ordinal, self._record_count
            self._unwritten = Unwritten(taken.heads)
            try:
                await self.base.checkpoint(taken.changes, taken.meta(self.name, self.keyspace.rule))
            except DiskFull:
                self._unwritten.changes = {**taken.changes, **self._unwritten.changes}
                self._unwritten.log_bytes += taken.log_bytes
                raise
            self._record_count -= record_count
            self.checkpoint_count += 1
            if not self.node.failed.done():
                self.node.wal.release(self.group, ordinal + 1)
                self.node.turn.ask()

    # -- what is known --------

    @property
    def topology(self) -> Topology | None:
        """The newest topology that this node works with, while ranges move beside the one before it."""
        if self.machine is None:
            return None
        return self.machine.leaderless.next_topology or self.machine.leaderless.topology

    @property
    def settled_version(self) -> int:
        """The version of the topology that this node has settled on; 0 before it knows any."""
        return self.machine.leaderless.topology.version if self.machine is not None else 0

    @property
    def living_count(self) -> int:
        """How many keys this node holds that hold anything alive."""
        if self.machine is None:
            return 0
        return len(self.machine.leaderless.cells) - len(self.machine.leaderless.tombstones)

    @property
    def last_ordinal(self) -> int:
        """The ordinal of the last record that this keyspace wrote to the log; 0 before the first."""
        return self._last_ordinal

    def counters(self) -> dict[str, int]:
        """Return numbers of this keyspace on this node, by name."""
        jobs = self.jobs
        return {
            **(self.machine.counters() if self.machine is not None else {}),
            "keys": self.living_count,
            "reads": jobs.read_count,
            "writes": jobs.write_count,
            "failed": jobs.failed_count,
            "in_doubt": jobs.in_doubt_count,
            "pending": jobs.pending_count,
            "checkpoints": self.checkpoint_count,
            "topology_version": self.topology.version if self.topology is not None else 0,
            "settled_version": self.settled_version,
            "malformed": self.host.malformed_count if self.host is not None else 0,
        }


def machine_config(node: NodeId, keyspace: Keyspace, topology: Topology, value_bytes_max: int) -> AvailableConfig:
    """Return what a keyspace's declaration means to its machine."""
    declared = keyspace.replication
    purge: Purge = {"grace": "grace", "repair": "repair"}.get(declared.purge, "never")  # type: ignore[assignment]
    repair: ReadRepair = declared.read_repair  # type: ignore[assignment]
    leaderless = LeaderlessConfig(
        node=node,
        topology=topology,
        read_level=level_word(declared.read),
        write_level=level_word(declared.write) if keyspace.acknowledge else "NONE",
        sloppy=declared.sloppy,
        read_repair=repair,
        digest_reads=declared.digest_reads,
        speculative_delay=milliseconds(declared.speculative_delay_ms),
        request_timeout=milliseconds(declared.request_timeout_ms),
        hint_delay=milliseconds(declared.hint_delay_ms),
        hint_window=seconds(declared.hint_window_s),
        hint_count_max=declared.hint_count_max,
        hint_rate=declared.hint_rate,
        purge=purge,
        tombstone_grace=seconds(declared.tombstone_grace_s),
        stream_rate=declared.stream_rate,
        pending_count_max=declared.pending_count_max,
        sibling_count_max=declared.sibling_count_max,
        value_bytes_max=value_bytes_max,
    )
    if not declared.anti_entropy:
        return AvailableConfig(leaderless=leaderless, swim=declared.detector)
    cycle = seconds(declared.anti_entropy_interval_s)
    return AvailableConfig.standard(leaderless, swim=declared.detector, cycle=cycle)
