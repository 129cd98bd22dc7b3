"""The sibling explosion, as an experiment: interleaved writers on one key, under three ways of stamping.

Clients take turns at random. Each writes with the context of what it read right after its own last write, so about as
many writes are truly concurrent as there are clients, without any failure.

`SET_VECTOR` keeps one vector for all siblings of a key and one entry per server. A context that is not the very latest
cannot say *which* siblings it has seen, so all of them stay, replaced ones too: they pile up until somebody happens to
write twice in a row. `CLIENT_VECTORS` is exact, at the price of an entry for every client that ever wrote. `DOTTED` is
exact with an entry per server, and never holds more siblings than there are writers.

Source      Almeida et al. 2014, section 3 (the anomaly). Reported from Riak, with 7 writers: 21 siblings of plain
            vectors against 7 of dotted ones.
"""

import random
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from quorate.clocks.dotted import DottedVersionSet
from quorate.clocks.vectors import VersionVector
from quorate.kernel import errors


class Stamping(Enum):
    """How the server stamps a write."""

    SET_VECTOR = "set vector"
    CLIENT_VECTORS = "client vectors"
    DOTTED = "dotted"


@dataclass(frozen=True, kw_only=True)
class SiblingReport:
    """What one run showed."""

    stamping: Stamping
    # The most siblings that were stored at one time.
    sibling_count_max: int
    # The most values stored at one time although a later writer had read and replaced them.
    zombie_count_max: int
    # The most entries of a vector.
    entry_count_max: int
    # Values that are gone although nobody had replaced them.
    lost_count: int


def measure_siblings(stamping: Stamping, *, writer_count: int, write_count: int, rng: random.Random) -> SiblingReport:
    """Let interleaved clients write one key through one server; return what became of the siblings.

    Args:
        stamping: how writes are stamped.
        writer_count: clients that take turns; 1 or more.
        write_count: writes in all.
        rng: chooses whose turn it is.

    Complexity: O(write_count · siblings).
    """
    if writer_count < 1 or write_count < 0:
        raise errors.UsageError(f"needs a writer and no negative writes, not {writer_count} and {write_count}")
    server = _make(stamping)
    # Values that some write had seen: the truth that the stamps should express.
    replaced: dict[int, None] = {}
    seen: list[list[int]] = [[] for _ in range(writer_count)]
    contexts = [VersionVector()] * writer_count
    sibling_count_max = zombie_count_max = entry_count_max = 0
    for value in range(write_count):
        writer = rng.randrange(writer_count)
        server.write(value, client=writer, context=contexts[writer])
        replaced.update(dict.fromkeys(seen[writer]))
        seen[writer], contexts[writer] = server.values(), server.context()
        sibling_count_max = max(sibling_count_max, len(seen[writer]))
        zombie_count_max = max(zombie_count_max, sum(old in replaced for old in seen[writer]))
        entry_count_max = max(entry_count_max, len(contexts[writer]))
    alive = dict.fromkeys(server.values())
    return SiblingReport(
        stamping=stamping,
        sibling_count_max=sibling_count_max,
        zombie_count_max=zombie_count_max,
        entry_count_max=entry_count_max,
        lost_count=sum(value not in alive and value not in replaced for value in range(write_count)),
    )


class _SetVectorServer:
    def __init__(self) -> None:
        self._values: list[int] = []
        self._vector = VersionVector()

    def values(self) -> list[int]:
        return list(self._values)

    def context(self) -> VersionVector:
        return self._vector

    def write(self, value: int, *, client: int, context: VersionVector) -> None:
        del client  # the server is the only actor
        kept = [] if context.descends(self._vector) else self._values
        self._values = [*kept, value]
        self._vector = self._vector.merge(context).increment(0)


class _ClientVectorServer:
    def __init__(self) -> None:
        self._siblings: list[tuple[VersionVector, int]] = []

    def values(self) -> list[int]:
        return [value for _, value in self._siblings]

    def context(self) -> VersionVector:
        merged = VersionVector()
        for stamp, _ in self._siblings:
            merged = merged.merge(stamp)
        return merged

    def write(self, value: int, *, client: int, context: VersionVector) -> None:
        stamp = context.increment(client)
        self._siblings = [(old, kept) for old, kept in self._siblings if not stamp.descends(old)] + [(stamp, value)]


class _DottedServer:
    def __init__(self) -> None:
        self._set = DottedVersionSet()

    def values(self) -> list[int]:
        return [int(value) for value in self._set.values()]

    def context(self) -> VersionVector:
        return self._set.context()

    def write(self, value: int, *, client: int, context: VersionVector) -> None:
        del client  # the server is the only actor
        self._set = self._set.put(b"%d" % value, actor=0, context=context)


def _make(stamping: Stamping) -> _SetVectorServer | _ClientVectorServer | _DottedServer:
    match stamping:
        case Stamping.SET_VECTOR:
            return _SetVectorServer()
        case Stamping.CLIENT_VECTORS:
            return _ClientVectorServer()
        case Stamping.DOTTED:
            return _DottedServer()
        case _:
            assert_never(stamping)
