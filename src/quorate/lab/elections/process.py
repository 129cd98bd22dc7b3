"""One node of the experiment as a process of its own: a machine between two pipes.

    python -P process.py FILE OPTIONS

Started by its path, so that it imports no more than a node needs. OPTIONS is the JSON of `Options`.
Lines are JSON. In: {"go": true}, {"from": 2, "data": base64}, {"dead": TOKEN} (they are). Out: {"ready": true}, {"to":
3, "data": base64}, {"write": TOKEN}, {"shoot": [4, 5], "token": TOKEN}; a TOKEN is [count, node]. What the machine
persists is appended to FILE and synced before anything behind it leaves.
"""

import asyncio
import base64
import os
import random
import sys
from pathlib import Path
from typing import Any, assert_never

import msgspec

from quorate.kernel import (
    SECOND,
    CancelTimer,
    Codec,
    Deliver,
    Duration,
    Effect,
    Event,
    Instant,
    Malformed,
    NodeId,
    Outbox,
    Persist,
    Persisted,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from quorate.protocols.election import (
    BULLY_MESSAGES,
    RING_MESSAGES,
    Bully,
    ElectionConfig,
    Elector,
    LeaderChanged,
    Ring,
    Token,
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told at birth."""

    kind: str
    node: NodeId
    nodes: tuple[NodeId, ...]
    quorum: bool
    # Whether a leader has the others killed before it writes, and how long it waits for them before.
    has_stonith: bool
    acknowledge_span: Duration
    write_interval: Duration


class Process:
    """Runs one machine, and writes while it leads."""

    def __init__(self, options: Options, path: Path) -> None:
        config = ElectionConfig(node=options.node, nodes=options.nodes, quorum=options.quorum)
        kind: type[Elector] = Bully if options.kind == "bully" else Ring
        self._options = options
        self._codec: Codec[Any] = BULLY_MESSAGES if options.kind == "bully" else RING_MESSAGES
        self._machine = kind(config, (), random.Random(int(options.node)))
        self._outbox = Outbox()
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._file = path.open("ab", buffering=0)
        self._records = msgspec.msgpack.Encoder()
        # The leadership that may write.
        self._cleared: Token | None = None

    async def run(self) -> None:
        """Read lines until the end of the input."""
        reader = asyncio.StreamReader()
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self._say({"ready": True})
        while line := await reader.readline():
            self._on_line(msgspec.json.decode(line))

    def _on_line(self, line: dict[str, Any]) -> None:
        match line:
            case {"go": _}:
                self._step(Started())
                self._write()
            case {"from": sender, "data": data}:
                try:
                    message = self._codec.decode(base64.b64decode(data))
                except Malformed:
                    return
                self._step(Received(NodeId(sender), message))
            case {"dead": [count, node]}:
                self._cleared = Token(count, node)
            case _:
                pass

    def _say(self, line: dict[str, Any]) -> None:
        # One write of less than a pipe's buffer: lines are never torn.
        os.write(1, msgspec.json.encode(line) + b"\n")

    def _write(self) -> None:
        """Write to the resource while this node leads, and come again."""
        machine = self._machine
        if machine.role_name == "leader" and machine.token == self._cleared:
            self._say({"write": list(msgspec.structs.astuple(machine.token))})
        self._loop.call_later(self._options.write_interval / SECOND, self._write)

    def _step(self, event: Event) -> None:
        now = Instant(int(self._loop.time() * SECOND))
        if isinstance(event, Persisted):
            for released in self._outbox.persisted(event.count):
                self._perform(released)
        for effect in self._outbox.push(self._machine.step(event, now=now)):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self._say({"to": int(to), "data": base64.b64encode(self._codec.encode(message)).decode()})
            case SetTimer(timer, after):
                self._cancel(timer)
                self._timers[timer] = self._loop.call_later(after / SECOND, self._fired, timer)
            case CancelTimer(timer):
                self._cancel(timer)
            case Persist(records):
                self._file.write(b"".join(self._records.encode(record) for record in records))
                os.fdatasync(self._file.fileno())
                self._loop.call_soon(self._step, Persisted(self._outbox.persist_count))
            case Deliver(output):
                if isinstance(output, LeaderChanged) and output.is_self:
                    self._begin_to_lead(output.token)
            case _:
                assert_never(effect)

    def _begin_to_lead(self, token: Token) -> None:
        if self._options.has_stonith:
            self._loop.call_later(self._options.acknowledge_span / SECOND, self._shoot, token)
        else:
            self._cleared = token

    def _shoot(self, token: Token) -> None:
        """Ask for the death of whoever has not acknowledged this node; it writes when they are known to be dead."""
        machine = self._machine
        if machine.role_name == "leader" and machine.token == token:
            others = [int(node) for node in self._options.nodes if node not in (machine.node, *machine.acknowledged)]
            self._say({"shoot": others, "token": list(msgspec.structs.astuple(token))})

    def _cancel(self, timer: str) -> None:
        running = self._timers.pop(timer, None)
        if running is not None:
            running.cancel()

    def _fired(self, timer: str) -> None:
        self._timers.pop(timer, None)
        self._step(TimerFired(timer))


async def main(path: str, options: str) -> None:
    """Run one node."""
    await Process(msgspec.json.decode(options, type=Options), Path(path)).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
