"""Node: one member of a cluster: its log, its links, its groups, its state. What doors see is a `Backend`.

Start: recover the log, give every machine its records, open every state at its last checkpoint, then speak to peers.
Stop: answer what waits (definite or indefinite), then close. A failed sync stops the node at once: what the disk
holds is then unknown, and only a restart can tell.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from quorate.env import Address, Env
from quorate.kernel import GroupId, LogIndex, NodeId
from quorate.kernel.errors import (
    ConfigError,
    DefiniteError,
    NotLeader,
    QuorateError,
    Refused,
    StorageError,
    TimedOut,
    from_code,
)
from quorate.protocols.leaderless import Topology
from quorate.protocols.raft import Configuration, Reconfigure, TransferLeadership
from quorate.replication import PIECES, Group, Kind, Links, Turn
from quorate.server.absorbing import absorb_named, cells_of
from quorate.server.available import AvailableReplica
from quorate.server.chooser import Chooser, Lane, LaneName
from quorate.server.config import Config, parse_address
from quorate.server.described import keyspace_infos
from quorate.server.keyspaces import Keyspace, group_of, is_leaderless
from quorate.server.repairs import repair_named
from quorate.server.replica import SYSTEM_DB, Replica
from quorate.server.rest import settle
from quorate.server.router import Router
from quorate.server.topologies import Topologies, first_topology
from quorate.storage import Base, WriteAheadLog
from quorate.store import OK, Change, Command, NodeInfo, PeerInfo, Reply, ReplyError

log = logging.getLogger("quorate.node")


_ADMIN_HELP = (
    "known are MEMBERS, ADD id peer-address redis-address, REMOVE id, TRANSFER id, SNAPSHOT, "
    "REPAIR keyspace [timeout-ms], ABSORB keyspace rule [key piece-count piece ...]"
)


class Answer:
    """A caller that waits for one reply with await."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def complete(self, reply: Any) -> None:
        """Take the reply."""
        if not self._future.done():
            self._future.set_result(reply)

    def flush(self) -> None:
        """Nothing is left to write."""

    async def result(self) -> Any:
        """Return the reply; raise the error that it is."""
        reply = await self._future
        if isinstance(reply, ReplyError):
            raise from_code(reply.code, reply.text)
        return reply


