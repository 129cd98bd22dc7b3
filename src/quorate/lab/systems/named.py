"""Systems by the name that the command line takes."""

import difflib
from collections.abc import Callable, Mapping
from functools import partial

from quorate.kernel import errors
from quorate.lab.systems.attached import AttachedSystem
from quorate.lab.systems.base import System
from quorate.lab.systems.etcd_system import EtcdSystem
from quorate.lab.systems.nats_system import NATSSystem
from quorate.lab.systems.postgres_system import PostgresSystem
from quorate.lab.systems.quorate_system import QuorateSystem
from quorate.lab.systems.redis_system import RedisSystem
from quorate.lab.systems.sentinel_system import SentinelSystem
from quorate.lab.systems.urls import is_url, parse_cluster_url
from quorate.lab.systems.zookeeper_system import ZooKeeperSystem

_MAKERS: Mapping[str, Callable[[], System]] = {
    "quorate": QuorateSystem,
    "redis": RedisSystem,
    "redis-sentinel": SentinelSystem,
    "etcd": EtcdSystem,
    "etcd-serializable": partial(EtcdSystem, is_serializable=True),
    "zookeeper": ZooKeeperSystem,
    "zookeeper-local": partial(ZooKeeperSystem, syncs=False),
    "postgres": PostgresSystem,
    "postgres-async": partial(PostgresSystem, is_synchronous=False),
    "nats": NATSSystem,
    "nats-direct": partial(NATSSystem, is_direct=True),
}

SYSTEM_NAMES: tuple[str, ...] = tuple(_MAKERS)


def make_system(name: str) -> System:
    """Return a fresh adapter by its name, or that of a running cluster by its URL.

    Raises:
        UsageError: no system has that name; the sentence names the nearest. The URL is none of ours.
    """
    if is_url(name):
        return AttachedSystem(parse_cluster_url(name))
    maker = _MAKERS.get(name)
    if maker is None:
        near = difflib.get_close_matches(name, SYSTEM_NAMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise errors.UsageError(f"no system is named {name!r} (known: {', '.join(SYSTEM_NAMES)}){hint}")
    return maker()
