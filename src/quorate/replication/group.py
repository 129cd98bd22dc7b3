"""Group: one replicated state machine on one node: batches, forwards, reads, applies.

Life of a write. Commands that arrive in one turn of the loop become one batch, and that one log entry. The leader
proposes it; a follower forwards the encoded batch to the leader. The entry names its origin, so the node where the
client waits answers from its own apply, and no answer has to travel. Life of a read. All reads of a turn share one
read barrier (ReadIndex); when this node has applied up to it, they are answered from its own state, in order.

Every request ends in a reply: the result, a definite error (it did not and will not happen), or an indefinite one.
A batch is known to be lost, definitely, when an entry of a later term or a later batch of this node is applied first:
it was offered to one leader in one term, behind the batches before it. So answers come in the order of the requests,
which is how a caller tells them apart.
"""

from collections import deque
from collections.abc import Callable, Iterator
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
    FORWARD,
    FORWARD_RESULT,
    STAMP,
    Caller,
    Counters,
    Gathering,
    GroupConfig,
    Lane,
    ReadBatch,
    StateMachine,
    Ticker,
    Vocabulary,
    Waiting,
)
from quorate.replication.turn import Turn

_NOT_NOW: Final = 0
_DISK_FULL: Final = 1
_APPLY_BUDGET: Final = milliseconds(5)
"""After so long the loop gets its turn before more entries are applied (a node that catches up still answers)."""


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
        self.leader: NodeId | None = None
        self.term = self.commit_index = self.applied_term = 0
        # In force at the applied index.
        self.configuration = Configuration(())
        self.is_ticking = self._is_stopped = False
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
        self._token = self._pending_count = 0
        self._commands: list[Any] = []
        self._callers: list[Caller] = []
        self._oldest_deadline: Instant | None = None
        self._waiting: dict[int, Waiting] = {}
        # Grows with every change of leader; batches of older epochs no longer count as in flight.
        self._epoch = self._inflight_count = 0
        self._gathering = Gathering(turn_max=self.config.gather_turn_max)
        self._read_gathering = Gathering(turn_max=self.config.gather_turn_max)
        # Proposals made here for another node: own token → (that node, its token).
        self._for_others: dict[int, tuple[NodeId, int]] = {}
        self._reads: list[Any] = []
        self._read_callers: list[Caller] = []
        self._read_batches: deque[ReadBatch] = deque()
        self._read_by_token: dict[int, ReadBatch] = {}
        self._entries: deque[Entry] = deque()
        self._dirty: dict[Caller, None] = {}
        self._ticker = Ticker(self._ticked, lambda: self.serve_reads(is_ticked=True))
        # After a refusal nothing is proposed until the next tick or change of role: asking at once would spin.
        self._is_held = False
        # True while the state is being replaced: nothing is applied nor read.
        self._is_paused = False
        # Where it was then; and batches in `_waiting` that are known to have failed and wait for those before them.
        self._paused_index = self._failed_count = 0
        self._write_lane = Lane(self._pending_writers)
        self._read_lane = Lane(self._pending_readers)
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
        self._end_all("STOPPED", "the node stopped while the request was under way")
        self._fail(self._callers, "UNREACHABLE", "the node stopped before the request was proposed")
        reads, self._read_batches = self._read_batches, deque()
        for read in reads:
            self._fail_reads(read.callers[read.served_count :], "the node stopped")
        self._fail_reads(self._read_callers, "the node stopped")
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
        self._paused_index = self.state.applied_index

    def replaced(self) -> None:
        """Go on with a state that was replaced by a snapshot, or was left as it was."""
        self._is_paused = False
        if self.state.applied_index != self._paused_index:
            # Which entries were taken over is not known; what waits may be among them.
            self._end_all("TIMEDOUT", "this node took over a snapshot; the request may have happened")
        self._turn.ask()
        self.serve_reads()

    def _end_all(self, code: str, text: str) -> None:
        """End all batches under way, in their order."""
        for token in list(self._waiting):
            self._end(token, code, text)

    # -- requests --------

    def write(self, command: Any, caller: Caller) -> None:
        """Take a command for the log; the reply comes through the caller."""
        if self._pending_count >= self.config.pending_count_max or self.write_refusal is not None:
            self.refuse(caller, self._write_lane)
            return
        if not self._commands:
            self._turn.ask()
            self._oldest_deadline = Instant(self.env.clock.now() + self.config.request_timeout)
        self._pending_count += 1
        self._write_lane.accepted_count += 1
        self._commands.append(command)
        self._callers.append(caller)

    def read(self, command: Any, caller: Caller) -> None:
        """Take a linearizable read; the reply comes through the caller."""
        if self._pending_count >= self.config.pending_count_max:
            self.refuse(caller, self._read_lane)
            return
        if not self._reads:
            self._turn.ask()
        self._pending_count += 1
        self._read_lane.accepted_count += 1
        self._reads.append(command)
        self._read_callers.append(caller)

    def _pending_writers(self) -> Iterator[Caller]:
        for waiting in self._waiting.values():
            yield from waiting.callers
        yield from self._callers

    def _pending_readers(self) -> Iterator[Caller]:
        for batch in self._read_batches:
            yield from batch.callers[batch.served_count :]
        yield from self._read_callers

    def refuse(self, caller: Caller, lane: Lane) -> None:
        """Answer, in its turn, with the limit that was reached; the request was never accepted."""
        self.counters.overloaded_count += 1
        code, text = self.write_refusal or (
            "OVERLOADED",
            "too many requests wait on this node; none of this one was done",
        )
        if lane.refuse(caller, self._vocabulary.error(code, text)):
            self._mark_dirty([caller])

    def end_turn(self) -> None:
        """Propose the writes and ask for the reads of this turn. A stage of the turn."""
        if self._entries:
            self._apply()
        if self._commands and self._inflight_count < self.config.inflight_batch_max and not self._is_held:
            if self._gathering.waits(len(self._commands)):
                self._turn.ask()
            else:
                self._propose()
        if self._reads:
            if self._read_gathering.waits(len(self._reads)):
                self._turn.ask()
            else:
                self._begin_reads()

    def _begin_reads(self) -> None:
        self._read_gathering.took(len(self._reads))
        deadline = Instant(self.env.clock.now() + self.config.request_timeout)
        batch = ReadBatch(self._reads, self._read_callers, deadline)
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
        self._gathering.took(count)
        deadline = self._oldest_deadline
        assert deadline is not None, "what waits has a deadline"
        if self._commands:
            # The rest waits because others are served: its time runs anew, or a queue that never empties would fail.
            self._oldest_deadline = Instant(self.env.clock.now() + self.config.request_timeout)
            self._turn.ask()
        self._token += 1
        token = self._token
        self._waiting[token] = Waiting(commands[:count], callers[:count], deadline, self._epoch, self.term)
        self._inflight_count += 1
        self.counters.batch_count += 1
        if self.is_leader:
            self.host.call(Propose((STAMP.pack(self._stamp_ms(), self._origin, token) + payload,), token))
        else:
            head = FORWARD.pack(self.group, self.term, self._origin, token)
            if not self._links.send(self.leader, Kind.FORWARD, head + payload):
                self._take_back(token)

    def _stamp_ms(self) -> int:
        return max(self.env.clock.wall_ns() // 1_000_000, self.state.time_ms)

    def _take_back(self, token: int) -> None:
        """Put a batch that was certainly not proposed back to the front of the queue, for the next tick."""
        if token not in self._waiting:
            return
        if next(reversed(self._waiting)) != token:  # later ones are under way, and must not be overtaken
            self._fail_in_turn(token, "NOTLEADER", "the leader changed before this was proposed; it did not happen")
            return
        waiting = self._pop_waiting(token)
        assert waiting is not None, "it was there a moment ago"
        self._is_held = True
        self._commands[:0] = waiting.commands
        self._callers[:0] = waiting.callers
        self._oldest_deadline = waiting.deadline

    def _pop_waiting(self, token: int) -> Waiting | None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            self._inflight_count -= waiting.epoch == self._epoch
            self._failed_count -= waiting.failure is not None
        return waiting

    def _end(self, token: int, code: str, text: str) -> None:
        """End a batch: with its own failure if it has one, else as given."""
        waiting = self._pop_waiting(token)
        if waiting is not None:
            self._fail(waiting.callers, *(waiting.failure or (code, text)))

    def _fail_in_turn(self, token: int, code: str, text: str) -> None:
        """End a batch that was refused; its callers hear of it after those of the batches before it."""
        waiting = self._waiting.get(token)
        if waiting is not None and waiting.failure is None:
            waiting.failure = (code, text)
            self._failed_count += 1
            self._end_failed()

    def _end_failed(self) -> None:
        while self._failed_count:
            first = next(iter(self._waiting))
            if self._waiting[first].failure is None:
                return
            self._end(first, "", "")

    def on_forward(self, sender: NodeId, payload: bytes) -> None:
        """A follower hands over a batch."""
        _group, term, origin, token = FORWARD.unpack_from(payload)
        # The term: its sender takes it as lost when a later one begins, so that it must not be proposed then.
        is_wanted = self.is_leader and term == self.term
        if not is_wanted or self.write_refusal is not None:
            reason = _DISK_FULL if is_wanted else _NOT_NOW
            self._links.send(sender, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(self.group, token, reason))
            return
        self._token += 1
        self._for_others[self._token] = (sender, token)
        stamped = STAMP.pack(self._stamp_ms(), origin, token) + payload[FORWARD.size :]
        self.host.call(Propose((stamped,), self._token, sender))

    def on_forward_result(self, _sender: NodeId, payload: bytes) -> None:
        """The leader did not propose a forwarded batch."""
        _group, token, reason = FORWARD_RESULT.unpack(payload)
        if reason == _DISK_FULL:
            self._fail_in_turn(token, "DISKFULL", "no space is left on the leader's disk; nothing was done")
        else:
            self._take_back(token)

    # -- the machine's outputs ----------------------------------------------------------------------------------------

    def on_output(self, output: Output) -> None:
        """Take what the machine hands over."""
        match output:
            case Committed(entries):
                self.commit_index = entries[-1].index
                self._entries.extend(entries)
                self._apply()
            case Proposed(token, _first_index, term):
                self._on_proposed(token, term)
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
            case InstallSnapshot() | SnapshotRefused():
                pass  # the state was replaced, or kept, when the stream ended; see snapshots.py
            case Transferred(token):
                self.on_admin_result(token, None)
            case Reconfigured(configuration):
                self.on_reconfigured(configuration)
            case _:
                raise AssertionError(f"an output that nobody handles: {output}")

    def _on_proposed(self, token: int, term: int) -> None:
        waiting = self._waiting.get(token)
        if waiting is not None:
            waiting.term = term
        elif self._for_others.pop(token, None) is None:
            self.on_admin_result(token, None)

    def _on_refused(self, token: int, reason: str) -> None:
        other = self._for_others.pop(token, None)
        if other is not None:
            node, their_token = other
            self._links.send(node, Kind.FORWARD_RESULT, FORWARD_RESULT.pack(self.group, their_token, _NOT_NOW))
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
                if origin == self._origin and token in self._waiting:
                    if next(iter(self._waiting)) != token:
                        self._lose(before_token=token)
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
            if waiting is not None:
                self._answer(waiting.callers, replies)
                self.counters.write_count += len(replies)
            if entry.term != self.applied_term:
                self.applied_term = entry.term
                if self._waiting:
                    self._lose(before_term=entry.term)
            if self._failed_count:
                self._end_failed()
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

    def _lose(self, *, before_token: int = 0, before_term: int = 0) -> None:
        """End the oldest batches, which nobody can commit any more: what comes after them in the log is applied."""
        for token, waiting in list(self._waiting.items()):
            if token >= before_token and waiting.term >= before_term:
                return
            self.counters.lost_count += len(waiting.callers)
            self._end(token, "NOTLEADER", "the leader changed before this was decided; it did not happen")

    def _answer(self, callers: list[Caller], replies: list[Any]) -> None:
        self._pending_count -= len(callers)
        self._mark_dirty(self._write_lane.answer(callers, replies))

    def _fail(self, callers: list[Caller], code: str, text: str) -> None:
        self._answer(callers, [self._vocabulary.error(code, text)] * len(callers))

    def _fail_reads(self, callers: list[Caller], text: str) -> None:
        self._pending_count -= len(callers)
        error = self._vocabulary.error("UNREACHABLE", text)
        self._mark_dirty(self._read_lane.answer(callers, [error] * len(callers)))

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
        self._pending_count -= len(replies)
        self._mark_dirty(self._read_lane.answer(batch.callers[start : batch.served_count], replies))
        if batch.served_count == len(batch.callers):
            return True
        self._propose_tick()
        return False

    def _ticked(self) -> None:
        self.is_ticking = False

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
        for lane in (self._write_lane, self._read_lane):
            lane.forget()
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
        """End what has waited too long, saying whether it may have happened; the oldest first."""
        for token in [token for token, waiting in self._waiting.items() if now > waiting.deadline]:
            self.counters.timed_out_count += len(self._waiting[token].callers)
            self._end(token, "TIMEDOUT", "no majority answered in time; it may still happen")
        if self._commands and not self._waiting and self._oldest_deadline is not None and now > self._oldest_deadline:
            callers, self._commands, self._callers = self._callers, [], []
            self.counters.timed_out_count += len(callers)
            self._fail(callers, "UNREACHABLE", "no leader could be reached in time; it did not happen")
        while self._read_batches and now > self._read_batches[0].deadline:
            batch = self._read_batches.popleft()
            self._read_by_token.pop(batch.token, None)
            self._fail_reads(batch.callers[batch.served_count :], "no majority confirmed the read in time")
