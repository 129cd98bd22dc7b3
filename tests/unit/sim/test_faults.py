"""Faults as data: drawn, replayed, filtered, aimed, made smaller; partitions by shape; choices by list."""

from collections import Counter

import pytest

from quorate.kernel import Event, Machine, NodeId, Record, SetTimer, Started, TimerFired, milliseconds, seconds
from quorate.sim import (
    SHAPES,
    Aim,
    Atlas,
    Choices,
    Clog,
    CoreCluster,
    Crash,
    FaultSchedule,
    Heal,
    Mix,
    Nemesis,
    NoProgress,
    Partition,
    Pause,
    Planned,
    Restart,
    Rot,
    RunPlan,
    Skew,
    Stall,
    Tear,
    Wipe,
    World,
    choose_quorum,
    demand_progress,
    kind_of,
    minimal,
    shape,
    shrink,
)

NODES = (1, 2, 3, 4, 5)


class Ticking(Machine):
    """Counts its own ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TimerFired):
            self.count += 1
        if isinstance(event, Started | TimerFired):
            self._emit(SetTimer("tick", milliseconds(10)))


def make(node: NodeId, records: list[Record], rng: object) -> Machine:
    return Ticking()


def cluster_of(seed: int) -> tuple[World, CoreCluster]:
    world = World(seed)
    cluster = CoreCluster(world, make, NODES)
    cluster.start()
    return world, cluster


def drawn(seed: int, span: int = 60) -> FaultSchedule:
    return FaultSchedule.drawn(Choices(seed).stream("faults"), NODES, seconds(span), Mix(rot=1))


def test_a_schedule_is_a_function_of_its_seed() -> None:
    """And goes to text and back."""
    schedule = drawn(3)

    assert schedule == drawn(3)
    assert schedule != drawn(4)
    assert FaultSchedule.from_json(schedule.to_json()) == schedule
    assert [item.at for item in schedule] == sorted(item.at for item in schedule)


def test_every_kind_of_harm_is_drawn() -> None:
    """Over a few seeds."""
    kinds = Counter(kind_of(item.fault) for seed in range(5) for item in drawn(seed))

    assert set(kinds) == {
        "crash", "tear", "restart", "pause", "partition", "clog", "skew", "rot", "stall", "heal",
    }  # fmt: skip


def test_the_atlas_keeps_a_majority_up() -> None:
    """However harsh the schedule, no more than f nodes are down at once, and few files are damaged."""
    world, cluster = cluster_of(1)
    nemesis = Nemesis(world, cluster.hosts, atlas=Atlas(down_max=2, damaged_max=1))
    most: list[int] = []
    cluster.after_step.append(lambda *_: most.append(len(nemesis.down())))
    mix = Mix(gap_min=milliseconds(50), gap_max=milliseconds(200), rot=2)
    nemesis.follow(FaultSchedule.drawn(world.choices.stream("faults"), NODES, seconds(30), mix))
    cluster.run_for(seconds(30))

    assert max(most) == 2
    assert nemesis.refused.total() > 0
    assert {"crash", "tear", "pause", "partition", "skew"} <= set(nemesis.counts)


def test_a_wiped_node_starts_again_with_nothing() -> None:
    """Of so many nodes as the atlas says, and no more."""
    world, cluster = cluster_of(1)
    nemesis = Nemesis(world, cluster.hosts, atlas=Atlas(down_max=1, damaged_max=1))
    cluster.hosts[NodeId(2)].durable = [Record()]

    assert nemesis.apply(Wipe(2))
    assert not nemesis.apply(Wipe(1))
    assert cluster.hosts[NodeId(2)].durable == []
    assert nemesis.apply(Restart(2))
    assert cluster.hosts[NodeId(2)].is_running


def test_a_wiped_disk_is_empty() -> None:
    """At loop level: the files are gone, and so is what they took."""
    world = World(1)
    host = world.host("a")
    with world:
        host.boot()
        host.disk.open("file", create=True)
        host.wipe()
        assert host.disk.names("") == []
        assert host.disk.used_bytes == 0


def test_what_was_applied_replays_the_run() -> None:
    """Aims included: the list of deeds alone gives the same trace."""

    def run(replayed: FaultSchedule | None) -> tuple[FaultSchedule, int, list[int]]:
        world, cluster = cluster_of(7)
        nemesis = Nemesis(world, cluster.hosts, atlas=Atlas(down_max=2))
        if replayed is None:
            nemesis.follow(FaultSchedule.drawn(world.choices.stream("faults"), NODES, seconds(10)))
            target = cluster.hosts[NodeId(3)]
            nemesis.aim(
                Aim(
                    name="odd", condition=lambda: Crash(3) if target.step_count % 7 == 3 and target.is_running else None
                ),
                period=milliseconds(100),
            )
        else:
            nemesis.follow(replayed)
        cluster.run_for(seconds(12))
        ticks = [host.machine.count for host in cluster.hosts.values()]  # type: ignore[attr-defined]
        return FaultSchedule(tuple(nemesis.applied)), nemesis.counts["crash"], ticks

    applied, crash_count, ticks = run(None)
    again, crash_count_again, ticks_again = run(applied)
    assert applied == again
    assert crash_count == crash_count_again > 3
    assert ticks == ticks_again


def test_an_aim_hits_its_moment() -> None:
    """The condition sees the system after every step."""
    world, cluster = cluster_of(1)
    nemesis = Nemesis(world, cluster.hosts, atlas=Atlas(down_max=1))
    target = cluster.hosts[NodeId(2)]
    hit: list[int] = []

    def condition() -> Crash | None:
        if target.is_running and target.machine.count == 5:  # type: ignore[attr-defined]
            hit.append(world.now)
            return Crash(2)
        return None

    nemesis.aim(Aim(name="fifth tick", condition=condition, share=1.0, restart_after=milliseconds(100)))
    cluster.after_step.append(nemesis.consider)
    cluster.run_for(seconds(2))

    assert hit[0] == milliseconds(50)
    assert nemesis.counts["aim: fifth tick"] >= 1
    assert target.boot_count >= 2


def test_each_fault_does_what_it_says() -> None:
    """One by one, seen on the hosts."""
    world, cluster = cluster_of(1)
    nemesis = Nemesis(world, cluster.hosts, atlas=Atlas(down_max=5, damaged_max=5))
    one = cluster.hosts[NodeId(1)]

    assert nemesis.apply(Pause(1, milliseconds(500)))
    assert one.is_paused
    cluster.run_for(seconds(1))
    assert not one.is_paused
    assert nemesis.apply(Skew(1, 100_000, seconds(5)))
    assert one.host.time.drift_ppb == 100_000
    assert nemesis.apply(Clog(1, milliseconds(50), 0.5, seconds(1)))
    assert world.links.policy_of(1, 2).lose == 0.5
    cluster.run_for(seconds(2))
    assert world.links.policy_of(1, 2).lose == 0.0
    assert nemesis.apply(Partition("isolate", ((1, 2), (2, 1))))
    assert world.links.is_cut(1, 2)
    assert nemesis.apply(Heal())
    assert not world.links.is_cut(1, 2)
    assert nemesis.apply(Stall(1, seconds(1)))
    assert one.host.disk.stalled_until > world.now
    assert nemesis.apply(Tear(1))
    assert not nemesis.apply(Crash(1))
    assert not one.is_running
    assert nemesis.apply(Restart(1))
    assert one.is_running
    assert nemesis.apply(Rot(1))


def test_progress_is_demanded_of_a_quorum() -> None:
    """The rest is dead for ever; a system that does nothing fails."""
    world, cluster = cluster_of(1)
    nemesis = Nemesis(world, cluster.hosts, atlas=Atlas(down_max=2))
    nemesis.apply(Crash(1))
    quorum = choose_quorum(NODES, world.choices.stream("quorum"))
    first = cluster.hosts[NodeId(quorum[0])]
    took = demand_progress(
        nemesis,
        lambda: first.machine.count >= 20,  # type: ignore[attr-defined]
        quorum=quorum,
        bound=seconds(5),
    )

    assert len(quorum) == 3
    assert 0 < took < seconds(1)
    assert [node for node, host in cluster.hosts.items() if host.is_running] == quorum
    with pytest.raises(NoProgress, match="did nothing new"):
        demand_progress(nemesis, lambda: False, quorum=quorum, bound=seconds(1))


@pytest.mark.parametrize("name", SHAPES)
def test_partitions_have_their_shapes(name: str) -> None:
    """Checked by what each host can still reach."""
    cuts = set(shape(name, NODES, Choices(5).stream("shape")))
    reach = {one: {other for other in NODES if (one, other) not in cuts} for one in NODES}
    sizes = sorted(len(seen) for seen in reach.values())

    match name:
        case "halves":
            assert sizes == [2, 2, 3, 3, 3]
        case "minority-third" | "isolate":
            assert sizes == [1, 4, 4, 4, 4]
        case "majorities-ring":
            assert sizes == [3, 3, 3, 3, 3]
            assert len({frozenset(seen) for seen in reach.values()}) == 5
        case "bridge":
            assert sizes == [3, 3, 3, 3, 5]
        case _:
            assert sizes == [2, 2, 5, 5, 5]


def test_minimal_finds_the_guilty() -> None:
    """Delta debugging: nothing can be taken away from what is left."""
    assert minimal(range(100), lambda items: 7 in items and 93 in items) == [7, 93]
    assert len(minimal(range(10), lambda items: len(items) >= 4)) == 4
    assert minimal([1], lambda items: True) == []


def test_a_failing_run_shrinks_to_what_matters() -> None:
    """Faults, operations, nodes and time that have nothing to do with it go away."""
    plan = RunPlan(
        seed=1, node_count=5, span=seconds(60), faults=drawn(2), operations=tuple(("put", key) for key in range(50))
    )
    crashes = [item for item in plan.faults if isinstance(item.fault, Crash) and item.fault.node == 2]
    assert crashes

    def fails(candidate: RunPlan) -> bool:
        has_crash = any(isinstance(item.fault, Crash) and item.fault.node == 2 for item in candidate.faults)
        return has_crash and ("put", 17) in candidate.operations and candidate.node_count >= 3

    smallest = shrink(plan, fails)

    assert [item.fault for item in smallest.faults] == [Crash(2)]
    assert smallest.operations == (("put", 17),)
    assert smallest.node_count == 3
    assert smallest.span <= smallest.faults.items[0].at + seconds(1)


def test_spans_of_faults_shrink() -> None:
    """While it still fails."""
    faults = FaultSchedule((Planned(0, Pause(1, seconds(8))),))
    plan = RunPlan(seed=1, node_count=1, span=seconds(10), faults=faults)
    smallest = shrink(plan, lambda run: any(getattr(i.fault, "span", 0) >= seconds(2) for i in run.faults))

    assert smallest.faults.items[0].fault == Pause(1, seconds(2))


def test_recorded_choices_replay_under_another_seed() -> None:
    """A run is its list of choices; the seed only generated them."""
    recorded = Choices(1, record=True)
    first = [recorded.stream("network", 1, 2).below(1000) for _ in range(10)]
    replayed = Choices(2, replay=recorded.drawn)

    assert [replayed.stream("network", 1, 2).below(1000) for _ in range(10)] == first
    assert recorded.stream("x").between(3, 3) == 3
    assert not recorded.stream("x").chance(0.0)
