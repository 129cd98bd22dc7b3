"""A hand-driven group of Raft machines: deliver, lose, repeat, crash and wait, step by step, without any world.

For tests of protocols and for reading a schedule slowly. Simulation of whole nodes is `quorate.sim`.
"""

import random
from collections.abc import Callable, Iterable, Sequence

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
    LogIndex,
    Message,
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
from quorate.protocols.raft.calls import Compact, Propose, Read, SnapshotReceived, SnapshotSent
from quorate.protocols.raft.config import RaftConfig
from quorate.protocols.raft.core import Raft
from quorate.protocols.raft.entries import Configuration, Entry
from quorate.protocols.raft.invariants import ClusterHistory, InvariantBroken, check_cluster
from quorate.protocols.raft.outputs import (
    Committed,
    InstallSnapshot,
    ReadFailed,
    ReadReady,
    SendSnapshot,
    SnapshotRefused,
)
from quorate.protocols.raft.records import SnapshotMarker
from quorate.protocols.raft.roles import TRANSITIONS, Leader
from quorate.protocols.raft.state import ELECTION

_ALLOWED = frozenset((before, after) for before, after, _ in TRANSITIONS)


class Letter(msgspec.Struct, frozen=True):
    """A message under way."""

    sender: NodeId
    to: NodeId
    # A message of Raft, or the stream of a snapshot.
    content: "Message | Snapshot"


class Snapshot(msgspec.Struct, frozen=True):
    """A whole state machine on its way: the entries that were applied."""

    marker: SnapshotMarker
    state: tuple[Entry, ...]
    # The sender's term when it was sent.
    term: int


class Box(msgspec.Struct):
    """One node: its machine, and the disk, timers and state machine that a host would give it."""

    machine: Raft
    outbox: Outbox = msgspec.field(default_factory=Outbox)
    timers: dict[str, Instant] = msgspec.field(default_factory=dict)
    outputs: list[Output] = msgspec.field(default_factory=list)
    # Stable records, and writes that a crash would lose.
    disk: list[Record] = msgspec.field(default_factory=list)
    writes: list[tuple[Record, ...]] = msgspec.field(default_factory=list)
    # Writes wait until `sync` is called.
    is_slow: bool = False
    is_alive: bool = True
    # The state machine: entries in the order in which they were applied.
    applied: list[Entry] = msgspec.field(default_factory=list)
    # Durable: the last checkpoint, and snapshots that were received whole.
    checkpoint: tuple[Entry, ...] = ()
    checkpoint_index: LogIndex = LogIndex(0)
    staged: dict[LogIndex, tuple[Entry, ...]] = msgspec.field(default_factory=dict)
    applied_index: LogIndex = LogIndex(0)


