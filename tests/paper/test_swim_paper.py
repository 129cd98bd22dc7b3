"""SWIM and Lifeguard, a sentence of the papers each, over whole clusters in the simulated world."""

import itertools
import random

from quorate.kernel import NodeId, milliseconds, seconds
from quorate.lab.membership import large_world
from quorate.protocols.swim import (
    ALIVE,
    Known,
    Member,
    MemberChanged,
    ProbeOrder,
    Swim,
    SwimConfig,
    confirmations_wanted,
    suspicion_min,
    suspicion_span,
)
from quorate.sim import CoreCluster, CoreHost


def cluster_of(
    count: int, seed: int = 1, **fields: object
) -> tuple[CoreCluster, list[tuple[int, NodeId, MemberChanged]]]:
    known = Known(Member(node, 0, ALIVE) for node in range(1, count + 1))
    world, heard = large_world(seed), []

    def make(node: NodeId, records: list, rng) -> Swim:
        return Swim(SwimConfig(node=node, known=known, **fields), records, rng)

    def note(host: CoreHost, output: object) -> None:
        if isinstance(output, MemberChanged):
            heard.append((world.now, host.node, output))

    cluster = CoreCluster(world, make, range(1, count + 1), on_deliver=note)
    cluster.start()
    return cluster, heard


def test_the_expected_detection_time_does_not_grow_with_the_group() -> None:
    """SWIM §3.1: first detection within a constant number of periods, whatever the size (mean over seeds)."""
    means = []
    for count in (8, 32):
        times = []
        for seed in range(12):
            cluster, heard = cluster_of(count, seed)
            cluster.run_for(seconds(3))
            cluster.hosts[NodeId(count)].crash()
            began = cluster.world.now
            cluster.run_until(lambda: bool(heard), timeout=seconds(30), period=milliseconds(50))  # noqa: B023
            times.append((heard[0][0] - began) / 1e9)
        means.append(sum(times) / len(times))
    assert all(1.0 <= mean <= 2.6 for mean in means), means


def test_load_per_member_does_not_grow_with_the_group() -> None:
    """SWIM §3.1: message load is constant per member."""
    loads = []
    for count in (10, 40):
        cluster, _ = cluster_of(count)
        cluster.run_for(seconds(3))
        before = sum(host.step_count for host in cluster.hosts.values())
        cluster.run_for(seconds(20))
        loads.append((sum(host.step_count for host in cluster.hosts.values()) - before) / count / 20)
    assert abs(loads[0] - loads[1]) < 0.1


def test_every_member_is_probed_by_each_within_two_rounds() -> None:
    """SWIM §4.3: at most 2n - 1 periods between two choices of the same target."""
    nodes = tuple(NodeId(node) for node in range(1, 11))
    order, met = ProbeOrder(nodes, random.Random(5)), []
    for _ in range(20):
        met += [order.next() for _ in nodes]
        order.begin()
    for node in nodes:
        places = [place for place, seen in enumerate(met) if seen == node]
        assert max(b - a for a, b in itertools.pairwise(places)) <= 2 * len(nodes) - 1


def test_a_member_that_is_slow_for_a_moment_is_suspected_and_not_declared_dead() -> None:
    """SWIM §4.2: the suspicion mechanism turns a moment's silence into a refutation."""
    cluster, heard = cluster_of(16)
    cluster.run_for(seconds(3))
    cluster.hosts[NodeId(5)].pause()
    cluster.run_for(seconds(3))
    cluster.hosts[NodeId(5)].resume()
    cluster.run_for(seconds(20))
    kinds = [event.kind for _, _, event in heard]
    assert "suspected" in kinds
    assert "refuted" in kinds
    assert "failed" not in kinds


def test_windows_are_those_of_the_published_defaults() -> None:
    """Lifeguard, with memberlist's LAN values: N=5: 4 to 24 s; 30: 5.9 to 35 s; 100: 8 to 48 s; 1000: 12 to 72 s."""
    config = SwimConfig(node=NodeId(1))
    for count, least, most in ((5, 4.0, 24.0), (30, 5.9, 35.4), (100, 8.0, 48.0), (1000, 12.0, 72.0)):
        assert abs(suspicion_min(config, count) / 1e9 - least) < 0.05
        assert abs(suspicion_span(config, count, 0) / 1e9 - most) < 0.1
        wanted = confirmations_wanted(config, count)
        assert suspicion_span(config, count, wanted) == suspicion_min(config, count)


def test_in_the_smallest_clusters_nobody_waits_for_confirmations_that_cannot_come() -> None:
    """Lifeguard: with fewer than k + 2 members the window is the least one."""
    config = SwimConfig(node=NodeId(1))
    assert suspicion_span(config, 3, 0) == suspicion_min(config, 3)
