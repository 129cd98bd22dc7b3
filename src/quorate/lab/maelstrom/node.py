"""A Maelstrom node without input and output: lines of the protocol in, messages out, deadlines to be woken at.

`RaftNode` runs the machine of production behind Maelstrom's messages, with the `Outbox` of production between it and
the disk: nothing that depends on a write leaves before the write is stable.
"""

import base64
import binascii
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from quorate.kernel import (
    Called,
    CancelTimer,
    Deliver,
    Effect,
    Event,
    Instant,
    Malformed,
    NodeId,
    Outbox,
    Output,
    Persist,
    Persisted,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    later,
    milliseconds,
)
from quorate.lab.maelstrom.machines import machine_of, unsupported
from quorate.lab.maelstrom.messages import TEMPORARILY_UNAVAILABLE, Body, Message, failure
from quorate.protocols.raft import (
    COMMAND,
    MESSAGES,
    Committed,
    Configuration,
    Propose,
    Proposed,
    Raft,
    RaftConfig,
    Read,
    ReadFailed,
    ReadReady,
    Refused,
    RoleChanged,
)

WORKLOADS: Final = (
    "lin-kv", "echo", "unique-ids", "broadcast", "g-counter", "pn-counter", "g-set", "txn-list-append",
    "txn-rw-register", "kafka",
)  # fmt: skip
"""What our nodes can serve."""

# Requests under way at once; more are refused, which is definite.
_PENDING_MAX: Final = 10_000
# Forwarded requests that are remembered, so that a repeated one is not done twice.
_REMEMBERED_MAX: Final = 10_000

_CODEC: Final = msgspec.json.Encoder()
_BODIES: Final = msgspec.json.Decoder(dict[str, Any])


