"""The shipped server on simulated machines: the same code as in production, another Env."""

from collections.abc import Mapping
from typing import Any

from quorate.client import Connection
from quorate.env import Address, Env
from quorate.kernel import GroupId, NodeId
from quorate.kernel.errors import SyncFailed
from quorate.server import Config, Keyspace, Limits, Listen, Replica, Server, Storage, Timing
from quorate.sim import Host, World
from quorate.storage import DiskBase

PEER_PORT = 7100
REDIS_PORT = 6379


class SimCluster:
    """A few nodes on the hosts of a world. A node that crashes is started again with what its disk kept."""

    def __init__(
        self,
        world: World,
        *,
        node_count: int,
        replica_class: type[Replica] = Replica,
        storage: Storage | None = None,
        timing: Timing | None = None,
        group_count: int = 1,
        lease_reads: bool = False,
        keyspaces: Mapping[str, Keyspace] | None = None,
        founder_count: int | None = None,
    ) -> None:
        self.world = world
        self.hosts: list[Host] = [world.host(f"node-{number}") for number in range(1, node_count + 1)]
        # The running server of each node; absent while it is down.
        self.servers: dict[NodeId, Server] = {}
        # Why nodes could not go on, the last cause of each.
        self.stopped: dict[NodeId, str] = {}
        self._replica_class = replica_class
        self._storage = storage or Storage(
            checkpoint_entry_count=60,
            trailing_entry_count=20,
            segment_bytes_max=64 << 10,
            reserve_bytes=4 << 10,
            free_bytes_min=0,
        )
        self._timing = timing or Timing(request_timeout_ms=1_500)
        self._group_count = group_count
        self._lease_reads = lease_reads
        self._keyspaces = dict(keyspaces or {})
        # Nodes above join a cluster that runs.
        self._founder_count = founder_count or node_count

    def start(self) -> None:
        """Start every node that founds the cluster."""
        for host in self.hosts[: self._founder_count]:
            host.start(self._main)

    def config(self, node: NodeId) -> Config:
        """Return the configuration of a node."""
        hosts = {host.node: host for host in self.hosts if host.node <= self._founder_count or host.node == node}
        return Config(
            node=node,
            data="data",
            join=node > self._founder_count,
            cluster="sim",
            group_count=self._group_count,
            lease_reads=self._lease_reads,
            peers={int(other): f"{host.ip}:{PEER_PORT}" for other, host in hosts.items()},
            redis={int(other): f"{host.ip}:{REDIS_PORT}" for other, host in hosts.items()},
            listen=Listen(peer=f"{hosts[node].ip}:{PEER_PORT}", redis=f"{hosts[node].ip}:{REDIS_PORT}", http=""),
            limits=Limits(),
            timing=self._timing,
            storage=self._storage,
            keyspaces=self._keyspaces,
        )

    async def _main(self, env: Env) -> None:
        """Run one node until it is told to stop or cannot go on; a node that cannot go on is started again later."""

        def make_base(group: GroupId) -> DiskBase:
            return DiskBase(env.disk, f"state/group-{group}")

        server = Server(env, self.config(env.node), make_base=make_base, replica_class=self._replica_class)
        try:
            await server.start()
        except SyncFailed as unlucky:
            # As a process that exits with an error; anything else than an unlucky disk fails the run.
            self._gone(env.node, str(unlucky))
            return
        self.servers[env.node] = server
        cause = await server.node.failed
        self.servers.pop(env.node, None)
        await server.stop()
        self._gone(env.node, f"{cause.code.lower()}: {cause}")

    def _gone(self, node: NodeId, cause: str) -> None:
        """Note that a process ended of itself; whoever looks after the machine starts it again."""
        self.stopped[node] = cause
        self.world.at(self.world.now + 1, self.host_of(node).crash)

    def address_of(self, place: int) -> Address:
        """Return where the Redis door of a node is, by its place from 0."""
        return Address(self.hosts[place].ip, REDIS_PORT)

    def administer(self, node: NodeId, name: bytes, args: list[bytes]) -> None:
        """Let a node carry out an administrator's command, on its own loop; what it answers is nobody's business."""
        server, host = self.live().get(node), self.host_of(node)
        if server is not None and host.incarnation is not None:
            host.incarnation.enter(server.node.admin, name, args, _Nobody())

    def leader(self) -> NodeId | None:
        """Return the leader of the highest term among running nodes, as they see it."""
        best: tuple[int, NodeId] | None = None
        for node, server in self.live().items():
            machine = server.node.first.machine
            if machine.role_name == "leader" and (best is None or machine.term > best[0]):
                best = (machine.term, node)
        return best[1] if best is not None else None

    def live(self) -> dict[NodeId, Server]:
        """Return the servers of the nodes that run now."""
        running = {host.node for host in self.hosts if host.is_running}
        return {node: server for node, server in sorted(self.servers.items()) if node in running}

    def host_of(self, node: NodeId) -> Host:
        """Return the machine of a node."""
        return self.hosts[node - 1]


class _Nobody:
    """Takes a reply that nobody waits for."""

    def complete(self, _reply: Any) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Nothing is written."""


class SimClient:
    """A client on the lab's host, talking RESP3 to one node."""

    def __init__(self, env: Env, address: Address) -> None:
        self._env = env
        self._address = address
        self._connection: Connection | None = None

    async def _ask(self, *args: bytes) -> Any:
        if self._connection is None or not self._connection.is_open:
            self._connection = await Connection.open(self._env.streams, self._address)
        return await self._connection.request(list(args))

    async def read(self, key: str) -> int | None:
        """Return the number at a key."""
        value = await self._ask(b"GET", key.encode())
        return int(value) if value is not None else None

    async def write(self, key: str, value: int) -> None:
        """Set a key."""
        await self._ask(b"SET", key.encode(), str(value).encode())

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Set a key if it holds a number; return whether it did."""
        found, version = await self._ask(b"QUORATE.GET", key.encode())
        if found is None or int(found) != expected:
            return False
        await self._ask(b"QUORATE.PUT", key.encode(), str(value).encode(), b"VERSION", str(version).encode())
        return True

    async def increment(self, key: str) -> int:
        """Add one; return the sum."""
        total: int = await self._ask(b"INCR", key.encode())
        return total

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
