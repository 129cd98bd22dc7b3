"""All of the world that one node may touch."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from quorate.env.clock import Clock
from quorate.env.disk import Disk
from quorate.env.network import Network, Streams
from quorate.kernel import NodeId


@dataclass(frozen=True, kw_only=True)
class Env:
    """One node's world, real or simulated. Tasks, locks, queues and time-outs are plain asyncio.

    A crash revokes an Env before anything is cancelled: a dead node's `finally` blocks reach nothing.
    """

    node: NodeId
    clock: Clock
    network: Network
    streams: Streams
    disk: Disk
    # This node's own stream; production seeds it from the operating system.
    rng: random.Random
    # Named dice: False in production; in simulation drawn live per run (25 %) and then per visit (25 %).
    buggify: Callable[[str], bool]