class Disk:
    """Where a node's records go. This one forgets them with the process; see `process.RecordFile`."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def load(self) -> Sequence[Record]:
        """Return all records that are stable, in order."""
        return self.records

    def append(self, records: Sequence[Record]) -> None:
        """Make records stable before returning."""
        self.records += records


class PlainNode:
    """A node that needs nobody else: echo, unique ids.

    An id is unique as long as the 64 random bits that each life draws are.
    """

    def __init__(self, name: str, workload: str, rng: random.Random) -> None:
        self.name = name
        self.workload = workload
        self._life = f"{rng.getrandbits(64):016x}"
        self._count = 0

    def start(self, now: Instant) -> list[Message]:
        """Begin."""
        del now
        return []

    def receive(self, message: Message, now: Instant) -> list[Message]:
        """Take a message; return what is to be sent."""
        del now
        body = message.body
        if "in_reply_to" in body:
            return []
        match self.workload, body["type"]:
            case "echo", "echo":
                return [reply(message, {"type": "echo_ok", "echo": body.get("echo")}, self.name)]
            case "unique-ids", "generate":
                self._count += 1
                return [
                    reply(message, {"type": "generate_ok", "id": f"{self.name}-{self._life}-{self._count}"}, self.name)
                ]
            case _, "topology":
                return [reply(message, {"type": "topology_ok"}, self.name)]
            case _:
                return [reply(message, unsupported(body), self.name)]

    def deadline(self) -> Instant | None:
        """Return when `wake` wants to be called; None: never."""
        return None

    def wake(self, now: Instant) -> list[Message]:
        """Do what is due."""
        del now
        return []


def reply(message: Message, body: Body, name: str) -> Message:
    """Return the answer to a message."""
    return Message(name, message.src, {**body, "in_reply_to": message.body.get("msg_id")})


class RaftNode:
    """One voter of a Raft group that serves a workload.

    A write that arrives at a follower is forwarded to the leader, and its answer comes back the same way. Reads ask the
    leader for an index (ReadIndex) and are answered here. Requests that cannot be served now are refused with error 11,
    which is definite; those that may have happened are left to the client's time-out.

    Args:
        name: this node's name.
        names: all nodes' names, this one's included.
        workload: one of `WORKLOADS` that has a state.
        rng: this life's random stream.
        disk: this node's records.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        workload: str,
        *,
        rng: random.Random,
        disk: Disk | None = None,
        election_timeout_ms: float = 500,
        heartbeat_ms: float = 100,
    ) -> None:
        state = machine_of(workload)
        assert state is not None, "echo and unique ids need no agreement"
        self.state = state
        self.name = name
        self._names = {NodeId(place): peer for place, peer in enumerate(_sorted(names), start=1)}
        self._nodes = {peer: node for node, peer in self._names.items()}
        self.disk = disk or Disk()
        config = RaftConfig(
            node=self._nodes[name],
            configuration=Configuration(tuple(self._names)),
            election_timeout=milliseconds(election_timeout_ms),
            heartbeat_interval=milliseconds(heartbeat_ms),
        )
        self.machine = Raft(config, tuple(self.disk.load()), rng)
        self._life = f"{rng.getrandbits(64):016x}"
        self._outbox = Outbox()
        self._timers: dict[str, Instant] = {}
        self._out: list[Message] = []
        self._now = Instant(0)
        self._token = 0
        self._leader: NodeId | None = None
        self._applied_index = 0
        # Token → the request, while its proposal is not answered.
        self._proposed: dict[int, Message] = {}
        # Index → (token, term).
        self._placed: dict[int, tuple[int, int]] = {}
        self._reads: dict[int, Message] = {}
        self._ready: list[tuple[int, Message]] = []
        # Our number of a forwarded request → the request.
        self._forwarded: dict[str, Message] = {}
        self._seen: dict[tuple[str, str], None] = {}

    def start(self, now: Instant) -> list[Message]:
        """Begin this life."""
        return self._during(now, lambda: self._step(Started()))

    def receive(self, message: Message, now: Instant) -> list[Message]:
        """Take a message; return what is to be sent. What makes no sense is answered or ignored, never raised."""
        return self._during(now, lambda: self._on_message(message))

    def deadline(self) -> Instant | None:
        """Return when `wake` wants to be called; None: never."""
        return min(self._timers.values(), default=None)

    def wake(self, now: Instant) -> list[Message]:
        """Let all timers fire that are due."""
        return self._during(now, lambda: self._fire(now))

    def _during(self, now: Instant, work: Callable[[], None]) -> list[Message]:
        self._now = max(self._now, now)
        work()
        out, self._out = self._out, []
        return out

    def _fire(self, now: Instant) -> None:
        for timer in [timer for timer, due in self._timers.items() if due <= now]:
            if self._timers.get(timer, now + 1) <= now:
                del self._timers[timer]
                self._step(TimerFired(timer))

    # -- the machine --------------------------------------------------------------------------------------------------

    def _step(self, event: Event) -> None:
        self._perform(self._outbox.push(self.machine.step(event, now=self._now)))

    def _perform(self, effects: Sequence[Effect]) -> None:
        is_written = False
        for effect in effects:
            match effect:
                case Send(to, message):
                    data = base64.b64encode(MESSAGES.encode(message)).decode()
                    self._out.append(Message(self.name, self._names[to], {"type": "raft", "data": data}))
                case Persist(records):
                    self.disk.append(records)
                    is_written = True
                case SetTimer(timer, after):
                    self._timers[timer] = later(self._now, after)
                case CancelTimer(timer):
                    self._timers.pop(timer, None)
                case Deliver(output):
                    self._take(output)
        if is_written:
            # `append` returned, so everything asked for up to here is stable.
            count = self._outbox.persist_count
            self._perform(self._outbox.persisted(count))
            self._step(Persisted(count))

    def _take(self, output: Output) -> None:
        match output:
            case Committed(entries):
                for entry in entries:
                    body = _BODIES.decode(entry.payload) if entry.kind == COMMAND else None
                    answer = None if body is None else self.state.apply(body)
                    self._applied_index = entry.index
                    self._answer_placed(entry.index, entry.term, answer)
                self._serve()
            case Proposed(token, index, term):
                if token in self._proposed:
                    self._placed[index] = (token, term)
            case Refused(token, leader, reason):
                request = self._proposed.pop(token, None)
                if request is not None:
                    self._refused(request, leader, reason)
            case ReadReady(token, index):
                request = self._reads.pop(token, None)
                if request is not None:
                    self._ready.append((index, request))
                    self._serve()
            case ReadFailed(token):
                request = self._reads.pop(token, None)
                if request is not None:
                    self._out.append(
                        reply(request, failure(TEMPORARILY_UNAVAILABLE, "no leader confirmed it"), self.name)
                    )
            case RoleChanged():
                self._leader = output.leader
            case _:
                pass  # nothing is compacted and nobody is added, so there are no snapshots and no changes of members

    def _answer_placed(self, index: int, term: int, answer: Body | None) -> None:
        token, placed_term = self._placed.pop(index, (0, 0))
        request = self._proposed.pop(token, None)
        if request is None:
            return
        if placed_term != term or answer is None:
            # Another leader's entry stands where ours stood: ours can never be committed.
            answer = failure(TEMPORARILY_UNAVAILABLE, "another leader took over")
        self._respond(request, answer)

    def _serve(self) -> None:
        due = [request for index, request in self._ready if index <= self._applied_index]
        self._ready = [pair for pair in self._ready if pair[0] > self._applied_index]
        for request in due:
            self._respond(request, self.state.apply(request.body))

    # -- requests -----------------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        body = message.body
        match body["type"]:
            case "raft":
                self._on_raft(message)
            case "forward":
                self._on_forward(message)
            case "forwarded":
                request = self._forwarded.pop(str(body.get("number")), None)
                if request is not None and isinstance(body.get("body"), dict):
                    self._out.append(reply(request, body["body"], self.name))
            case "topology":
                # Raft has its own: everybody speaks with the leader.
                self._out.append(reply(message, {"type": "topology_ok"}, self.name))
            case _:
                if "in_reply_to" not in body:
                    self._on_request(message)

    def _on_raft(self, message: Message) -> None:
        sender = self._nodes.get(message.src)
        try:
            heard = MESSAGES.decode(base64.b64decode(message.body["data"], validate=True))
        except (Malformed, KeyError, TypeError, ValueError, binascii.Error):
            return
        if sender is not None:
            self._step(Received(sender, heard))

    def _on_forward(self, message: Message) -> None:
        """Do what a follower asks for, once, however often the request arrives."""
        name = (message.src, str(message.body.get("number")))
        if message.src not in self._nodes or name in self._seen or not isinstance(message.body.get("body"), dict):
            return
        self._seen[name] = None
        if len(self._seen) > _REMEMBERED_MAX:
            del self._seen[next(iter(self._seen))]
        self._propose(message)

    def _on_request(self, message: Message) -> None:
        if len(self._proposed) + len(self._reads) + len(self._ready) >= _PENDING_MAX:
            self._respond(message, failure(TEMPORARILY_UNAVAILABLE, "too many requests at once"))
        elif self.state.is_query(message.body):
            self._token += 1
            self._reads[self._token] = message
            self._step(Called(Read(self._token)))
        elif self._leader is None or self._leader == self._nodes[self.name]:
            self._propose(message)
        else:
            self._forward(message, self._leader)

    def _propose(self, message: Message) -> None:
        self._token += 1
        self._proposed[self._token] = message
        body = message.body["body"] if message.body["type"] == "forward" else message.body
        self._step(Called(Propose((_CODEC.encode(body),), self._token)))

    def _forward(self, message: Message, leader: NodeId) -> None:
        self._token += 1
        # A new life begins to count anew, so the life is part of the number.
        number = f"{self._life}-{self._token}"
        self._forwarded[number] = message
        if len(self._forwarded) > _PENDING_MAX:
            # Its client has long given up; nobody knows whether it happened.
            del self._forwarded[next(iter(self._forwarded))]
        body = {"type": "forward", "number": number, "body": message.body}
        self._out.append(Message(self.name, self._names[leader], body))

    def _refused(self, request: Message, leader: NodeId | None, reason: str) -> None:
        is_ours = request.body["type"] != "forward"
        if is_ours and leader is not None and leader != self._nodes[self.name]:
            self._forward(request, leader)
        else:
            self._respond(request, failure(TEMPORARILY_UNAVAILABLE, reason))

    def _respond(self, request: Message, answer: Body) -> None:
        if request.body["type"] == "forward":
            body = {"type": "forwarded", "number": request.body["number"], "body": answer}
            self._out.append(Message(self.name, request.src, body))
        else:
            self._out.append(reply(request, answer, self.name))


def _sorted(names: Sequence[str]) -> list[str]:
    """Return names in an order that all nodes agree on; n10 after n9."""
    return sorted(names, key=lambda name: (len(name), name))


Node = PlainNode | RaftNode
"""What answers messages."""
