"""etcd on trial, through its v3 JSON gateway.

Linearizable by default. With `is_serializable` reads are served from whatever the node holds: etcd documents that they
may be stale, and a trial shows it.
"""

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership
from quorate.lab.systems.json_http import JSONConnection
from quorate.lab.systems.programs import program
from quorate.lab.systems.sockets import owner_of
from quorate.lab.systems.started import StartedSystem

_ASK_TIMEOUT_S = 0.4
# What etcd says before it has done anything; all else may have happened ("request timed out", "leader changed").
_DEFINITE_WORDS = ("no leader", "too many requests", "space exceeded", "not capable")


class EtcdClient:
    """A client of one member. A counter is a read and a transaction on the revision that was read."""

    def __init__(self, address: Address, *, timeout_s: float, is_serializable: bool, where: str) -> None:
        self.where = where
        self._http = JSONConnection(address, timeout_s=timeout_s)
        self._is_serializable = is_serializable

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        return (await self._range(key, is_serializable=self._is_serializable))[0]

    async def write(self, key: str, value: int) -> None:
        """Put a key."""
        await self._post("/v3/kv/put", {"key": _text(key), "value": _text(value)})

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Put a key if it has the expected value, in one transaction; return whether it had."""
        compare = {"key": _text(key), "target": "VALUE", "result": "EQUAL", "value": _text(expected)}
        return await self._put_if(compare, key, value)

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum.

        Raises:
            Conflict: another client changed it in between.
        """
        value, revision = await self._range(key, is_serializable=False)
        total = (value or 0) + 1
        compare = {"key": _text(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}
        if not await self._put_if(compare, key, total):
            raise errors.Conflict("the counter was changed in between")
        return total

    async def status(self) -> dict[str, Any]:
        """Return what the member says of itself."""
        found = await self._post("/v3/maintenance/status", {})
        return found if isinstance(found, dict) else {}

    async def close(self) -> None:
        """Close the connection."""
        await self._http.close()

    async def _range(self, key: str, *, is_serializable: bool) -> tuple[int | None, str]:
        try:
            answer = await self._post("/v3/kv/range", {"key": _text(key), "serializable": is_serializable})
        except errors.IndefiniteError as cause:
            raise errors.Refused(f"read: {cause}") from cause  # a read changes nothing
        pairs = answer.get("kvs", [])
        if not pairs:
            return None, "0"
        return int(base64.b64decode(pairs[0]["value"])), str(pairs[0]["mod_revision"])

    async def _put_if(self, compare: dict[str, Any], key: str, value: int) -> bool:
        put = {"request_put": {"key": _text(key), "value": _text(value)}}
        answer = await self._post("/v3/kv/txn", {"compare": [compare], "success": [put]})
        return bool(answer.get("succeeded", False))

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        status, answer = await self._http.post(path, body)
        if status == 200:
            return answer
        words = str(answer.get("message", answer)) if isinstance(answer, dict) else str(answer)
        if any(known in words for known in _DEFINITE_WORDS):
            raise errors.Refused(words)
        raise errors.ConnectionLost(f"HTTP {status}: {words}")


class EtcdSystem(StartedSystem):
    """`etcd` 3.4 or newer from the PATH, with its default timing."""

    skew_refusal = "it is written in Go and asks the kernel for the time itself, so libfaketime cannot answer for it"

    def __init__(self, *, program_name: str = "etcd", timeout_s: float = 1.0, is_serializable: bool = False) -> None:
        self.name = "etcd with serializable reads" if is_serializable else "etcd"
        super().__init__(timeout_s=timeout_s)
        self._program = program_name
        self._is_serializable = is_serializable
        self._peers: dict[NodeId, Address] = {}
        self._routes: dict[NodeId, Address] = {}
        self._askers: dict[NodeId, EtcdClient] = {}

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Choose ports; each member has one advertised address, whose proxy finds out who dials it."""
        self._program = program(self._program, package="etcd-server")
        self._directory = directory
        for node in nodes:
            self._peers[node], self._doors[node] = free_address(), free_address()
            self._routes[node] = await links.route_shared(node, self._peers[node], source_of=self._source_of)
            self._askers[node] = self._client(node, timeout_s=_ASK_TIMEOUT_S)

    async def start(self, node: NodeId) -> None:
        """Start or resume a member."""
        members = ",".join(f"n{other}=http://{route}" for other, route in self._routes.items())
        door = f"http://{self._doors[node]}"
        settings = [
            *("--name", f"n{node}", "--data-dir", str(self._directory / f"node-{node}")),
            *("--listen-peer-urls", f"http://{self._peers[node]}", "--initial-cluster", members),
            *("--initial-advertise-peer-urls", f"http://{self._routes[node]}", "--initial-cluster-token", "trial"),
            *("--listen-client-urls", door, "--advertise-client-urls", door, "--log-level", "warn"),
        ]
        self._children.start(node, [self._program, *settings], log=self._log(node))

    async def leader(self) -> Leadership:
        """Ask every member; the highest term among those that say they lead themselves."""
        found = dict(zip(self._doors, await asyncio.gather(*map(self._status, self._doors)), strict=True))
        answered = tuple(node for node, status in found.items() if status)
        terms = {node: int(found[node].get("raftTerm", 0)) for node in answered}
        leaders = [(terms[node], node) for node in answered if _leads(found[node])]
        if not leaders:
            return Leadership(term=max(terms.values(), default=0), answered=answered)
        term, node = max(leaders)
        return Leadership(node=node, term=term, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client of one member."""
        return self._client(self._spread(process), timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Kill all members."""
        await super().close()
        for asker in self._askers.values():
            await asker.close()

    def _client(self, node: NodeId, *, timeout_s: float) -> EtcdClient:
        return EtcdClient(
            self._doors[node], timeout_s=timeout_s, is_serializable=self._is_serializable, where=f"node {node}"
        )

    def _source_of(self, caller: Address) -> NodeId | None:
        return owner_of(caller.port, self._children.pids())

    async def _status(self, node: NodeId) -> dict[str, Any]:
        if not self._answers(node):
            return {}
        with contextlib.suppress(errors.OperationError):
            return await self._askers[node].status()
        return {}


def _leads(status: dict[str, Any]) -> bool:
    me = status.get("header", {}).get("member_id")
    return me is not None and status.get("leader") == me


def _text(value: str | int) -> str:
    return base64.b64encode(str(value).encode()).decode()
