"""Leaderless replication: every owner of a key takes writes, quorums make reads see them, and repair does the rest.

Theory. A key has N owners, the first N different nodes clockwise on a ring. A write goes to all of them and is done
when W have it on disk; a read asks R and merges what they hold. If R + W > N, every read crosses every write that is
done. Nothing orders writes: cells of a key form a join semilattice (`Rule`), so replicas that have merged the same
writes, in whatever order and however often, hold equal bytes. What a replica misses comes later: by a hint that was
kept for it, by the repair of a read, or by anti-entropy, which finds the keys in which two replicas differ.

States      Of a request: asking → (repairing) → answered; a node: one topology, or two while ranges move.
Messages    Bundle of Write, Keep, HandOver, Written, Ask, Told, ToldDigest, Forward, Forwarded, Exchange,
            Plan, Stage, Fetch, Fetched.
Persists    Born (actor and clock ceiling), Stored (cells), Hinted, HintGone, Adopted (topologies), Streamed, Gathered.
Invariants  Nobody says Written before it is on disk; cells only grow but for a purge; a dot is never given twice; a
            stamp is never given twice (`invariants.check_nodes`).
Source      DeCandia et al. 2007 (Dynamo), sections 4.3 to 4.7 and 5; Cassandra and Riak where said.
Deviations  1. Not only preferred nodes coordinate: any node does, and forwards only changes that need a dot.
            2. A write goes to all owners at once (Cassandra), not only to W of them.
            3. A hint counts towards W only when a stand-in keeps it (sloppy); the coordinator's own only for ANY.
            4. No pruning of clocks: actors grow by one per lost disk and per range given away, not per client.
Limits      All cells are in memory. Crashes, lost disks, partitions, skewed clocks; not liars, though garbage is
            refused and counted. See LeaderlessConfig for every bound.
"""

import random
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, assert_never

from quorate.kernel import (
    Call,
    Called,
    Event,
    Malformed,
    Message,
    NodeId,
    Persisted,
    Received,
    Record,
    Started,
    TimerFired,
    marks,
)
from quorate.kernel.errors import UsageError
from quorate.protocols.leaderless.calls import (
    Absorb,
    Batch,
    PeerDown,
    PeerUp,
    Reconcile,
    Reconfigure,
    Request,
    Synchronized,
    Tick,
)
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.levels import check_level
from quorate.protocols.leaderless.messages import (
    AnyPart,
    Ask,
    Bundle,
    Exchange,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    HandOver,
    Keep,
    Plan,
    Purged,
    Stage,
    Told,
    ToldDigest,
    Write,
    Written,
)
from quorate.protocols.leaderless.records import Adopted
from quorate.protocols.leaderless.replica import in_messages
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.state import DUE, HINTS, MOVE, Origin
from quorate.protocols.leaderless.streaming import Streaming


