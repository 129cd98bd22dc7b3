"""The state of a node: its cells, what it must still write and say at the end of a step, and its sense of time."""

import random
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from quorate.kernel import (
    Deliver,
    Instant,
    Machine,
    NodeId,
    Output,
    Persist,
    Record,
    Send,
    SetTimer,
    hash_key,
    marks,
)
from quorate.kernel.errors import ConfigError
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.deadlines import Deadlines
from quorate.protocols.leaderless.levels import check_level
from quorate.protocols.leaderless.messages import AnyPart, Bundle, Written
from quorate.protocols.leaderless.outputs import Answered, CellChanged, Failed
from quorate.protocols.leaderless.records import Adopted, Born, Gathered, Hinted, HintGone, Stored, Streamed
from quorate.protocols.leaderless.routes import Route, Router
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.stamps import Stamper
from quorate.protocols.leaderless.topology import Preferences, Topology, name_of

DUE: Final = "due"
HINTS: Final = "hints"
MOVE: Final = "move"
# Node above, chosen at birth below: an actor fits 63 bits.
_EPOCH_BITS: Final = 32
_NODE_MAX: Final = (1 << 31) - 1
# A cell may hold several values; beyond this many times the longest value it is refused.
CELL_FACTOR: Final = 32


class Hint(msgspec.Struct):
    """A cell that is kept for an owner."""

    cell: bytes
    # Wall clock of the oldest write in it.
    wall_ns: int
    # Not handed over again before this.
    next_at: Instant = Instant(0)


class Origin(msgspec.Struct, frozen=True):
    """Who waits for an answer: the own host under a token, or a node that forwarded."""

    # Of the host's request, or of the `Forward`.
    token: int
    # 0: the own host.
    node: NodeId = NodeId(0)
    # The forwarder's.
    life: int = 0


