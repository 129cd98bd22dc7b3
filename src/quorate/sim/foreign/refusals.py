"""What cannot be simulated is refused with the reason; what asyncio does in an unsteady order gets a steady one."""

import _thread
import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

from quorate.sim.failures import Unsimulated
from quorate.sim.loop import running_incarnation
from quorate.sim.program_sockets import BLOCKING, ProgramSocket

THREADS: Final = (
    "threads are not simulated: their order is the operating system's; "
    "use tasks, or asyncio.to_thread, which runs at once and answers after a seeded delay"
)
PROCESSES: Final = "subprocesses are not simulated: give the other program a host of its own"
SIGNALS: Final = "signals are not simulated: end a program with Host.stop, Host.crash or Host.power_cut"

_REFUSED: Final = (
    (_thread, "start_new_thread", THREADS),
    (subprocess, "_fork_exec", PROCESSES),
    (os, "fork", PROCESSES),
    (os, "forkpty", PROCESSES),
    (os, "posix_spawn", PROCESSES),
    (os, "posix_spawnp", PROCESSES),
    (os, "system", PROCESSES),
    (os, "kill", SIGNALS),
    (signal, "signal", SIGNALS),
    (socket, "create_connection", BLOCKING),
)


def _refusing(real: Any, reason: str) -> Callable[..., Any]:
    def refuse(*args: Any, **keywords: Any) -> Any:
        if running_incarnation() is not None:
            raise Unsimulated(reason)
        return real(*args, **keywords)

    refuse.__name__ = getattr(real, "__name__", "refuse")
    return refuse


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, replacement)."""
    for module, name, reason in _REFUSED:
        if hasattr(module, name):
            yield module, name, _refusing(getattr(module, name), reason)
    yield asyncio.tasks, "as_completed", _as_completed_of(asyncio.tasks.as_completed)


def _as_completed_of(real: Any) -> Callable[..., Any]:
    def as_completed(fs: Any, **keywords: Any) -> Any:
        """Make tasks in the order of asking first: asyncio would put the coroutines into a set."""
        if running_incarnation() is None or asyncio.iscoroutine(fs) or asyncio.isfuture(fs):
            return real(fs, **keywords)
        futures = [asyncio.ensure_future(one) for one in dict.fromkeys(fs)]
        return real(futures, **keywords)

    return as_completed


def install(undo: list[Callable[[], None]]) -> None:
    """Let `socket.socket(…)` make a socket of the world on a host; the class itself stays what it is."""
    kind: Any = socket.socket

    def make(cls: Any, *args: Any, **keywords: Any) -> Any:
        if cls is kind and running_incarnation() is not None:
            return ProgramSocket.__new__(ProgramSocket)
        return kind.__base__.__new__(cls, *args, **keywords)

    kind.__new__ = staticmethod(make)

    def restore() -> None:
        del kind.__new__

    undo.append(restore)
