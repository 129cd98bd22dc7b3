"""Failure detectors one by one, and the machine that beats and watches."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import Deliver, Duration, Instant, Message, NodeId, Received, Started, TimerFired, marks, seconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.detectors import (
    MESSAGES,
    ChenDetector,
    Detector,
    ExponentialPhi,
    Heartbeat,
    Heartbeats,
    HeartbeatsConfig,
    Intervals,
    NormalPhi,
    Suspected,
    TimeoutDetector,
    Trusted,
)
from quorate.sim import CoreCluster, World

KINDS = {
    "timeout": lambda: TimeoutDetector(timeout=seconds(3)),
    "exponential phi": ExponentialPhi,
    "normal phi": NormalPhi,
    "chen": ChenDetector,
}


def fed(detector: Detector, arrivals_s: list[float]) -> Detector:
    for sequence, at in enumerate(arrivals_s, 1):
        detector.heard(Instant(seconds(at)), sequence)
    return detector


def patience(detector: Detector) -> float:
    """Return how long after the last heartbeat the peer is suspected, in seconds."""
    deadline, heard_at = detector.deadline(), detector.heard_at
    assert deadline is not None
    assert heard_at is not None
    return (deadline - heard_at) / 1e9


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(gaps=st.lists(st.floats(0.001, 10), min_size=1, max_size=30))
def test_a_peer_is_suspected_from_its_deadline_on_and_not_before(kind: str, gaps: list[float]) -> None:
    """One law for all kinds: the level crosses 1 at the deadline, and grows with silence."""
    arrivals = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    detector = fed(KINDS[kind](), arrivals)
    deadline, heard_at = detector.deadline(), detector.heard_at
    assert deadline is not None
    assert not detector.is_suspected(Instant(deadline - 1))
    assert detector.is_suspected(deadline)
    if deadline > heard_at:
        moments = [heard_at + (deadline - heard_at) * step // 8 for step in range(17)]
        levels = [detector.level(Instant(moment)) for moment in moments]
        assert levels == sorted(levels)
        assert detector.level(deadline) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_suspected_who_was_never_heard(kind: str) -> None:
    detector = KINDS[kind]()
    assert detector.deadline() is None
    assert not detector.is_suspected(Instant(seconds(1e6)))
    assert detector.level(Instant(5)) == 0.0


def test_cassandras_phi_waits_eighteen_mean_intervals_at_eight() -> None:
    """phi = 0.434 * silence / mean, so phi 8 is 18.4 means."""
    detector = fed(ExponentialPhi(first_interval=seconds(1)), [float(n) for n in range(1, 1200)])
    assert patience(detector) == pytest.approx(8 * math.log(10), rel=1e-6)
    assert detector.phi(Instant(detector.heard_at + seconds(1))) == pytest.approx(0.4343, abs=1e-4)


def test_cassandras_phi_does_not_learn_from_an_outage() -> None:
    detector = fed(ExponentialPhi(), [1, 2, 3])
    before = patience(detector)
    detector.heard(Instant(seconds(60)), 4)
    assert patience(detector) == before


@pytest.mark.parametrize(("phi", "deviations"), [(1, 1.2816), (3, 3.0902), (8, 5.6120)])
def test_akkas_phi_is_the_tail_of_the_normal_distribution(phi: float, deviations: float) -> None:
    """Quantiles of the normal distribution; the approximation is Akka's own, so the far tail differs by a few percent."""
    detector = NormalPhi(threshold=phi, pause_accepted=Duration(0), deviation_min=seconds(0.1))
    fed(detector, [float(n) for n in range(1, 1500)])
    assert patience(detector) == pytest.approx(1 + 0.1 * deviations, rel=0.03)


def test_akkas_phi_learns_how_regular_a_peer_is() -> None:
    calm = fed(NormalPhi(), [float(n) for n in range(1, 200)])
    rough = fed(NormalPhi(), [n + 0.4 * (n % 2) for n in range(1, 200)])
    assert patience(rough) > patience(calm) + 1


def test_akkas_phi_stays_finite_at_any_silence() -> None:
    detector = fed(NormalPhi(), [1, 2, 3])
    assert math.isfinite(detector.phi(Instant(seconds(1e9))))
    assert detector.phi(Instant(seconds(3))) < 0.01


def test_chens_detector_stays_sharp_under_loss_where_intervals_teach_patience() -> None:
    """Two of three heartbeats are lost: numbers say when the next is due, intervals say every third second."""
    numbers = range(3, 400, 3)
    chen, phi = ChenDetector(margin=seconds(1)), ExponentialPhi(interval_max=seconds(10))
    for sequence in numbers:
        chen.heard(Instant(seconds(sequence)), sequence)
        phi.heard(Instant(seconds(sequence)), sequence)
    assert patience(chen) == pytest.approx(2.0)
    assert patience(phi) > 50


