"""One line for every step of a run, so that two processes' runs can be compared."""

import zlib
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, TextIO

from quorate.sim.scheduler import Happening, SimHandle

# Coroutines are followed inwards so far.
DEPTH_MAX: Final = 12


class StepLog:
    """Writes steps and payloads as lines with tabs: time, host, what, places (`file:line`, outermost first)."""

    def __init__(self, file: TextIO) -> None:
        self._write: Callable[[str], Any] = file.write

    def step(self, handle: Happening | SimHandle) -> None:
        """Write a callback that is about to run."""
        callback = handle._callback
        scheduler_now = handle.gate.loop.time_ns() if handle.gate.loop is not None else 0  # type: ignore[attr-defined]
        what, places = describe(callback)
        self._write(f"{scheduler_now}\t{handle.gate.number}\t{what}\t{';'.join(places)}\n")

    def payload(self, source: str, target: str, payload: bytes) -> None:
        """Write a payload that arrived."""
        text = f"{len(payload)} bytes from {source} to {target}, checksum {zlib.crc32(payload):08x}"
        self._write(f"\t\t{text}: {payload[:60]!r}\t\n")


def describe(callback: Any) -> tuple[str, list[str]]:
    """Return what a callback is, and where its program stands."""
    owner: Any = getattr(callback, "__self__", None)
    coroutine = owner.get_coro() if hasattr(owner, "get_coro") else None
    if coroutine is None:
        code = getattr(getattr(callback, "__func__", callback), "__code__", None)
        name = getattr(callback, "__qualname__", type(callback).__name__)
        return str(name), [] if code is None else [f"{code.co_filename}:{code.co_firstlineno}"]
    names, places = [], []
    for _ in range(DEPTH_MAX):
        frame: FrameType | None = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        names.append(coroutine.__qualname__)
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        coroutine = coroutine.cr_await
    return f"task {' > '.join(names)}", places
