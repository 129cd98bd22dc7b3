"""Anti-entropy: two replicas find the few keys in which they differ, by comparing sums of digests.

Theory. Hints and read repair miss what nobody reads and what was lost with a hint. So every node compares, range by
range and peer by peer, without end: equal sums mean equal content; where sums differ, it compares the sums of sixteen
pieces, and theirs, down to runs of a few keys, whose digests it lists. d differing keys of n cost about d · log₁₆ n
sums, and a handful of round trips, because all runs of one level are asked about together. What is found are keys;
what they hold is the business of whoever hears `Divergent`.

States      Of an exchange, at the node that asks: asked → (answered → asked)* → ended, or given up. None at the other.
Messages    Ask, Answer, Decline.
Persists    Nothing.
Invariants  `Index`; one exchange per peer; every named key differed at some moment of the exchange; an interval names
            no more keys than its budget and one answer.
Source      DeCandia et al. 2007 (Dynamo), section 4.7; Merkle 1987; Riak's Tictac AAE (sums that are kept up, loops
            that are bounded); CASSANDRA-5263 (what leaves that are too coarse cost: one lost row streamed thirty).
Deviations  1. No tree is stored, and none is built anew: see `index`.
            2. Keys are named, not leaves, so that nothing is streamed because it has an unlucky neighbour.
            3. Exchanges keep no state at the peer; what was lost, repeated or late costs a repetition.
            4. Two nodes with different topologies do not compare.
Limits      Crashes and message faults; not liars. A cell whose digest collides by design is left to reads.
"""

from typing import ClassVar, assert_never

from quorate.kernel import Call, Called, Event, Message, NodeId, Persisted, Received, Started, TimerFired, marks
from quorate.protocols.anti_entropy.answering import Answering
from quorate.protocols.anti_entropy.asking import Asking
from quorate.protocols.anti_entropy.calls import Changed, CompareAll, PeerDown, PeerUp, Reshape, Tick
from quorate.protocols.anti_entropy.intervals import Interval
from quorate.protocols.anti_entropy.messages import Answer, Ask, Decline
from quorate.protocols.anti_entropy.state import ANSWER, BEGIN


class AntiEntropy(Asking, Answering):
    """One node's machine: `AntiEntropy(config, (), rng)`; the first event is `Started`.

    Example:
        >>> import random
        >>> from quorate.kernel import Instant
        >>> from quorate.protocols.anti_entropy import AntiEntropyConfig, digest_of
        >>> machine = AntiEntropy(AntiEntropyConfig(node=NodeId(1)), (), random.Random(7))
        >>> machine.step(Called(Changed(((b"cart", digest_of(b"cart", b"milk")),))), now=Instant(0))
        []
        >>> machine.index.key_count
        1
    """

    _MESSAGES: ClassVar[tuple[type[Message], ...]] = (Ask, Answer, Decline)

    def _on_event(self, event: Event) -> None:
        match event:
            case Called(call):
                self._on_call(call)
            case Received(sender, message):
                self._on_message(sender, message)
            case TimerFired(timer):
                self._on_timer(timer)
            case Started():
                self._begin()
            case Persisted():
                pass  # nothing is persisted
            case _:
                assert_never(event)

    def _on_call(self, call: Call) -> None:
        match call:
            case Changed(entries):
                for key, digest in entries:
                    self.index.put(key, digest)
            case Tick(wall_ns):
                self.wall_ns = wall_ns
            case PeerUp(node):
                self._on_peer_up(node)
            case PeerDown(node):
                self.down[node] = None
                self._drop(node)
            case Reshape():
                self._on_reshape(call)
            case CompareAll():
                self._compare_all()
            case _:
                raise AssertionError(f"no call of anti-entropy: {call!r:.80}")

    def _on_peer_up(self, node: NodeId) -> None:
        """Compare with a peer that was away before all others."""
        if node not in self.down:
            return
        del self.down[node]
        mine = [(node, Interval(shared.start, shared.end)) for shared in self.ranges if node in shared.peers]
        self.rng.shuffle(mine)
        self.queue.extendleft(mine)

    def _on_reshape(self, call: Reshape) -> None:
        """Take other ranges; what is under way speaks of the old ones and ends."""
        for shared in call.ranges:
            assert shared.start < shared.end, "a range is not empty"
            assert self.node not in shared.peers, "a node does not compare with itself"
        self.version, self.ranges = call.version, call.ranges
        for peer in list(self.exchanges):
            self._drop(peer)
        self._fill_queue()

    def _on_message(self, sender: NodeId, message: Message) -> None:
        if sender == self.node:
            marks.hit("anti-entropy: ignored a message from itself")
            return
        match message:
            case Ask():
                self._on_ask(sender, message)
            case Answer():
                self._on_answer(sender, message)
            case Decline():
                self._on_decline(sender, message)
            case _:
                marks.hit("anti-entropy: ignored a message that is not its own")

    def _on_timer(self, timer: str) -> None:
        if timer == BEGIN:
            self._on_begin_timer()
        elif timer.startswith(ANSWER):
            self._on_answer_timeout(NodeId(int(timer[len(ANSWER) :])))
