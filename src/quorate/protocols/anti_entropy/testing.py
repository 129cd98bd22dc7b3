"""Two or more machines on a table: cells by hand, messages delivered, lost or repeated one by one, no world.

For tests and for reading an exchange slowly. Simulation of whole nodes is `quorate.sim`.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from quorate.kernel import (
    HASH_COUNT,
    Call,
    Called,
    CancelTimer,
    Deliver,
    Effect,
    Event,
    Instant,
    Message,
    NodeId,
    Output,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from quorate.protocols.anti_entropy.calls import Changed, Reshape, SharedRange
from quorate.protocols.anti_entropy.config import AntiEntropyConfig
from quorate.protocols.anti_entropy.core import AntiEntropy
from quorate.protocols.anti_entropy.index import digest_of
from quorate.protocols.anti_entropy.messages import MESSAGES
from quorate.protocols.anti_entropy.outputs import Divergent
from quorate.protocols.anti_entropy.state import BEGIN


class Letter(msgspec.Struct, frozen=True):
    """A message under way."""

    sender: NodeId
    to: NodeId
    message: Message


class Table:
    """Machines that share all hashes (unless told otherwise), their cells, and what they found.

    Example:
        >>> table = Table({1: {b"a": b"1"}, 2: {b"a": b"2", b"b": b"3"}})
        >>> table.cycle(1)
        >>> table.found[NodeId(1)]
        {(2, b'a'): None, (2, b'b'): None}
    """

    def __init__(
        self,
        cells: Mapping[int, Mapping[bytes, bytes]],
        *,
        make: Callable[[NodeId], AntiEntropyConfig] | None = None,
        ranges: tuple[tuple[int, int], ...] = ((0, HASH_COUNT),),
    ) -> None:
        self.now = Instant(0)
        self.machines: dict[NodeId, AntiEntropy] = {}
        self.cells: dict[NodeId, dict[bytes, bytes]] = {NodeId(node): {} for node in cells}
        self.wire: deque[Letter] = deque()
        self.timers: dict[NodeId, dict[str, Instant]] = {node: {} for node in self.cells}
        self.outputs: list[tuple[NodeId, Output]] = []
        # Node → (peer, key) that it was told of.
        self.found: dict[NodeId, dict[tuple[int, bytes], None]] = {node: {} for node in self.cells}
        self.sent_bytes = 0
        self.sent_count = 0
        for node in self.cells:
            config = make(node) if make else AntiEntropyConfig(node=node)
            self.machines[node] = AntiEntropy(config, (), random.Random(int(node)))
            self.step(node, Started())
            self.put(node, cells[int(node)])
            peers = tuple(other for other in self.cells if other != node)
            shared = tuple(SharedRange(start, end, peers) for start, end in ranges)
            self.call(node, Reshape(1, shared))

    def step(self, node: NodeId, event: Event) -> None:
        """Give one event to one machine and take its effects."""
        for effect in self.machines[node].step(event, now=self.now):
            self._perform(node, effect)

    def call(self, node: int, call: Call) -> None:
        """Ask something of a machine."""
        self.step(NodeId(node), Called(call))

    def put(self, node: int, cells: Mapping[bytes, bytes]) -> None:
        """Change what a node holds; an empty cell takes a key out."""
        mine = self.cells[NodeId(node)]
        for key, cell in cells.items():
            if cell:
                mine[key] = cell
            else:
                mine.pop(key, None)
        self.call(node, Changed(tuple((key, digest_of(key, cell)) for key, cell in cells.items())))

    def fire(self, node: int, timer: str = BEGIN) -> None:
        """Let time pass to a timer of a machine, and fire it."""
        due = self.timers[NodeId(node)].pop(timer)
        self.now = max(self.now, due)
        self.step(NodeId(node), TimerFired(timer))

    def deliver(self) -> None:
        """Deliver the oldest message."""
        letter = self.wire.popleft()
        self.step(letter.to, Received(letter.sender, letter.message))

    def settle(self) -> None:
        """Deliver messages until none is under way."""
        while self.wire:
            self.deliver()

    def cycle(self, node: int) -> None:
        """Let a node compare until its cycle is done: all ranges with all peers, at least once."""
        machine = self.machines[NodeId(node)]
        self.fire(node)
        self.settle()
        while machine.queue or machine.exchanges:
            self.fire(node)
            self.settle()

    def named(self, node: int) -> list[bytes]:
        """Return the keys that a node was told of since it was last asked, ascending, and forget them."""
        keys = sorted(dict.fromkeys(key for _, key in self.found[NodeId(node)]))
        self.found[NodeId(node)] = {}
        return keys

    def _perform(self, node: NodeId, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                data = MESSAGES.encode(message)
                self.sent_bytes += len(data)
                self.sent_count += 1
                if to in self.machines:
                    self.wire.append(Letter(node, to, MESSAGES.decode(data)))
            case Deliver(output):
                self.outputs.append((node, output))
                if isinstance(output, Divergent):
                    self.found[node].update(dict.fromkeys((int(output.peer), key) for key in output.keys))
            case SetTimer(timer, after):
                self.timers[node][timer] = Instant(self.now + after)
            case CancelTimer(timer):
                self.timers[node].pop(timer, None)
            case _:
                raise AssertionError("anti-entropy persists nothing")