class Node:
    """One member of a cluster on one Env."""

    def __init__(
        self,
        env: Env,
        config: Config,
        *,
        make_base: Callable[[GroupId], Base],
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
        replica_class: type[Replica] = Replica,
    ) -> None:
        self.env = env
        self.config = config
        self.turn = Turn()
        self.links = Links(env, self.turn, cluster=config.cluster, server_tls=server_tls, client_tls=client_tls)
        self.on_publish: Callable[[bytes, bytes], int] | None = None
        # Completed with the cause when the node cannot go on.
        self.failed: asyncio.Future[QuorateError] = asyncio.get_running_loop().create_future()
        self.replicas: dict[GroupId, Replica] = {}
        self.redis_addresses: dict[NodeId, str] = {NodeId(int(k)): v for k, v in config.redis.items()}
        self.peer_address = Address("", 0)
        self._make_base = make_base
        self._replica_class = replica_class
        self._wal: WriteAheadLog | None = None
        self._is_stopped = False
        self._admin_token = 1 << 62
        self._admin_results: dict[int, asyncio.Future[None]] = {}
        self._admin_tasks: dict[asyncio.Task[None], None] = {}
        # Absent where one group decides about everything: the hot path then has nothing in between.
        self._writes: Router | Lane | None = None
        self._reads: Router | Lane | None = None
        self._local_reads: Router | Lane | None = None
        self.available: dict[GroupId, AvailableReplica] = {}
        self.topologies = Topologies(self)
        if config.group_count > 1:
            self._writes = Router(config.group_count, lambda place, *rest: self._group(place).write(*rest))
            self._reads = Router(config.group_count, lambda place, *rest: self._group(place).read(*rest))
            self._local_reads = Router(config.group_count, self._read_local)
        self._watchers: dict[Callable[[Change], None], None] = {}
        # Called when changes happened that no watcher was told of.
        self.on_missed: dict[Callable[[], None], None] = {}

    # -- life --------

    @property
    def wal(self) -> WriteAheadLog:
        """The write-ahead log of this node."""
        assert self._wal is not None, "a node is started before it is used"
        return self._wal

    async def start(self) -> None:
        """Recover and join the cluster; raise StorageError or OSError with what to do."""
        storage = self.config.storage
        self._wal = await WriteAheadLog.open(
            self.env.disk,
            cluster=self.config.cluster,
            node=self.env.node,
            segment_bytes_max=storage.segment_bytes_max,
            free_bytes_min=storage.free_bytes_min,
            reserve_bytes=storage.reserve_bytes,
            inline_bytes_max=storage.inline_sync_bytes_max,
        )
        self._wal.on_stable = self._on_stable
        self._wal.on_failed = self._on_failed
        self._wal.on_full = lambda _cause: self._check_space()
        for number in range(1, self.config.group_count + 1):
            group = GroupId(number)
            self.replicas[group] = self._replica_class(self, group, self._make_base(group))
        self._open_keyspaces()
        stages = [replica.group.end_turn for replica in self.replicas.values()]
        stages += [replica.end_turn for replica in self.available.values()]
        callers = [replica.group.flush_callers for replica in self.replicas.values()]
        callers += [replica.flush_callers for replica in self.available.values()]
        for stage in (*stages, self.links.flush, self._wal.flush, *callers):
            self.turn.add(stage)
        self.links.on_frame(Kind.MESSAGE, self._on_message)
        self.links.on_frame(Kind.FORWARD, self._on_forward)
        self.links.on_frame(Kind.FORWARD_RESULT, self._on_forward_result)
        self.links.on_frame(Kind.SNAPSHOT, self._on_snapshot)
        self.links.on_frame(Kind.PUBLISH, self._on_published)
        self.links.on_lost(self._on_lost)
        self.links.on_found(self._on_found)
        if self.config.listen.peer:  # an embedded store has no peers
            self.peer_address = await self.links.start(parse_address(self.config.listen.peer, "listen.peer"))
        for replica in self.replicas.values():
            replica.start()
        for keyspace in self.available.values():
            keyspace.start()
        await self._settle_undeclared()
        self.members_changed()
        self.turn.ask()

    def _open_keyspaces(self) -> None:
        """Open what leaderless keyspaces hold at rest, and stand before Raft with what chooses between keyspaces."""
        for name, keyspace in sorted(self.config.keyspaces.items()):
            if keyspace.is_leaderless:
                group = group_of(name)
                self.available[group] = AvailableReplica(self, name, keyspace, self._make_base(group))
        if not self.config.keyspaces:
            return
        first = self.first.group
        to_raft: dict[LaneName, Callable[[Command, Any], None]] = {
            "write": self._writes.route if self._writes is not None else first.write,
            "read": self._reads.route if self._reads is not None else first.read,
            "local": self._local_reads.route if self._local_reads is not None else partial(self._read_local, 0),
        }
        jobs = {replica.name: replica.jobs for replica in self.available.values()}
        chooser = Chooser(self.config.keyspaces, jobs, to_raft)
        self._writes, self._reads, self._local_reads = chooser.lanes()
        self.topologies.watch()

    @property
    def _parts(self) -> "tuple[Replica | AvailableReplica, ...]":
        """Everything that writes to the log of this node."""
        return (*self.replicas.values(), *self.available.values())

    async def _settle_undeclared(self) -> None:
        """Put records of keyspaces that are not declared any more to rest, so that they do not hold the log back."""
        for group in self.wal.recovered_groups():
            if is_leaderless(group):
                base = self._make_base(group)
                try:
                    await settle(base, self.wal, group)
                finally:
                    base.close()

    def first_topology(self, keyspace: Keyspace) -> Topology | None:
        """Return which nodes hold a new keyspace; None on a node that joins a cluster: it will be told."""
        if self.config.join:
            return None
        nodes = tuple(NodeId(int(node)) for node in self.config.peers)
        return first_topology(keyspace, nodes, self.topologies.sites)

    async def run_system(self, args: list[bytes]) -> Reply:
        """Run a command in the database in which the cluster keeps what it agrees on; raise the error that it is."""
        answer = Answer()
        self.first.group.write(Command(SYSTEM_DB, args), answer)
        self.turn.ask()
        reply: Reply = await answer.result()
        return reply

    def _check_space(self) -> None:
        for replica in self.replicas.values():
            replica.check_space()
        for keyspace in self.available.values():
            keyspace.check_space()

    async def checkpoint_quietly(self) -> None:
        """Make what was applied durable before a stop in good order, so that the next start replays nothing."""
        if not self.failed.done() and self._wal is not None:
            for replica in self._parts:
                with contextlib.suppress(QuorateError):
                    await replica.checkpoint()

    async def stop(self) -> None:
        """Answer what waits and close everything."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for task in self._admin_tasks:
            task.cancel()
        await asyncio.gather(*self._admin_tasks, return_exceptions=True)
        await self.topologies.stop()
        for replica in self._parts:
            replica.stop()
        self.links.flush()
        await self.links.stop()
        for replica in self._parts:
            await replica.close()
        if self._wal is not None:
            await self._wal.close()

    def fail(self, cause: QuorateError) -> None:
        """Stop being a member at once: the cause is what `failed` is completed with."""
        if not self.failed.done():
            log.critical("node %d cannot go on: %s", self.env.node, cause)
            self.failed.set_result(cause)
            for replica in self.replicas.values():
                replica.group.host.stop()
            for keyspace in self.available.values():
                keyspace.halt()

    def _on_stable(self, ordinal: int) -> None:
        for replica in self.replicas.values():
            replica.group.host.stable(ordinal)
        for keyspace in self.available.values():
            keyspace.stable(ordinal)
        self.turn.ask()

    def _on_failed(self, cause: QuorateError) -> None:
        self.fail(cause)

    # -- frames from peers --------

    def _on_message(self, sender: NodeId, payload: bytes) -> None:
        group = GroupId(int.from_bytes(payload[:4], "big"))
        replica = self.replicas.get(group)
        if replica is not None:
            replica.group.host.receive(sender, payload[4:])
            self.turn.ask()
            return
        keyspace = self.available.get(group)
        if keyspace is not None:
            keyspace.receive(sender, payload[4:])
            self.turn.ask()

    def _on_forward(self, sender: NodeId, payload: bytes) -> None:
        replica = self.replicas.get(GroupId(int.from_bytes(payload[:4], "big")))
        if replica is not None:
            replica.group.on_forward(sender, payload)
            self.turn.ask()

    def _on_forward_result(self, sender: NodeId, payload: bytes) -> None:
        replica = self.replicas.get(GroupId(int.from_bytes(payload[:4], "big")))
        if replica is not None:
            replica.group.on_forward_result(sender, payload)
            self.turn.ask()

    def _on_snapshot(self, sender: NodeId, payload: bytes) -> None:
        piece = PIECES.decode(payload)
        replica = self.replicas.get(piece.group)
        if replica is not None:
            replica.snapshots.receive(sender, piece)

    def _on_lost(self, peer: NodeId) -> None:
        for replica in self.replicas.values():
            replica.peer_lost(peer)
        for keyspace in self.available.values():
            keyspace.peer_lost(peer)

    def _on_found(self, peer: NodeId) -> None:
        for keyspace in self.available.values():
            keyspace.peer_found(peer)

    # -- Backend: what doors need --------

    @property
    def first(self) -> Replica:
        """The replica of the first group, which also keeps what concerns the whole cluster."""
        return self.replicas[GroupId(1)]

    def _group(self, place: int) -> Group:
        return self.replicas[GroupId(place + 1)].group

    def write(self, command: Command, caller: Any) -> None:
        """Send a command to its keyspace: on Raft, through the log of the group of its keys."""
        if self._writes is None:
            self.first.group.write(command, caller)
        else:
            self._writes.route(command, caller)

    def read(self, command: Command, caller: Any) -> None:
        """Make a read: on Raft, a linearizable one."""
        if self._reads is None:
            self.first.group.read(command, caller)
        else:
            self._reads.route(command, caller)

    def read_local(self, command: Command, caller: Any) -> None:
        """Answer from what this node has applied, or from one copy; possibly stale."""
        if self._local_reads is None:
            self._read_local(0, command, caller)
        else:
            self._local_reads.route(command, caller)

    def _read_local(self, place: int, command: Command, caller: Any) -> None:
        try:
            reply: Any = self.replicas[GroupId(place + 1)].state.query(command, 0)
        except StorageError as cause:
            self.fail(cause)
            reply = ReplyError("UNREACHABLE", "the node's state cannot be read")
        caller.complete(reply)
        caller.flush()

    def publish(self, channel: bytes, payload: bytes) -> int:
        """Hand a message to the subscribers on every node; return how many there are on this one."""
        message = len(channel).to_bytes(4, "big") + channel + payload
        for peer in self.peers():
            self.links.send(peer, Kind.PUBLISH, message)
        return self.on_publish(channel, payload) if self.on_publish is not None else 0

    def _on_published(self, _sender: NodeId, payload: bytes) -> None:
        size_bytes = int.from_bytes(payload[:4], "big")
        if self.on_publish is not None and len(payload) >= 4 + size_bytes:
            self.on_publish(payload[4 : 4 + size_bytes], payload[4 + size_bytes :])

    def watch(self, watcher: Callable[[Change], None]) -> int:
        """Call for every change that this node applies from now on; return the revision it has reached."""
        self._watchers[watcher] = None
        self._set_change_hook()
        return self.first.state.revision

    def unwatch(self, watcher: Callable[[Change], None]) -> None:
        """Call no more."""
        self._watchers.pop(watcher, None)
        self._set_change_hook()

    def state_replaced(self) -> None:
        """A snapshot was taken over: members may have changed, and what changed meanwhile was told to no watcher."""
        self.members_changed()
        for listener in list(self.on_missed):
            listener()

    def _set_change_hook(self) -> None:
        hook = self._changed if self._watchers else None
        for replica in self.replicas.values():
            replica.state.on_change = hook

    def _changed(self, change: Change) -> None:
        for listener in list(self._watchers):
            listener(change)

    def peers(self) -> tuple[NodeId, ...]:
        """The other nodes of the cluster, sorted."""
        return tuple(node for node in sorted(self.addresses()) if node != self.env.node)

    def info(self) -> NodeInfo:
        """Return what this node knows of itself, its peers and its keyspaces."""
        info = self.first.info()
        info.keyspaces = keyspace_infos(self.config, {replica.name: replica for replica in self.available.values()})
        return info

    # -- members --------

    def addresses(self) -> dict[NodeId, Address]:
        """Where each node is reached: this node's own configuration first, then what the log says."""
        found: dict[NodeId, Address] = {}
        for node, (peer, _redis) in self.first.members().items():
            with contextlib.suppress(ConfigError):  # nobody but `set_member` writes it, and that checks
                found[node] = parse_address(peer, "members")
        found.update(self.config.peer_addresses)
        removed = self.first.removed_nodes()
        return {node: address for node, address in found.items() if node not in removed}

    def members_changed(self) -> None:
        """Take over the addresses that the log says; called when the members table or a configuration changed."""
        for node, (_peer, redis) in self.first.members().items():
            self.redis_addresses.setdefault(node, redis)
        for node in self.first.removed_nodes():
            self.redis_addresses.pop(node, None)
        self.links.set_peers(self.addresses())

    def admin(self, name: bytes, args: list[bytes], caller: Any) -> None:
        """Carry out an administrator's command (see `administer`); the reply comes later."""
        task = asyncio.get_running_loop().create_task(self._admin(name, args, caller), name="admin")
        self._admin_tasks[task] = None
        task.add_done_callback(lambda done: self._admin_tasks.pop(done, None))

    async def _admin(self, name: bytes, args: list[bytes], caller: Any) -> None:
        reply: Reply
        try:
            reply = await self.administer(name, args)
        except QuorateError as cause:
            reply = ReplyError(cause.code, str(cause))
        except (ValueError, IndexError):
            reply = ReplyError("ERR", _ADMIN_HELP)
        except asyncio.CancelledError:
            reply = ReplyError("STOPPED", "the node stopped while this was under way")
        except OSError as cause:
            reply = ReplyError("ERR", str(cause))
        caller.complete(reply)
        caller.flush()

    async def administer(self, name: bytes, args: list[bytes]) -> Reply:
        """Carry out an administrator's command and return its reply.

        MEMBERS, SNAPSHOT, REPAIR and ABSORB are done by any node, ADD, REMOVE and TRANSFER by the leader.

        Raises:
            DefiniteError: refused, with the reason; NOTLEADER names the leader.
            IndefiniteError: it may still happen.
        """
        if name == b"MEMBERS":
            return self.first.describe_members()
        if name == b"SNAPSHOT":
            for replica in self._parts:
                await replica.checkpoint()
            return OK
        if name == b"REPAIR":
            return await repair_named(self, args[0].decode(errors="replace"), *map(int, args[1:2]))
        if name == b"ABSORB":
            return await absorb_named(self, args[0].decode(errors="replace"), args[1].decode(), cells_of(args[2:]))
        if not self.first.group.is_leader:
            leader = self.first.group.leader
            where = self.redis_addresses.get(leader, "?") if leader is not None else "unknown"
            raise NotLeader(f"this node is not the leader; the leader is at {where}")
        if name == b"TRANSFER":
            return await self._transfer(NodeId(int(args[0])))
        if name == b"ADD":
            return await self._add_member(NodeId(int(args[0])), args[1].decode(), args[2].decode())
        if name == b"REMOVE":
            return await self._remove_member(NodeId(int(args[0])))
        raise Refused(_ADMIN_HELP)

    async def _transfer(self, to: NodeId) -> Reply:
        """Hand over every group that this node leads; one that is led elsewhere already is left alone."""
        if not self.first.configuration.is_voter(to):
            raise Refused(f"node {to} is not a voter")
        for replica in self.replicas.values():
            if replica.group.is_leader and to != self.env.node:
                await self._ask(replica, lambda token: TransferLeadership(to, token))
        await self._until(lambda: self.first.group.leader == to, "leadership was handed over and not taken yet")
        return OK

    async def _until(self, is_so: Callable[[], bool], sentence: str) -> None:
        """Wait for something to become true; raise TimedOut after the time-out of a request."""
        deadline = self.env.clock.now() + self.config.request_timeout
        while not is_so():
            if self.env.clock.now() > deadline:
                raise TimedOut(sentence)
            await asyncio.sleep(0.02)

    def _require_leadership(self, replica: Replica) -> None:
        """Raise NotLeader where another node leads the group: that one must change its members."""
        if not replica.group.is_leader:
            raise NotLeader(
                f"group {replica.group.group} is led by node {replica.group.leader}; transfer it here first"
            )

    async def _add_member(self, node: NodeId, peer: str, redis: str) -> Reply:
        """First its address, then a learner that catches up, then a voter: the quorum never waits for an empty log."""
        if node < 1:
            raise Refused("ids are whole numbers from 1")
        for text in (peer, redis):
            parse_address(text, f"node {node}")
        for other, address in self.addresses().items():
            if str(address) == peer and other != node:
                raise Refused(f"{peer} is the address of node {other}")
        await self.first.set_member(node, peer, redis)
        for replica in self.replicas.values():
            voters, learners = self._voters(replica)
            if node not in voters:
                self._require_leadership(replica)
                await self._reconfigure(replica, voters, tuple(sorted({*learners, node})))
                await replica.wait_for_learner(node, timeout_s=60.0)
                await self._reconfigure(
                    replica, tuple(sorted({*voters, node})), tuple(n for n in learners if n != node)
                )
        return OK

    async def _remove_member(self, node: NodeId) -> Reply:
        members = {member for replica in self.replicas.values() for member in replica.configuration.members}
        if node not in members and node not in self.addresses():
            raise Refused(f"node {node} is not a member")
        if self.first.configuration.voters == (node,):
            raise Refused("the last voter cannot be removed")
        if node == self.env.node:
            # A removed leader could not write down any more that it is gone: another one shall do all of it.
            others = [voter for voter in self.first.configuration.voters if voter != node]
            await self._transfer(max(others, key=self.first.match_index_of))
            leader = self.first.group.leader
            where = self.redis_addresses.get(leader, "?") if leader is not None else "unknown"
            raise NotLeader(f"this node handed over leadership to be removed; ask the leader at {where}")
        await self.topologies.remove(node)
        for replica in self.replicas.values():
            self._require_leadership(replica)
            voters, learners = self._voters(replica)
            await self._reconfigure(
                replica, tuple(n for n in voters if n != node), tuple(n for n in learners if n != node)
            )
        await self.first.remove_member(node)
        return OK

    @staticmethod
    def _voters(replica: Replica) -> tuple[tuple[NodeId, ...], tuple[NodeId, ...]]:
        configuration = replica.configuration
        return configuration.voters, configuration.learners

    async def _reconfigure(self, replica: Replica, voters: tuple[NodeId, ...], learners: tuple[NodeId, ...]) -> None:
        if (voters, learners) == self._voters(replica) and not replica.configuration.outgoing:
            return
        await self._ask(replica, lambda token: Reconfigure(voters, learners, token))
        await self._until(
            lambda: replica.configuration == Configuration(voters, learners),
            "the change of members was proposed and is not decided yet",
        )

    async def _ask(self, replica: Replica, call: Callable[[int], Any]) -> None:
        self._admin_token += 1
        token = self._admin_token
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._admin_results[token] = future
        try:
            replica.group.host.call(call(token))
            self.turn.ask()
            async with asyncio.timeout(self.config.request_timeout / 1e9):
                await future
        except TimeoutError as cause:
            raise TimedOut("no answer in time; it may still happen") from cause
        finally:
            self._admin_results.pop(token, None)

    def admin_result(self, token: int, reason: str | None) -> bool:
        """Take a machine's answer to an administrator's call; return whether the token was one of ours."""
        if token <= 1 << 62:
            return False
        future = self._admin_results.get(token)
        if future is not None and not future.done():
            if reason is None:
                future.set_result(None)
            else:
                future.set_exception(DefiniteError(f"refused: {reason}"))
        return True

    def peer_infos(self, match_index: dict[NodeId, LogIndex]) -> list[PeerInfo]:
        """Return what is known of the peers."""
        return [
            PeerInfo(
                node=peer,
                address=self.redis_addresses.get(peer, ""),
                reachable=self.links.is_up(peer),
                match_index=match_index.get(peer, LogIndex(0)),
            )
            for peer in self.peers()
        ]
