"""Clusters of SWIM members in the simulated world: joining, leaving, dying, returning, and being slow."""

from collections.abc import Callable

import pytest

from quorate.kernel import NodeId, Output, milliseconds, seconds
from quorate.protocols.swim import ALIVE, DEAD, LEFT, MESSAGES, Departed, Leave, MemberChanged, Swim, SwimConfig
from quorate.sim import CoreCluster, CoreHost, LinkPolicy, World


class Cluster:
    """Members 1 to n that join through member 1 (which begins alone)."""

    def __init__(
        self, count: int, *, seed: int = 1, lose: float = 0.0, lifeguard: bool = True, **fields: object
    ) -> None:
        self.world = World(seed, link=LinkPolicy(lose=lose))
        self.fields = fields
        self.lifeguard = lifeguard
        self.outputs: list[tuple[float, NodeId, Output]] = []
        self.core = CoreCluster(self.world, self.make, range(1, count + 1), codec=MESSAGES, on_deliver=self.note)
        self.core.start()

    def make(self, node: NodeId, records: list, rng) -> Swim:
        seeds = (NodeId(1),) if node != 1 else (NodeId(2),)
        config = SwimConfig(node=node, seeds=seeds, **self.fields)
        return Swim(config if self.lifeguard else config.without_lifeguard(), records, rng)

    def note(self, host: CoreHost, output: Output) -> None:
        self.outputs.append((self.world.now / 1e9, host.node, output))

    def host(self, node: int) -> CoreHost:
        return self.core.hosts[NodeId(node)]

    def status(self, node: int) -> list[int | None]:
        """What every other running member believes of one."""
        members = [
            host.machine.members.get(NodeId(node))
            for host in self.core.hosts.values()
            if host.is_running and host.node != node
        ]
        return [None if member is None else member.status for member in members]

    def until(self, condition: Callable[[], bool], seconds_max: float) -> float:
        before = self.world.now
        assert self.core.run_until(condition, timeout=seconds(seconds_max), period=milliseconds(100))
        return (self.world.now - before) / 1e9

    def all_believe(self, node: int, status: int) -> Callable[[], bool]:
        return lambda: all(believed == status for believed in self.status(node))

    def is_complete(self) -> bool:
        return all(self.all_believe(node, ALIVE)() for node in self.core.hosts)

    def events(self, kind: str) -> list[tuple[float, NodeId, int]]:
        return [
            (at, by, output.member.node)
            for at, by, output in self.outputs
            if isinstance(output, MemberChanged) and output.kind == kind
        ]


def test_thirty_members_meet_through_one_seed() -> None:
    """Within seconds of the start, without anybody else's address."""
    cluster = Cluster(30)
    assert cluster.until(cluster.is_complete, 10) < 5
    assert cluster.events("failed") == []


def test_a_leave_is_told_and_not_mistaken_for_a_death() -> None:
    cluster = Cluster(8)
    cluster.until(cluster.is_complete, 60)
    cluster.host(5).call(Leave())
    cluster.until(lambda: any(isinstance(output, Departed) for _, _, output in cluster.outputs), 20)
    cluster.host(5).stop()
    cluster.until(cluster.all_believe(5, LEFT), 1)
    cluster.core.run_for(seconds(30))
    assert cluster.events("failed") == []
    assert cluster.events("suspected") == []


def test_a_crashed_member_is_found_by_all_and_comes_back() -> None:
    """A new life begins with incarnation 0, hears of its death, and refutes it."""
    cluster = Cluster(8)
    cluster.until(cluster.is_complete, 60)
    cluster.host(3).power_cut()
    assert cluster.until(cluster.all_believe(3, DEAD), 60) < 30
    cluster.host(3).restart()
    assert cluster.until(cluster.is_complete, 30) < 5
    assert cluster.host(3).machine.own.incarnation > 0
    assert {node for _, _, node in cluster.events("rejoined")} == {3}


def test_both_halves_of_a_cluster_meet_again() -> None:
    """Long after each declared the other dead and stopped gossiping to it."""
    cluster = Cluster(6)
    cluster.until(cluster.is_complete, 60)
    cluster.world.partitions.split([[cluster.host(node).number for node in half] for half in ((1, 2, 3), (4, 5, 6))])
    cluster.core.run_for(seconds(300))
    assert cluster.status(6) == [DEAD, DEAD, DEAD, ALIVE, ALIVE]
    cluster.world.partitions.heal()
    cluster.until(cluster.is_complete, 180)


def test_heavy_loss_slows_and_does_not_kill() -> None:
    """A fifth of all datagrams lost: suspicions come and go, nobody is declared dead."""
    cluster = Cluster(12, lose=0.2)
    cluster.until(cluster.is_complete, 60)
    cluster.core.run_for(seconds(120))
    assert cluster.events("failed") == []


@pytest.mark.slow
def test_lifeguard_declares_far_fewer_healthy_members_dead_when_some_are_badly_connected() -> None:
    """Two of forty members lose 70 % of what they send and receive; the other 38 are healthy throughout."""

    def healthy_deaths(*, lifeguard: bool) -> int:
        count = 0
        for seed in (1, 2):
            cluster = Cluster(40, seed=seed, lifeguard=lifeguard)
            cluster.until(cluster.is_complete, 60)
            for bad in (7, 8):
                for other in cluster.core.hosts.values():
                    pair = (cluster.host(bad).number, other.number)
                    cluster.world.links.policies[pair] = LinkPolicy(lose=0.7)
                    cluster.world.links.policies[pair[::-1]] = LinkPolicy(lose=0.7)
            cluster.core.run_for(seconds(180))
            count += len([node for _, _, node in cluster.events("failed") if node not in {7, 8}])
        return count

    plain, guarded = healthy_deaths(lifeguard=False), healthy_deaths(lifeguard=True)
    assert plain >= 10 * max(1, guarded), (plain, guarded)


def test_the_same_seed_gives_the_same_run() -> None:
    hashes = []
    for _ in range(2):
        cluster = Cluster(6, lose=0.1)
        cluster.core.run_for(seconds(20))
        hashes.append(cluster.world.trace_hash)
    assert hashes[0] == hashes[1]
