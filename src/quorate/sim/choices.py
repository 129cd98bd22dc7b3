"""A run is a list of choices: a seed only generates them, and a list of them replays the run."""

import random
from collections.abc import Callable, Mapping

from quorate.kernel import Seeds


class Stream:
    """Dice for one purpose. All draws are made from uniform floats, so one list of floats replays them.

    Uniform draws and integer arithmetic only: logarithms differ between platforms.
    """

    __slots__ = ("draw", "name")

    def __init__(self, name: str, draw: Callable[[], float]) -> None:
        self.name = name
        # Returns a float in [0, 1).
        self.draw = draw

    def below(self, count: int) -> int:
        """Return an integer in [0, count)."""
        return int(self.draw() * count)

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both included."""
        return low + int(self.draw() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """Return True in this share of cases; draws nothing for 0."""
        return share > 0 and self.draw() < share


class Choices:
    """Where every decision of network, disk and faults comes from.

    Args:
        seed: generates what is not replayed.
        replay: stream name → values drawn in an earlier run, oldest first. What goes beyond the list is generated.
        is_calm: what goes beyond the list is not generated but calm: the longest jitter, and nothing that has a
            chance happens.
        record: keep every value in `drawn`. Costs memory: about 32 bytes a draw.
    """

    def __init__(
        self, seed: int, *, replay: Mapping[str, list[float]] | None = None, record: bool = False, is_calm: bool = False
    ) -> None:
        self.seed = seed
        self.drawn: dict[str, list[float]] = {}
        self._seeds = Seeds(seed)
        self._replay = replay or {}
        self._is_recording = record
        self._is_calm = is_calm
        self._streams: dict[str, Stream] = {}

    def stream(self, *name: object) -> Stream:
        """Return the dice for a purpose; the same name gives the same dice, wherever they stand by now."""
        text = "/".join(str(part) for part in name)
        stream = self._streams.get(text)
        if stream is None:
            stream = self._streams[text] = Stream(text, self._source(text))
        return stream

    def random(self, *name: object) -> random.Random:
        """Return a fresh generator for a program's own use; it is a function of the seed and is not recorded."""
        return self._seeds.stream(*name)

    def _source(self, name: str) -> Callable[[], float]:
        draw = _calm if self._is_calm else self._seeds.stream(name).random
        old = self._replay.get(name)
        if old:
            draw = _replayed(old, draw)
        if self._is_recording:
            draw = _recorded(self.drawn.setdefault(name, []), draw)
        return draw


def _calm() -> float:
    """Return the largest draw: shares below 1 do not fire, spans are longest and all alike."""
    return 1.0 - 2.0**-53


def _replayed(values: list[float], beyond: Callable[[], float]) -> Callable[[], float]:
    rest = iter(values)

    def draw() -> float:
        value = next(rest, None)
        return beyond() if value is None else value

    return draw


def _recorded(values: list[float], inner: Callable[[], float]) -> Callable[[], float]:
    def draw() -> float:
        value = inner()
        values.append(value)
        return value

    return draw
