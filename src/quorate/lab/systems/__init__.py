"""Systems under test: adapters of five methods each."""

from quorate.lab.systems.attached import AttachedSystem
from quorate.lab.systems.base import SIGNALS, Client, Leadership, Signal, Skewing, System
from quorate.lab.systems.etcd_system import EtcdSystem
from quorate.lab.systems.named import SYSTEM_NAMES, make_system
from quorate.lab.systems.processes import Children
from quorate.lab.systems.quorate_system import QuorateSystem
from quorate.lab.systems.redis_system import RedisSystem

__all__ = [
    "SIGNALS",
    "SYSTEM_NAMES",
    "AttachedSystem",
    "Children",
    "Client",
    "EtcdSystem",
    "Leadership",
    "QuorateSystem",
    "RedisSystem",
    "Signal",
    "Skewing",
    "System",
    "make_system",
]
