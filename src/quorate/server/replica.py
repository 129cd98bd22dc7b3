"""Replica: one group's machine, state and checkpoints on one node."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from quorate.kernel import GroupId, Instant, LogIndex, NodeId, Output, Record, marks, milliseconds, seconds
from quorate.kernel.errors import DiskFull, NotLeader, Refused, StorageError, TimedOut
from quorate.protocols.raft import (
    MESSAGES,
    RECORDS,
    Append,
    Compact,
    Configuration,
    HardState,
    Leader,
    PeerLost,
    Raft,
    RaftConfig,
    RaftRecord,
    SendSnapshot,
    SnapshotMarker,
)
from quorate.replication import Group, GroupConfig, Host, Sink, Snapshots, Source, Vocabulary
from quorate.server.keyspaces import DATABASE_COUNT
from quorate.storage import Base
from quorate.store import BATCHES, NEEDS_LOG, Batch, Command, KeyValueStore, Limits, NodeInfo, Reply, ReplyError

if TYPE_CHECKING:
    from quorate.server.node import Node

log = logging.getLogger("quorate.replica")

SYSTEM_DB = DATABASE_COUNT
"""The database in which the cluster keeps what it must agree on about itself; doors do not offer it."""

_WATCH_INTERVAL = milliseconds(200)
_RETRY_AFTER = seconds(5)
_SEGMENT_COUNT_KEPT = 2
"""Files of the log that are kept without complaint; with more, groups that hold the oldest back let go of it."""
_REWRITE_BYTES_MAX = 4 << 20

MEMBERS_KEY = b"members"
REMOVED = b"-"


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What a checkpoint remembers of the log: the term at its index and the configuration in force."""

    term: int
    configuration: Configuration


_MARKS = msgspec.msgpack.Decoder(Mark)


def canonical(records: Iterable[RaftRecord]) -> list[RaftRecord]:
    """Return what a sequence of records amounts to: the last promise, the last marker, the entries still held.

    The oldest files of the log may be gone, so the sequence may begin in the middle; what is missing then lies
    before the last marker. Complexity: O(entries).
    """
    hard: HardState | None = None
    marker: SnapshotMarker | None = None
    entries: dict[int, Any] = {}
    for record in records:
        match record:
            case HardState():
                hard = record
            case SnapshotMarker():
                marker = record
                held = entries.get(record.index)
                is_other_log = held is not None and held.term != record.term
                is_behind = held is None and (not entries or next(reversed(entries)) < record.index)
                if is_other_log or is_behind:
                    entries.clear()
            case Append(appended):
                first_index = appended[0].index
                while entries and next(reversed(entries)) >= first_index:
                    entries.popitem()
                if entries and next(reversed(entries)) != first_index - 1:
                    entries.clear()
                entries.update((entry.index, entry) for entry in appended)
    found: list[RaftRecord] = [record for record in (hard, marker) if record is not None]
    if entries:
        found.append(Append(tuple(entries.values())))
    return found


def open_state(base: Base, *, value_bytes_max: int = 1 << 30, cache_bytes_max: int = 64 << 20) -> KeyValueStore:
    """Return the state machine of a group at its last checkpoint."""
    return KeyValueStore(
        base,
        Limits(
            database_count=DATABASE_COUNT + 1,
            system_database=SYSTEM_DB,
            value_bytes_max=value_bytes_max,
            cache_bytes_max=cache_bytes_max,
        ),
    )


async def founding_mark(state: KeyValueStore, founders: tuple[NodeId, ...]) -> None:
    """Make a state at rest the beginning of a new cluster's life: these members, and no memory of others."""
    forgotten = Command(SYSTEM_DB, [b"FLUSHDB"])
    state.apply(LogIndex(state.applied_index + 1), 0, [forgotten])
    state.host_bytes = msgspec.msgpack.encode(Mark(state.applied_term, Configuration(founders)))
    await state.checkpoint()


