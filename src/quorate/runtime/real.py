"""An Env on this machine, its loop, and worker threads for what must not block the loop."""

import asyncio
import concurrent.futures
import os
import random
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from quorate.env import Env
from quorate.kernel import NodeId, Seeds
from quorate.runtime.clock import RealClock
from quorate.runtime.disk import RealDisk
from quorate.runtime.network import RealNetwork, RealStreams

T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop where it is installed, asyncio's elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T | None:
    """Run a coroutine to its end on a new loop; SIGINT and SIGTERM cancel it, and its `finally` blocks run.

    Returns:
        What it returns; None when a signal ended it.
    """

    async def guarded() -> T | None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        was_asked = False

        def ask_to_stop() -> None:
            nonlocal was_asked
            was_asked = True
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask_to_stop)
        try:
            return await task
        except asyncio.CancelledError:
            if was_asked:
                return None
            raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(guarded())


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