def test_chens_detector_follows_a_sender_that_began_anew() -> None:
    detector = fed(ChenDetector(), [float(n) for n in range(1, 50)])
    detector.heard(Instant(seconds(100)), 1)
    assert patience(detector) == pytest.approx(2.0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(st.integers(0, 10**12), min_size=1, max_size=40), window=st.integers(2, 10))
def test_the_windows_sums_are_those_of_what_is_in_it(values: list[int], window: int) -> None:
    intervals = Intervals(window)
    for value in values:
        intervals.add(value)
    kept = values[-window:]
    mean = sum(kept) / len(kept)
    assert intervals.count == len(kept)
    assert intervals.mean == pytest.approx(mean)
    assert intervals.deviation == pytest.approx(
        math.sqrt(sum((v - mean) ** 2 for v in kept) / len(kept)), abs=1e-3, rel=1e-6
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: TimeoutDetector(timeout=Duration(0)),
        lambda: ExponentialPhi(threshold=0),
        lambda: ExponentialPhi(window_count=1),
        lambda: NormalPhi(deviation_min=Duration(0)),
        lambda: NormalPhi(first_interval=Duration(0)),
        lambda: ChenDetector(period=Duration(0)),
        lambda: HeartbeatsConfig(node=NodeId(1), watches=(NodeId(1),)),
        lambda: HeartbeatsConfig(node=NodeId(1), period=Duration(0)),
    ],
)
def test_values_that_cannot_be_used_are_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()


# The machine.


def watcher() -> Heartbeats:
    config = HeartbeatsConfig(node=NodeId(1), watches=(NodeId(2),), detectors={"t": KINDS["timeout"]})
    machine = Heartbeats(config, (), random.Random(1))
    machine.step(Started(), now=Instant(0))
    return machine


def outputs(effects: list) -> list:
    return [effect.output for effect in effects if isinstance(effect, Deliver)]


def test_silence_is_reported_once_and_so_is_the_return() -> None:
    machine = watcher()
    machine.step(Received(NodeId(2), Heartbeat(1)), now=Instant(0))
    machine.step(Received(NodeId(2), Heartbeat(2)), now=Instant(seconds(1)))
    assert outputs(machine.step(TimerFired("watch/2/0"), now=Instant(seconds(3)))) == []
    assert outputs(machine.step(TimerFired("watch/2/0"), now=Instant(seconds(4)))) == [Suspected(NodeId(2), "t")]
    assert outputs(machine.step(TimerFired("watch/2/0"), now=Instant(seconds(5)))) == []
    assert outputs(machine.step(Received(NodeId(2), Heartbeat(3)), now=Instant(seconds(6)))) == [
        Trusted(NodeId(2), "t")
    ]


def test_a_watcher_that_stood_still_accuses_nobody_at_once() -> None:
    machine = watcher()
    machine.step(Received(NodeId(2), Heartbeat(1)), now=Instant(0))
    with marks.expect("detectors: a watcher that stood still accuses nobody"):
        assert outputs(machine.step(TimerFired("watch/2/0"), now=Instant(seconds(30)))) == []
    assert outputs(machine.step(TimerFired("watch/2/0"), now=Instant(seconds(31)))) == [Suspected(NodeId(2), "t")]


def test_repeated_overtaken_and_foreign_messages_are_counted_and_ignored() -> None:
    machine = watcher()
    with marks.expect("detectors: ignored an event that is not a heartbeat's"):
        for sender, message in (
            (2, Heartbeat(5)),
            (2, Heartbeat(5)),
            (2, Heartbeat(4)),
            (9, Heartbeat(1)),
            (2, Message()),
        ):
            machine.step(Received(NodeId(sender), message), now=Instant(1))
    assert machine.ignored_count == 4
    machine.step(Received(NodeId(2), Heartbeat(1, 77)), now=Instant(2))
    assert machine.ignored_count == 4


def test_in_the_world_a_crash_is_found_and_a_return_is_noticed() -> None:
    world, heard = World(1), []
    everybody = tuple(NodeId(node) for node in (1, 2, 3))

    def make(node: NodeId, records: list, rng) -> Heartbeats:
        others = tuple(other for other in everybody if other != node)
        config = HeartbeatsConfig(node=node, beats_to=others, watches=others, detectors=KINDS)
        return Heartbeats(config, records, rng)

    cluster = CoreCluster(
        world, make, everybody, codec=MESSAGES, on_deliver=lambda host, out: heard.append((host.node, out))
    )
    cluster.start()
    cluster.run_for(seconds(60))
    assert heard == []
    cluster.hosts[NodeId(3)].crash()
    cluster.run_for(seconds(60))
    suspicions = {
        (node, output.detector) for node, output in heard if isinstance(output, Suspected) and output.peer == 3
    }
    assert suspicions == {(node, kind) for node in (1, 2) for kind in KINDS}
    cluster.hosts[NodeId(3)].restart()
    cluster.run_for(seconds(5))
    assert len([output for _, output in heard if isinstance(output, Trusted)]) == 2 * len(KINDS)