class Leaderless(Streaming):
    """One node's machine: `Leaderless(config, records, rng, rule=rule)`; the first event is `Started`.

    Example:
        >>> from quorate.kernel import Instant
        >>> from quorate.protocols.leaderless import LeaderlessConfig, Put, rule_named, topology_of
        >>> config = LeaderlessConfig(node=NodeId(1), topology=topology_of([NodeId(1)], replica_count=1))
        >>> node = Leaderless(config, (), random.Random(7), rule=rule_named("lww"))
        >>> _ = node.step(Started(), now=Instant(0))
        >>> request = Request(1, b"key", Put(b"value"))
        >>> [type(effect).__name__ for effect in node.step(Called(Batch((request,), wall_ns=10**18)), now=Instant(1))]
        ['Deliver', 'Persist', 'SetTimer']
        >>> [type(effect.output).__name__ for effect in node.step(Persisted(1), now=Instant(2))]
        ['Answered']
    """

    _CALL_HANDLERS: ClassVar[dict[type[Call], str]] = {
        Batch: "_on_batch",
        Tick: "_on_tick",
        PeerUp: "_on_peer_up_call",
        PeerDown: "_on_peer_down",
        Reconcile: "_on_reconcile",
        Absorb: "_on_absorb",
        Synchronized: "_on_synchronized",
        Reconfigure: "_on_reconfigure",
    }

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        """Make a node from what it wrote down.

        Raises:
            ConfigError: the configuration contradicts itself. UsageError: a level that is none.
        """
        super().__init__(config, records, rng, rule=rule)

    def _on_event(self, event: Event) -> None:
        self._sender_phase = self.phase
        match event:
            case Received(sender, message):
                self._on_message(sender, message)
            case Called(call):
                on_call: Callable[[Any], None] = getattr(self, self._CALL_HANDLERS[type(call)])
                on_call(call)
            case Persisted(count):
                self._on_persisted(count)
            case TimerFired(timer):
                self._on_timer(timer)
            case Started():
                self._on_started()
            case _:
                assert_never(event)
        self._flush()

    def _on_started(self) -> None:
        if self._is_newborn:
            assert self._born is not None, "a node is born before it starts"
            # Behind this leaves everything that carries the new actor.
            self._records.append(self._born)
            # What it was born with counts, whatever topology a later configuration begins with.
            self._records.append(Adopted(self.topology, is_settled=True))
        self._begin_hinting()
        self._begin_moving()

    def _on_timer(self, timer: str) -> None:
        if timer == HINTS:
            self._on_hints_timer()
        elif timer == MOVE:
            self._on_move_timer()
        elif timer == DUE:
            self._timer_at = None
            for number in self.deadlines.take_due(self.now):
                self._on_due(number)

    def _on_due(self, number: int) -> None:
        if (write := self.writes.get(number)) is not None:
            self._on_write_due(write)
        elif (read := self.reads.get(number)) is not None:
            self._on_read_due(read)
        elif (forward := self.forwards.get(number)) is not None:
            self._on_forward_due(forward)
        else:
            # A hint that was handed over and not confirmed: it goes again under another number.
            self._handed.pop(number, None)

    # Calls.

    def _on_batch(self, call: Batch) -> None:
        self._hear_wall(call.wall_ns)
        for request in call.requests:
            self._on_request(request)

    def _on_tick(self, call: Tick) -> None:
        self._hear_wall(call.wall_ns)
        self._purge(call.wall_ns)
        self._maybe_expire_hints()

    def _hear_wall(self, wall_ns: int) -> None:
        if self.wall_ns is None:
            self._know_time(wall_ns)
        self._tell_wall(wall_ns)

    def _on_request(self, request: Request) -> None:
        origin, config = Origin(request.token), self.config
        is_read = request.change is None
        level = request.level or (config.read_level if is_read else config.write_level)
        timeout = request.timeout or config.request_timeout
        try:
            check_level(level, is_read=is_read)
        except UsageError as refused:
            self._fail(origin, "ERR", str(refused))
            return
        if len(request.key) > config.key_bytes_max:
            self._fail(origin, "TOOLARGE", f"a key has at most {config.key_bytes_max} bytes")
        elif self.pending_count >= config.pending_count_max:
            marks.hit("leaderless: a request beyond the limit is refused")
            self._fail(origin, "OVERLOADED", f"{config.pending_count_max} requests are under way through this node")
        elif request.change is None:
            self._read(origin, request.key, level=level, at_least=request.at_least, timeout=timeout)
        elif self.rule.needs_dot(request.change) and self.node not in self._route(request.key).old_nodes:
            self._forward(origin, request.key, request.change, level=level, context=request.context, timeout=timeout)
        else:
            self._write(origin, request.key, request.change, level=level, context=request.context, timeout=timeout)

    def _on_peer_up_call(self, call: PeerUp) -> None:
        self._on_peer_up(call.node)

    def _on_peer_down(self, call: PeerDown) -> None:
        if call.node == self.node or call.node in self.down:
            return
        self.down[call.node] = None
        self._on_owner_down(call.node)
        self._on_asked_down(call.node)

    def _on_reconcile(self, call: Reconcile) -> None:
        if call.peer not in self.peers:
            return
        self.reconciled_count += len(call.keys)
        cells = [(key, self.cells.get(key, b"")) for key in call.keys]
        for some in in_messages(cells):
            self._send(call.peer, Exchange(some, is_answer=False))

    def _on_absorb(self, call: Absorb) -> None:
        """Join what a backup held, as if a peer had sent it: what is newer here stays."""
        for key, cell in call.cells:
            if not self._is_sized(key, cell):
                self._refuse("a cell beyond the limits is refused")
            elif self.holds(key):
                try:
                    self._take(key, cell)
                except Malformed:
                    self._refuse("a cell that cannot be read is refused")

    # Messages.

    def _on_message(self, sender: NodeId, message: Message) -> None:
        if type(message) is not Bundle or sender == self.node:
            self._refuse("a message that is none of ours is ignored")
            return
        self.lives[sender] = message.life
        for part in message.parts:
            # Looked at for each part: one of them may bring this node into another phase.
            if isinstance(part, Plan):
                self._on_plan(part)
            elif self._serves(message.phase, message.plans):
                self._sender_phase = message.phase
                try:
                    self._on_part(sender, message.life, part)
                except Malformed:
                    self._refuse("a cell that cannot be read is refused")
            else:
                marks.hit("leaderless: a node two phases away, or with another plan, is not served")
        self._sender_phase = self.phase
        if message.phase < self.phase or not self._serves(message.phase, message.plans):
            self._tell_plan(sender)

    def _on_part(self, sender: NodeId, life: int, part: AnyPart) -> None:
        match part:
            case Write():
                self._on_write(sender, part)
            case Written(numbers):
                self._on_written(sender, numbers)
            case Ask():
                self._on_ask(sender, part)
            case Told():
                self._on_told(sender, part)
            case ToldDigest():
                self._on_told_digest(sender, part)
            case Keep():
                self._on_keep(sender, part)
            case HandOver():
                self._on_hand_over(sender, part)
            case Forward():
                self._on_forward(sender, part, life)
            case Forwarded():
                self._on_forwarded(sender, part)
            case Exchange():
                self._on_exchange(sender, part)
            case Purged(tombstones):
                self._on_purged(tombstones)
            case Stage():
                self._on_stage(sender, part)
            case Fetch():
                self._on_fetch(sender, part)
            case Fetched():
                self._on_fetched(sender, part)
            case Plan():
                self._on_plan(part)
            case _:
                assert_never(part)
