"""A schedule is a function of its seed, has room for every required fault, and leaves time to recover."""

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from quorate.kernel import SECOND, Duration, NodeId, errors, seconds
from quorate.lab.faults import FAULT_NAMES, PlannedFault, plan_faults
from quorate.lab.nemesis import Nemesis
from quorate.lab.proxy import Links
from quorate.lab.recorder import Recorder
from quorate.lab.systems import Client, Leadership, Signal

NODES = tuple(NodeId(n) for n in range(1, 6))
REQUIRED = {
    "crash-leader", "pause-follower", "partition-halves", "partition-one-way", "isolate-leader", "slow-links",
    "lossy-links", "crash-majority",
}  # fmt: skip


def plan(seed: int, length_s: float = 30, names: Sequence[str] | None = None, nodes: int = 5) -> list[PlannedFault]:
    return plan_faults(random.Random(seed), duration=seconds(length_s), node_count=nodes, names=names)


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


@pytest.mark.parametrize("seed", range(40))
def test_thirty_seconds_hold_every_required_fault_one_at_a_time_with_calm_between(seed: int) -> None:
    planned = plan(seed)
    assert {fault.name for fault in planned} >= REQUIRED
    for earlier, later in pairwise(planned):
        assert later.start_ns - earlier.end_ns > SECOND // 2
    assert planned[-1].end_ns <= 29 * SECOND


def test_a_long_trial_draws_from_all_faults() -> None:
    assert {fault.name for fault in plan(1, length_s=120)} == set(FAULT_NAMES) - {"skew"}


def test_no_names_is_no_fault_and_a_short_trial_may_have_no_room() -> None:
    assert plan(1, names=()) == []
    assert plan(1, length_s=2) == []


def test_one_node_has_no_links_to_harm() -> None:
    assert {fault.name for fault in plan(1, length_s=60, nodes=1)} == {"crash-leader", "pause-leader"}


def test_an_unknown_fault_is_refused_by_name() -> None:
    with pytest.raises(errors.UsageError, match="crash-everything"):
        plan(1, names=["crash-everything"])


class Noted:
    """A system of nothing: notes what the nemesis does to it."""

    name = "noted"

    def __init__(self) -> None:
        self.down: dict[NodeId, str] = {}

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None: ...

    async def start(self, node: NodeId) -> None:
        self.down.pop(node, None)

    async def stop(self, node: NodeId, how: Signal) -> None:
        self.down[node] = how

    async def leader(self) -> Leadership:
        return Leadership(NodeId(2), 1)

    def client(self, process: int) -> Client:
        raise AssertionError("nobody asks")


def begun(name: str, seed: int) -> tuple[Noted, Links, Nemesis]:
    """Return what a fault looks like while it lasts, and check that its end heals everything."""

    async def run() -> tuple[dict[NodeId, str], list[tuple[int, int]], str]:
        system, links = Noted(), Links(NODES, rng=random.Random(0))
        nemesis = Nemesis(
            system=system, links=links, nodes=NODES, recorder=Recorder(), leadership=lambda: Leadership(NodeId(2), 1)
        )
        fault = next(f for f in plan(seed, length_s=600, names=[name]))
        await nemesis.begin(fault)
        down = dict(system.down)
        cuts = [(a, b) for a in NODES for b in NODES if a != b and links.direction(a, b).conditions.cut]
        detail = nemesis.spans[0].detail
        await nemesis.end()
        assert not system.down
        assert all(links.direction(a, b).conditions.is_clear for a in NODES for b in NODES if a != b)
        assert nemesis.spans[0].end_ns
        await links.close()
        return down, cuts, detail

    return asyncio.run(run())  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(5))
def test_each_fault_hits_whom_it_names_and_heals(seed: int) -> None:
    assert begun("crash-leader", seed)[0] == {2: "crash"}
    assert list(begun("pause-follower", seed)[0].values()) == ["pause"]
    assert 2 not in begun("pause-follower", seed)[0]
    majority = begun("crash-majority", seed)[0]
    assert len(majority) == 3
    assert 2 in majority
    isolated = {(a, b) for a, b in begun("isolate-leader", seed)[1]}
    assert isolated == {(2, n) for n in (1, 3, 4, 5)} | {(n, 2) for n in (1, 3, 4, 5)}
    halves = set(begun("partition-halves", seed)[1])
    assert len(halves) == 12
    assert all((b, a) in halves for a, b in halves)
    one_way = set(begun("partition-one-way", seed)[1])
    assert len(one_way) == 4
    assert all((b, a) not in one_way for a, b in one_way)
    assert len(begun("partition-bridge", seed)[1]) == 8


def test_planned_durations_follow_the_wish() -> None:
    planned = plan_faults(random.Random(1), duration=seconds(60), node_count=5, fault_duration=Duration(5 * SECOND))
    assert all(4 * SECOND < fault.duration_ns < 6 * SECOND for fault in planned)


def test_clocks_are_set_wrong_only_when_that_is_asked_for() -> None:
    """Not every system allows it, and a default trial must run on all."""
    rng = random.Random(1)
    assert all(fault.name != "skew" for fault in plan_faults(rng, duration=seconds(600), node_count=5))
    planned = plan_faults(rng, duration=seconds(20), node_count=1, names=["skew"])
    assert {fault.name for fault in planned} == {"skew"}
