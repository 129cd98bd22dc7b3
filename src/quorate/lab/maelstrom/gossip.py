"""A Maelstrom node that agrees with nobody: replicated data types, whose changes are told around until all have them.

Theory. Every node answers at once from what it holds, also when it is alone; states join to the same whatever the
order, the loss and the repetition of messages. What was acknowledged is on this node's disk first, so it is never
lost, only late. That is all: a read may be behind, so it serves workloads that ask for no more than that.

To each peer one change at a time is under way: all that the peer is not known to have. It is sent again until the peer
says that it has it.

Source: Shapiro et al. 2011 (g-set, counters); Almeida, Shoker, Baquero 2018, algorithm 2 (deltas, acknowledgements).
"""

import base64
import binascii
import random
from collections.abc import Sequence
from typing import Any, Final

from quorate.crdt import BadAmount, BadElement, GCounter, GSet, PNCounter
from quorate.kernel import Codec, Duration, Instant, Record, Undecodable, later, milliseconds
from quorate.lab.maelstrom.machines import unsupported
from quorate.lab.maelstrom.messages import MALFORMED, Body, Message, failure
from quorate.lab.maelstrom.node import Disk, reply

GOSSIP_WORKLOADS: Final = ("broadcast", "g-set", "g-counter", "pn-counter")
"""What needs no agreement but in the end."""

# A change that was not acknowledged is sent again after so many rounds.
_RETRY_ROUND_COUNT: Final = 5

_KINDS: Final[dict[str, Any]] = {"g-counter": GCounter, "pn-counter": PNCounter}


class Learned(Record, frozen=True):
    """A change, from a client or a peer, as its type encodes it."""

    delta: bytes


LEARNED: Final[Codec[Learned]] = Codec(Learned)
"""How changes are written down."""


class _Peer:
    """What one peer is known to have, and what is under way to it."""

    def __init__(self, empty: Any) -> None:
        self.known: Any = empty
        self.number = 0
        self.flying: Any = None
        self.sent_at = Instant(0)


class GossipNode:
    """One replica of a set or a counter.

    Args:
        name: this node's name.
        names: all nodes' names, this one's included.
        workload: one of `GOSSIP_WORKLOADS`.
        rng: this life's random stream; each life counts under an actor of its own.
        disk: this node's records.
        round_ms: how often changes are told, milliseconds.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        workload: str,
        *,
        rng: random.Random,
        disk: Disk | None = None,
        round_ms: float = 50,
    ) -> None:
        assert workload in GOSSIP_WORKLOADS, "the caller has looked"
        self.name = name
        self.workload = workload
        self.disk = disk or Disk()
        self._round: Duration = milliseconds(round_ms)
        # Any: what differs between the types are the names of their mutators alone.
        self._kind: Any = _KINDS.get(workload, GSet)
        # An actor must not be used again after its replica lost state: 62 random bits for each life.
        self.state: Any = self._kind(actor=rng.getrandbits(62))
        for record in self.disk.load():
            assert isinstance(record, Learned), "a gossip node writes down what it learned"
            self.state.apply(self._kind.from_bytes(record.delta))
        # A new life: what those before have told is not known any more, so peers get everything once more.
        self._peers = {peer: _Peer(self._kind()) for peer in names if peer != name}
        self._life = f"{rng.getrandbits(64):016x}"
        self._due: Instant | None = None

    def start(self, now: Instant) -> list[Message]:
        """Begin this life."""
        self._due = later(now, self._round) if self._peers else None
        return []

    def deadline(self) -> Instant | None:
        """Return when `wake` wants to be called; None: never."""
        return self._due

    def wake(self, now: Instant) -> list[Message]:
        """Tell every peer what it lacks."""
        if self._due is None or now < self._due:
            return []
        self._due = later(now, self._round)
        return [message for peer in self._peers for message in self._tell(peer, now)]

    def receive(self, message: Message, now: Instant) -> list[Message]:
        """Take a message; return what is to be sent. What makes no sense is answered or ignored, never raised."""
        del now
        body = message.body
        match body["type"]:
            case "gossip":
                return self._on_gossip(message)
            case "gossip_ok":
                self._on_gossip_ok(message)
                return []
            case "topology":
                # Everybody tells everybody: one hop is the fewest.
                return [reply(message, {"type": "topology_ok"}, self.name)]
            case _:
                return [] if "in_reply_to" in body else [reply(message, self._answer(body), self.name)]

    # -- clients ------------------------------------------------------------------------------------------------------

    def _answer(self, body: Body) -> Body:
        kind = body["type"]
        try:
            if kind == "read":
                return {"type": "read_ok", ("messages" if self.workload == "broadcast" else "value"): self.state.value}
            if kind == "broadcast" and self.workload == "broadcast":
                return self._put(body["message"], kind)
            if kind == "add" and self.workload == "g-set":
                return self._put(body["element"], kind)
            if kind == "add" and self.workload != "broadcast":
                return self._count(body["delta"])
        except (KeyError, TypeError, BadElement, BadAmount) as cause:
            return failure(MALFORMED, f"{kind}: {type(cause).__name__} {cause}")
        return unsupported(body)

    def _put(self, element: Any, kind: str) -> Body:
        if element not in self.state:
            self._keep(self.state.add(element))
        return {"type": f"{kind}_ok"}

    def _count(self, amount: Any) -> Body:
        if not isinstance(amount, int) or isinstance(amount, bool) or (amount < 0 and self.workload == "g-counter"):
            return failure(MALFORMED, f"{amount!r} cannot be added")
        if amount:
            self._keep(self.state.increment(amount) if amount > 0 else self.state.decrement(-amount))
        return {"type": "add_ok"}

    def _keep(self, delta: Any) -> None:
        """Make a change stable; only then may anybody be told of it."""
        self.disk.append([Learned(delta.to_bytes())])

    # -- peers --------------------------------------------------------------------------------------------------------

    def _tell(self, name: str, now: Instant) -> list[Message]:
        peer = self._peers[name]
        if peer.flying is not None and now - peer.sent_at < _RETRY_ROUND_COUNT * self._round:
            return []
        delta = self.state.delta(peer.known)
        if delta == self._kind():
            peer.flying = None
            return []
        peer.number += 1
        peer.flying, peer.sent_at = delta, now
        data = base64.b64encode(delta.to_bytes()).decode()
        body = {"type": "gossip", "number": f"{self._life}-{peer.number}", "data": data}
        return [Message(self.name, name, body)]

    def _on_gossip(self, message: Message) -> list[Message]:
        try:
            delta: Any = self._kind.from_bytes(base64.b64decode(message.body["data"], validate=True))
        except (Undecodable, KeyError, TypeError, ValueError, binascii.Error):
            return []
        peer = self._peers.get(message.src)
        if peer is None:
            return []
        news = delta.delta(self.state)
        if news != self._kind():
            # On our disk before we say that we have it: the sender will not tell it again.
            self._keep(news)
            self.state.apply(news)
        peer.known.apply(delta)
        return [Message(self.name, message.src, {"type": "gossip_ok", "number": message.body.get("number")})]

    def _on_gossip_ok(self, message: Message) -> None:
        peer = self._peers.get(message.src)
        # Only the answer to what is under way: an older one may speak of less.
        if peer is None or peer.flying is None or message.body.get("number") != f"{self._life}-{peer.number}":
            return
        peer.known.apply(peer.flying)
        peer.flying = None
