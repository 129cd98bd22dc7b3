"""Available: membership, leaderless replication and anti-entropy of one node as one machine.

Theory. Three machines that know nothing of each other: what one finds out is another one's call. SWIM's verdicts make
peers up or down; every changed cell changes a digest; keys found to differ are reconciled; what all owners agreed on
lets tombstones go. To its host this is one machine, with one kind of message and one barrier before the disk.

Messages    Those of its parts (MESSAGES).
Persists    What `Leaderless` persists; the others persist nothing, so `Persisted` is its alone.
Timers      SWIM's begin with "swim/", anti-entropy's with "entropy/".
Source      The parts' own; put together as in Dynamo (2007), section 4, table 1.
"""

import random
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, TypeAlias, get_args

import msgspec

from quorate.kernel import (
    Call,
    Called,
    CancelTimer,
    Codec,
    Deliver,
    Effect,
    Event,
    Machine,
    Message,
    NodeId,
    Output,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    marks,
)
from quorate.protocols.anti_entropy import (
    Agreed,
    AntiEntropy,
    AntiEntropyConfig,
    AntiEntropyMessage,
    Changed,
    CompareAll,
    Divergent,
    Reshape,
    SharedRange,
    digest_of,
)
from quorate.protocols.anti_entropy import PeerDown as ComparePeerDown
from quorate.protocols.anti_entropy import PeerUp as ComparePeerUp
from quorate.protocols.anti_entropy import Tick as CompareTick
from quorate.protocols.leaderless import (
    CellChanged,
    Leaderless,
    LeaderlessConfig,
    LeaderlessMessage,
    PeerDown,
    PeerUp,
    Preferences,
    Reconcile,
    Rule,
    Settled,
    Synchronized,
    Tick,
    Topology,
)
from quorate.protocols.swim import (
    ALIVE,
    STATUS_NAMES,
    Join,
    Known,
    Leave,
    Member,
    MemberChanged,
    Swim,
    SwimConfig,
    SwimMessage,
    UpdateMetadata,
)
from quorate.replication.agreements import Agreements

SWIM: Final = "swim/"
ENTROPY: Final = "entropy/"

AvailableMessage: TypeAlias = LeaderlessMessage | SwimMessage | AntiEntropyMessage
MESSAGES: Final[Codec[AvailableMessage]] = Codec(AvailableMessage)
"""What the nodes of one keyspace say to each other."""

_OF_SWIM: Final[frozenset[type]] = frozenset(get_args(SwimMessage))
_OF_ANTI_ENTROPY: Final[frozenset[type]] = frozenset(get_args(AntiEntropyMessage))
_UP: Final = ("joined", "rejoined", "refuted")
_DOWN: Final = ("failed", "left")


class AvailableConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told at birth."""

    leaderless: LeaderlessConfig

    # A profile of SWIM (local, lan, wan); None: somebody else tells who is up, by `PeerUp` and `PeerDown`.
    swim: str | None = "lan"

    # What differs from the profile.
    swim_fields: Mapping[str, Any] = msgspec.field(default_factory=dict)

    # None: no anti-entropy; tombstones are then never purged by repair.
    anti_entropy: AntiEntropyConfig | None = None

    @property
    def node(self) -> NodeId:
        """This node."""
        return self.leaderless.node

    @classmethod
    def standard(cls, leaderless: LeaderlessConfig, *, swim: str | None = "lan", **fields: Any) -> "AvailableConfig":
        """Return all three parts with their usual values; `fields` are those of anti-entropy."""
        return cls(leaderless=leaderless, swim=swim, anti_entropy=AntiEntropyConfig(node=leaderless.node, **fields))


def shared_ranges(topology: Topology, node: NodeId) -> tuple[SharedRange, ...]:
    """Return the runs of hashes that a node holds together with others."""
    return tuple(
        SharedRange(start, end, tuple(owner for owner in owners if owner != node))
        for start, end, owners in Preferences(topology).runs()
        if node in owners and len(owners) > 1
    )


class Available(Machine):
    """One node of a leaderless keyspace: `Available(config, records, rng, rule=rule)`; the first event is `Started`.

    Calls are those of `Leaderless` (Batch, Tick, PeerUp, PeerDown, Reconfigure, Reconcile), of SWIM (Join, Leave,
    UpdateMetadata) and CompareAll. Outputs are Answered, Failed, CellChanged, Settled, those of SWIM and those of
    anti-entropy.
    """

    _MEMBERSHIP_CALLS: ClassVar[tuple[type[Call], ...]] = (Join, Leave, UpdateMetadata)

    def __init__(
        self,
        config: AvailableConfig,
        records: Iterable[Record],
        rng: random.Random,
        *,
        rule: Rule,
    ) -> None:
        """Make a node from what it wrote down.

        Raises:
            ConfigError: a part's configuration contradicts itself.
        """
        super().__init__()
        self.config = config
        self.node = config.node
        self.rule = rule
        # Streams of their own, so that one more draw in one part moves nothing in another.
        seeds = [random.Random(rng.getrandbits(64)) for _ in range(3)]
        self.leaderless = Leaderless(config.leaderless, records, seeds[0], rule=rule)
        self.swim = None if config.swim is None else Swim(_swim_config(config, self.leaderless), (), seeds[1])
        self.anti_entropy = None if config.anti_entropy is None else AntiEntropy(config.anti_entropy, (), seeds[2])
        self.agreements = Agreements()
        # Runs of hashes that this node alone holds: nobody has to agree.
        self._alone: list[tuple[int, int]] = []
        self.wall_ns = 0
        # Changes of this step, for the digests.
        self._changes: dict[bytes, int] = {}

    def _on_event(self, event: Event) -> None:
        match event:
            case Called(call):
                self._on_call(call)
            case Received(_, message):
                self._on_message(event, message)
            case TimerFired(timer):
                self._on_timer(event, timer)
            case Started():
                self._on_started(event)
            case _:
                # Only this part persists.
                self._to_leaderless(event)
        self._flush_changes()

    def _on_started(self, event: Event) -> None:
        self._to_leaderless(event)
        self._to_swim(event)
        self._to_anti_entropy(event)
        if self.anti_entropy is not None:
            self._changes.update({key: digest_of(key, cell) for key, cell in self.leaderless.cells.items()})
        self._reshape()

    def _on_call(self, call: Call) -> None:
        if isinstance(call, self._MEMBERSHIP_CALLS):
            self._to_swim(Called(call))
            return
        if isinstance(call, CompareAll):
            self._to_anti_entropy(Called(call))
            return
        match call:
            case Tick(wall_ns):
                self._to_anti_entropy(Called(CompareTick(wall_ns)))
                if wall_ns < self.wall_ns:
                    # Agreements of a clock that was ahead would cover what arrives from now on.
                    marks.hit("available: the clock went back, so agreements begin anew")
                    self._reshape()
                self.wall_ns = wall_ns
                if self.config.leaderless.purge == "repair":
                    for start, end in self._alone:
                        self._to_leaderless(Called(Synchronized(start, end, wall_ns)))
            case PeerUp(node):
                self._to_anti_entropy(Called(ComparePeerUp(node)))
            case PeerDown(node):
                self._to_anti_entropy(Called(ComparePeerDown(node)))
            case _:
                pass
        self._to_leaderless(Called(call))

    def _on_message(self, event: Event, message: Message) -> None:
        kind = type(message)
        if kind in _OF_SWIM:
            self._to_swim(event)
        elif kind in _OF_ANTI_ENTROPY:
            self._to_anti_entropy(event)
        else:
            self._to_leaderless(event)

    def _on_timer(self, event: Event, timer: str) -> None:
        if timer.startswith(SWIM):
            self._to_swim(TimerFired(timer[len(SWIM) :]))
        elif timer.startswith(ENTROPY):
            self._to_anti_entropy(TimerFired(timer[len(ENTROPY) :]))
        else:
            self._to_leaderless(event)

    # The parts.

    def _to_leaderless(self, event: Event) -> None:
        for effect in self.leaderless.step(event, now=self.now):
            # Its timers and records are the host's; of its outputs some are news for the others.
            self._emit(effect)
            if isinstance(effect, Deliver):
                self._on_leaderless_output(effect.output)

    def _on_leaderless_output(self, output: Output) -> None:
        match output:
            case CellChanged(key, _, after) if self.anti_entropy is not None:
                self._changes[key] = digest_of(key, after)
            case Settled():
                self._reshape()
            case _:
                pass

    def _reshape(self) -> None:
        """Compare by the topology that this node has settled in; while ranges move, copies differ for good reason."""
        topology = self.leaderless.topology
        ranges = shared_ranges(topology, self.node)
        self._alone = [(start, end) for start, end, owners in Preferences(topology).runs() if owners == (self.node,)]
        self.agreements = Agreements(ranges)
        self._to_anti_entropy(Called(Reshape(topology.version, ranges)))

    def _to_swim(self, event: Event) -> None:
        if self.swim is None:
            return
        for effect in self.swim.step(event, now=self.now):
            self._emit(_apart(effect, SWIM))
            if isinstance(effect, Deliver) and isinstance(effect.output, MemberChanged):
                self._on_member_changed(effect.output)

    def _on_member_changed(self, changed: MemberChanged) -> None:
        node = NodeId(changed.member.node)
        if node == self.node:
            return
        # A suspect is still asked: most of them refute.
        if changed.kind in _UP:
            self._on_call(PeerUp(node))
        elif changed.kind in _DOWN:
            self._on_call(PeerDown(node))

    def _to_anti_entropy(self, event: Event) -> None:
        if self.anti_entropy is None:
            return
        for effect in self.anti_entropy.step(event, now=self.now):
            self._emit(_apart(effect, ENTROPY))
            if not isinstance(effect, Deliver):
                continue
            match effect.output:
                case Divergent(peer, keys):
                    self._to_leaderless(Called(Reconcile(peer, keys)))
                case Agreed(peer, start, end, began_wall_ns) if self.config.leaderless.purge == "repair":
                    for done in self.agreements.agree(peer, start, end, began_wall_ns):
                        self._to_leaderless(Called(Synchronized(*done)))
                case _:
                    pass

    # For the status.

    def counters(self) -> dict[str, int]:
        """Return how much of what this node has and has done, since its start: numbers for a status page.

        Complexity: O(members + owners with hints).
        """
        replica = self.leaderless
        found = {
            "keys": len(replica.cells),
            "tombstones": len(replica.tombstones),
            "hints": sum(map(len, replica.hints.values())),
            "pending": replica.pending_count,
            "peers_down": len(replica.down),
            "refused": replica.refused_count,
        }
        for name in ("repair", "hinted", "delivered", "reconciled", "purged"):
            found[name] = getattr(replica, f"{name}_count")
        if self.swim is not None:
            statuses = [member.status for member in self.swim.members]
            for status, name in enumerate(STATUS_NAMES):
                found[f"members_{name}"] = statuses.count(status)
            found["swim_health"] = self.swim.health
            found["swim_refused"] = self.swim.refused_count
        if self.anti_entropy is not None:
            entropy = self.anti_entropy
            found["entropy_ranges"] = len(entropy.ranges)
            for name in ("compared", "agreed", "divergent", "abandoned", "declined", "refused"):
                found[f"entropy_{name}"] = getattr(entropy, f"{name}_count")
        return found

    def _flush_changes(self) -> None:
        """Tell all digests of the step at once."""
        if self._changes:
            entries, self._changes = tuple(self._changes.items()), {}
            self._to_anti_entropy(Called(Changed(entries)))


def _apart(effect: Effect, prefix: str) -> Effect:
    """Return an effect of a part that persists nothing: timers named apart."""
    match effect:
        case SetTimer(timer, after):
            return SetTimer(prefix + timer, after)
        case CancelTimer(timer):
            return CancelTimer(prefix + timer)
        case Send(to, message):
            # Membership promises nothing about what is on this disk. A comparison does: when all owners agree on a
            # tombstone it is purged, and one that had it in memory only would come back from a crash without it.
            return Send(to, message, eager=prefix == SWIM)
        case Deliver(output):
            return Deliver(output, eager=True)
        case _:
            return effect


def _swim_config(config: AvailableConfig, leaderless: Leaderless) -> SwimConfig:
    """Return SWIM's part: all nodes of the topology are known from the start, so one that never came is found dead."""
    assert config.swim is not None, "there is a profile"
    nodes = sorted((config.node, *leaderless.peers))
    fields: dict[str, Any] = {
        "seeds": tuple(node for node in nodes if node != config.node),
        "known": Known(Member(int(node), 0, ALIVE) for node in nodes),
        **config.swim_fields,
    }
    return SwimConfig.profile(config.swim, node=config.node, **fields)
