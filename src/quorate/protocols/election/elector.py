"""What both elections share: claiming leadership, beating, following, and giving up.

Plain, a node leads as soon as its election says so: under partition there is a leader on every side. With `quorum`, it
leads once a majority has acknowledged its token, and gives up when it has not heard a majority for a timeout; then a
minority has no leader, and no two leaders have the same majority behind tokens of the same count.
"""

import random
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from quorate.kernel import (
    CancelTimer,
    Deliver,
    Duration,
    Event,
    Instant,
    Machine,
    Message,
    NodeId,
    Output,
    Persist,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    marks,
    milliseconds,
)
from quorate.kernel.errors import ConfigError
from quorate.protocols.election.tokens import Token
from quorate.protocols.quorums import MajorityQuorum

BEAT: Final = "beat"
PATIENCE: Final = "patience"

TRANSITIONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("follower", "electing", "no leader was heard for a timeout, or a better one is here"),
    ("electing", "electing", "the election came to nothing"),
    ("electing", "follower", "somebody leads"),
    ("electing", "claiming", "the election chose this node, and it needs a majority"),
    ("electing", "leader", "the election chose this node"),
    ("follower", "claiming", "somebody else's election chose this node, and it needs a majority"),
    ("follower", "leader", "somebody else's election chose this node"),
    ("claiming", "leader", "a majority acknowledged its token"),
    ("claiming", "follower", "somebody leads with a newer token"),
    ("claiming", "electing", "no majority answered in time"),
    ("leader", "follower", "somebody leads with a newer token"),
    ("leader", "electing", "no majority was heard for a timeout"),
)
"""(from, to, why): all changes of role there are, of both elections."""
_ALLOWED: Final = frozenset((before, after) for before, after, _ in TRANSITIONS)


class Lead(Message, frozen=True, array_like=True, gc=False, tag=True):
    """I lead, or claim to, with this token: the coordinator message and the heartbeat."""

    token: Token


class LeadResult(Message, frozen=True, array_like=True, gc=False, tag=True):
    """The newest token that I know; the sender's own: accepted."""

    token: Token


class Promised(Record, frozen=True, array_like=True, gc=False, tag=True):
    """The newest token that this node took or accepted."""

    token: Token


class LeaderChanged(Output, frozen=True, gc=False, tag=True):
    """Who leads, as this node believes; None: nobody known."""

    leader: NodeId | None
    token: Token
    is_self: bool


class ElectionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told at birth; the same on all nodes but for `node`."""

    # This node, and all that may lead, sorted.
    node: NodeId
    nodes: tuple[NodeId, ...]
    # Between a leader's heartbeats. Larger: less traffic, later detection.
    heartbeat_interval: Duration = milliseconds(100)
    # Silence after which a leader is given up. Larger: fewer needless elections, longer outages.
    leader_timeout: Duration = milliseconds(500)
    # Waited for an answer within an election: above a round trip.
    answer_timeout: Duration = milliseconds(200)
    # Whether a leader needs a majority.
    quorum: bool = False

    def __post_init__(self) -> None:
        if self.node not in self.nodes or list(self.nodes) != sorted(dict.fromkeys(self.nodes)) or self.nodes[0] < 1:
            raise ConfigError("nodes: sorted, each once, 1 or more, this node among them")
        if not 0 < 2 * self.heartbeat_interval <= self.leader_timeout or self.answer_timeout < 1:
            raise ConfigError("leader_timeout: at least twice heartbeat_interval; all above 0")

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """All nodes but this one."""
        return tuple([node for node in self.nodes if node != self.node])


class Elector(Machine):
    """A node that elects; the subclass says how the winner is found."""

    def __init__(self, config: ElectionConfig, records: Iterable[Record], rng: random.Random) -> None:
        super().__init__()
        self.config = config
        self.rng = rng
        self.node = config.node
        self.role_name = "follower"
        self.leader: NodeId | None = None
        promised = [record.token for record in records if isinstance(record, Promised)]
        # The newest that this node took or accepted; never falls, not over restarts either.
        self.token = max(promised, default=Token())
        self.message_count = 0
        self._quorum = MajorityQuorum(config.nodes)
        # Peer → when it last acknowledged this node's token.
        self._acknowledged: dict[NodeId, Instant] = {}
        self._claimed_at = Instant(0)
        self._announced: tuple[NodeId | None, Token] = (None, Token())

    @property
    def acknowledged(self) -> tuple[NodeId, ...]:
        """The peers that have acknowledged this node's token since it claimed it."""
        return tuple(self._acknowledged)

    # What a subclass does.

    @abstractmethod
    def _elect(self) -> None:
        """Find out who should lead; call `_claim` when it is this node."""

    @abstractmethod
    def _on_own_message(self, sender: NodeId, message: Message) -> None:
        """Handle a message of the election itself."""

    @abstractmethod
    def _on_own_timer(self, timer: str) -> None:
        """Handle a timer of the election itself."""

    def _is_worse(self, leader: NodeId) -> bool:
        """Return whether this node should lead instead of a leader that it has heard."""
        return False

    # Events.

    def _on_event(self, event: Event) -> None:
        match event:
            case Received(sender, message):
                self._on_message(sender, message)
            case TimerFired(timer) if timer == PATIENCE:
                self._begin_election()
            case TimerFired(timer) if timer == BEAT:
                self._on_beat()
            case TimerFired(timer):
                self._on_own_timer(timer)
            case Started():
                self._wait(self.config.leader_timeout)
            case _:
                pass  # there are no calls, and what was persisted matters only to what waits for it
        self._announce()

    def _on_message(self, sender: NodeId, message: Message) -> None:
        if sender == self.node or sender not in self.config.nodes:
            marks.hit("election: ignored a stranger")
            return
        match message:
            case Lead(token):
                self._on_lead(sender, token)
            case LeadResult(token):
                self._on_lead_result(sender, token)
            case _:
                self._on_own_message(sender, message)

    def _send(self, to: NodeId, message: Message) -> None:
        self.message_count += 1
        self._emit(Send(to, message))

    def _become(self, role_name: str) -> None:
        assert (self.role_name, role_name) in _ALLOWED, f"nobody goes from {self.role_name} to {role_name}"
        self.role_name = role_name

    def _wait(self, span: Duration) -> None:
        """Begin an election after a span, unless something happens."""
        jitter = self.rng.randrange(self.config.answer_timeout)
        self._emit(SetTimer(PATIENCE, Duration(span + jitter)))

    def _announce(self) -> None:
        if (self.leader, self.token) != self._announced and (self.leader is not None or self._announced[0] is not None):
            self._announced = (self.leader, self.token)
            self._emit(Deliver(LeaderChanged(self.leader, self.token, self.leader == self.node)))

    # Electing.

    def _begin_election(self) -> None:
        if self.role_name == "leader":
            return
        self._become("electing")
        self._emit(CancelTimer(BEAT))
        self.leader = None
        self._wait(self.config.leader_timeout)
        self._elect()

    def _claim(self) -> None:
        """Take the next token and lead, at once or once a majority agrees."""
        if self.role_name in {"leader", "claiming"}:
            return
        self._take(Token(self.token.count + 1, self.node))
        self._acknowledged = {}
        self._claimed_at = self.now
        if self.config.quorum and len(self.config.nodes) > 1:
            self._become("claiming")
        else:
            self._become("leader")
            self.leader = self.node
            self._emit(CancelTimer(PATIENCE))
        self._beat()

    def _take(self, token: Token) -> None:
        assert self.token < token, "tokens only grow"
        self.token = token
        # A token that was forgotten in a crash could be given twice.
        self._emit(Persist((Promised(token),)))

    # Leading.

    def _beat(self) -> None:
        for peer in self.config.peers:
            self._send(peer, Lead(self.token))
        self._emit(SetTimer(BEAT, self.config.heartbeat_interval))

    def _on_beat(self) -> None:
        if self.role_name not in {"leader", "claiming"}:
            return
        if self.role_name == "leader" and self.config.quorum and not self._has_majority():
            marks.hit("election: a leader without a majority gave up")
            self.leader = None
            self._become("electing")
            self._wait(self.config.answer_timeout)
            return
        self._beat()

    def _has_majority(self) -> bool:
        """Return whether a majority acknowledged this node's token within a timeout."""
        since = self.now - self.config.leader_timeout
        heard = [peer for peer, at in self._acknowledged.items() if at >= since]
        return self._quorum.has([self.node, *heard]) or self._claimed_at >= since

    def _on_lead_result(self, sender: NodeId, token: Token) -> None:
        if self.role_name not in {"leader", "claiming"}:
            return
        if token > self.token:
            marks.hit("election: a leader heard of a newer token")
            self._take(token)
            self._follow(None)
        elif token == self.token:
            self._acknowledged[sender] = self.now
            if self.role_name == "claiming" and self._quorum.has([self.node, *self._acknowledged]):
                self._become("leader")
                self.leader = self.node
                self._emit(CancelTimer(PATIENCE))

    # Following.

    def _on_lead(self, sender: NodeId, token: Token) -> None:
        if not self._may_accept(token) or token.node != sender:
            # An old leader learns of the newer token by this.
            self._send(sender, LeadResult(self.token))
            return
        if token > self.token:
            self._take(token)
        self._send(sender, LeadResult(token))
        if self._is_worse(sender):
            marks.hit("election: a better node took over")
            if self.role_name != "electing":
                self._follow(None)
                self._begin_election()
            return
        self._follow(sender)

    def _may_accept(self, token: Token) -> bool:
        """Return whether a token is the newest; with `quorum`, no node accepts two of the same count."""
        if self.config.quorum:
            return token == self.token or token.count > self.token.count
        return token >= self.token

    def _follow(self, leader: NodeId | None) -> None:
        if self.role_name in {"leader", "claiming"}:
            self._emit(CancelTimer(BEAT))
        if self.role_name != "follower":
            self._become("follower")
        self.leader = leader
        self._wait(self.config.leader_timeout if leader is not None else self.config.answer_timeout)


def leaders(machines: Sequence[Any]) -> list[NodeId]:  # Any: electors of any kind
    """Return the nodes that believe that they lead; more than one is what a partition does to plain elections."""
    return [machine.node for machine in machines if machine.role_name == "leader"]
