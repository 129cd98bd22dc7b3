"""Failure detectors side by side: same heartbeats, same harm; how soon each finds a death, how often it errs."""

import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from quorate.kernel import Duration, NodeId, Output, Record, milliseconds, seconds
from quorate.kernel.errors import UsageError
from quorate.protocols.detectors import (
    ChenDetector,
    Detector,
    ExponentialPhi,
    Heartbeats,
    HeartbeatsConfig,
    NormalPhi,
    Suspected,
    TimeoutDetector,
    Trusted,
)
from quorate.sim import CoreCluster, CoreHost, LinkPolicy, World

CONDITIONS: Final = ("calm", "loss", "pauses", "skew")
LOSS_SHARE: Final = 0.2
# Watched nodes pause so often on average, and for so long at most.
PAUSE_GAP: Final = seconds(30)
PAUSE_MAX: Final = seconds(4)
# Most delay of the most loaded node's heartbeats; the others' grow from nothing in equal steps.
SKEW_JITTER_MAX: Final = seconds(2)
HOUR_NS: Final = 3_600 * 1_000_000_000
WATCHER: Final = NodeId(1)
PERIOD: Final = seconds(1)

DETECTORS: Final[Mapping[str, Callable[[], Detector]]] = {
    "timeout 2 s": lambda: TimeoutDetector(timeout=seconds(2)),
    "timeout 5 s": lambda: TimeoutDetector(timeout=seconds(5)),
    "timeout 10 s": lambda: TimeoutDetector(timeout=seconds(10)),
    "phi 3, exponential": lambda: ExponentialPhi(threshold=3),
    "phi 8, exponential": lambda: ExponentialPhi(threshold=8),
    "phi 3, normal": lambda: NormalPhi(threshold=3, pause_accepted=Duration(0)),
    "phi 8, normal": lambda: NormalPhi(threshold=8, pause_accepted=Duration(0)),
    "phi 8, normal + 3 s": lambda: NormalPhi(threshold=8),
    "Chen + 0.5 s": lambda: ChenDetector(margin=milliseconds(500)),
    "Chen + 2 s": lambda: ChenDetector(margin=seconds(2)),
    "Chen + 4 s": lambda: ChenDetector(margin=seconds(4)),
}


class DetectorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of detectors."""

    conditions: tuple[str, ...] = CONDITIONS
    seed: int = 1
    # Nodes that are watched; each is one sample of detection time.
    peer_count: int = 20
    # Simulated time before the nodes die.
    span: Duration = seconds(600)

    def __post_init__(self) -> None:
        unknown = [name for name in self.conditions if name not in CONDITIONS]
        if unknown or not self.conditions:
            raise UsageError(f"conditions: of {', '.join(CONDITIONS)}, not {', '.join(unknown) or 'nothing'}")
        if not 1 <= self.peer_count <= 200 or self.span < seconds(10):
            raise UsageError("peers: 1 to 200; span: 10 s or more")


class DetectorRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector did under one condition. Times in seconds."""

    condition: str
    detector: str
    # Suspicions of the living, per peer and hour, and how long each lasted on average.
    mistakes: float
    mistake_span: float
    # From the crash to the last suspicion that followed; of all peers.
    detection_mean: float
    detection_max: float
    # Peers that were never suspected after their crash.
    missed_count: int


class _Opinion(msgspec.Struct):
    """What one detector has thought of one peer."""

    since: int | None = None
    mistake_count: int = 0
    mistake_ns: int = 0


class _Run:
    """One condition: all peers beat to one watcher, which has every detector for each of them."""

    def __init__(self, options: DetectorOptions, condition: str) -> None:
        self.options = options
        self.condition = condition
        self.peers = tuple([NodeId(node) for node in range(2, options.peer_count + 2)])
        self.world = World(options.seed, link=LinkPolicy(lose=LOSS_SHARE if condition == "loss" else 0.0))
        self.opinions = {(peer, name): _Opinion() for peer in self.peers for name in DETECTORS}
        self.crashed_at: dict[NodeId, int] = {}
        self.cluster = CoreCluster(self.world, self._make, [WATCHER, *self.peers], on_deliver=self._on_deliver)

    def _make(self, node: NodeId, records: list[Record], rng: random.Random) -> Heartbeats:
        if node == WATCHER:
            config = HeartbeatsConfig(node=node, watches=self.peers, detectors=dict(DETECTORS), period=PERIOD)
        else:
            config = HeartbeatsConfig(node=node, beats_to=(WATCHER,), period=PERIOD)
        return Heartbeats(config, records, rng)

    def _on_deliver(self, _: CoreHost, output: Output) -> None:
        match output:
            case Suspected(peer, name):
                self.opinions[peer, name].since = self.world.now
            case Trusted(peer, name):
                opinion = self.opinions[peer, name]
                assert opinion.since is not None, "trust follows suspicion"
                opinion.mistake_count += 1
                opinion.mistake_ns += self.world.now - opinion.since
                opinion.since = None
            case _:
                pass

    def rows(self) -> list[DetectorRow]:
        """Run; return a row per detector."""
        dice = self.world.choices.stream("experiment")
        if self.condition == "skew":
            for place, peer in enumerate(self.peers):
                jitter = Duration(SKEW_JITTER_MAX * place // max(1, len(self.peers) - 1))
                pair = self.cluster.hosts[peer].number, self.cluster.hosts[WATCHER].number
                self.world.links.policies[pair] = LinkPolicy(jitter=jitter)
        if self.condition == "pauses":
            for peer in self.peers:
                self._plan_pauses(self.cluster.hosts[peer])
        self.cluster.start()
        for peer in self.peers:
            # At any moment of a period, or detection times would all have the same phase.
            crash_at = self.options.span + dice.between(0, PERIOD)
            self.world.at(crash_at, lambda peer=peer: self._crash(peer))  # type: ignore[misc]
        self.cluster.run_for(Duration(self.options.span + seconds(120)))
        return [self._row(name) for name in DETECTORS]

    def _crash(self, peer: NodeId) -> None:
        self.crashed_at[peer] = self.world.now
        self.cluster.hosts[peer].crash()

    def _plan_pauses(self, host: CoreHost) -> None:
        dice = self.world.choices.stream("pauses", host.node)
        at = dice.between(0, 2 * PAUSE_GAP)
        while at + PAUSE_MAX < self.options.span:
            self.world.at(at, host.pause)
            at += dice.between(0, PAUSE_MAX)
            self.world.at(at, host.resume)
            at += dice.between(0, 2 * PAUSE_GAP)

    def _row(self, name: str) -> DetectorRow:
        opinions = [(peer, self.opinions[peer, name]) for peer in self.peers]
        mistake_count = sum([opinion.mistake_count for _, opinion in opinions])
        mistake_ns = sum([opinion.mistake_ns for _, opinion in opinions])
        spans = [
            max(0, opinion.since - self.crashed_at[peer]) / 1e9
            for peer, opinion in opinions
            if opinion.since is not None
        ]
        return DetectorRow(
            condition=self.condition,
            detector=name,
            mistakes=mistake_count * HOUR_NS / self.options.span / len(opinions),
            mistake_span=mistake_ns / 1e9 / max(1, mistake_count),
            detection_mean=sum(spans) / max(1, len(spans)),
            detection_max=max(spans, default=0.0),
            missed_count=len(opinions) - len(spans),
        )


def compare_detectors(options: DetectorOptions) -> list[DetectorRow]:
    """Run every condition; return a row per condition and detector. Complexity: O(peers * detectors * span)."""
    return [row for condition in options.conditions for row in _Run(options, condition).rows()]
