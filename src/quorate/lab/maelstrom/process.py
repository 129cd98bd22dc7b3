"""A Maelstrom node as a process: standard input and output, the clock, and a file of records."""

import os
import queue
import random
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from quorate.kernel import Codec, Instant, Record, Truncated, Undecodable, errors, seal, unseal
from quorate.lab.maelstrom.gossip import GOSSIP_WORKLOADS, LEARNED, GossipNode
from quorate.lab.maelstrom.messages import MALFORMED, BadMessage, Message, decode, encode, failure
from quorate.lab.maelstrom.node import WORKLOADS, Disk, Node, PlainNode, RaftNode, reply
from quorate.protocols.raft import RECORDS

_KIND: Final = "raft-record"
_LEARNED_KIND: Final = "crdt-learned"
_LENGTH_BYTES: Final = 4
DESIGNS: Final = ("raft", "crdt")
"""What our nodes can be."""


class RecordFile(Disk):
    """Records in a file: each with its length and checksum; a torn end is cut off.

    Args:
        path: the file.
        codec: how one record becomes bytes; Raft's unless given.
        kind: what the seal of each record says that it is.

    Raises:
        Corrupt: a record in the middle is not what was written.
    """

    def __init__(self, path: Path, *, codec: "Codec[Any]" = RECORDS, kind: str = _KIND) -> None:
        super().__init__()
        self._codec = codec
        self._kind = kind
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._file.seek(0)
        try:
            self._load(self._file.read(), path)
        except errors.Corrupt:
            self.close()
            raise
        # The name of a new file must be durable too.
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _load(self, data: bytes, path: Path) -> None:
        place = 0
        while place < len(data):
            end = place + _LENGTH_BYTES + int.from_bytes(data[place : place + _LENGTH_BYTES], "little")
            try:
                _, payload = unseal(self._kind, data[place + _LENGTH_BYTES : end])
                self.records.append(self._codec.decode(payload))
            except Undecodable as cause:
                if end >= len(data) or isinstance(cause, Truncated):
                    # The last write did not end: nobody was told that it did.
                    break
                raise errors.Corrupt(f"{path} at byte {place}: {cause}") from cause
            place = end
        self._file.truncate(place)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def append(self, records: Sequence[Record]) -> None:
        """Write and sync."""
        parts = []
        for record in records:
            sealed = seal(self._kind, 1, self._codec.encode(record))
            parts += [len(sealed).to_bytes(_LENGTH_BYTES, "little"), sealed]
        self._file.write(b"".join(parts))
        self._file.flush()
        os.fsync(self._file.fileno())


def serve(
    workload: str,
    *,
    design: str = "raft",
    data: Path | None = None,
    election_timeout_ms: float = 500,
    heartbeat_ms: float = 100,
    source: BinaryIO | None = None,
    target: BinaryIO | None = None,
) -> None:
    """Answer messages until the input ends.

    Args:
        workload: one of `WORKLOADS`.
        design: one of `DESIGNS`.
        data: a directory for records; None: they are lost with the process, so it must not be killed and come back.
        election_timeout_ms: T of `RaftConfig`.
        heartbeat_ms: see `RaftConfig`.
        source: standard input unless given.
        target: standard output unless given.

    Raises:
        UsageError: an unknown workload or design.
    """
    if workload not in WORKLOADS:
        raise errors.UsageError(f"no workload is named {workload!r}; there are {', '.join(WORKLOADS)}")
    if design not in DESIGNS:
        raise errors.UsageError(f"no design is named {design!r}; there are {', '.join(DESIGNS)}")
    if design == "crdt" and workload not in GOSSIP_WORKLOADS:
        raise errors.UsageError(f"the design crdt agrees on nothing; there are {', '.join(GOSSIP_WORKLOADS)} for it")
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A thread reads, because only pipes can be awaited and a file must do too; all else happens in this thread.
    reader = threading.Thread(target=_read, args=(source or sys.stdin.buffer, lines), daemon=True)
    reader.start()
    output = target or sys.stdout.buffer
    rng = random.SystemRandom()
    node: Node | GossipNode | None = None
    while True:
        line = _next(lines, node)
        now = Instant(time.monotonic_ns())
        out: list[Message] = [] if node is None else node.wake(now)
        if line is not None:
            if not line:
                return
            message = _understood(line)
            if message is not None and message.body["type"] == "init":
                if node is None:
                    node = _born(message, workload, design, data, rng, election_timeout_ms, heartbeat_ms)
                    out += node.start(now)
                out.append(reply(message, {"type": "init_ok"}, node.name))
            elif message is not None and node is not None:
                out += node.receive(message, now)
            elif message is not None:
                out.append(reply(message, failure(MALFORMED, "init comes first"), message.dest))
        if out:
            output.write(b"".join(encode(message) for message in out))
            output.flush()


def _read(source: BinaryIO, lines: "queue.SimpleQueue[bytes]") -> None:
    for line in source:
        if line.strip():
            lines.put(line)
    lines.put(b"")


def _next(lines: "queue.SimpleQueue[bytes]", node: "Node | GossipNode | None") -> bytes | None:
    """Return the next line, empty at the end; None when the node's deadline comes first."""
    deadline = None if node is None else node.deadline()
    timeout_s = None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        return None


def _understood(line: bytes) -> Message | None:
    try:
        return decode(line)
    except BadMessage as cause:
        # Standard output is for messages alone.
        sys.stderr.write(f"ignored a line: {cause}\n")
        return None


def _born(
    message: Message,
    workload: str,
    design: str,
    data: Path | None,
    rng: random.Random,
    election_ms: float,
    heartbeat_ms: float,
) -> "Node | GossipNode":
    name, names = message.body.get("node_id"), message.body.get("node_ids")
    if not isinstance(name, str) or not isinstance(names, list) or name not in names:
        raise errors.UsageError("init names this node and all nodes")
    if workload in {"echo", "unique-ids"}:
        return PlainNode(name, workload, rng)
    if design == "crdt":
        file = Disk() if data is None else RecordFile(data / f"{name}.learned", codec=LEARNED, kind=_LEARNED_KIND)
        return GossipNode(name, names, workload, rng=rng, disk=file)
    disk = Disk() if data is None else RecordFile(data / f"{name}.records")
    return RaftNode(
        name, names, workload, rng=rng, disk=disk, election_timeout_ms=election_ms, heartbeat_ms=heartbeat_ms
    )  # fmt: skip
