"""Applied state at rest: what every base offers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

Changes = Mapping[bytes, bytes | None] | Iterable[tuple[bytes, bytes | None]]
"""What a checkpoint changes: keys with their new value; None removes the key. A later pair of one key wins."""


class Snapshot(Protocol):
    """A consistent view of the last checkpoint, which stays as it is while checkpoints go on."""

    @property
    def meta(self) -> bytes | None:
        """What the checkpoint stored beside the data; None before the first."""

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield all of it as self-checking chunks (see `chunks`); may be called again."""

    def close(self) -> None:
        """Give the view back: it holds space on the disk."""


class Restorer(Protocol):
    """Takes a snapshot beside the old state."""

    def write(self, chunk: bytes) -> None:
        """Take the next chunk; raise Corrupt for a damaged one, after which only `abort` is of use."""

    async def finish(self) -> None:
        """Replace all content and meta in one atomic and durable step; raise Corrupt when chunks are missing."""

    def abort(self) -> None:
        """Forget what came; the old state stays. Harmless after `finish`."""


class Base(Protocol):
    """An ordered map from bytes to bytes that changes only by whole, atomic, durable checkpoints."""

    @property
    def meta(self) -> bytes | None:
        """What the last checkpoint stored beside the data; None before the first."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as of the last checkpoint. Raise DiskError, Corrupt."""

    def scan(self, start: bytes, end: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs with start <= key < end in order of the key, as of when the scan began; None: no end."""

    def count(self) -> int:
        """Return how many keys there are."""

    async def checkpoint(self, changes: Changes, meta: bytes) -> None:
        """Make changes and meta durable together; the loop is not held up for more than about 10 ms at a time.

        Raises:
            DiskFull: nothing has changed.
            SyncFailed, DiskError: unknown what has changed; the node must stop.
        """

    def snapshot(self) -> Snapshot:
        """Return a view of the last checkpoint."""

    def restore(self) -> Restorer:
        """Begin to replace everything; one at a time."""

    def close(self) -> None:
        """Give everything back; waits for what is being written."""


def pairs_of(changes: Changes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield changes as pairs."""
    return iter(changes.items() if isinstance(changes, Mapping) else changes)
