"""The end of a turn: everything that came in during one turn of the loop is finished together.

Order at the end of a turn: groups propose what was collected, links write (so that followers sync while we do),
the log writes and syncs, callers get their answers. Each stage may ask for another turn.
"""

import asyncio
from collections.abc import Callable


class Turn:
    """Runs registered stages once, in order, after the callbacks of the current loop iteration."""

    def __init__(self) -> None:
        self._stages: list[Callable[[], None]] = []
        self._is_asked = False

    def add(self, stage: Callable[[], None]) -> None:
        """Append a stage; stages run in the order in which they were added."""
        self._stages.append(stage)

    def ask(self) -> None:
        """Make sure that a turn ends soon; cheap to call often."""
        if not self._is_asked:
            self._is_asked = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._is_asked = False
        for stage in self._stages:
            stage()
