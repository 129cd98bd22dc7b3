"""Group: one replicated state machine on one node: batches, forwards, reads, applies.

Life of a write. Commands that arrive in one turn of the loop become one batch, and that one log entry. The leader
proposes it; a follower forwards the encoded batch to the leader. The entry names its origin, so the node where the
client waits answers from its own apply, and no answer has to travel. Life of a read. All reads of a turn share one
read barrier (ReadIndex); when this node has applied up to it, they are answered from its own state, in order.

Every request ends in a reply: the result, a definite error (it did not and will not happen), or an indefinite one.
A batch is known to be lost when another entry is committed at its index; that is definite.
"""

import logging
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from quorate.env import Env
from quorate.kernel import (
    GroupId,
    Instant,
    LogIndex,
    Malformed,
    NodeId,
    Output,
    milliseconds,
)
from quorate.kernel.errors import StorageError
from quorate.protocols.raft import (
    COMMAND,
    CONFIGURATION,
    CONFIGURATIONS,
    Committed,
    Configuration,
    Entry,
    InstallSnapshot,
    Propose,
    Proposed,
    Read,
    ReadFailed,
    ReadReady,
    Reconfigured,
    Refused,
    RoleChanged,
    SendSnapshot,
    SnapshotRefused,
    Transferred,
)
from quorate.replication.frames import Kind
from quorate.replication.host import Host
from quorate.replication.links import Links
from quorate.replication.requests import (
    Caller,
    Counters,
    GroupConfig,
    ReadBatch,
    StateMachine,
    Vocabulary,
    Waiting,
)
from quorate.replication.turn import Turn

log = logging.getLogger("quorate.group")

# time in ms stamped by the leader · origin (one boot of one node) · that origin's token
STAMP: Final = struct.Struct(">QQQ")
# group · origin · token, before a forwarded batch
FORWARD: Final = struct.Struct(">IQQ")
# group · token · index and term of the entry; when refused: 0 and the reason
FORWARD_RESULT: Final = struct.Struct(">IQQQ")

_NOT_NOW: Final = 0
_DISK_FULL: Final = 1

_APPLY_BUDGET: Final = milliseconds(5)
"""After so long the loop gets its turn before more entries are applied (a node that catches up still answers)."""


class _Ticker:
    """Receives the reply of a TICK that the group proposed itself."""

    def __init__(self, group: "Group") -> None:
        self._group = group

    def complete(self, _reply: Any) -> None:
        self._group.is_ticking = False

    def flush(self) -> None:
        self._group.serve_reads(is_ticked=True)


