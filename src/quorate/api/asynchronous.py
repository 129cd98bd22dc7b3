"""`open`, `join` and `connect`, for asyncio programs."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.api.process import serve_real
from quorate.client import Database, LocalExecutor, RemoteExecutor
from quorate.env import Env
from quorate.kernel import NodeId, seconds
from quorate.kernel.errors import ConfigError, Unreachable, UsageError
from quorate.runtime import client_context, real_env
from quorate.server import Config, Listen, Server, check_keyspaces, parse_address, to_keyspaces

if TYPE_CHECKING:
    from quorate.server import Node

SCHEME = "quorate://"


class Member(Database):
    """A database whose node is part of this process."""

    def __init__(self, server: Server) -> None:
        super().__init__(LocalExecutor(server.node), server.stop)
        self.server = server

    @property
    def node(self) -> "Node":
        """The node itself: role, members, counters."""
        return self.server.node

    async def wait_until_ready(self, timeout: float = 10.0) -> None:
        """Wait until a leader is known; raise Unreachable when none is found in time (seconds)."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self.node.info().leader is None:
            if asyncio.get_running_loop().time() > deadline:
                raise Unreachable("no leader was elected in time; is a majority of the members up?")
            await asyncio.sleep(0.01)


async def _start(config: Config) -> Member:
    return Member(await serve_real(config))


@contextlib.asynccontextmanager
async def open_(directory: str | Path, *, keyspaces: Mapping[str, Any] | None = None) -> AsyncIterator[Member]:
    """Open an embedded store of one node, no server: the same code as a cluster, with nobody to ask.

    Args:
        directory: where it lives; ":memory:" for a temporary one that is removed at the end.
        keyspaces: name → what the table [keyspaces.NAME] of a configuration would say.
    """
    with contextlib.ExitStack() as stack:
        if str(directory) == ":memory:":
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="quorate-"))
        config = Config(
            node=1,
            data=str(directory),
            peers={1: "127.0.0.1:1"},
            cluster="embedded",
            listen=Listen(peer="", redis="", http=""),
            keyspaces=to_keyspaces(keyspaces or {}),
        )
        check_keyspaces(config, name="open")
        member = await _start(config)
        async with member:
            await member.wait_until_ready()
            yield member


@contextlib.asynccontextmanager
async def join(
    directory: str | Path,
    *,
    name: str,
    node: int,
    peers: Mapping[int, str],
    redis: str = "",
    http: str = "",
    is_new: bool = False,
    ready_timeout: float = 10.0,
    keyspaces: Mapping[str, Any] | None = None,
) -> AsyncIterator[Member]:
    """Make the calling process one member of a cluster.

    Args:
        directory: this member's own data.
        name: the cluster's name; members of other clusters refuse each other.
        node: this member's id.
        peers: id → host:port of every member, this one included (there it listens).
        redis: host:port for a Redis door; "" for none.
        http: host:port for health and metrics; "" for none.
        is_new: True when the cluster already runs and adds this member.
        ready_timeout: seconds to wait for a leader before the block begins; with leaderless keyspaces 0 serves at once.
        keyspaces: name → what the table [keyspaces.NAME] of a configuration would say; alike for all members.
    """
    if node not in peers:
        raise ConfigError(f"peers: node {node} itself must be listed")
    config = Config(
        node=node,
        data=str(directory),
        cluster=name,
        peers=dict(peers),
        join=is_new,
        listen=Listen(peer=peers[node], redis=redis, http=http),
        keyspaces=to_keyspaces(keyspaces or {}),
    )
    check_keyspaces(config, name="join")
    member = await _start(config)
    async with member:
        if ready_timeout > 0:
            await member.wait_until_ready(ready_timeout)
        yield member


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    password: str = "",
    timeout: float = 10.0,
    certificate: str = "",
    key: str = "",
    authority: str = "",
) -> AsyncIterator[Database]:
    """Connect to a cluster.

    Args:
        url: "quorate://host:port,host:port": Redis doors of some of its nodes.
        password: if the cluster asks for one.
        timeout: seconds after which an operation ends with an error that says whether it may have happened.
        certificate: PEM file with this client's certificate, where the cluster's Redis doors speak TLS.
        key: PEM file with its key.
        authority: PEM file with the authority whose certificates the nodes must show.
    """
    if not url.startswith(SCHEME):
        raise UsageError(f"{url!r}: an address begins with {SCHEME}")
    addresses = [parse_address(part, "url") for part in url[len(SCHEME) :].strip("/").split(",") if part]
    if not addresses:
        raise UsageError(f"{url!r}: no host:port in it")
    if timeout <= 0:
        raise UsageError("timeout: seconds above 0")
    if any((certificate, key, authority)) and not all((certificate, key, authority)):
        raise UsageError("certificate, key and authority are needed together")
    tls = client_context(certificate, key, authority) if certificate else None
    executor = RemoteExecutor(client_env(), addresses, password=password, timeout=seconds(timeout), tls=tls)
    async with Database(executor) as database:
        yield database


def client_env() -> Env:
    """Return a world for a client: clock, streams and chance, and a disk that is never used."""
    return real_env(NodeId(0), Path(tempfile.gettempdir()))
