"""A machine that beats and watches: every peer sends numbered heartbeats, and any number of detectors judge them.

Theory. All detectors here are a rule for when silence is long enough. Too short, and the slow are called dead (safety
of whoever acts on it); too long, and the dead are waited for. No rule escapes it in an asynchronous network; they
differ in what they learn, and so in how much of the one they pay for the other.

States      Of each peer, for each detector: trusted → suspected → trusted (TRANSITIONS).
Messages    Heartbeat.
Persists    Nothing.
Invariants  A peer is suspected only after its detector's deadline, and never twice without trust in between.
Source      Chandra & Toueg 1996; Chen, Toueg & Aguilera 2002 (quality of service: detection time, mistakes).
Deviations  A watcher whose own timers fire late waits once more before it accuses (Cassandra's local pause).
Limits      Every pair that watches costs one message per period: for few nodes; many watch each other by SWIM.
"""

import random
from collections.abc import Callable, Iterable
from typing import Annotated, Final

import msgspec

from quorate.kernel import (
    Called,
    Codec,
    Deliver,
    Duration,
    Event,
    Instant,
    Machine,
    Message,
    NodeId,
    Output,
    Persisted,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    marks,
    seconds,
)
from quorate.kernel.errors import ConfigError
from quorate.protocols.detectors.detector import Detector

BEAT: Final = "beat"
WATCH: Final = "watch/"

TRANSITIONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("trusted", "suspected", "silence beyond the deadline"),
    ("suspected", "trusted", "a heartbeat"),
)
"""(from, to, why): all changes of one detector's opinion of one peer."""


class Heartbeat(Message, frozen=True, array_like=True, gc=False, tag=True):
    """I was alive when I sent this."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    # Drawn at the sender's start: in another life it counts from the beginning.
    life: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


MESSAGES: Final[Codec[Heartbeat]] = Codec(Heartbeat)


class Suspected(Output, frozen=True, gc=False, tag=True):
    """A detector has begun to suspect a peer."""

    peer: NodeId
    detector: str


class Trusted(Output, frozen=True, gc=False, tag=True):
    """A detector that suspected a peer has heard it again."""

    peer: NodeId
    detector: str


class HeartbeatsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told at birth."""

    # This node.
    node: NodeId
    # To whom it beats, and whom it watches.
    beats_to: tuple[NodeId, ...] = ()
    watches: tuple[NodeId, ...] = ()
    # Name → makes a detector for one peer.
    detectors: dict[str, Callable[[], Detector]] = msgspec.field(default_factory=dict)
    # Between heartbeats. Larger: less traffic, later detection.
    period: Duration = seconds(1)
    # A timer that fires later than this says that this process itself stood still. Cassandra: 5 s.
    own_pause_max: Duration = seconds(5)

    def __post_init__(self) -> None:
        if self.period < 1 or self.own_pause_max < 1:
            raise ConfigError("period, own_pause_max: above 0")
        if self.node in self.watches or self.node in self.beats_to:
            raise ConfigError("watches, beats_to: a node does not watch itself")


class Watch(msgspec.Struct):
    """One detector's view of one peer."""

    peer: NodeId
    name: str
    detector: Detector
    is_suspected: bool = False
    # When the timer fires; it looks at the deadline then, so a heartbeat costs no timer.
    timer_at: Instant | None = None


class Heartbeats(Machine):
    """One node that beats and watches: `Heartbeats(config, (), rng)`; the first event is `Started`."""

    def __init__(self, config: HeartbeatsConfig, records: Iterable[Record], rng: random.Random) -> None:
        super().__init__()
        assert not list(records), "heartbeats persist nothing"
        self.config = config
        self.rng = rng
        self.sequence = 0
        self.life = rng.randrange(1 << 48)
        # When the first heartbeat was sent.
        self._began_at: Instant | None = None
        # Messages that were repeated or overtaken, or came from a stranger.
        self.ignored_count = 0
        self.watches = {
            peer: [Watch(peer, name, make()) for name, make in config.detectors.items()] for peer in config.watches
        }
        # Life and number of the last heartbeat of each.
        self._last: dict[NodeId, tuple[int, int]] = {}

    def _on_event(self, event: Event) -> None:
        match event:
            case Received(sender, Heartbeat(sequence, life)):
                self._on_heartbeat(sender, sequence, life)
            case TimerFired(timer) if timer == BEAT:
                self._beat()
            case TimerFired(timer) if timer.startswith(WATCH):
                peer, place = timer[len(WATCH) :].split("/")
                self._on_watch_timer(self.watches[NodeId(int(peer))][int(place)], timer)
            case Started():
                if self.config.beats_to:
                    self._emit(SetTimer(BEAT, Duration(self.rng.randrange(self.config.period))))
            case Received() | TimerFired() | Called() | Persisted():
                marks.hit("detectors: ignored an event that is not a heartbeat's")
                self.ignored_count += 1

    def _beat(self) -> None:
        if self._began_at is None:
            self._began_at = self.now
        period = self.config.period
        # Numbered by the clock, so that after a pause the number still says when the next one is due (Chen's σ_i).
        self.sequence = max(self.sequence, (self.now - self._began_at) // period) + 1
        for peer in self.config.beats_to:
            self._emit(Send(peer, Heartbeat(self.sequence, self.life)))
        self._emit(SetTimer(BEAT, Duration(self._began_at + self.sequence * period - self.now)))

    def _on_heartbeat(self, sender: NodeId, sequence: int, life: int) -> None:
        watches = self.watches.get(sender)
        if watches is None:
            self.ignored_count += 1
            return
        last_life, last_sequence = self._last.get(sender, (life, 0))
        if life == last_life and sequence <= last_sequence:
            # Repeated or overtaken.
            self.ignored_count += 1
            return
        self._last[sender] = (life, sequence)
        for place, watch in enumerate(watches):
            watch.detector.heard(self.now, sequence)
            if watch.is_suspected:
                watch.is_suspected = False
                self._emit(Deliver(Trusted(sender, watch.name)))
            if watch.timer_at is None:
                self._arm(watch, f"{WATCH}{sender}/{place}")

    def _arm(self, watch: Watch, timer: str) -> None:
        deadline = watch.detector.deadline()
        assert deadline is not None, "a peer that was heard has a deadline"
        watch.timer_at = Instant(max(self.now + 1, deadline))
        self._emit(SetTimer(timer, Duration(watch.timer_at - self.now)))

    def _on_watch_timer(self, watch: Watch, timer: str) -> None:
        due_at, watch.timer_at = watch.timer_at, None
        if watch.is_suspected or due_at is None:
            return
        if self.now - due_at > self.config.own_pause_max:
            # What looks like silence may lie in our own queue.
            marks.hit("detectors: a watcher that stood still accuses nobody")
            watch.timer_at = Instant(self.now + self.config.period)
            self._emit(SetTimer(timer, self.config.period))
        elif watch.detector.is_suspected(self.now):
            watch.is_suspected = True
            self._emit(Deliver(Suspected(watch.peer, watch.name)))
        else:
            self._arm(watch, timer)
