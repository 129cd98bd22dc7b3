"""Heartbeats and a failure detector: no false silence about the dead, and suspicion of the living."""

from functools import partial
from typing import cast

from quorate.check import explore as x
from quorate.kernel import NodeId, Record, seconds
from quorate.lab.exploring.catalogue import campaigns, explorable, nodes_of, scope_of
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.protocols.detectors import Heartbeats, HeartbeatsConfig, TimeoutDetector


@explorable(
    "detectors", "heartbeats and a time-out detector, each watches the others", states=613, machines=(Heartbeats,),
    node_count=2, campaign_count=2, lose_count=1,
)  # fmt: skip
def detectors(options: ExploreOptions) -> Explorable:
    """Return nodes that beat and watch each other. A watch's timer fires as often as a heartbeat, and once more."""
    nodes = nodes_of(options)

    def make(node: NodeId, records: tuple[Record, ...]) -> Heartbeats:
        others = tuple(other for other in nodes if other != node)
        # Shorter than two periods, so that one lost heartbeat is a suspicion.
        detector = partial(TimeoutDetector, timeout=seconds(1.5))
        config = HeartbeatsConfig(node=node, beats_to=others, watches=others, detectors={"silence": detector})
        return Heartbeats(config, records, x.Still())

    count = campaigns(options)
    # Time is all that a detector looks at, so it passes from deadline to deadline.
    scope = scope_of(options, timers=(("beat", count), ("watch/", count + 1)), is_punctual=True)
    system = x.Cluster(
        make, scope, ignore=("now", "rng", "config", "ignored_count"), relative=("heard_at", "timer_at", "_began_at")
    )
    claims = (
        x.always("suspected only after the deadline", _suspects_after_the_deadline),
        x.always("whoever was heard is suspected or waited for", _never_goes_blind),
        x.sometimes("a suspicion", lambda state: any(_suspicions(machine) for machine in _machines(state))),
        # No detector is accurate where messages may be late or lost.
        x.sometimes("all run, and one is suspected", _is_wrong),
    )
    return Explorable(system, claims)


def _machines(state: x.ClusterState) -> list[Heartbeats]:
    return cast("list[Heartbeats]", state.machines())


def _suspicions(machine: Heartbeats) -> int:
    return sum(watch.is_suspected for watches in machine.watches.values() for watch in watches)


def _suspects_after_the_deadline(state: x.ClusterState) -> bool:
    return all(
        watch.detector.is_suspected(machine.now)
        for machine in _machines(state)
        for watches in machine.watches.values()
        for watch in watches
        if watch.is_suspected
    )


def _never_goes_blind(state: x.ClusterState) -> bool:
    return all(
        watch.is_suspected or watch.timer_at is not None
        for machine in _machines(state)
        for watches in machine.watches.values()
        for watch in watches
        if watch.detector.heard_at is not None
    )


def _is_wrong(state: x.ClusterState) -> bool:
    machines = _machines(state)
    return len(machines) == len(state.nodes) and any(_suspicions(machine) for machine in machines)
