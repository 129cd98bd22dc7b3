"""Futures and tasks whose place in a set is their birth number, not their address.

asyncio keeps tasks in sets and cancels, gathers and returns them in set order; with addresses as hashes that order
changes from process to process even under a fixed PYTHONHASHSEED.
"""

import asyncio
from typing import Any


class SimFuture(asyncio.Future[Any]):
    """A future of the simulated loop."""

    __slots__ = ("birth",)

    def __init__(self, birth: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self.birth = birth
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.birth


class SimTask(asyncio.Task[Any]):
    """A task of the simulated loop."""

    __slots__ = ("birth",)

    def __init__(
        self, birth: int, coroutine: Any, *, loop: asyncio.AbstractEventLoop, name: str | None, context: Any = None
    ) -> None:
        # Before the base: its constructor already puts the task into a set.
        self.birth = birth
        super().__init__(coroutine, loop=loop, name=name or f"Task-{birth}", context=context)

    def __hash__(self) -> int:
        return self.birth
