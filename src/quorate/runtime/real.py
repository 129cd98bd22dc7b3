"""An Env on this machine, its loop, and worker threads for what must not block the loop."""

import asyncio
import concurrent.futures
import os
import random
from pathlib import Path

from quorate.env import Env
from quorate.kernel import NodeId, Seeds
from quorate.runtime.clock import RealClock
from quorate.runtime.disk import RealDisk
from quorate.runtime.network import RealNetwork, RealStreams


def new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop where it is installed, asyncio's elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def worker(name: str) -> concurrent.futures.Executor:
    """Return one worker thread."""
    return concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=name)


def real_env(node: NodeId, directory: Path, *, seed: int | None = None) -> Env:
    """Return one node's world on this machine.

    Args:
        node: its id.
        directory: its own; made when absent by whoever writes first.
        seed: of its chance; None: from the operating system.
    """
    rng = random.Random(int.from_bytes(os.urandom(16), "big")) if seed is None else Seeds(seed).stream("node", node)
    return Env(
        node=node,
        clock=RealClock(),
        network=RealNetwork(),
        streams=RealStreams(),
        disk=RealDisk(directory),
        rng=rng,
        buggify=lambda _site: False,
    )