class LeaderlessState(Machine):
    """What the parts of a node share.

    Invariants: a cell is in `cells` and its `Stored` is in a `Persist` of the same step; what is sent without `eager`
    leaves after that.
    """

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.node = config.node
        self.rng = rng
        self.rule = rule
        # Drawn for this life: messages to an earlier one are recognised by it.
        self.life = rng.getrandbits(62) + 1
        self._last_number = rng.getrandbits(60)

        # All that this node holds; every cell is a valid one of the rule.
        self.cells: dict[bytes, bytes] = {}
        # Owner → key → hint; of each owner, those that were handed over longest ago (or never) first.
        self.hints: dict[NodeId, dict[bytes, Hint]] = {}
        # Believed unreachable by the failure detector.
        self.down: dict[NodeId, None] = {}
        # Key → the Persist that its latest cell is in, while that is not stable.
        self.unstable: dict[bytes, int] = {}
        self._unstable_order: deque[tuple[int, bytes]] = deque()
        # Persist effects emitted / known stable.
        self.persist_count = 0
        self.persisted_count = 0
        # Whom to tell when a Persist is stable: (Persist, number, owner whose copy it is).
        self._waiting: deque[tuple[int, int, NodeId]] = deque()

        # What a peer said that cannot be: counted and ignored.
        self.refused_count = 0
        # For the status: cells sent to replicas that were behind, hints kept and delivered, keys that anti-entropy
        # gave to exchange, tombstones purged; since the start of this life.
        self.repair_count = 0
        self.hinted_count = 0
        self.delivered_count = 0
        self.reconciled_count = 0
        self.purged_count = 0
        # Of who said what is being handled; this node's own between messages.
        self._sender_phase = 0

        self.topology: Topology = config.topology
        self.next_topology: Topology | None = None
        # Of the movement under way: (start of a range, source) → how far, and the plan that is gathered.
        self._streamed: dict[tuple[int, NodeId], Streamed] = {}
        self.gathered_plan = 0
        self._born: Born | None = None
        self._replay(records)
        self._is_newborn = self._born is None
        if self._born is None:
            self._born = Born(self._new_actor(), 0)
        self.stamper = Stamper(actor=self._born.actor, ceiling_ns=self._born.ceiling_ns, far_actor=self._new_actor())
        self._firm: deque[tuple[int, int]] = deque()
        self._use_topologies()

        self.deadlines = Deadlines()
        self._timer_at: Instant | None = None
        # Wall clock minus monotonic clock, as last told.
        self._wall_offset_ns: int | None = None

        # Collected over one step.
        self._records: list[Record] = []
        self._eager_parts: dict[NodeId, list[AnyPart]] = {}
        self._parts: dict[NodeId, list[AnyPart]] = {}
        self._eager_written: dict[NodeId, list[int]] = {}
        self._written: dict[NodeId, list[int]] = {}
        self._eager_outputs: list[Output] = []
        self._outputs: list[Output] = []

    def _replay(self, records: Iterable[Record]) -> None:
        for record in records:
            match record:
                case Born():
                    self._born = record
                case Stored(key, cell) if cell:
                    self.cells[key] = cell
                case Stored(key):
                    self.cells.pop(key, None)
                case Hinted(owner, key, cell, wall_ns):
                    self.hints.setdefault(owner, {})[key] = Hint(cell, wall_ns)
                case HintGone(owner, key):
                    self.hints.get(owner, {}).pop(key, None)
                case Adopted(topology, is_settled):
                    if is_settled:
                        self.topology, self.next_topology = topology, None
                    else:
                        self.next_topology = topology
                    self._streamed = {}
                case Streamed(_, start, _, source):
                    self._streamed[start, source] = record
                case Gathered(plan):
                    self.gathered_plan = plan
                case _:
                    assert False, f"a leaderless node wrote no {type(record).__name__}"  # noqa: B011

    def _new_actor(self) -> int:
        """Return a number that nobody has stamped with: by the node, and chance."""
        return (int(self.node) & _NODE_MAX) << _EPOCH_BITS | self.rng.getrandbits(_EPOCH_BITS)

    # Topologies.

    def _use_topologies(self) -> None:
        both = (self.topology, *([] if self.next_topology is None else [self.next_topology]))
        self.router = Router(tuple(Preferences(topology) for topology in both), self.node)
        # Odd while two topologies hold, and every step forward is one.
        self.phase = 2 * self.topology.version + (0 if self.next_topology is None else 1)
        # By name: of one version there may be several plans, by mistake or instead of each other.
        self.plans = (name_of(both[0]), name_of(both[-1]))
        self.peers = tuple(
            sorted(dict.fromkeys(node for topology in both for node in topology.nodes() if node != self.node))
        )

    def _serves(self, phase: int, plans: tuple[int, int] | None) -> bool:
        """Return whether a sender's quorums cross this node's: its topologies are the same, or one step away."""
        own = plans is None or plans == self.plans
        if phase == self.phase:
            return own
        if phase == self.phase - 1:
            return plans is None or plans[1] == self.plans[0]
        return phase == self.phase + 1 and (plans is None or plans[0] == self.plans[1])

    # Time.

    def _tell_wall(self, wall_ns: int) -> None:
        self._wall_offset_ns = wall_ns - self.now

    @property
    def wall_ns(self) -> int | None:
        """The wall clock as far as this node can tell, nanoseconds; None before it was told."""
        return None if self._wall_offset_ns is None else self.now + self._wall_offset_ns

    def _due_in(self, number: int, at: Instant) -> None:
        """Let a number become due at a moment."""
        self.deadlines.add(number, at)

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    # Cells.

    def _hold(self, key: bytes, cell: bytes) -> None:
        """Let a cell take the place of what is held; empty: hold nothing."""
        before = self.cells.get(key, b"")
        assert cell != before, "what changes nothing is not written"
        if cell:
            self.cells[key] = cell
        else:
            del self.cells[key]
        self._records.append(Stored(key, cell))
        ordinal = self.persist_count + 1
        self.unstable[key] = ordinal
        self._unstable_order.append((ordinal, key))
        self._noted(key, cell)
        # News of memory: trees and watchers follow it, and what a crash takes back they lose with it.
        self._eager_outputs.append(CellChanged(key, before, cell))

    def _noted(self, key: bytes, cell: bytes) -> None:
        """Keep up what is known of tombstones."""

    def _ordinal(self) -> int:
        """Return the Persist behind which everything of this step will be stable."""
        return self.persist_count + 1 if self._records else self.persist_count

    def _digest(self, cell: bytes) -> int:
        return hash_key(cell) if cell else 0

    def _is_sized(self, key: bytes, cell: bytes) -> bool:
        """Return whether a peer's cell is within the limits."""
        config = self.config
        return 0 < len(cell) <= CELL_FACTOR * config.value_bytes_max and len(key) <= config.key_bytes_max

    # Saying.

    def _send(self, to: NodeId, part: AnyPart, *, eager: bool = False) -> None:
        assert to != self.node, "nobody writes to itself"
        (self._eager_parts if eager else self._parts).setdefault(to, []).append(part)

    def _say_written(self, to: NodeId, number: int, *, eager: bool) -> None:
        (self._eager_written if eager else self._written).setdefault(to, []).append(number)

    def _answer(self, origin: Origin, cell: bytes, *, eager: bool = True) -> None:
        """Tell who asked that a request is done."""
        (self._eager_outputs if eager else self._outputs).append(Answered(origin.token, cell))

    def _fail(self, origin: Origin, code: str, sentence: str, *, is_maybe: bool = False) -> None:
        """Tell who asked that a request has ended without its level."""
        self._eager_outputs.append(Failed(origin.token, code, sentence, "maybe" if is_maybe else "no"))

    def _refuse(self, why: str) -> None:
        """Count something that a peer should not have said."""
        marks.hit(f"leaderless: {why}")
        self.refused_count += 1

    # The end of a step.

    def _flush(self) -> None:
        """Emit what was collected, in the order: what may overtake the write, the write, what waits for it."""
        # None of these promises anything about this node's disk: requests, stamps below a firm ceiling, news of what
        # was stable before.
        for output in self._eager_outputs:
            self._emit(Deliver(output, eager=True))
        self._flush_parts(self._eager_parts, self._eager_written, eager=True)
        if self._records:
            self.persist_count += 1
            self._emit(Persist(tuple(self._records)))
            self._records = []
        self._flush_parts(self._parts, self._written, eager=False)
        for output in self._outputs:
            self._emit(Deliver(output))
        self._eager_outputs, self._outputs = [], []
        self._set_timer()

    def _flush_parts(
        self, parts: dict[NodeId, list[AnyPart]], written: dict[NodeId, list[int]], *, eager: bool
    ) -> None:
        for peer, numbers in written.items():
            parts.setdefault(peer, []).append(Written(tuple(numbers)))
        for peer, said in parts.items():
            self._emit(Send(peer, Bundle(self.phase, self.life, tuple(said), self.plans), eager=eager))
        parts.clear()
        written.clear()

    def _set_timer(self) -> None:
        at = self.deadlines.next_at
        if at is not None and (self._timer_at is None or at < self._timer_at):
            self._timer_at = at
            self._emit(SetTimer(DUE, at - self.now))  # type: ignore[arg-type]

    def _on_persisted(self, count: int) -> None:
        """Learn that writes are stable."""
        self.persisted_count = count
        order, unstable = self._unstable_order, self.unstable
        while order and order[0][0] <= count:
            ordinal, key = order.popleft()
            if unstable.get(key) == ordinal:
                del unstable[key]
        while self._firm and self._firm[0][0] <= count:
            self.stamper.firm_ns = self._firm.popleft()[1]
        waiting = self._waiting
        while waiting and waiting[0][0] <= count:
            _, number, owner = waiting.popleft()
            self._on_written_by(number, owner)

    @abstractmethod
    def _on_written_by(self, number: int, owner: NodeId) -> None:
        """Learn that an owner, or who stands in for it, has a cell on its disk."""

    def _route(self, key: bytes) -> Route:
        return self.router.route(key)


def _check(config: LeaderlessConfig) -> None:
    """Raise `ConfigError` for a configuration that contradicts itself."""
    check_level(config.read_level, is_read=True)
    check_level(config.write_level, is_read=False)
    if config.purge != "never" and config.hint_window + config.request_timeout >= config.tombstone_grace:
        raise ConfigError("hint_window + request_timeout must be below tombstone_grace, or deletes come undone")
