"""What a door needs of a node, and the smallest thing that gives it: a store of one process, without a log."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from quorate.kernel import LogIndex, NodeId
from quorate.store.command import Command
from quorate.store.reply import NEEDS_LOG, Reply, ReplyError

if TYPE_CHECKING:
    from quorate.store.machine import Change, KeyValueStore


class Caller(Protocol):
    """One door connection, as a backend sees it."""

    def complete(self, reply: Reply) -> None:
        """Take the next answer. Answers of one kind (writes or reads) come in the order of the calls."""

    def flush(self) -> None:
        """Write what was completed; called once after all completions of one turn of the loop."""


class PeerInfo(msgspec.Struct, kw_only=True):
    """What a node knows of a peer."""

    node: NodeId
    # Where its Redis door listens, `host:port`; empty when unknown.
    address: str
    # Whether it was heard of lately.
    reachable: bool
    # Highest log index known to be on its disk; 0 where this node is not the leader.
    match_index: LogIndex


class KeyspaceInfo(msgspec.Struct, kw_only=True):
    """What a node knows of a declared keyspace."""

    name: str
    # raft or leaderless.
    by: str
    # The numbered database of the Redis door; None: it is chosen by name alone.
    database: int | None
    prefix: str
    # Levels and copies, in words.
    design: str
    # lww, siblings …; empty on Raft.
    conflicts: str
    # What every session of it has.
    consistency: str
    # blocking, background or none; empty on Raft.
    read_repair: str
    counters: dict[str, int]


class NodeInfo(msgspec.Struct, kw_only=True):
    """What INFO and `quorate status` show of a node."""

    node: NodeId
    # "leader", "follower", "candidate" or "learner".
    role: str
    # The leader and the address of its Redis door, as far as this node knows.
    leader: NodeId | None
    leader_address: str | None
    term: int
    commit_index: LogIndex
    applied_index: LogIndex
    peers: list[PeerInfo]
    # Any further numbers, by name.
    counters: dict[str, int]
    # Those that are declared, by name.
    keyspaces: list[KeyspaceInfo] = []


class Backend(Protocol):
    """A node, as a door sees it. A call never blocks and never raises; an error is a reply.

    Replies of writes come in the order of the writes, and those of reads in the order of the reads. Between the two
    there is no order: a connection with writes in flight sends a following read through `write`, and one with reads in
    flight defers a following write.
    """

    # The door's part of `publish`: hands a message to the subscribers of this node and returns how many there are.
    on_publish: Callable[[bytes, bytes], int] | None

    def write(self, command: Command, caller: Caller) -> None:
        """Send a command, or a read that must come after writes in flight, through the log."""

    def read(self, command: Command, caller: Caller) -> None:
        """Make a linearizable read; all reads of one turn of the loop share one round."""

    def info(self) -> NodeInfo:
        """Return what this node knows of itself and its peers."""

    def publish(self, channel: bytes, payload: bytes) -> int:
        """Hand a message to the subscribers on every node; return how many there are on this one."""

    def read_local(self, command: Command, caller: Caller) -> None:
        """Answer a read at once from what this node has applied, which may be old; ordered among the reads."""

    def watch(self, watcher: Callable[["Change"], None]) -> int:
        """Call for every change applied on this node from now on; return the revision it has reached.

        The watcher must not touch the store or the backend while it is called. Harmless when it watches already.
        """

    def unwatch(self, watcher: Callable[["Change"], None]) -> None:
        """Call no more; harmless when it does not watch."""

    def admin(self, name: bytes, args: list[bytes], caller: Caller) -> None:
        """Do something to the cluster; ordered among the writes.

        Args:
            name: `MEMBERS`, `ADD` (node, peer address, Redis address), `REMOVE` (node), `TRANSFER` (node), `SNAPSHOT`,
                `REPAIR` (keyspace, milliseconds), `ABSORB` (keyspace, rule, cells in pieces).
            args: as listed.
            caller: gets OK, for `MEMBERS` a list of maps, for `REPAIR` and `ABSORB` a map.
        """


class LocalBackend:
    """Applies at once, in memory, with its own index: for tests of doors and for examples. Nothing is durable."""

    def __init__(self, store: "KeyValueStore", wall_ms: Callable[[], int]) -> None:
        """Serve a store.

        Args:
            store: where commands are applied.
            wall_ms: milliseconds since 1970-01-01 UTC.
        """
        self.store = store
        self.wall_ms = wall_ms
        self.on_publish: Callable[[bytes, bytes], int] | None = None
        self._watchers: list[Callable[[Change], None]] = []

    def write(self, command: Command, caller: Caller) -> None:
        """Apply a command and answer at once."""
        index = LogIndex(self.store.applied_index + 1)
        (reply,) = self.store.apply(index, self.wall_ms(), [command])
        caller.complete(reply)
        caller.flush()

    def read(self, command: Command, caller: Caller) -> None:
        """Answer at once; a read that needs the log is applied."""
        reply = self.store.query(command, self.wall_ms())
        if reply is NEEDS_LOG:
            self.write(command, caller)
            return
        caller.complete(reply)
        caller.flush()

    def info(self) -> NodeInfo:
        """Return the facts of a cluster of one."""
        index = self.store.applied_index
        return NodeInfo(
            node=NodeId(1),
            role="leader",
            leader=NodeId(1),
            leader_address=None,
            term=1,
            commit_index=index,
            applied_index=index,
            peers=[],
            counters={"keys": sum(self.store.key_counts())},
        )

    def publish(self, channel: bytes, payload: bytes) -> int:
        """Hand a message to the subscribers of this process."""
        return self.on_publish(channel, payload) if self.on_publish is not None else 0

    def read_local(self, command: Command, caller: Caller) -> None:
        """Answer like `read`: the only replica is never old."""
        self.read(command, caller)

    def watch(self, watcher: Callable[["Change"], None]) -> int:
        """Call for every change from now on; return the revision of the store."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)
        self.store.on_change = self._tell
        return self.store.revision

    def unwatch(self, watcher: Callable[["Change"], None]) -> None:
        """Call no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
        if not self._watchers:
            self.store.on_change = None

    def _tell(self, change: "Change") -> None:
        for watcher in self._watchers:
            watcher(change)

    def admin(self, name: bytes, args: list[bytes], caller: Caller) -> None:
        """Tell the one member, and refuse what needs a cluster."""
        del args
        reply: Reply = ReplyError("ERR", "this store is not a member of a cluster")
        if name == b"MEMBERS":
            reply = [{b"node": 1, b"peer_address": b"", b"redis_address": b"", b"role": b"leader"}]
        caller.complete(reply)
        caller.flush()
