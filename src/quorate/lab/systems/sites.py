"""What a trial needs of a cluster that it did not start: a place of its own in it, clients, and to tidy up afterwards.

Keys of a trial must be new, or the past of the cluster would be judged too. Where the server has rooms (a table, a
node, a bucket) a trial takes one for itself; elsewhere every key begins with a word that nobody else uses.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from quorate.env import Address
from quorate.kernel import errors
from quorate.lab.systems.base import Client
from quorate.lab.systems.etcd_system import EtcdClient
from quorate.lab.systems.json_http import JSONConnection
from quorate.lab.systems.nats_client import NATSClient, NATSConnection
from quorate.lab.systems.postgres_client import PostgresClient, PostgresConnection
from quorate.lab.systems.redis_door import client_of
from quorate.lab.systems.urls import ClusterURL
from quorate.lab.systems.zookeeper_client import ZooKeeperClient

if TYPE_CHECKING:
    from quorate.lab.systems.redis_client import RedisClient

_PREPARE_TIMEOUT_S = 5.0
_NATS_REPLICA_COUNT = 3


class Site(Protocol):
    """A place in a running cluster, under a name that nobody else uses."""

    # What every key of the trial begins with.
    prefix: str

    async def prepare(self) -> None:
        """Make the place. Raise an OperationError when it cannot be made."""

    def client(self, address: Address, *, timeout_s: float) -> Client:
        """Return a client of one server."""

    async def tidy(self, keys: list[str]) -> None:
        """Remove the place and all keys. Raise an OperationError when that fails."""


class RedisSite:
    """Keys with a prefix, behind a Redis door: Redis, or Quorate."""

    def __init__(self, url: ClusterURL, name: str) -> None:
        if url.path and not re.fullmatch("[0-9]{1,4}", url.path):
            raise errors.UsageError(f"{url}: after the slash stands the number of a database, not {url.path!r}")
        self.prefix = f"{name}:"
        self._url = url

    async def prepare(self) -> None:
        """Nothing is to be made."""

    def client(self, address: Address, *, timeout_s: float) -> Client:
        """Return a client of one server."""
        return self._client(address, timeout_s)

    async def tidy(self, keys: list[str]) -> None:
        """Delete all keys."""
        client = self._client(self._url.addresses[0], _PREPARE_TIMEOUT_S)
        try:
            for key in keys:
                await client.command("DEL", key)
        finally:
            await client.close()

    def _client(self, address: Address, timeout_s: float) -> "RedisClient":
        url = self._url
        return client_of(
            lambda: address,
            timeout_s=timeout_s,
            where=str(address),
            user=url.user,
            password=url.password,
            database=int(url.path or 0),
        )


class EtcdSite:
    """Keys with a prefix in etcd."""

    def __init__(self, url: ClusterURL, name: str) -> None:
        if url.user or url.path:
            raise errors.UsageError(f"{url}: users and paths are not understood for etcd")
        self.prefix = f"{name}/"
        self._url = url

    async def prepare(self) -> None:
        """Nothing is to be made."""

    def client(self, address: Address, *, timeout_s: float) -> Client:
        """Return a client of one member."""
        return EtcdClient(address, timeout_s=timeout_s, is_serializable=False, where=str(address))

    async def tidy(self, keys: list[str]) -> None:
        """Delete the range of the prefix."""
        del keys
        http = JSONConnection(self._url.addresses[0], timeout_s=_PREPARE_TIMEOUT_S)
        end = self.prefix[:-1] + chr(ord(self.prefix[-1]) + 1)
        body = {
            "key": base64.b64encode(self.prefix.encode()).decode(),
            "range_end": base64.b64encode(end.encode()).decode(),
        }
        try:
            status, answer = await http.post("/v3/kv/deleterange", body)
        finally:
            await http.close()
        if status != 200:
            raise errors.Refused(str(answer))


class PostgresSite:
    """A table in PostgreSQL."""

    prefix = ""

    def __init__(self, url: ClusterURL, name: str) -> None:
        self._url = url
        self._table = name.replace("-", "_")

    async def prepare(self) -> None:
        """Make the table."""
        await self._run(f"CREATE TABLE {self._table} (k text PRIMARY KEY, v bigint NOT NULL)")

    def client(self, address: Address, *, timeout_s: float) -> Client:
        """Return a client of one server."""
        return PostgresClient(self._connection(address, timeout_s), table=self._table, where=str(address))

    async def tidy(self, keys: list[str]) -> None:
        """Drop the table."""
        del keys
        await self._run(f"DROP TABLE {self._table}")

    async def _run(self, statement: str) -> None:
        connection = self._connection(self._url.addresses[0], _PREPARE_TIMEOUT_S)
        try:
            await connection.query(statement)
        finally:
            await connection.close()

    def _connection(self, address: Address, timeout_s: float) -> PostgresConnection:
        user = self._url.user or "postgres"
        return PostgresConnection(
            lambda: address,
            timeout_s=timeout_s,
            user=user,
            password=self._url.password,
            database=self._url.path or user,
        )


class ZooKeeperSite:
    """A node of ZooKeeper with all keys below it."""

    prefix = ""

    def __init__(self, url: ClusterURL, name: str) -> None:
        if url.user:
            raise errors.UsageError(f"{url}: users are not understood for ZooKeeper")
        self._url = url
        self._root = "".join(f"/{part}" for part in (*url.path.split("/"), name) if part)

    async def prepare(self) -> None:
        """Make the node."""
        client = self._client(self._url.addresses[0], _PREPARE_TIMEOUT_S)
        try:
            await client.make_root()
        finally:
            await client.close()

    def client(self, address: Address, *, timeout_s: float) -> Client:
        """Return a client of one server."""
        return self._client(address, timeout_s)

    async def tidy(self, keys: list[str]) -> None:
        """Delete all keys and the node."""
        client = self._client(self._url.addresses[0], _PREPARE_TIMEOUT_S)
        try:
            for key in (*keys, ""):
                await client.forget(key)
        finally:
            await client.close()

    def _client(self, address: Address, timeout_s: float) -> ZooKeeperClient:
        return ZooKeeperClient(address, timeout_s=timeout_s, syncs=True, where=str(address), root=self._root)


class NATSSite:
    """A key-value bucket of JetStream, with three replicas where there are so many servers."""

    prefix = ""

    def __init__(self, url: ClusterURL, name: str) -> None:
        if url.path:
            raise errors.UsageError(f"{url}: a path is not understood for NATS")
        self._url = url
        self._bucket = name

    async def prepare(self) -> None:
        """Make the bucket."""
        client = self._client(self._url.addresses[0], _PREPARE_TIMEOUT_S)
        try:
            try:
                await client.make_bucket(replica_count=_NATS_REPLICA_COUNT)
            except errors.Unreachable:
                raise
            except errors.OperationError:  # it has fewer servers
                await client.make_bucket(replica_count=1)
        finally:
            await client.close()

    def client(self, address: Address, *, timeout_s: float) -> Client:
        """Return a client of one server."""
        return self._client(address, timeout_s)

    async def tidy(self, keys: list[str]) -> None:
        """Delete the bucket."""
        del keys
        client = self._client(self._url.addresses[0], _PREPARE_TIMEOUT_S)
        try:
            await client.drop_bucket()
        finally:
            await client.close()

    def _client(self, address: Address, timeout_s: float) -> NATSClient:
        connection = NATSConnection(
            address, timeout_s=timeout_s, user=self._url.user, password=self._url.password
        )  # fmt: skip
        return NATSClient(connection, bucket=self._bucket, is_direct=False, where=str(address))


SITES: Mapping[str, Callable[[ClusterURL, str], Site]] = {
    "redis": RedisSite,
    "quorate": RedisSite,
    "etcd": EtcdSite,
    "postgres": PostgresSite,
    "zookeeper": ZooKeeperSite,
    "nats": NATSSite,
}
