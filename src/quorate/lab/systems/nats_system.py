"""NATS on trial: a JetStream key-value bucket with a replica on every server.

Writes go through a Raft group of the servers. Reads do not: the bucket's leader answers from what it holds without
asking whether it still leads, and a *direct* read, which libraries use, is answered by any replica. So reads may be
stale, the latter more readily. Before 2.9.21 a write on an expected sequence was checked by the leader before it was
proposed and never again, so two of them at once both succeeded (nats-io/nats-server#4320): a trial shows it in seconds.

Servers tell each other their addresses, so each has one proxy, which finds out who dials.

Source: docs.nats.io, "JetStream clustering"; nats-server v2.9 raft.go (elections after 4 to 9 s of silence).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership
from quorate.lab.systems.nats_client import NATSClient, NATSConnection
from quorate.lab.systems.programs import program
from quorate.lab.systems.sockets import owner_of
from quorate.lab.systems.started import StartedSystem

_BUCKET = "trial"
_ASK_TIMEOUT_S = 0.4


class NATSSystem(StartedSystem):
    """`nats-server` 2.9 or newer.

    Args:
        timeout_s: how long a client waits for an answer, seconds.
        is_direct: whether reads ask any replica.
    """

    skew_refusal = "it is written in Go and asks the kernel for the time itself, so libfaketime cannot answer for it"

    def __init__(self, *, timeout_s: float = 1.0, is_direct: bool = False) -> None:
        super().__init__(timeout_s=timeout_s)
        self.name = "nats with direct reads" if is_direct else "nats"
        self._is_direct = is_direct
        self._program = ""
        self._askers: dict[NodeId, NATSClient] = {}
        self._is_made = False

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Write a configuration per server; each announces its proxy to the others."""
        self._program = program("nats-server", package="nats-server")
        self._directory = directory
        peers = {node: free_address() for node in nodes}
        self._doors = {node: free_address() for node in nodes}
        routes = {node: await links.route_shared(node, peers[node], source_of=self._source_of) for node in nodes}
        for node in nodes:
            home = directory / f"node-{node}"
            home.mkdir(parents=True, exist_ok=True)
            text = _configuration(node, home, self._doors[node], peers[node], routes)
            (home / "nats.conf").write_text(text, encoding="utf-8")
            self._askers[node] = self._client(node, timeout_s=_ASK_TIMEOUT_S)

    async def start(self, node: NodeId) -> None:
        """Start or resume a server."""
        config = self._directory / f"node-{node}" / "nats.conf"
        self._children.start(node, [self._program, "-c", str(config)], log=self._log(node))

    async def leader(self) -> Leadership:
        """Ask through every server who leads the bucket; make it first. NATS tells no term."""
        states = dict(zip(self._doors, await asyncio.gather(*map(self._state, self._doors)), strict=True))
        answered = tuple(node for node, state in states.items() if state)
        if not self._is_made:
            await self._make()
        named = Counter(str(state.get("cluster", {}).get("leader", "")) for state in states.values() if state)
        for name, _ in named.most_common():
            if name.startswith("n") and name[1:].isdigit():
                return Leadership(node=NodeId(int(name[1:])), answered=answered)
        return Leadership(node=next(iter(answered), None) if len(self._doors) == 1 else None, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client of one server."""
        return self._client(self._spread(process), timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Kill all servers."""
        await super().close()
        for asker in self._askers.values():
            await asker.close()

    def _client(self, node: NodeId, *, timeout_s: float) -> NATSClient:
        connection = NATSConnection(self._doors[node], timeout_s=timeout_s)
        return NATSClient(connection, bucket=_BUCKET, is_direct=self._is_direct, where=f"node {node}")

    async def _make(self) -> None:
        maker = self._client(next(iter(self._doors)), timeout_s=2.0)
        try:
            await maker.make_bucket(replica_count=min(len(self._doors), 5))
            self._is_made = True
        except errors.OperationError:
            pass  # the servers have not found each other yet
        finally:
            await maker.close()

    async def _state(self, node: NodeId) -> dict[str, Any]:
        if self._answers(node):
            with contextlib.suppress(errors.OperationError):
                return await self._askers[node].state()
        return {}

    def _source_of(self, caller: Address) -> NodeId | None:
        return owner_of(caller.port, self._children.pids())


def _configuration(node: NodeId, home: Path, door: Address, peer: Address, routes: dict[NodeId, Address]) -> str:
    others = ", ".join(f'"nats-route://{route}"' for other, route in routes.items() if other != node)
    lines = [
        f'server_name: "n{node}"',
        f'listen: "{door}"',
        f'jetstream {{ store_dir: "{home}", max_memory_store: 67108864, max_file_store: 268435456 }}',
    ]
    if len(routes) > 1:
        lines.append(
            f'cluster {{ name: "trial", listen: "{peer}", cluster_advertise: "{routes[node]}", routes: [{others}] }}'
        )
    return "\n".join(lines) + "\n"