class Group:
    """One group on one node. All methods run on the loop; none waits."""

    def __init__(
        self,
        env: Env,
        turn: Turn,
        links: Links,
        state: StateMachine,
        vocabulary: Vocabulary,
        *,
        group: GroupId,
        config: GroupConfig | None = None,
    ) -> None:
        self.env = env
        self.group = group
        self.config = config or GroupConfig()
        self.state = state
        self.counters = Counters()
        self.role = "follower"
        self.term = 0
        self.leader: NodeId | None = None
        self.commit_index = 0
        self.applied_term = 0
        # In force at the applied index.
        self.configuration = Configuration(())
        self.is_ticking = False
        # Set while the disk has no space: writes are refused with this sentence, reads go on.
        self.write_refusal: tuple[str, str] | None = None
        # Called for what concerns the node: snapshots wanted, configuration changed.
        self.on_send_snapshot: Callable[[SendSnapshot], None] = lambda _output: None
        self.on_reconfigured: Callable[[Configuration], None] = lambda _configuration: None
        self.on_admin_result: Callable[[int, str | None], bool] = lambda _token, _reason: False
        self._turn = turn
        self._links = links
        self._vocabulary = vocabulary
        self._host: Host | None = None
        self._origin = env.rng.getrandbits(63)
        self._token = 0
        self._commands: list[Any] = []
        self._callers: list[Caller] = []
        self._oldest_deadline: Instant | None = None
        self._waiting: dict[int, Waiting] = {}
        # Grows with every change of leader; batches of older epochs no longer count as in flight.
        self._epoch = 0
        self._inflight_count = 0
        self._token_by_index: dict[int, int] = {}
        # Proposals made here for another node: own token → (that node, its token).
        self._for_others: dict[int, tuple[NodeId, int]] = {}
        self._reads: list[Any] = []
        self._read_callers: list[Caller] = []
        self._read_batches: deque[ReadBatch] = deque()
        self._read_by_token: dict[int, ReadBatch] = {}
        self._entries: deque[Entry] = deque()
        self._dirty: dict[Caller, None] = {}
        self._pending_count = 0
        self._ticker = _Ticker(self)
        self._is_stopped = False
        # After a refusal nothing is proposed until the next tick or change of role: asking at once would spin.
        self._is_held = False
        # True while the state is being replaced: nothing is applied nor read.
        self._is_paused = False
        # Entries up to here were taken over with a snapshot: which they were is not known.
        self._forgotten_index = 0
        # Called when the state at rest cannot be read: the node must stop.
        self.on_failed: Callable[[StorageError], None] = lambda _cause: None

    def attach(self, host: Host) -> None:
        """Give the host that runs this group's machine (made after the group, because it needs `on_output`)."""
        self._host = host
        self.env.clock.call_after(self.config.tick_interval, self._tick)

    @property
    def host(self) -> Host:
        """The host of this group's machine."""
        assert self._host is not None, "a group is attached before it is used"
        return self._host

    @property
    def is_leader(self) -> bool:
        """Whether this node leads the group, as far as it knows."""
        return self.leader == self.env.node

    def stop(self) -> None:
        """Fail what waits: what was proposed may have happened, the rest has not. Later requests are refused."""
        self._is_stopped = True
        self.host.stop()
        waiting, self._waiting = self._waiting, {}
        for batch in waiting.values():
            self._fail(batch.callers, "STOPPED", "the node stopped while the request was under way")
        self._fail(self._callers, "UNREACHABLE", "the node stopped before the request was proposed")
        reads, self._read_batches = self._read_batches, deque()
        for read in reads:
            self._fail(read.callers[read.served_count :], "UNREACHABLE", "the node stopped")
        self._fail(self._read_callers, "UNREACHABLE", "the node stopped")
        self._commands, self._callers, self._reads, self._read_callers = [], [], [], []
        self._for_others.clear()
        self._read_by_token.clear()
        self._entries.clear()
        self.write_refusal = ("UNREACHABLE", "the node has stopped; nothing was done")
        self._pending_count = self.config.pending_count_max
        self.flush_callers()

    def pause(self) -> None:
        """Apply and read nothing until `replaced`: the state at rest changes under the state in memory."""
        self._is_paused = True

    def replaced(self) -> None:
        """Go on with a state that was replaced by a snapshot, or was left as it was."""
        self._is_paused = False
        self._forgotten_index = self.state.applied_index
        for token in [token for token, one in self._waiting.items() if 0 < one.index <= self._forgotten_index]:
            self._forget(token)
        self._turn.ask()
        self.serve_reads()

    def _forget(self, token: int) -> None:
        """The entry of a batch was taken over unseen: it may be the batch, or another."""
        waiting = self._pop_waiting(token)
        if waiting is not None:
            self._token_by_index.pop(waiting.index, None)
            self._fail(waiting.callers, "TIMEDOUT", "this node took over a snapshot; the request may have happened")

    # -- requests --------

    def write(self, command: Any, caller: Caller) -> None:
        """Take a command for the log; the reply comes through the caller."""
        if self._pending_count >= self.config.pending_count_max or self.write_refusal is not None:
            self.refuse(caller)
            return
        if not self._commands:
            self._turn.ask()
            self._oldest_deadline = Instant(self.env.clock.now() + self.config.request_timeout)
        self._pending_count += 1
        self._commands.append(command)
        self._callers.append(caller)

    def read(self, command: Any, caller: Caller) -> None:
        """Take a linearizable read; the reply comes through the caller."""
        if self._pending_count >= self.config.pending_count_max:
            self.refuse(caller)
            return
        if not self._reads:
            self._turn.ask()
        self._pending_count += 1
        self._reads.append(command)
        self._read_callers.append(caller)

    def refuse(self, caller: Caller) -> None:
        """Answer with the limit that was reached; the request was never accepted."""
        self.counters.overloaded_count += 1
        code, text = self.write_refusal or (
            "OVERLOADED",
            "too many requests wait on this node; none of this one was done",
        )
        caller.complete(self._vocabulary.error(code, text))
        self._mark_dirty([caller])

    def end_turn(self) -> None:
        """Propose the writes and ask for the reads of this turn. A stage of the turn."""
        if self._entries:
            self._apply()
        if self._commands and self._inflight_count < self.config.inflight_batch_max and not self._is_held:
            self._propose()
        if self._reads:
            batch = ReadBatch(
                self._reads, self._read_callers, Instant(self.env.clock.now() + self.config.request_timeout)
            )
            self._reads, self._read_callers = [], []
            self._read_batches.append(batch)
            self._ask(batch)

    def flush_callers(self) -> None:
        """Let every caller with new replies write them. A stage of the turn."""
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            for caller in dirty:
                caller.flush()

    # -- proposing --------

    def _propose(self) -> None:
        if self.leader is None:
            return  # wait for a leader, or for the deadline
        commands, callers = self._commands, self._callers
        payload = self._vocabulary.encode(commands)
        count = len(commands)
        while len(payload) > self.config.batch_bytes_max and count > 1:
            count = max(1, count * self.config.batch_bytes_max // len(payload))
            payload = self._vocabulary.encode(commands[:count])
        self._commands, self._callers = commands[count:], callers[count:]
        deadline = self._oldest_deadline
        assert deadline is not None, "what waits has a deadline"
        if self._commands:
            # The rest waits because others are served: its time runs anew, or a queue that never empties would fail.
            self._oldest_deadline = Instant(self.env.clock.now() + self.config.request_timeout)
            self._turn.ask()
        self._token += 1
        token = self._token
        self._waiting[token] = Waiting(commands[:count], callers[:count], deadline, self._epoch)
        self._inflight_count += 1
        self.counters.batch_count += 1
        if self.is_leader:
            self.host.call(Propose((STAMP.pack(self._stamp_ms(), self._origin, token) + payload,), token))
        else:
            head = FORWARD.pack(self.group, self._origin, token)
            if not self._links.send(self.leader, Kind.FORWARD, head + payload):
                self._take_back(token)

    def _stamp_ms(self) -> int:
        return max(self.env.clock.wall_ns() // 1_000_000, self.state.time_ms)

    def _take_back(self, token: int) -> None:
        """Put a batch that was certainly not proposed back to the front of the queue, for the next tick."""
        waiting = self._pop_waiting(token)
        if waiting is not None:
            self._is_held = True
            self._commands[:0] = waiting.commands
            self._callers[:0] = waiting.callers
            self._oldest_deadline = waiting.deadline

    def _pop_waiting(self, token: int) -> Waiting | None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None and waiting.epoch == self._epoch:
            self._inflight_count -= 1
        return waiting

    def on_forward(self, sender: NodeId, payload: bytes) -> None:
        """A follower hands over a batch."""
        _group, origin, token = FORWARD.unpack_from(payload)
        if not self.is_leader or self.write_refusal is not None:
            reason = _DISK_FULL if self.is_leader else _NOT_NOW
            self._links.send(sender, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(self.group, token, 0, reason))
            return
        self._token += 1
        self._for_others[self._token] = (sender, token)
        stamped = STAMP.pack(self._stamp_ms(), origin, token) + payload[FORWARD.size :]
        self.host.call(Propose((stamped,), self._token, sender))

    def on_forward_result(self, _sender: NodeId, payload: bytes) -> None:
        """The leader says where a forwarded batch stands, or that it refused it."""
        _group, token, index, term = FORWARD_RESULT.unpack(payload)
        if index:
            self._placed(token, index)
        elif term == _DISK_FULL:
            waiting = self._pop_waiting(token)
            if waiting is not None:
                self._fail(waiting.callers, "DISKFULL", "no space is left on the leader's disk; nothing was done")
        else:
            self._take_back(token)

    def _placed(self, token: int, index: int) -> None:
        waiting = self._waiting.get(token)
        if waiting is None:
            return
        if index <= self._forgotten_index:
            waiting.index = index
            self._forget(token)
        elif index <= self.state.applied_index:  # another entry was applied there meanwhile
            self._lost(token)
        else:
            waiting.index = index
            self._token_by_index[index] = token

    # -- the machine's outputs ----------------------------------------------------------------------------------------

    def on_output(self, output: Output) -> None:
        """Take what the machine hands over."""
        match output:
            case Committed(entries):
                self.commit_index = entries[-1].index
                self._entries.extend(entries)
                self._apply()
            case Proposed(token, first_index, term):
                self._on_proposed(token, first_index, term)
            case Refused(token, _leader, reason):
                self._on_refused(token, reason)
            case ReadReady(token, index):
                batch = self._read_by_token.pop(token, None)
                if batch is not None and batch.token == token:
                    batch.index = index
                    self.serve_reads()
            case ReadFailed(token):
                batch = self._read_by_token.pop(token, None)
                if batch is not None and batch.token == token:
                    batch.token = 0  # asked again at the next tick or change of role
            case RoleChanged(role, term, leader):
                self._on_role_changed(role, term, leader)
            case SendSnapshot():
                self.on_send_snapshot(output)
            case InstallSnapshot():
                pass  # the state was already replaced when the stream ended; see snapshots.py
            case SnapshotRefused():
                pass  # likewise: the newer state is kept, and it is committed state
            case Transferred(token):
                self.on_admin_result(token, None)
            case Reconfigured(configuration):
                self.on_reconfigured(configuration)
            case _:
                raise AssertionError(f"an output that nobody handles: {output}")

    def _on_proposed(self, token: int, index: int, term: int) -> None:
        other = self._for_others.pop(token, None)
        if other is not None:
            node, their_token = other
            self._links.send(node, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(self.group, their_token, index, term))
        elif not self.on_admin_result(token, None):
            self._placed(token, index)

    def _on_refused(self, token: int, reason: str) -> None:
        other = self._for_others.pop(token, None)
        if other is not None:
            node, their_token = other
            self._links.send(node, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(self.group, their_token, 0, _NOT_NOW))
        elif not self.on_admin_result(token, reason):
            self._take_back(token)

    def _on_role_changed(self, role: str, term: int, leader: NodeId | None) -> None:
        if (term, leader) != (self.term, self.leader):
            self._epoch += 1
            self._inflight_count = 0
            self._is_held = False
        self.role, self.term, self.leader = role, term, leader
        self.counters.role_changes.append((self.env.clock.wall_ns() // 1_000_000, role, term))
        del self.counters.role_changes[:-100]
        for batch in list(self._read_batches):  # a lease answers at once, and what is answered leaves
            if batch.index is None:
                self._ask(batch)
        self._turn.ask()

    # -- applying --------

    def _apply(self) -> None:
        if self._is_paused:
            return
        state, vocabulary = self.state, self._vocabulary
        until = self.env.clock.now() + _APPLY_BUDGET
        while self._entries:
            entry = self._entries.popleft()
            if entry.index <= state.applied_index:
                continue
            waiting: Waiting | None = None
            if entry.kind == COMMAND and len(entry.payload) >= STAMP.size:
                time_ms, origin, token = STAMP.unpack_from(entry.payload)
                if origin == self._origin:
                    waiting = self._pop_waiting(token)
                if waiting is not None:
                    commands = waiting.commands
                else:
                    try:
                        commands = vocabulary.decode(memoryview(entry.payload)[STAMP.size :])
                    except Malformed:  # the same on every replica: nothing is done
                        commands = []
            else:
                time_ms, commands = state.time_ms, []
                if entry.kind == CONFIGURATION:
                    self.configuration = CONFIGURATIONS.decode(entry.payload)
            try:
                replies = state.apply(LogIndex(entry.index), time_ms, commands)
            except StorageError as cause:
                self._break(waiting, cause)
                return
            self.applied_term = entry.term
            if waiting is not None:
                self._answer(waiting.callers, replies)
                self.counters.write_count += len(replies)
            displaced = self._token_by_index.pop(entry.index, None)
            if displaced is not None:
                self._lost(displaced)
            if self.env.clock.now() > until:
                break
        if self._entries or self._commands:
            self._turn.ask()
        self.serve_reads()

    def _break(self, waiting: Waiting | None, cause: StorageError) -> None:
        """Go on no more: the state at rest cannot be read."""
        self._is_paused = True
        if waiting is not None:
            self._fail(waiting.callers, "STOPPED", "the node's state cannot be read; the request may have happened")
        self.on_failed(cause)

    def _lost(self, token: int) -> None:
        """Another entry is committed where this batch was placed: it never will be (log matching)."""
        waiting = self._pop_waiting(token)
        if waiting is not None:
            self.counters.lost_count += len(waiting.callers)
            self._fail(waiting.callers, "NOTLEADER", "the leader changed before this was decided; it did not happen")

    def _answer(self, callers: list[Caller], replies: list[Any]) -> None:
        self._pending_count -= len(callers)
        for caller, reply in zip(callers, replies, strict=True):
            caller.complete(reply)
        self._mark_dirty(callers)

    def _fail(self, callers: list[Caller], code: str, text: str) -> None:
        self._answer(callers, [self._vocabulary.error(code, text)] * len(callers))

    def _mark_dirty(self, callers: list[Caller]) -> None:
        if not self._dirty:
            self._turn.ask()
        self._dirty.update(dict.fromkeys(callers))

    # -- reading --------

    def _ask(self, batch: ReadBatch) -> None:
        self._read_by_token.pop(batch.token, None)
        self._token += 1
        batch.token = self._token
        batch.asked_at = self.env.clock.now()
        self._read_by_token[batch.token] = batch
        self.host.call(Read(batch.token))

    def serve_reads(self, *, is_ticked: bool = False) -> None:
        """Answer, in order, every read whose barrier has been applied here."""
        if self._is_paused:
            return
        applied_index = self.state.applied_index
        wall_ms = self.env.clock.wall_ns() // 1_000_000
        while self._read_batches:
            batch = self._read_batches[0]
            batch.is_ticked = batch.is_ticked or is_ticked
            if batch.index is None or batch.index > applied_index:
                return
            if not self._serve(batch, 0 if batch.is_ticked else wall_ms):
                return
            self._read_batches.popleft()

    def _serve(self, batch: ReadBatch, wall_ms: int) -> bool:
        query, needs_log = self.state.query, self._vocabulary.needs_log
        replies: list[Any] = []
        start = batch.served_count
        try:
            for command in batch.commands[start:] if start else batch.commands:
                reply = query(command, wall_ms)
                if reply is needs_log:
                    break
                replies.append(reply)
        except StorageError as cause:
            self._break(None, cause)
            return False
        batch.served_count = start + len(replies)
        self.counters.read_count += len(replies)
        self._answer(batch.callers[start : batch.served_count], replies)
        if batch.served_count == len(batch.callers):
            return True
        self._propose_tick()
        return False

    def _propose_tick(self) -> None:
        if not self.is_ticking:
            self.is_ticking = True
            self.write(self._vocabulary.tick(), self._ticker)

    # -- time --------

    def _tick(self) -> None:
        if self._is_stopped:
            return
        now = self.env.clock.now()
        self._expire(now)
        if self._is_held:
            self._is_held = False
            self._turn.ask()
        for batch in list(self._read_batches):
            if batch.index is None and (batch.token == 0 or now - batch.asked_at > self.config.read_retry_after):
                self._ask(batch)
        if self.is_leader:
            due_ms = self.state.next_expiry_ms()
            if due_ms is not None and due_ms <= self.env.clock.wall_ns() // 1_000_000:
                self._propose_tick()
        self.env.clock.call_after(self.config.tick_interval, self._tick)

    def _expire(self, now: Instant) -> None:
        """End what has waited too long, saying whether it may have happened."""
        if self._commands and self._oldest_deadline is not None and now > self._oldest_deadline:
            callers, self._commands, self._callers = self._callers, [], []
            self.counters.timed_out_count += len(callers)
            self._fail(callers, "UNREACHABLE", "no leader could be reached in time; it did not happen")
        for token in [token for token, waiting in self._waiting.items() if now > waiting.deadline]:
            waiting = self._pop_waiting(token)
            assert waiting is not None, "it was listed a moment ago"
            self._token_by_index.pop(waiting.index, None)
            self.counters.timed_out_count += len(waiting.callers)
            self._fail(waiting.callers, "TIMEDOUT", "no majority answered in time; it may still happen")
        while self._read_batches and now > self._read_batches[0].deadline:
            batch = self._read_batches.popleft()
            self._read_by_token.pop(batch.token, None)
            self._fail(batch.callers[batch.served_count :], "UNREACHABLE", "no majority confirmed the read in time")
