"""SWIM: every member watches a few others, and what it finds travels as rumours on the same messages.

Theory. Each member probes one other per interval, in a random order that meets everybody once a round, so load per
member is constant and a dead member is noticed within two rounds by each and after e / (e - 1) intervals by somebody.
A member that does not answer, directly or through others, is only suspected: the suspicion travels, and its subject
refutes it with a higher incarnation, which only it may raise. Rumours ride on probes and on gossip, each told O(log n)
times by each member, so all know after O(log n) rounds; comparison of whole tables catches what rumours miss.
Lifeguard: who accuses others wrongly is mostly slow itself. So a member doubts itself first (health), suspects for
longer while few agree, and tells suspects about their suspicion first of all.

States      Of each other member: alive → suspect → dead, left (TRANSITIONS; drawn in docs/protocols/swim.md).
Messages    Ping, Ack, PingRequest, Nack, Gossip, SyncRequest, SyncState.
Persists    Nothing.
Invariants  A table only moves up the order of `supersedes`, until it forgets the dead; only a member raises its own
            incarnation; a suspicion exists exactly for suspects.
Source      Das, Gupta & Motivala 2002 (SWIM); Dadgar, Phillips & Currey 2018 (Lifeguard, arXiv 1707.00788); values of
            hashicorp/memberlist.
Deviations  1. A higher incarnation revives the dead, so that a wrong verdict can be mended (memberlist does the same).
            2. Tables are exchanged only when their digests differ; a quiet cluster sends 50 bytes, not all members.
            3. A member whose timers fire late by more than a probe timeout accuses nobody for what it missed.
            4. Whoever is believed dead is asked again now and then, so that halves of a cluster meet again.
            5. No second probe over a stream: the machine knows one kind of message.
Limits      Crashes, pauses, loss, partitions; not liars, though absurd numbers are refused. Simulated to 10,000.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final, assert_never

from quorate.kernel import Call, Called, Event, Message, NodeId, Persisted, Received, Started, TimerFired, marks
from quorate.protocols.swim.calls import Join, Leave, UpdateMetadata
from quorate.protocols.swim.messages import Ack, Gossip, Nack, Ping, PingRequest, SyncRequest, SyncState
from quorate.protocols.swim.probing import Probing
from quorate.protocols.swim.spreading import Spreading
from quorate.protocols.swim.state import GOSSIP, JOIN, PROBE, RELAY, SUSPICION, SYNC

TRANSITIONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("alive", "alive", "a higher incarnation: refutation or other metadata"),
    ("alive", "suspect", "no answer, directly or through others"),
    ("suspect", "alive", "a higher incarnation: it refuted"),
    ("suspect", "suspect", "suspected again after a refutation that was not heard here"),
    ("suspect", "dead", "the window ended"),
    ("suspect", "left", "its own word, heard late"),
    ("alive", "dead", "somebody's window ended"),
    ("alive", "left", "its own word"),
    ("dead", "left", "its own word, heard late"),
    ("dead", "dead", "dead again after a refutation that was not heard here"),
    ("dead", "alive", "a higher incarnation: it lives, or lives again"),
    ("dead", "suspect", "suspected after a refutation that was not heard here"),
    ("left", "alive", "a higher incarnation: it came back"),
    ("left", "suspect", "suspected after a return that was not heard here"),
    ("left", "dead", "dead after a return that was not heard here"),
    ("left", "left", "left again after a return that was not heard here"),
)
"""(from, to, why): all changes of another member's status, as one node sees it."""


class Swim(Probing, Spreading):
    """One member's machine: `Swim(config, (), rng)`; the first event is `Started`.

    Example:
        >>> import random
        >>> from quorate.kernel import Instant
        >>> from quorate.protocols.swim import SwimConfig
        >>> machine = Swim(SwimConfig(node=NodeId(1), seeds=(NodeId(2),)), (), random.Random(7))
        >>> [type(effect.message).__name__ for effect in machine.step(Started(), now=Instant(0))
        ...  if hasattr(effect, "message")]
        ['SyncRequest']
    """

    _MESSAGE_HANDLERS: ClassVar[dict[type[Message], str]] = {
        Ping: "_on_ping",
        Ack: "_on_ack",
        PingRequest: "_on_ping_request",
        Nack: "_on_nack",
        Gossip: "_on_gossip",
        SyncRequest: "_on_sync_request",
        SyncState: "_on_sync_state",
    }
    _CALL_HANDLERS: ClassVar[dict[type[Call], str]] = {
        Join: "_on_join",
        Leave: "_on_leave",
        UpdateMetadata: "_on_update_metadata",
    }

    def _on_event(self, event: Event) -> None:
        # By exact type and the commonest first: a large simulation spends a tenth of its time on this choice.
        kind = type(event)
        if kind is Received:
            self._on_message(event.sender, event.message)  # type: ignore[union-attr]
        elif kind is TimerFired:
            self._on_timer(event.timer)  # type: ignore[union-attr]
        else:
            self._on_rare_event(event)

    def _on_rare_event(self, event: Event) -> None:
        match event:
            case Called(call):
                on_call: Callable[[Any], None] = getattr(self, self._CALL_HANDLERS[type(call)])
                on_call(call)
            case Started():
                self._begin_probing()
                self._begin_spreading()
            case Persisted() | Received() | TimerFired():
                pass  # nothing is persisted; the others were handled
            case _:
                assert_never(event)

    def _on_message(self, sender: NodeId, message: Message) -> None:
        name = self._MESSAGE_HANDLERS.get(type(message))
        if name is None or sender == self.node:
            marks.hit("swim: ignored a message that is not SWIM's")
            return
        on_message: Callable[[NodeId, Any], None] = getattr(self, name)
        on_message(sender, message)

    def _on_timer(self, timer: str) -> None:
        if timer == PROBE:
            if not self.is_departed:
                self._on_probe_timer()
        elif timer == GOSSIP:
            self._on_gossip_timer()
        elif timer == SYNC:
            if not self.is_departed:
                self._on_sync_timer()
        elif timer == JOIN:
            self._on_join_timer()
        elif timer.startswith(SUSPICION):
            self._on_suspicion_timeout(NodeId(int(timer[len(SUSPICION) :])))
        elif timer.startswith(RELAY):
            self._on_relay_timeout(int(timer[len(RELAY) :]))
