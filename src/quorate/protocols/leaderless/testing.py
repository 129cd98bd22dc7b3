"""A hand-driven cluster of leaderless nodes: deliver, lose, repeat, crash and wait, step by step, without any world.

For tests of the protocol and for reading a schedule slowly. Simulation of whole nodes is `quorate.sim`.
"""

from collections.abc import Callable, Iterable

import msgspec

from quorate.kernel import (
    Call,
    Called,
    CancelTimer,
    Deliver,
    Duration,
    Effect,
    Event,
    Instant,
    NodeId,
    Outbox,
    Output,
    Persist,
    Persisted,
    Received,
    Record,
    Seeds,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from quorate.protocols.leaderless.calls import Batch, PeerDown, PeerUp, Request, Tick
from quorate.protocols.leaderless.changes import AnyChange, Delete, Put
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.core import Leaderless
from quorate.protocols.leaderless.messages import AnyPart, Bundle
from quorate.protocols.leaderless.outputs import Answered, Failed
from quorate.protocols.leaderless.rulebook import rule_named
from quorate.protocols.leaderless.rules import Rule, Seen
from quorate.protocols.leaderless.topology import Topology, topology_of

WALL_NS = 1_700_000_000_000_000_000
"""The wall clock of every node when a cluster is made."""


class Letter(msgspec.Struct, frozen=True):
    """A bundle under way."""

    sender: NodeId
    to: NodeId
    bundle: Bundle


class Box(msgspec.Struct):
    """One node: its machine, and the disk and timers that a host would give it."""

    machine: Leaderless
    outbox: Outbox = msgspec.field(default_factory=Outbox)
    timers: dict[str, Instant] = msgspec.field(default_factory=dict)
    outputs: list[Output] = msgspec.field(default_factory=list)
    # Stable records, and writes that a crash would lose.
    disk: list[Record] = msgspec.field(default_factory=list)
    writes: list[tuple[Record, ...]] = msgspec.field(default_factory=list)
    # Writes wait until `sync` is called.
    is_slow: bool = False
    is_alive: bool = True
    # How far this node's wall clock is off.
    skew_ns: int = 0


class LeaderlessCluster:
    """Nodes 1 to n with a wire between them; nothing moves unless told to.

    Example:
        >>> cluster = LeaderlessCluster(3)
        >>> cluster.put(1, b"key", b"value")
        Answered(token=1, …)
        >>> cluster.get(2, b"key")
        (b'value',)
    """

    def __init__(
        self,
        node_count: int,
        *,
        rule: Rule | str = "lww",
        topology: Topology | None = None,
        replica_count: int = 3,
        seed: int = 0,
        machine: type[Leaderless] = Leaderless,
        on_step: Callable[[NodeId, Event, list[Effect]], None] | None = None,
        **config: object,
    ) -> None:
        """Make and start the nodes.

        Args:
            node_count: nodes, named 1 to this.
            rule: the conflict rule, or its word.
            topology: who holds what; by default all nodes in one data centre.
            replica_count: copies, when no topology is given.
            seed: of all random streams.
            machine: the class of all nodes, for planted bugs.
            on_step: sees every step.
            config: fields of `LeaderlessConfig`, the same for all.
        """
        self.now = Instant(0)
        self.wire: list[Letter] = []
        # Ordered pairs of nodes between which everything is lost.
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.seeds = Seeds(seed)
        self.on_step = on_step
        self.rule: Rule = rule_named(rule) if isinstance(rule, str) else rule
        names = [NodeId(node) for node in range(1, node_count + 1)]
        self.topology = topology or topology_of(names, replica_count=min(replica_count, node_count))
        self._machine = machine
        self._config = config
        self._token = 0
        self._births = 0
        self.boxes: dict[NodeId, Box] = {}
        for name in names:
            self.add(name)
        self.tick()

    def add(self, node: int) -> None:
        """Make a node with an empty disk, and start it."""
        name = NodeId(node)
        self.boxes[name] = Box(self._make(name, []))
        self.step(name, Started())

    def _make(self, node: NodeId, records: list[Record]) -> Leaderless:
        self._births += 1
        config = LeaderlessConfig(node=node, topology=self.topology, **self._config)  # type: ignore[arg-type]
        return self._machine(config, records, self.seeds.stream("node", node, self._births), rule=self.rule)

    def box(self, node: int) -> Box:
        """Return a node's box."""
        return self.boxes[NodeId(node)]

    def machine(self, node: int) -> Leaderless:
        """Return a node's machine."""
        return self.box(node).machine

    def machines(self) -> list[Leaderless]:
        """Return the machines of all nodes that are alive."""
        return [box.machine for box in self.boxes.values() if box.is_alive]

    def cell(self, node: int, key: bytes) -> bytes:
        """Return what a node holds of a key."""
        return self.machine(node).cells.get(key, b"")

    def seen(self, node: int, key: bytes) -> Seen:
        """Return what a reader would see in a node's own copy."""
        return self.rule.seen(self.cell(node, key))

    def wall_ns(self, node: int) -> int:
        """Return a node's wall clock."""
        return WALL_NS + self.now + self.box(node).skew_ns

    # Events.

    def step(self, node: int, event: Event) -> list[Effect]:
        """Let a node take one event, and perform what it asks."""
        name = NodeId(node)
        box = self.boxes[name]
        if isinstance(event, Persisted):
            for released in box.outbox.persisted(event.count):
                self._perform(name, box, released)
        effects = box.machine.step(event, now=self.now)
        if self.on_step is not None:
            self.on_step(name, event, effects)
        for effect in box.outbox.push(effects):
            self._perform(name, box, effect)
        if not box.is_slow:
            self.sync(node)
        return effects

    def call(self, node: int, call: Call) -> None:
        """Ask something of a node."""
        self.step(node, Called(call))

    def request(
        self,
        node: int,
        key: bytes,
        change: AnyChange | None = None,
        *,
        level: str = "",
        context: bytes = b"",
        at_least: bytes = b"",
        timeout: int = 0,
    ) -> int:
        """Ask for a read or a change through a node; return its token."""
        self._token += 1
        request = Request(self._token, key, change, level, context, at_least, Duration(timeout))
        self.call(node, Batch((request,), self.wall_ns(node)))
        return self._token

    def answer(self, token: int) -> Answered | Failed | None:
        """Return how a request ended; None: not yet. Asserts that it ended once."""
        found = [
            output
            for box in self.boxes.values()
            for output in box.outputs
            if isinstance(output, Answered | Failed) and output.token == token
        ]
        assert len(found) <= 1, f"a request ends once: {found}"
        return found[0] if found else None

    def put(self, node: int, key: bytes, value: bytes, **options: object) -> Answered | Failed | None:
        """Put a string, settle, and return how it ended."""
        return self.change(node, key, Put(value), **options)

    def delete(self, node: int, key: bytes, **options: object) -> Answered | Failed | None:
        """Delete a key, settle, and return how it ended."""
        return self.change(node, key, Delete(), **options)

    def change(self, node: int, key: bytes, change: AnyChange, **options: object) -> Answered | Failed | None:
        """Change a key, settle, and return how it ended."""
        token = self.request(node, key, change, **options)  # type: ignore[arg-type]
        self.settle()
        return self.answer(token)

    def read(self, node: int, key: bytes, **options: object) -> Answered | Failed | None:
        """Read a key, settle, and return how it ended."""
        token = self.request(node, key, **options)  # type: ignore[arg-type]
        self.settle()
        return self.answer(token)

    def get(self, node: int, key: bytes, **options: object) -> tuple[bytes, ...]:
        """Read a key, settle, and return its values; asserts that the read was answered."""
        answer = self.read(node, key, **options)
        assert isinstance(answer, Answered), answer
        return self.rule.seen(answer.cell).values

    # Time, network, disk.

    def sync(self, node: int) -> None:
        """Let all writes of a node become stable."""
        box = self.box(node)
        while box.writes:
            written, box.writes = box.writes, []
            for records in written:
                box.disk += records
            count = box.outbox.persisted_count + len(written)
            self.step(node, Persisted(count))

    def deliver(self, letter: Letter, *, repeat: bool = False) -> None:
        """Deliver one letter now; with `repeat`, another copy stays under way."""
        if not repeat:
            self.wire.remove(letter)
        box = self.boxes.get(letter.to)
        if box is not None and box.is_alive and (letter.sender, letter.to) not in self.cuts:
            self.step(letter.to, Received(letter.sender, letter.bundle))

    def settle(self, *, step_count_max: int = 10_000) -> None:
        """Deliver everything under way, in order, until nothing moves; no time passes."""
        for _ in range(step_count_max):
            if not self.wire:
                return
            self.deliver(self.wire[0])
        raise AssertionError(f"the nodes still talk after {step_count_max} messages")

    def parts(self) -> list[tuple[NodeId, NodeId, AnyPart]]:
        """Return all parts under way: sender, receiver, part."""
        return [(letter.sender, letter.to, part) for letter in self.wire for part in letter.bundle.parts]

    def run(self, span: int, *, tick: bool = True) -> None:
        """Let time pass: messages arrive at once, timers fire in order; at the end all nodes hear the wall clock."""
        end = Instant(self.now + span)
        while True:
            self.settle()
            due = [
                (at, node, timer)
                for node, box in self.boxes.items()
                if box.is_alive
                for timer, at in box.timers.items()
                if at <= end
            ]
            if not due:
                break
            at, node, timer = min(due)
            self.now = Instant(max(self.now, at))
            del self.boxes[node].timers[timer]
            self.step(node, TimerFired(timer))
        self.now = end
        if tick:
            self.tick()

    def tick(self) -> None:
        """Tell all nodes their wall clocks."""
        for node, box in self.boxes.items():
            if box.is_alive:
                self.call(node, Tick(self.wall_ns(node)))
        self.settle()

    # Harm.

    def crash(self, node: int) -> None:
        """Stop a node at once; writes that are not stable are lost."""
        box = self.box(node)
        box.is_alive = False
        box.writes.clear()
        box.timers.clear()

    def restart(self, node: int, *, disk: list[Record] | None = None) -> None:
        """Start a crashed node from what is on its disk, or from another disk."""
        name = NodeId(node)
        old = self.boxes[name]
        assert not old.is_alive, "only a crashed node can be restarted"
        records = old.disk if disk is None else disk
        box = Box(self._make(name, records), disk=list(records), is_slow=old.is_slow, skew_ns=old.skew_ns)
        box.outputs = old.outputs
        self.boxes[name] = box
        self.step(name, Started())

    def cut(self, left: Iterable[int], right: Iterable[int]) -> None:
        """Lose everything between two sets of nodes from now on, both ways."""
        others = [NodeId(node) for node in right]
        for a in left:
            for b in others:
                self.cuts |= {(NodeId(a), b), (b, NodeId(a))}

    def heal(self) -> None:
        """Let everybody hear everybody again."""
        self.cuts.clear()

    def down(self, node: int, *, at: Iterable[int] | None = None) -> None:
        """Tell nodes (all others) that one cannot be reached."""
        for other in [NodeId(name) for name in at] if at is not None else list(self.boxes):
            if other != node and self.boxes[other].is_alive:
                self.call(other, PeerDown(NodeId(node)))

    def up(self, node: int, *, at: Iterable[int] | None = None) -> None:
        """Tell nodes (all others) that one can be reached again."""
        for other in [NodeId(name) for name in at] if at is not None else list(self.boxes):
            if other != node and self.boxes[other].is_alive:
                self.call(other, PeerUp(NodeId(node)))

    # Effects.

    def _perform(self, node: NodeId, box: Box, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                assert isinstance(message, Bundle), "nodes say bundles"
                self.wire.append(Letter(node, to, message))
            case Persist(records):
                box.writes.append(records)
            case SetTimer(timer, after):
                box.timers[timer] = Instant(self.now + after)
            case CancelTimer(timer):
                box.timers.pop(timer, None)
            case Deliver(output):
                box.outputs.append(output)
