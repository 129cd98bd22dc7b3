"""Redis with Sentinel on trial: on each node a `redis-server` and the `redis-sentinel` that watches all of them.

Replication is asynchronous, so a failover loses what was acknowledged and not yet copied: a primary that is cut off
goes on saying OK. Redis documents it ("Sentinel + Redis as a whole is an eventually consistent system where the merge
function is: last failover wins"); a trial shows which writes.

Each server and each sentinel announces one address to all others, so each has one proxy, which finds out who dials.
Source: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership
from quorate.lab.systems.processes import Children
from quorate.lab.systems.programs import program
from quorate.lab.systems.redis_door import asker_of, client_of
from quorate.lab.systems.sockets import owner_of
from quorate.lab.systems.started import StartedSystem

if TYPE_CHECKING:
    from quorate.lab.systems.redis_client import RedisClient

_GROUP = "trial"
# Silence after which a sentinel takes a server for down, ms; Redis' default of 30 s is longer than our faults.
_DOWN_AFTER_MS = 1_000
# After so long a failover that got stuck is tried again, ms. Twice that passes between two attempts.
_FAILOVER_TIMEOUT_MS = 3_000

_T = TypeVar("_T")


class SentinelClient:
    """A client that asks the sentinels where the primary is, as libraries do: when it connects, and after an error.

    Args:
        locate: asks the sentinels, the nearest first; raises Unreachable when none answers.
        timeout_s: how long an answer may take, seconds.
    """

    where = ""  # it moves

    def __init__(self, locate: Callable[[], Awaitable[Address]], *, timeout_s: float) -> None:
        self._locate = locate
        self._address: Address | None = None
        self._redis = client_of(self._known_address, timeout_s=timeout_s)

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        return await self._made(lambda: self._redis.read(key))

    async def write(self, key: str, value: int) -> None:
        """Set a key."""
        await self._made(lambda: self._redis.write(key, value))

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Set a key if it has the expected value; return whether it had."""
        return await self._made(lambda: self._redis.compare_and_set(key, expected=expected, value=value))

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum."""
        return await self._made(lambda: self._redis.increment(key))

    async def close(self) -> None:
        """Close the connection."""
        self._address = None
        await self._redis.close()

    async def _made(self, make: Callable[[], Awaitable[_T]]) -> _T:
        if self._address is None:
            self._address = await self._locate()
        try:
            return await make()
        except errors.Conflict:
            raise
        except errors.OperationError:
            # Also after READONLY: the server was the primary when we asked, and is no more.
            await self.close()
            raise

    def _known_address(self) -> Address:
        assert self._address is not None, "the sentinels were asked"
        return self._address


class SentinelSystem(StartedSystem):
    """`redis-server` and `redis-sentinel` from the PATH, 6.2 or newer."""

    def __init__(self, *, timeout_s: float = 1.0) -> None:
        super().__init__(timeout_s=timeout_s)
        self.name = "redis-sentinel"
        self._server_program = ""
        self._sentinel_program = ""
        self._watchers = Children()
        self._watcher_doors: dict[NodeId, Address] = {}
        # The announced address of each server: what sentinels and replicas dial, and answer when asked.
        self._node_of: dict[Address, NodeId] = {}
        self._askers: dict[NodeId, RedisClient] = {}
        self._watcher_askers: dict[NodeId, RedisClient] = {}
        # Which process of each sentinel was told its periods.
        self._hurried: dict[NodeId, int | None] = {}

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Write two configurations per node; the first node is the primary, and all sentinels watch it."""
        self._server_program = program("redis-server", package="redis-server")
        self._sentinel_program = program("redis-sentinel", package="redis-sentinel")
        self._directory = directory
        announced, watcher_announced = {}, {}
        for node in nodes:
            self._doors[node], self._watcher_doors[node] = free_address(), free_address()
            announced[node] = await links.route_shared(node, self._doors[node], source_of=self._source_of)
            watcher_announced[node] = await links.route_shared(
                node, self._watcher_doors[node], source_of=self._source_of
            )
            self._node_of[announced[node]] = node
            self._askers[node] = asker_of(self._doors[node])
            self._watcher_askers[node] = asker_of(self._watcher_doors[node])
        primary = announced[nodes[0]]
        for node in nodes:
            home = directory / f"node-{node}"
            home.mkdir(parents=True, exist_ok=True)
            follows = primary if node != nodes[0] else None
            text = _server_configuration(home, self._doors[node], announced[node], follows=follows)
            (home / "redis.conf").write_text(text, encoding="utf-8")
            quorum = len(nodes) // 2 + 1
            text = _sentinel_configuration(home, self._watcher_doors[node], watcher_announced[node], primary, quorum)
            (home / "sentinel.conf").write_text(text, encoding="utf-8")

    async def start(self, node: NodeId) -> None:
        """Start or resume a server and its sentinel; each finds its role in its file, where it last noted it."""
        home = self._directory / f"node-{node}"
        self._children.start(node, [self._server_program, str(home / "redis.conf")], log=self._log(node))
        command = [self._sentinel_program, str(home / "sentinel.conf")]
        self._watchers.start(node, command, log=self._directory / f"sentinel-{node}.log")

    async def leader(self) -> Leadership:
        """Ask every sentinel; what the highest configuration epoch says holds."""
        states = await asyncio.gather(*(self._watched(node, self._watcher_askers[node]) for node in self._doors))
        infos = await asyncio.gather(*map(self._info, self._doors))
        known = [
            (int(state["config-epoch"]), node)
            for state in states
            if state and (node := self._node_of.get(Address(str(state["ip"]), int(state["port"])))) is not None
        ]
        epoch, leader = max(known, default=(0, None))
        # A deposed primary that nobody told yet is not whole, though it answers: clients may still be with it.
        answered = tuple(
            node
            for node, state, info in zip(self._doors, states, infos, strict=True)
            if self._is_whole(state) and _is_in_order(info, is_leader=node == leader)
        )
        return Leadership(node=leader, term=epoch, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client that asks the sentinel of one node first."""
        nodes = list(self._doors)
        first = process % len(nodes)
        order = [*nodes[first:], *nodes[:first]]
        return SentinelClient(lambda: self._locate(order), timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Kill all servers and sentinels."""
        await super().close()
        for asker in (*self._askers.values(), *self._watcher_askers.values()):
            await asker.close()

    def _families(self) -> tuple[Children, ...]:
        return (self._children, self._watchers)

    async def _locate(self, order: Sequence[NodeId]) -> Address:
        for node in order:
            asker = asker_of(self._watcher_doors[node])
            try:
                state = await self._watched(node, asker)
            finally:
                await asker.close()
            if state:
                primary = self._node_of.get(Address(str(state["ip"]), int(state["port"])))
                if primary is not None:
                    return self._doors[primary]
        raise errors.Unreachable("no sentinel answers")

    async def _watched(self, node: NodeId, asker: "RedisClient") -> dict[str, Any]:
        """Return what a node's sentinel says about the primary."""
        if not self._watchers.is_running(node) or self._watchers.is_paused(node):
            return {}
        with contextlib.suppress(errors.OperationError):
            if self._watchers.pid(node) != self._hurried.get(node):
                await _hurry(asker)
                self._hurried[node] = self._watchers.pid(node)
            return _pairs(await asker.command("SENTINEL", "MASTER", _GROUP))
        return {}

    async def _info(self, node: NodeId) -> dict[str, Any]:
        if self._answers(node):
            with contextlib.suppress(errors.OperationError):
                return await self._askers[node].info("replication")
        return {}

    def _is_whole(self, state: dict[str, Any]) -> bool:
        """Whether a sentinel knows all others and all replicas; before that it could not carry out a failover."""
        others = len(self._doors) - 1
        return bool(state) and int(state["num-other-sentinels"]) == others and int(state["num-slaves"]) == others

    def _source_of(self, caller: Address) -> NodeId | None:
        for children in (self._children, self._watchers):
            if (owner := owner_of(caller.port, children.pids())) is not None:
                return owner
        return None


async def _hurry(asker: "RedisClient") -> None:
    """Shorten periods that no file sets (Redis 7): a second for INFO (10 s), half a second for hellos (2 s).

    Replicas and other sentinels are found by them, and a deposed primary is told after four hellos.
    """
    with contextlib.suppress(errors.Refused):  # by an older one
        await asker.command("SENTINEL", "DEBUG", "INFO-PERIOD", 1000, "PUBLISH-PERIOD", 500)


def _is_in_order(info: dict[str, Any], *, is_leader: bool) -> bool:
    if is_leader:
        return info.get("role") == "master"
    return info.get("master_link_status") == "up"


def _pairs(answer: Any) -> dict[str, Any]:
    """Return a flat list of names and values as a mapping; RESP3 sends one already."""
    if isinstance(answer, dict):
        return answer
    return dict(zip(answer[::2], answer[1::2], strict=True)) if isinstance(answer, list) else {}


def _server_configuration(home: Path, door: Address, announced: Address, *, follows: Address | None) -> str:
    lines = [
        f"bind {door.host}",
        f"port {door.port}",
        f"dir {home}",
        "appendonly yes",
        "appendfsync always",
        'save ""',
        "repl-diskless-sync-delay 0",
        "repl-ping-replica-period 1",
        "repl-timeout 3",
        f"replica-announce-ip {announced.host}",
        f"replica-announce-port {announced.port}",
    ]
    if follows is not None:
        lines.append(f"replicaof {follows.host} {follows.port}")
    return "\n".join(lines) + "\n"


def _sentinel_configuration(home: Path, door: Address, announced: Address, primary: Address, quorum: int) -> str:
    lines = [
        f"bind {door.host}",
        f"port {door.port}",
        f"dir {home}",
        f"sentinel announce-ip {announced.host}",
        f"sentinel announce-port {announced.port}",
        f"sentinel monitor {_GROUP} {primary.host} {primary.port} {quorum}",
        f"sentinel down-after-milliseconds {_GROUP} {_DOWN_AFTER_MS}",
        f"sentinel failover-timeout {_GROUP} {_FAILOVER_TIMEOUT_MS}",
        f"sentinel parallel-syncs {_GROUP} 8",
    ]
    return "\n".join(lines) + "\n"
