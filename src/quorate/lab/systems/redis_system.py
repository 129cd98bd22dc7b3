"""Redis on trial: one server, or a primary with replicas that follow without being waited for.

With one node it is linearizable (and, with `appendfsync always`, durable), which makes it the control of our own
laboratory. With more, replication is asynchronous: a failover loses what was acknowledged and not yet copied.
The failover follows Sentinel's rule: when a majority of the nodes sees no primary, the most advanced replica that
answers is promoted, and clients are told at once.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership
from quorate.lab.systems.programs import program
from quorate.lab.systems.redis_door import asker_of, client_of
from quorate.lab.systems.started import StartedSystem

if TYPE_CHECKING:
    from quorate.lab.systems.redis_client import RedisClient

# So many askings in a row must agree before a replica is promoted.
_FAILOVER_AFTER_COUNT = 3


class RedisSystem(StartedSystem):
    """`redis-server` from the PATH, Redis 6 or newer."""

    def __init__(self, *, program_name: str = "redis-server", timeout_s: float = 1.0) -> None:
        self.name = "redis"
        super().__init__(timeout_s=timeout_s)
        self._program = program_name
        self._routes: dict[tuple[NodeId, NodeId], Address] = {}
        self._askers: dict[NodeId, RedisClient] = {}
        self._primary = NodeId(1)
        self._term = 1
        self._missed_count = 0
        self._was_whole = False

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Make a directory and a port per node, and a route from each replica to each possible primary."""
        self._program = program(self._program, package="redis-server")
        self._directory = directory
        self._primary = nodes[0]
        for node in nodes:
            (directory / f"node-{node}").mkdir(parents=True, exist_ok=True)
            self._doors[node] = free_address()
            self._askers[node] = asker_of(self._doors[node])
        for source in nodes:
            for target in nodes:
                if source != target:
                    self._routes[source, target] = await links.route(source, target, self._doors[target])

    async def start(self, node: NodeId) -> None:
        """Start a node as the primary or as a replica of it."""
        home = self._directory / f"node-{node}"
        settings = [
            *("--bind", "127.0.0.1", "--port", str(self._doors[node].port), "--dir", str(home)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--repl-timeout", "3"),
        ]
        if node != self._primary:
            route = self._routes[node, self._primary]
            settings += ["--replicaof", f"{route.host} {route.port}"]
        self._children.start(node, [self._program, *settings], log=self._log(node), directory=home)

    async def leader(self) -> Leadership:
        """Ask every node for its replication state; promote a replica when a majority misses the primary."""
        infos = dict(zip(self._doors, await asyncio.gather(*map(self._info, self._doors)), strict=True))
        answered = tuple(node for node, info in infos.items() if _sees_primary(info))
        missing = [node for node in self._doors if node != self._primary and not _sees_primary(infos[node])]
        if len(self._doors) > 1 and not infos[self._primary]:
            missing.append(self._primary)
        self._was_whole = self._was_whole or not missing  # the first copy takes a moment and is no failure
        is_missed = self._was_whole and 2 * len(missing) > len(self._doors)
        self._missed_count = self._missed_count + 1 if is_missed else 0
        if self._missed_count >= _FAILOVER_AFTER_COUNT:
            await self._promote(infos)
        leads = infos[self._primary].get("role") == "master"
        return Leadership(node=self._primary if leads else None, term=self._term, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client that follows the primary, as clients of a sentinel do."""
        del process  # all write to the same node
        return client_of(lambda: self._doors[self._primary], timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Kill all servers."""
        await super().close()
        for asker in self._askers.values():
            await asker.close()

    async def _info(self, node: NodeId) -> dict[str, Any]:
        if not self._answers(node):
            return {}  # spares the time-out; a paused node would not answer
        with contextlib.suppress(errors.OperationError):
            return await self._askers[node].info("replication")
        return {}

    async def _promote(self, infos: dict[NodeId, dict[str, Any]]) -> None:
        candidates = [node for node, info in infos.items() if info and node != self._primary]
        if not candidates:
            return
        chosen = max(candidates, key=lambda node: (int(infos[node].get("slave_repl_offset", 0)), -node))
        self._primary, self._term, self._missed_count = chosen, self._term + 1, 0
        with contextlib.suppress(errors.OperationError):
            await self._askers[chosen].command("REPLICAOF", "NO", "ONE")
        for node in self._doors:
            if node != chosen and infos[node]:
                route = self._routes[node, chosen]
                with contextlib.suppress(errors.OperationError):
                    await self._askers[node].command("REPLICAOF", route.host, route.port)


def _sees_primary(info: dict[str, Any]) -> bool:
    """Whether a replica has heard of its primary within the last two seconds; a full copy under way counts."""
    if not info:
        return False
    if info.get("role") == "master":
        return True
    if str(info.get("master_sync_in_progress")) == "1":
        return True
    is_up = info.get("master_link_status") == "up"
    return is_up and int(info.get("master_last_io_seconds_ago", 99)) <= 2