class Replica:
    """Wires one group together: records to machine, machine to group, group to state, state to checkpoints."""

    def __init__(self, node: "Node", group: GroupId, base: Base) -> None:
        self.node = node
        self._group_id = group
        self.base = base
        self.state = self.make_state(base)
        self.checkpoint_count = 0
        self._lock = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._is_stopped = False
        # The table of members as the links know it.
        self._seen_table: dict[NodeId, tuple[str, str]] = {}
        # Payload bytes appended since the last checkpoint.
        self._log_bytes = 0
        self._checkpointed_index = self.state.applied_index
        # After a checkpoint that failed for want of space the next one waits until then.
        self._retry_at = Instant(0)
        # First index and ordinal of every Append in the log, oldest first: what may be released after a checkpoint.
        self._appends: deque[tuple[int, int]] = deque()
        config = node.config
        self.group = Group(
            node.env,
            node.turn,
            node.links,
            self.state,
            Vocabulary(
                encode=lambda commands: BATCHES.encode(Batch(commands)),
                decode=lambda data: BATCHES.decode(data).commands,
                error=ReplyError,
                needs_log=NEEDS_LOG,
                tick=lambda: Command(0, [b"QUORATE.TICK"]),
            ),
            group=group,
            config=GroupConfig(
                request_timeout=config.request_timeout,
                pending_count_max=config.limits.pending_count_max,
                inflight_batch_max=config.limits.inflight_batch_max,
                gather_turn_max=config.limits.gather_turn_max,
            ),
        )
        self.group.on_send_snapshot = self._send_snapshot
        self.group.on_reconfigured = lambda _configuration: node.members_changed()
        self.group.on_admin_result = node.admin_result
        self.group.on_failed = node.fail
        self._recovered = [(ordinal, RECORDS.decode(data)) for ordinal, data in node.wal.recovered(group)]
        self.machine = self.make_machine()
        self.group.configuration = self._initial_configuration()
        host = Host(
            node.env,
            self.machine,
            group=group,
            messages=MESSAGES,
            log=node.wal,
            links=node.links,
            on_output=self._on_output,
            on_persist=self._on_persist,
        )
        self.group.attach(host)
        self.snapshots = Snapshots(
            node.env,
            node.links,
            host,
            open_source=self._open_source,
            open_sink=self.base.restore,
            replaced=self._replace,
            applied_index=lambda: self.state.applied_index,
            term=lambda: self.group.term,
        )

    # -- making --------

    def make_state(self, base: Base) -> KeyValueStore:
        """Return the state machine at its last checkpoint."""
        limits = self.node.config.limits
        return open_state(base, value_bytes_max=limits.value_bytes_max, cache_bytes_max=limits.cache_bytes_max)

    def make_machine(self) -> Raft:
        """Return the machine with what it had persisted."""
        config = self.node.config
        founders = () if config.join else tuple(sorted(NodeId(node) for node in config.peers))
        for ordinal, record in self._recovered:
            if isinstance(record, Append):
                self._appends.append((record.entries[0].index, ordinal))
        return Raft(
            RaftConfig(
                node=self.node.env.node,
                configuration=Configuration(founders),
                election_timeout=milliseconds(config.timing.election_timeout_ms),
                heartbeat_interval=milliseconds(config.timing.heartbeat_interval_ms),
                trailing_entry_count=config.storage.trailing_entry_count,
                lease_reads=config.lease_reads,
                notify_commit=False,
            ),
            self._records(),
            self.node.env.rng,
        )

    def _records(self) -> list[RaftRecord]:
        """Return what the machine begins with; where the state at rest is ahead of the log, the log is told so first.

        A crash between the replacement of the state by a snapshot and the marker in the log leaves them so, and so does
        a restored backup. The marker goes before all that this life appends.
        """
        records = canonical(record for _ordinal, record in self._recovered)
        mark = self.mark
        known = next((record.index for record in records if isinstance(record, SnapshotMarker)), None)
        if mark is None or (known is not None and known >= self.state.applied_index):
            return records
        hard = next((record for record in records if isinstance(record, HardState)), HardState(0, None))
        if hard.term < mark.term:
            # Whoever holds an entry of a term has seen that term, and gave no vote in it that is remembered.
            hard = HardState(mark.term, None)
        ahead = (hard, SnapshotMarker(self.state.applied_index, mark.term, mark.configuration))
        self.node.wal.append(self._group_id, [RECORDS.encode(record) for record in ahead])
        return canonical([*records, *ahead])

    def _initial_configuration(self) -> Configuration:
        mark = self.mark
        if mark is not None:
            return mark.configuration
        founders = () if self.node.config.join else tuple(sorted(NodeId(node) for node in self.node.config.peers))
        return Configuration(founders)

    @property
    def mark(self) -> Mark | None:
        """What the last checkpoint remembers of the log; None before the first."""
        data = self.state.host_bytes
        return _MARKS.decode(data) if data else None

    # -- life --------

    def start(self) -> None:
        """Give the machine its first event."""
        self._recovered = []
        mark = self.mark
        if mark is not None:
            self.group.applied_term = mark.term
        self.group.host.start()
        self._watch()

    def stop(self) -> None:
        """Fail what waits; take no more events."""
        self._is_stopped = True
        self.snapshots.stop()
        self.group.stop()

    async def close(self) -> None:
        """Wait for what is under way with the state at rest, and close it."""
        await self.snapshots.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.base.close()

    def peer_lost(self, peer: NodeId) -> None:
        """Tell the machine that a link broke."""
        self.group.host.call(PeerLost(peer))

    def _on_output(self, output: Output) -> None:
        self.group.on_output(output)

    def _on_persist(self, records: tuple[Record, ...], ordinal: int) -> None:
        for record in records:
            if isinstance(record, Append):
                self._appends.append((record.entries[0].index, ordinal))
                self._log_bytes += sum(len(entry.payload) for entry in record.entries)

    # -- checkpoints --------

    def _watch(self) -> None:
        """Every now and then: is a checkpoint due, is the disk full, is it free again?"""
        if self._is_stopped or self.node.failed.done():
            return
        self.check_space()
        self._watch_members()
        if self._is_checkpoint_due() and not self._tasks:
            task = asyncio.get_running_loop().create_task(self._checkpoint_quietly(), name="checkpoint")
            self._tasks[task] = None
            task.add_done_callback(lambda done: self._tasks.pop(done, None))
        self.node.env.clock.call_after(_WATCH_INTERVAL, self._watch)

    def _watch_members(self) -> None:
        """Take over what the log says about members, on every node: who was removed is let in nowhere any more."""
        if self is self.node.first and self._table() != self._seen_table:
            self._seen_table = self._table()
            self.node.members_changed()

    def check_space(self) -> None:
        """Refuse writes while the disk is short of space, and accept them when it is not any more."""
        group = self.group
        is_short = self.node.wal.is_short_of_space
        if is_short and group.write_refusal is None:
            group.write_refusal = ("DISKFULL", "no space is left on this node's disk; reads go on, nothing was done")
            log.error("node %d: the disk is full, writes are refused", self.node.env.node)
        elif not is_short and group.write_refusal is not None:
            group.write_refusal = None
            log.warning("node %d: the disk has space again, writes are accepted", self.node.env.node)

    def _is_checkpoint_due(self) -> bool:
        if self.node.env.clock.now() < self._retry_at:
            return False
        storage = self.node.config.storage
        entry_count = self.state.applied_index - self._checkpointed_index
        if self._log_bytes >= storage.checkpoint_log_bytes or entry_count >= storage.checkpoint_entry_count:
            return True
        return self._holds_back()

    def _holds_back(self) -> bool:
        """Whether old files of the log are kept for the sake of this group, which has hardly anything in them."""
        wal = self.node.wal
        return wal.segment_count > _SEGMENT_COUNT_KEPT and self.group.group in wal.holding_back()

    async def _checkpoint_quietly(self) -> None:
        try:
            await self.checkpoint()
            if self._holds_back():
                self._release(is_whole=True)
        except DiskFull as cause:
            self._retry_at = Instant(self.node.env.clock.now() + _RETRY_AFTER)
            log.error("node %d: no checkpoint: %s", self.node.env.node, cause)
        except StorageError as cause:
            self.node.fail(cause)

    async def checkpoint(self) -> LogIndex:
        """Make the applied state durable and let the log before it go; return the index."""
        async with self._lock:
            index = self.state.applied_index
            if index > self._checkpointed_index:
                log_bytes = self._log_bytes
                self.state.applied_term = self.group.applied_term
                self.state.host_bytes = msgspec.msgpack.encode(Mark(self.group.applied_term, self.group.configuration))
                await self.state.checkpoint()
                self._log_bytes -= log_bytes
                self._checkpointed_index = index
                self.checkpoint_count += 1
                if not self.node.failed.done():
                    self.group.host.call(Compact(index))
                    self._release()
            return index

    def _release(self, *, is_whole: bool = False) -> None:
        """Let go of the part of the log that a restart does not need; the promises are written again first.

        Args:
            is_whole: write also the entries that are held again, if they are few, so that everything before can go.
                They make one frame, which a crash leaves whole or not at all.
        """
        records = self.machine.recovery_records()
        held = [record for record in records if isinstance(record, Append)]
        held_bytes = sum(len(entry.payload) for record in held for entry in record.entries)
        is_whole = is_whole and held_bytes <= _REWRITE_BYTES_MAX
        if not is_whole:
            records = tuple(record for record in records if not isinstance(record, Append))
        encoder = msgspec.msgpack.Encoder()
        ordinal = self.node.wal.append(self.group.group, [encoder.encode(record) for record in records])
        needed = ordinal
        if is_whole:
            marks.hit("replica: an idle group wrote its log again, so that old files can go")
            self._appends = deque((record.entries[0].index, ordinal) for record in held)
        else:
            self._forget_appends()
            if self._appends:
                needed = min(needed, self._appends[0][1])
        self.node.wal.release(self.group.group, needed)
        self.node.turn.ask()

    def _forget_appends(self) -> None:
        """Drop from the list what lies wholly before the machine's log."""
        first_index = self.machine.log.base_index + 1
        while self._appends and self._appends[0][0] < first_index:
            oldest = self._appends.popleft()
            if not self._appends or self._appends[0][0] > first_index:
                self._appends.appendleft(oldest)
                break

    # -- snapshots --------

    def _send_snapshot(self, output: SendSnapshot) -> None:
        self.snapshots.send(output.to)

    async def _open_source(self) -> tuple[SnapshotMarker, Source]:
        if self.mark is None or self._checkpointed_index < self.machine.log.base_index:
            await self.checkpoint()
        async with self._lock:
            mark = self.mark
            if mark is None:
                raise Refused("there is no checkpoint yet")
            return SnapshotMarker(self._checkpointed_index, mark.term, mark.configuration), self.base.snapshot()

    async def _replace(self, sink: Sink, marker: SnapshotMarker) -> None:
        async with self._lock:
            if marker.index <= self.state.applied_index:
                raise Refused("the log was faster")
            # Nothing is applied while the state at rest changes: it would be lost, or read half old and half new.
            self.group.pause()
            try:
                await sink.finish()
                self.state.reload()
                self._checkpointed_index = self.state.applied_index
                self.group.applied_term = marker.term
                self.group.configuration = marker.configuration
                marks.hit("replica: the state was replaced by a snapshot")
            finally:
                self.group.replaced()
            self.node.state_replaced()

    # -- members --------

    @property
    def configuration(self) -> Configuration:
        """The newest configuration in this node's log."""
        return self.machine.configuration

    def members(self) -> dict[NodeId, tuple[str, str]]:
        """Return what the log says about where nodes are: peer and Redis address."""
        return {node: (peer, redis) for node, (peer, redis) in self._table().items() if peer != "-"}

    def removed_nodes(self) -> dict[NodeId, None]:
        """Return the nodes that were removed; their ids are never used again."""
        return {node: None for node, (peer, _redis) in self._table().items() if peer == "-"}

    def _table(self) -> dict[NodeId, tuple[str, str]]:
        reply = self.state.query(Command(SYSTEM_DB, [b"HGETALL", MEMBERS_KEY]), 0)
        if not isinstance(reply, dict):
            return {}
        found: dict[NodeId, tuple[str, str]] = {}
        for key, value in reply.items():
            if isinstance(key, bytes) and isinstance(value, bytes):
                peer, _, redis = value.decode().partition(" ")
                found[NodeId(int(key))] = (peer, redis)
        return found

    async def set_member(self, node: NodeId, peer: str, redis: str) -> None:
        """Agree on where a node is."""
        if node in self.removed_nodes():
            raise Refused(f"node id {node} was used before; ids are never used again")
        await self._run([b"HSET", MEMBERS_KEY, str(node).encode(), f"{peer} {redis}".encode()])
        self.node.members_changed()

    async def remove_member(self, node: NodeId) -> None:
        """Agree that a node id is gone for good."""
        await self._run([b"HSET", MEMBERS_KEY, str(node).encode(), REMOVED])
        self.node.members_changed()

    async def _run(self, args: list[bytes]) -> None:
        from quorate.server.node import Answer

        answer = Answer()
        self.group.write(Command(SYSTEM_DB, args), answer)
        await answer.result()

    def match_index_of(self, node: NodeId) -> LogIndex:
        """Return how much of the log a peer is known to hold; 0 where this node does not lead."""
        role = self.machine.role
        progress = role.progress.get(node) if isinstance(role, Leader) else None
        return progress.match_index if progress is not None else LogIndex(0)

    async def wait_for_learner(self, node: NodeId, *, timeout_s: float) -> None:
        """Wait until a learner holds nearly everything; raise TimedOut when it does not get there."""
        deadline = self.node.env.clock.now() + seconds(timeout_s)
        while self.match_index_of(node) + 100 < self.group.commit_index or not self.match_index_of(node):
            if not self.group.is_leader:
                raise NotLeader("the leader changed meanwhile; the node stays a learner, ask again to promote it")
            if self.node.env.clock.now() > deadline:
                raise TimedOut(f"node {node} has not caught up; it stays a learner, ask again to promote it")
            await asyncio.sleep(0.05)

    def describe_members(self) -> Reply:
        """Return one map per member: id, part, peer address, Redis address, whether it is reachable."""
        configuration, addresses, node = self.configuration, self.node.addresses(), self.node
        return [
            {
                b"node": member,
                b"part": b"voter" if configuration.is_voter(member) else b"learner",
                b"peer": str(addresses.get(member, "?")).encode(),
                b"redis": node.redis_addresses.get(member, "?").encode(),
                b"reachable": int(member == node.env.node or node.links.is_up(member)),
            }
            for member in configuration.members
        ]

    def info(self) -> NodeInfo:
        """Return what this node knows of the group and itself."""
        node, group = self.node, self.group
        role = group.role if self.configuration.is_voter(node.env.node) or group.is_leader else "learner"
        counters = {
            "groups": len(node.replicas),
            "writes": group.counters.write_count,
            "reads": group.counters.read_count,
            "batches": group.counters.batch_count,
            "timed_out": group.counters.timed_out_count,
            "lost_in_leader_change": group.counters.lost_count,
            "overloaded": group.counters.overloaded_count,
            "checkpoints": self.checkpoint_count,
            "snapshots_sent": self.snapshots.sent_count,
            "snapshots_received": self.snapshots.received_count,
            "frames_dropped": node.links.dropped_count,
            "peers_refused": node.links.refused_count,
            "malformed": group.host.malformed_count,
            "keys": sum(self.state.key_counts()[:DATABASE_COUNT]),
        }
        leader = group.leader
        return NodeInfo(
            node=node.env.node,
            role=role,
            leader=leader,
            leader_address=node.redis_addresses.get(leader) if leader is not None else None,
            term=group.term,
            commit_index=LogIndex(group.commit_index),
            applied_index=self.state.applied_index,
            peers=node.peer_infos({peer: self.match_index_of(peer) for peer in node.peers()}),
            counters=counters,
        )
