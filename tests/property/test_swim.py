"""SWIM: the laws of news, and whole clusters under random faults."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import Duration, NodeId, milliseconds, seconds
from quorate.protocols.swim import (
    ALIVE,
    DEAD,
    MESSAGES,
    Known,
    Member,
    MemberHistory,
    Members,
    Swim,
    SwimConfig,
    check_members,
    retransmit_limit,
    supersedes,
    suspicion_span,
)
from quorate.sim import Atlas, CoreCluster, FaultSchedule, LinkPolicy, Nemesis, World

news = st.builds(Member, st.integers(1, 3), st.integers(0, 3), st.integers(0, 3))


def believed(told: list[Member]) -> dict[int, tuple[int, int]]:
    table: dict[int, Member] = {}
    for member in told:
        known = table.get(member.node)
        if known is None or supersedes(member, known):
            table[member.node] = member
    return {node: (member.incarnation, member.status) for node, member in table.items()}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(told=st.lists(news, max_size=5), again=st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_news_do_not_matter(told: list[Member], again) -> None:
    other = [*told, *told]
    again.shuffle(other)
    assert believed(told) == believed(other)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(told=st.lists(news, max_size=30), shared=st.lists(news, max_size=3))
def test_digests_are_equal_exactly_when_tables_are(told: list[Member], shared: list[Member]) -> None:
    table = Members(Known(shared))
    for member in told:
        table.put(member)
    plain = Known({member.node: member for member in [*shared, *told]}.values())
    assert (table.digest, table.active_count, table.count) == (plain.digest, plain.active_count, len(plain.members))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(count=st.integers(1, 20_000), wanted=st.integers(1, 8))
def test_more_accusers_never_lengthen_a_window(count: int, wanted: int) -> None:
    config = SwimConfig(node=NodeId(1), suspicion_multiplier=wanted)
    spans = [suspicion_span(config, count, confirmations) for confirmations in range(8)]
    assert all(longer >= shorter > 0 for longer, shorter in itertools.pairwise(spans))
    assert retransmit_limit(config, count) <= retransmit_limit(config, count + 1)


def is_settled(cluster: CoreCluster) -> bool:
    """All who run know each other as alive, and the same of everybody."""
    machines = [host.machine for host in cluster.hosts.values() if host.is_running]
    assert all(isinstance(machine, Swim) for machine in machines)
    digests = {machine.members.digest for machine in machines}  # type: ignore[attr-defined]
    running = [host.node for host in cluster.hosts.values() if host.is_running]
    return len(digests) == 1 and all(
        machine.members.get(node).status == ALIVE  # type: ignore[attr-defined]
        for machine in machines
        for node in running
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_any_faults_leave_a_cluster_that_agrees_when_they_end(seed: int) -> None:
    """Loss, repetition, crashes, power cuts, pauses, partitions, skew; invariants after every step; then agreement."""
    world = World(seed, link=LinkPolicy(lose=0.05, repeat=0.05, reorder=0.1))
    names = range(1, 6)
    history = MemberHistory()

    def make(node: NodeId, records: list, rng) -> Swim:
        seeds = tuple(NodeId(other) for other in names if other != node)
        return Swim(SwimConfig(node=node, seeds=seeds, sync_interval=seconds(10)), records, rng)

    cluster = CoreCluster(world, make, names, codec=MESSAGES)
    cluster.after_step.append(lambda host, _: check_members(host.machine, history))  # type: ignore[arg-type]
    cluster.start()
    targets = {int(node): host for node, host in cluster.hosts.items()}
    nemesis = Nemesis(world, targets, atlas=Atlas(down_max=3))
    nemesis.follow(FaultSchedule.drawn(world.choices.stream("plan"), list(names), seconds(60)).items)
    cluster.run_for(seconds(60))
    nemesis.mend()
    assert cluster.run_until(lambda: is_settled(cluster), timeout=seconds(240), period=milliseconds(500)), (
        f"seed {seed}"
    )
    assert Duration(0) < world.now
    assert all(member.status != DEAD for host in cluster.hosts.values() for member in host.machine.members)  # type: ignore[attr-defined]
