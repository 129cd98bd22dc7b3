"""Files of one node: volatile until synced."""

from typing import Protocol


class File(Protocol):
    """One open file.

    Guarantees: reads see all earlier writes of this process. What was written before a successful sync survives a
    crash; what was not may be lost, torn (any byte prefix or any subset of 4 KiB pages) or reordered. After a failed
    sync the state of everything since the last good one is unknown, for ever: never retry, stop.
    """

    name: str

    def size_bytes(self) -> int:
        """Return the current length."""

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return up to so many bytes; fewer only at the end of the file. Raise DiskError."""

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset, at most the current length, so that no holes arise.

        Raises:
            DiskFull: nothing or a prefix was written.
            DiskError: the device refused.
        """

    def truncate(self, size_bytes: int) -> None:
        """Cut the file; volatile like a write."""

    async def sync(self) -> None:
        """Make content and length durable without blocking the loop. Raise SyncFailed."""

    def sync_now(self) -> None:
        """Make content and length durable, blocking the loop. Raise SyncFailed."""

    def close(self) -> None:
        """Give the file back; does not sync."""


class Disk(Protocol):
    """One node's directory, flat or with `/` in names; nobody else writes in it.

    Guarantees: creating, renaming and removing are volatile until `sync_names`; a rename is atomic.
    """

    def open(self, name: str, *, create: bool = False) -> File:
        """Open for reading and writing. Raise FileNotFoundError when absent and not to be created."""

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that begin with a prefix, sorted."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what has it."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def sync_names(self) -> None:
        """Make all creations, renames and removals durable. Raise SyncFailed."""

    def free_bytes(self) -> int:
        """Return how much can still be written, about."""