class RaftCluster:
    """Machines 1 to n with a wire between them; nothing moves unless told to.

    After every step the invariants of the group and the table of transitions are checked.

    Example:
        >>> cluster = RaftCluster(3)
        >>> cluster.elect(1)
        >>> cluster.propose(1, b"x")
        >>> cluster.settle()
        >>> [entry.payload for entry in cluster.box(2).applied]
        [b'', b'x']
    """

    def __init__(
        self,
        voter_count: int,
        *,
        learners: Sequence[int] = (),
        joiners: Sequence[int] = (),
        seed: int = 0,
        machine: type[Raft] = Raft,
        machines: dict[int, type[Raft]] | None = None,
        on_step: Callable[[NodeId, Event, list[Effect]], None] | None = None,
        **config: object,
    ) -> None:
        """Make and start the nodes.

        Args:
            voter_count: voters, named 1 to this.
            learners: founders without a vote.
            joiners: nodes without a configuration, which wait to be added.
            seed: of all random streams.
            machine: the class of all nodes, for planted bugs.
            machines: the class of single nodes.
            on_step: sees every step.
            config: fields of `RaftConfig`, the same for all.
        """
        self.now = Instant(0)
        self.wire: list[Letter] = []
        # Ordered pairs of nodes between which everything is lost.
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.history = ClusterHistory()
        self.seeds = Seeds(seed)
        self.on_step = on_step
        # Index → entry, over all nodes: two nodes never apply different entries at one place.
        self.applied: dict[LogIndex, Entry] = {}
        voters = tuple(NodeId(node) for node in range(1, voter_count + 1))
        self.founders = Configuration(voters, tuple(NodeId(node) for node in learners))
        self._kinds = {NodeId(node): kind for node, kind in (machines or {}).items()}
        self._kind = machine
        self._config = config
        self._life_count = 0
        self.boxes: dict[NodeId, Box] = {}
        for node in (*self.founders.members, *(NodeId(joiner) for joiner in joiners)):
            self.boxes[node] = Box(self._make(node, ()))
        for node in self.boxes:
            self.step(node, Started())

    def _make(self, node: NodeId, records: Iterable[Record]) -> Raft:
        founders = self.founders if node in self.founders.members else Configuration(())
        self._life_count += 1
        config = msgspec.convert({"node": node, "configuration": founders, **self._config}, RaftConfig)
        rng: random.Random = self.seeds.stream("raft", node, self._life_count)
        return self._kinds.get(node, self._kind)(config, records, rng)

    # Looking.

    def box(self, node: int) -> Box:
        """Return a node with all around it."""
        return self.boxes[NodeId(node)]

    def machine(self, node: int) -> Raft:
        """Return a node's machine."""
        return self.box(node).machine

    @property
    def alive(self) -> list[Raft]:
        """The machines that are not crashed, in order of their ids."""
        return [box.machine for box in self.boxes.values() if box.is_alive]

    @property
    def leader(self) -> Raft | None:
        """The leader of the newest term that has one alive."""
        leaders = [machine for machine in self.alive if isinstance(machine.role, Leader)]
        return max(leaders, key=lambda machine: machine.term, default=None)

    def outputs(self, node: int, kind: type[Output]) -> list[Output]:
        """Return what a node handed to its host, of one kind."""
        return [output for output in self.box(node).outputs if type(output) is kind]

    def letters(self, kind: type[Message], *, sender: int | None = None, to: int | None = None) -> list[Letter]:
        """Return messages under way of one kind."""
        return [
            letter
            for letter in self.wire
            if isinstance(letter.content, kind) and sender in {None, letter.sender} and to in {None, letter.to}
        ]

    # Moving.

    def step(self, node: int, event: Event) -> list[Effect]:
        """Give a node one event, perform its effects, check everything; return the effects."""
        name = NodeId(node)
        box = self.boxes[name]
        assert box.is_alive, "the dead take no steps"
        before = box.machine.role_name
        effects = box.machine.step(event, now=self.now)
        after = box.machine.role_name
        if before != after and (before, after) not in _ALLOWED:
            raise InvariantBroken(f"node {node} went from {before} to {after}")
        if self.on_step is not None:
            self.on_step(name, event, effects)
        for effect in box.outbox.push(effects):
            self._perform(name, box, effect)
        check_cluster(self.alive, self.history)
        if not box.is_slow:
            self.sync(name)
        return effects

    def call(self, node: int, call: Call) -> list[Effect]:
        """Ask a node something."""
        return self.step(node, Called(call))

    def propose(self, node: int, *payloads: bytes) -> None:
        """Propose payloads with token 0."""
        self.call(node, Propose(payloads, 0))

    def sync(self, node: int, *, write_count: int | None = None) -> None:
        """Make the first writes of a node stable (all, unless told)."""
        box = self.boxes[NodeId(node)]
        count = len(box.writes) if write_count is None else write_count
        if count == 0:
            return
        for records in box.writes[:count]:
            box.disk.extend(records)
        del box.writes[:count]
        reached = box.outbox.persisted_count + count
        for effect in box.outbox.persisted(reached):
            self._perform(NodeId(node), box, effect)
        self.step(node, Persisted(reached))

    def fire(self, node: int, timer: str) -> None:
        """Let a timer run out: time moves to its moment, if that has not passed."""
        box = self.boxes[NodeId(node)]
        self.now = max(self.now, box.timers.pop(timer))
        self.step(node, TimerFired(timer))

    def time_out(self, node: int) -> None:
        """Let a node's election timeout really pass, with all leases of others that cannot speak to it."""
        machine = self.machine(node)
        config = machine.config
        self.now = Instant(max(self.now, machine._election_deadline, self.now + config.election_timeout))
        self.box(node).timers.pop(ELECTION, None)
        self.step(node, TimerFired(ELECTION))

    def elect(self, node: int) -> None:
        """Let a node time out and settle; assert that it leads."""
        self.time_out(node)
        self.settle()
        assert isinstance(self.machine(node).role, Leader), f"node {node} was not elected"

    def deliver(self, letter: Letter, *, repeat: bool = False) -> None:
        """Deliver one letter now; with `repeat`, another copy stays under way."""
        if not repeat:
            self.wire.remove(letter)
        box = self.boxes.get(letter.to)
        is_lost = box is None or not box.is_alive or (letter.sender, letter.to) in self.cuts
        content = letter.content
        if isinstance(content, Snapshot):
            self._deliver_snapshot(letter, content, is_lost=is_lost)
        elif not is_lost:
            self.step(letter.to, Received(letter.sender, content))

    def lose(self, letter: Letter) -> None:
        """Lose one letter; the sender of a snapshot notices."""
        self.wire.remove(letter)
        if isinstance(letter.content, Snapshot):
            self._deliver_snapshot(letter, letter.content, is_lost=True)

    def settle(self, *, step_count_max: int = 10_000) -> None:
        """Deliver everything under way, in order, until nothing moves; no time passes."""
        for _ in range(step_count_max):
            if not self.wire:
                return
            self.deliver(self.wire[0])
        raise InvariantBroken(f"the nodes still talk after {step_count_max} messages")

    def run(self, span: Duration) -> None:
        """Let time pass: messages arrive at once, timers fire in order."""
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
                self.now = end
                return
            _, node, timer = min(due)
            self.fire(node, timer)

    # Harm.

    def crash(self, node: int) -> None:
        """Stop a node at once; writes that are not stable are lost."""
        box = self.box(node)
        box.is_alive = False
        box.writes.clear()
        box.timers.clear()

    def restart(self, node: int) -> None:
        """Start a crashed node from what is on its disk."""
        name = NodeId(node)
        old = self.boxes[name]
        assert not old.is_alive, "only a crashed node can be restarted"
        box = Box(self._make(name, old.disk), disk=list(old.disk), is_slow=old.is_slow, staged=old.staged)
        snapshot = box.machine.log.snapshot
        box.checkpoint, box.checkpoint_index = old.checkpoint, old.checkpoint_index
        if box.checkpoint_index < snapshot.index:
            # The crash came between the marker and the exchange of the state; the received bytes are still here.
            box.checkpoint, box.checkpoint_index = old.staged[snapshot.index], snapshot.index
        box.applied, box.applied_index = list(box.checkpoint), box.checkpoint_index
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

    def compact(self, node: int) -> None:
        """Checkpoint all that a node has applied, and let it cut its log."""
        box = self.box(node)
        box.checkpoint, box.checkpoint_index = tuple(box.applied), box.applied_index
        self.call(node, Compact(box.applied_index))

    def read(self, node: int, token: int) -> ReadReady | ReadFailed | None:
        """Ask for a read, settle, and return the answer; None: none came."""
        self.call(node, Read(token))
        self.settle()
        for output in self.box(node).outputs:
            if isinstance(output, ReadReady | ReadFailed) and output.token == token:
                return output
        return None

    # Effects.

    def _perform(self, node: NodeId, box: Box, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self.wire.append(Letter(node, to, message))
            case Persist(records):
                box.writes.append(records)
            case SetTimer(timer, after):
                box.timers[timer] = Instant(self.now + after)
            case CancelTimer(timer):
                box.timers.pop(timer, None)
            case Deliver(output):
                box.outputs.append(output)
                self._take_output(node, box, output)

    def _take_output(self, node: NodeId, box: Box, output: Output) -> None:
        match output:
            case Committed(entries):
                for entry in entries:
                    if entry.index > box.applied_index:
                        self._apply(node, box, entry)
            case SendSnapshot(to, marker):
                # The latest checkpoint, which is never older than what was asked for.
                assert marker.index <= box.checkpoint_index, "what is compacted was checkpointed before"
                machine = box.machine
                latest = SnapshotMarker(marker.index, marker.term, marker.configuration)
                state = tuple(entry for entry in box.checkpoint if entry.index <= marker.index)
                self.wire.append(Letter(node, to, Snapshot(latest, state, machine.term)))
            case InstallSnapshot(marker):
                box.applied = list(box.staged[marker.index])
                box.applied_index = marker.index
                box.checkpoint, box.checkpoint_index = tuple(box.applied), marker.index
            case SnapshotRefused(marker):
                if box.machine.log.snapshot != marker:
                    box.staged.pop(marker.index, None)
            case _:
                pass  # kept in `outputs` for tests to look at

    def _apply(self, node: NodeId, box: Box, entry: Entry) -> None:
        if entry.index != box.applied_index + 1:
            raise InvariantBroken(f"node {node} applies {entry.index} after {box.applied_index}")
        agreed = self.applied.setdefault(entry.index, entry)
        if agreed != entry:
            raise InvariantBroken(f"state machine safety: node {node} applies {entry!r}, another applied {agreed!r}")
        box.applied.append(entry)
        box.applied_index = entry.index

    def _deliver_snapshot(self, letter: Letter, content: Snapshot, *, is_lost: bool) -> None:
        sender = self.boxes[letter.sender]
        if not is_lost:
            self.boxes[letter.to].staged[content.marker.index] = content.state
            self.call(letter.to, SnapshotReceived(letter.sender, content.marker, content.term))
        if sender.is_alive:
            self.call(letter.sender, SnapshotSent(letter.to, ok=not is_lost))
