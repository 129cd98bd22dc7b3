"""Runs programs that know nothing of Quorate on hosts of a patched world."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from quorate.kernel import milliseconds, seconds
from quorate.sim import World


class Stage:
    """A world with hosts, and servers that are given a moment to start."""

    def __init__(self, seed: int = 1, **options: Any) -> None:
        self.world = World(seed, patch=True, **options)

    def serve(self, name: str, program: Callable[..., Any], *args: Any) -> None:
        self.world.host(name).launch(program, *args)
        self.world.run_for(milliseconds(100))

    def call(self, name: str, program: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        host = self.world.host(name)
        task = host.launch(program, *args)

        async def lab() -> Any:
            return await self.world.result(task)

        try:
            return self.world.run(lab(), timeout=seconds(600))
        finally:
            if host.is_running:
                host.crash()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.world.close()


@pytest.fixture
def new_stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(seed: int = 1, **options: Any) -> Stage:
        made.append(Stage(seed, **options))
        return made[-1]

    yield make
    for one in made:
        one.world.close()


@pytest.fixture
def forever() -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    return wait
