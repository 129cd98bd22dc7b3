"""Snapshots between nodes: the last checkpoint streamed in chunks, while writes go on.

The machine decides that a peer needs one and what becomes of it; here only bytes move. The receiver restores beside
its old state and replaces it in one atomic step when the last chunk has been verified; a crash in the middle leaves
the old state. State first, marker second: a node that crashes between the two finds a checkpoint ahead of its log,
and tells its machine so when it starts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import msgspec

from quorate.env import Env
from quorate.kernel import Codec, GroupId, LogIndex, NodeId, marks
from quorate.kernel.errors import QuorateError
from quorate.protocols.raft import SnapshotMarker, SnapshotReceived, SnapshotSent
from quorate.replication.frames import Kind
from quorate.replication.host import Host
from quorate.replication.links import Links

log = logging.getLogger("quorate.snapshots")

CHUNK_BYTES = 256 << 10


class Begin(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A snapshot follows; an older unfinished one of the same group is abandoned."""

    group: GroupId
    transfer: int
    marker: SnapshotMarker
    term: int


class Chunk(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The next piece."""

    group: GroupId
    transfer: int
    ordinal: int
    data: bytes


class End(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """All pieces have been sent."""

    group: GroupId
    transfer: int
    chunk_count: int


Piece = Begin | Chunk | End
PIECES: Codec[Piece] = Codec(Piece)


class Source(Protocol):
    """A consistent view of a checkpoint."""

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Return self-checking pieces."""

    def close(self) -> None:
        """Give the view back."""


class Sink(Protocol):
    """Receives pieces beside the old state."""

    def write(self, chunk: bytes) -> None:
        """Take the next piece; raise Corrupt for a damaged one."""

    async def finish(self) -> None:
        """Replace the old state, atomically and durably."""

    def abort(self) -> None:
        """Forget what came."""


class Snapshots:
    """Sends and receives the snapshots of one group."""

    def __init__(
        self,
        env: Env,
        links: Links,
        host: Host,
        *,
        open_source: Callable[[], Awaitable[tuple[SnapshotMarker, Source]]],
        open_sink: Callable[[], Sink],
        replaced: Callable[[Sink, SnapshotMarker], Awaitable[None]],
        applied_index: Callable[[], LogIndex],
        term: Callable[[], int],
    ) -> None:
        self.env = env
        self.sent_count = 0
        self.received_count = 0
        self._links = links
        self._host = host
        self._open_source = open_source
        self._open_sink = open_sink
        self._replaced = replaced
        self._applied_index = applied_index
        self._term = term
        self._sending: dict[NodeId, asyncio.Task[None]] = {}
        self._finishing: asyncio.Task[None] | None = None
        self._is_stopped = False
        # The transfer under way: who sends it, what it is, and how many pieces came.
        self._sender = NodeId(0)
        self._begin: Begin | None = None
        self._sink: Sink | None = None
        self._chunk_count = 0

    def stop(self) -> None:
        """End all transfers; one that is being installed is left to `close`."""
        self._is_stopped = True
        for task in self._sending.values():
            task.cancel()
        if self._finishing is None:
            self._abandon()

    async def close(self) -> None:
        """Wait until nothing moves any more."""
        finishing = [] if self._finishing is None else [self._finishing]
        await asyncio.gather(*self._sending.values(), *finishing, return_exceptions=True)

    # -- sending --------

    def send(self, to: NodeId) -> None:
        """Stream the last checkpoint to a peer; at most one transfer per peer at a time."""
        if to not in self._sending and not self._is_stopped:
            # The term in which it was asked for: this node may follow another when the stream begins.
            task = asyncio.get_running_loop().create_task(self._send(to, self._term()), name=f"snapshot to {to}")
            self._sending[to] = task

    async def _send(self, to: NodeId, term: int) -> None:
        is_sent = False
        try:
            marker, source = await self._open_source()
            try:
                is_sent = await self._stream(to, marker, source, term)
            finally:
                source.close()
        except (QuorateError, OSError) as cause:
            log.warning("node %d cannot send a snapshot to node %d: %s", self.env.node, to, cause)
        finally:  # the machine waits for it, whatever went wrong
            self._sending.pop(to, None)
            self.sent_count += is_sent
            self._host.call(SnapshotSent(to, is_sent))

    async def _stream(self, to: NodeId, marker: SnapshotMarker, source: Source, term: int) -> bool:
        group, transfer = self._host.group, self.env.rng.getrandbits(63)
        count = 0
        if not self._send_piece(to, Begin(group, transfer, marker, term)):
            return False
        for data in source.chunks(CHUNK_BYTES):
            if not self._send_piece(to, Chunk(group, transfer, count, data)):
                return False
            count += 1
            await asyncio.sleep(0)  # the piece leaves at the end of the turn
            if not await self._links.drain(to):
                return False
        return self._send_piece(to, End(group, transfer, count))

    def _send_piece(self, to: NodeId, piece: Piece) -> bool:
        return self._links.send(to, Kind.SNAPSHOT, PIECES.encode(piece))

    # -- receiving --------

    def receive(self, sender: NodeId, piece: Piece) -> None:
        """Take a piece; one that does not fit the transfer under way is ignored."""
        try:
            match piece:
                case Begin():
                    self._on_begin(sender, piece)
                case Chunk():
                    self._on_chunk(sender, piece)
                case End():
                    self._on_end(sender, piece)
        except (QuorateError, OSError) as cause:
            log.warning("node %d: a snapshot from node %d is useless: %s", self.env.node, sender, cause)
            self._abandon()

    def _on_begin(self, sender: NodeId, piece: Begin) -> None:
        if self._finishing is not None or self._is_stopped:
            return
        self._abandon()
        if piece.marker.index > self._applied_index():
            self._sender, self._begin, self._chunk_count = sender, piece, 0
            self._sink = self._open_sink()

    def _on_chunk(self, sender: NodeId, piece: Chunk) -> None:
        if not self._is_current(sender, piece.transfer) or self._is_stopped:
            return
        if piece.ordinal != self._chunk_count:  # a piece was dropped: the sender will begin anew
            marks.hit("snapshots: a piece is missing")
            self._abandon()
            return
        assert self._sink is not None, "a transfer under way has a sink"
        self._sink.write(piece.data)
        self._chunk_count += 1

    def _on_end(self, sender: NodeId, piece: End) -> None:
        if not self._is_current(sender, piece.transfer) or self._is_stopped:
            return
        if piece.chunk_count != self._chunk_count:
            self._abandon()
            return
        self._finishing = asyncio.get_running_loop().create_task(self._finish(), name="snapshot install")

    def _is_current(self, sender: NodeId, transfer: int) -> bool:
        return (
            self._begin is not None
            and self._finishing is None
            and (self._sender, self._begin.transfer) == (sender, transfer)
        )

    async def _finish(self) -> None:
        begin, sink, sender = self._begin, self._sink, self._sender
        assert begin is not None, "a transfer that ends has begun"
        assert sink is not None, "a transfer that ends has a sink"
        try:
            if begin.marker.index > self._applied_index():
                await self._replaced(sink, begin.marker)
                self._sink = None
                self.received_count += 1
                marks.hit("snapshots: installed")
                self._host.call(SnapshotReceived(sender, begin.marker, begin.term))
        except (QuorateError, OSError) as cause:
            log.warning("node %d cannot install a snapshot: %s", self.env.node, cause)
        finally:
            self._finishing = None
            self._abandon()

    def _abandon(self) -> None:
        if self._sink is not None:
            self._sink.abort()
        self._sink = None
        self._begin = None
