"""The worlds under contract: the simulated one under several seeds, and this machine under two loops."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from quorate.env import Address, Env
from quorate.kernel import NodeId
from quorate.runtime import new_loop, real_env
from quorate.sim import World

Main = Callable[[Env], Coroutine[Any, Any, Any]]


class Lab(Protocol):
    """Runs programs of several nodes at the same time, in some world."""

    def host(self, name: str) -> str:
        """Return the host part of a node's addresses."""

    def put(self, key: str, value: Any) -> None:
        """Let all programs see something."""

    async def get(self, key: str) -> Any:
        """Wait until something was put."""

    def run(self, **mains: Main) -> dict[str, Any]:
        """Run one program per node; return what each returned."""


class Board:
    """What programs tell each other beside the network."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def put(self, key: str, value: Any) -> None:
        self._values[key] = value

    async def get(self, key: str) -> Any:
        while key not in self._values:
            await asyncio.sleep(0.001)
        return self._values[key]

    def any_port(self, name: str) -> Address:
        return Address(self.host(name), 0)  # type: ignore[attr-defined]


class SimLab(Board):
    """Each node is a host with a loop of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._world = World(seed)

    def host(self, name: str) -> str:
        return name

    def run(self, **mains: Main) -> dict[str, Any]:
        async def lab() -> dict[str, Any]:
            tasks = {name: self._world.host(name).start(main) for name, main in mains.items()}
            return {name: await self._world.result(task) for name, task in tasks.items()}

        with self._world:
            return self._world.run(lab())


class RealLab(Board):
    """All nodes share one loop and the loopback interface."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._directory = directory
        self._loop = loop

    def host(self, name: str) -> str:
        return "127.0.0.1"

    def run(self, **mains: Main) -> dict[str, Any]:
        async def lab() -> dict[str, Any]:
            envs = {
                name: real_env(NodeId(number), self._directory / name, seed=1) for number, name in enumerate(mains, 1)
            }
            tasks = {name: asyncio.ensure_future(main(envs[name])) for name, main in mains.items()}
            try:
                async with asyncio.timeout(5):
                    results = {name: await task for name, task in tasks.items()}
            finally:
                for task in tasks.values():
                    task.cancel()
            for env in envs.values():
                env.disk.close()  # type: ignore[attr-defined]
            return results

        try:
            return self._loop.run_until_complete(lab())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


WORLDS = [
    "sim-1",
    "sim-2",
    "sim-3",
    pytest.param("asyncio", marks=pytest.mark.real),
    pytest.param("uvloop", marks=pytest.mark.real),
]


@pytest.fixture(params=WORLDS)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A world in which programs can be run."""
    kind = request.param
    if kind.startswith("sim"):
        yield SimLab(int(kind[4:]))
    else:
        yield RealLab(tmp_path, asyncio.new_event_loop() if kind == "asyncio" else new_loop())


class Recorder(asyncio.Protocol):
    """Notes what happens to one connection; bytes are only counted, since their pieces are the network's choice."""

    def __init__(self, *, keeps_half_open: bool = False) -> None:
        self.events: list[str] = []
        self.received = bytearray()
        self.transport: asyncio.Transport
        self.made = asyncio.Event()
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()
        self.paused = asyncio.Event()
        self._keeps_half_open = keeps_half_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport, so nobody may ask.
        self.transport = transport  # type: ignore[assignment]
        self.events.append("made")
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        self.ended.set()
        return self._keeps_half_open

    def pause_writing(self) -> None:
        self.events.append("paused")
        self.paused.set()

    def resume_writing(self) -> None:
        self.events.append("resumed")
        self.paused.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(f"lost {type(exc).__name__ if exc is not None else 'cleanly'}")
        self.lost.set()

    async def count(self, byte_count: int) -> None:
        """Wait until so many bytes have arrived."""
        while len(self.received) < byte_count:
            await asyncio.sleep(0.001)


@pytest.fixture
def recorder() -> type[Recorder]:
    """The protocol that notes what it sees."""
    return Recorder
