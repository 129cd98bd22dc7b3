"""How commands reach a cluster: over the network, or straight into a node of this process. One contract."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

Consistency = Literal["linearizable", "local"]
"""linearizable: as if there were one copy. local: what the node asked has applied; fast, possibly stale."""


class KeyChange(msgspec.Struct, frozen=True):
    """One change of one key, as a watcher sees it."""

    key: bytes
    # put, delete or expire.
    kind: str
    # Of the store after the change; grows with every change.
    revision: int


class Executor(Protocol):
    """Runs commands. Errors say whether it happened; see `kernel.errors`."""

    async def write(self, args: list[bytes]) -> Any:
        """Run a command through the log, once, over however many attempts."""

    async def read(self, args: list[bytes], consistency: Consistency) -> Any:
        """Run a read-only command."""

    async def send(self, args: list[bytes], *, is_write: bool) -> Any:
        """Run a command of a leaderless keyspace: sent again only where it certainly was not done, or only reads."""

    async def watch(self, prefix: bytes, listener: Callable[[KeyChange | None], None]) -> Callable[[], None]:
        """Call a listener for every change of such a key, with None when the watch broke; return what ends it."""

    async def admin(self, args: list[bytes]) -> Any:
        """Run an administrator's command, sent once: STATUS, KEYSPACES, MEMBERS [ADD … | REMOVE …], TRANSFER …."""

    async def close(self) -> None:
        """Let go of connections."""
