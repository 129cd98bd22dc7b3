"""Quorate itself on trial: one `quorate serve` process per node, spoken to through the Redis door of every node."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership
from quorate.lab.systems.redis_door import asker_of, client_of
from quorate.lab.systems.started import StartedSystem

if TYPE_CHECKING:
    from quorate.lab.systems.redis_client import RedisClient


CARTS_DATABASE: Final = 1
CARTS: Final = f"""
[keyspaces.carts]
database = {CARTS_DATABASE}
replication = {{ by = "leaderless", read = 1, write = 1, sloppy = true, anti_entropy_interval_s = 1 }}
conflicts = "crdt"
"""
"""A keyspace without a leader beside the usual one: the second act of a trial plays on both."""


class QuorateSystem(StartedSystem):
    """`python -m quorate serve`, with the interpreter that runs the trial.

    Args:
        extra: TOML appended to every node's configuration, for experiments: whole tables.
        settings: TOML put before it: keys outside any table.
        timeout_s: how long a client waits for an answer, seconds.
        has_carts: whether there is a keyspace without a leader too, for the second act.
    """

    def __init__(self, *, extra: str = "", settings: str = "", timeout_s: float = 1.0, has_carts: bool = False) -> None:
        self.name = "quorate"
        super().__init__(timeout_s=timeout_s)
        self._extra = extra + (CARTS if has_carts else "")
        self.has_carts = has_carts
        self._settings = settings
        self._askers: dict[NodeId, RedisClient] = {}

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Write one configuration per node; each node reaches each other through its own proxy."""
        self._directory = directory
        peers = {node: free_address() for node in nodes}
        self._doors = {node: free_address() for node in nodes}
        self._askers = {node: asker_of(self._doors[node]) for node in nodes}
        for node in nodes:
            routes = {
                peer: peers[peer] if peer == node else await links.route(node, peer, peers[peer]) for peer in nodes
            }
            home = directory / f"node-{node}"
            home.mkdir(parents=True, exist_ok=True)
            text = _configuration(node, home=home, peer=peers[node], doors=self._doors, routes=routes)
            (directory / f"node-{node}.toml").write_text(self._settings + text + self._extra, encoding="utf-8")

    async def start(self, node: NodeId) -> None:
        """Start or resume a node."""
        config = self._directory / f"node-{node}.toml"
        command = [sys.executable, "-m", "quorate", "serve", "--config", str(config)]
        self._children.start(node, command, log=self._log(node))

    async def leader(self) -> Leadership:
        """Ask every node; of those that say they lead, the one of the highest term does."""
        infos = await asyncio.gather(*map(self._info, self._doors))
        answered = tuple(node for node, info in zip(self._doors, infos, strict=True) if info)
        leaders = [
            (int(info.get("quorate_term", 0)), node)
            for node, info in zip(self._doors, infos, strict=True)
            if info.get("quorate_role") == "leader"
        ]
        if not leaders:
            terms = [int(info.get("quorate_term", 0)) for info in infos if info]
            return Leadership(term=max(terms, default=0), answered=answered)
        term, node = max(leaders)
        return Leadership(node=node, term=term, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client of one node's door, leader or not."""
        node = self._spread(process)
        address = self._doors[node]
        return client_of(lambda: address, timeout_s=self._timeout_s, where=f"node {node}")

    def keyspace_client(self, keyspace: str, node: NodeId) -> "RedisClient":
        """Return a client of one node for "ledger", which is on Raft, or "carts", which has no leader."""
        address = self._doors[node]
        database = CARTS_DATABASE if keyspace == "carts" else 0
        return client_of(lambda: address, timeout_s=self._timeout_s, where=f"node {node}", database=database)

    async def close(self) -> None:
        """Kill all nodes."""
        await super().close()
        for asker in self._askers.values():
            await asker.close()

    async def _info(self, node: NodeId) -> dict[str, Any]:
        if not self._answers(node):
            return {}
        with contextlib.suppress(errors.OperationError):
            return await self._askers[node].info("quorate")
        return {}


def _configuration(
    node: NodeId, *, home: Path, peer: Address, doors: dict[NodeId, Address], routes: dict[NodeId, Address]
) -> str:
    lines = [
        f"node = {node}",
        'cluster = "trial"',
        f'data = "{home}"',
        "[listen]",
        f'peer = "{peer}"',
        f'redis = "{doors[node]}"',
        f'http = "{free_address()}"',
        "[peers]",
        *(f'{other} = "{address}"' for other, address in routes.items()),
        "[redis]",
        *(f'{other} = "{address}"' for other, address in doors.items()),
    ]
    return "\n".join(lines) + "\n"
