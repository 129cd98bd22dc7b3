"""A store that is driven by lines of text."""

from collections.abc import Callable

import pytest

from quorate.kernel import LogIndex, RequestKey
from quorate.store import Command, KeyValueStore, Limits, MemoryBase, NeedsLog, Reply


class Driven:
    """A store with its base; a command is a line of words, `~` stands for an empty argument."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.base = MemoryBase()
        self.limits = limits
        self.store = KeyValueStore(self.base, limits)
        self.now_ms = 1_000_000

    def do(self, line: str, *, db: int = 0, key: RequestKey | None = None) -> Reply:
        """Apply one command in an entry of its own."""
        return self.send(self.command(line, db=db, key=key))

    def send(self, command: Command) -> Reply:
        (reply,) = self.store.apply(LogIndex(self.store.applied_index + 1), self.now_ms, [command])
        return reply

    def ask(self, line: str, *, wall_ms: int | None = None, db: int = 0) -> Reply | NeedsLog:
        """Query."""
        return self.store.query(self.command(line, db=db), self.now_ms if wall_ms is None else wall_ms)

    def command(self, line: str, *, db: int = 0, key: RequestKey | None = None) -> Command:
        return Command(db, [b"" if word == "~" else word.encode() for word in line.split()], key)

    def restart(self) -> None:
        """Come back with what lies at rest."""
        self.store = KeyValueStore(self.base, self.limits)


@pytest.fixture
def driven() -> Driven:
    return Driven()


@pytest.fixture
def drive() -> Callable[..., Driven]:
    return Driven
