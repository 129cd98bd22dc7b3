"""Failures that simulated campaigns of leaderless replication found, each with its smallest story."""

from quorate.kernel import NodeId, Received, TimerFired, milliseconds, seconds
from quorate.protocols.leaderless import (
    Answered,
    Bundle,
    Fetched,
    Place,
    Put,
    Reconfigure,
    Stage,
    Told,
    name_of,
    topology_of,
)
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def test_nobody_stands_in_for_the_coordinators_own_slow_disk() -> None:
    """A stand-in for oneself that goes down leaves a hint for oneself, which nobody could ever take home."""
    cluster = LeaderlessCluster(4, sloppy=True, write_level="ALL")
    owner, *_ = cluster.machine(1).router.route(KEY).nodes
    stand_in = cluster.machine(1).router.stand_ins(KEY, owner)[0]
    cluster.put(owner, b"other", b"v")
    cluster.box(owner).is_slow = True
    cluster.request(owner, KEY, Put(b"v"))
    cluster.run(milliseconds(700))
    cluster.down(stand_in)
    cluster.sync(owner)
    cluster.run(seconds(2))
    assert NodeId(owner) not in cluster.machine(owner).hints


def test_a_late_answer_does_not_bring_a_key_back_that_moved_away() -> None:
    cluster = LeaderlessCluster(5, topology=topology_of([NodeId(node) for node in (1, 2, 3, 4)]), speculative_delay=0)
    topology = cluster.topology.with_replacement(NodeId(1), Place(NodeId(5)))
    key = next(key for key in (b"%d" % n for n in range(99)) if 1 in cluster.machine(1).router.route(key).nodes)
    other, late = (node for node in cluster.machine(1).router.route(key).nodes if node != 1)
    written = cluster.put(1, key, b"v")
    assert isinstance(written, Answered)
    cluster.request(1, key, timeout=seconds(60))
    (number,) = cluster.machine(1).reads
    cluster.wire[:] = [letter for letter in cluster.wire if letter.to == other]
    cluster.settle()
    cluster.call(2, Reconfigure(topology))
    cluster.run(seconds(3))
    assert key not in cluster.machine(1).cells
    ahead = cluster.rule.change(written.cell, Put(b"w"), actor=9, stamp=(cluster.wall_ns(1), 0, 9), context=b"")  # type: ignore[arg-type]
    cluster.step(1, Received(NodeId(late), Bundle(4, 1, (Told(number, ahead),))))
    assert key not in cluster.machine(1).cells


def joint() -> LeaderlessCluster:
    cluster = LeaderlessCluster(5, topology=topology_of([NodeId(node) for node in (1, 2, 3, 4)]))
    for number in range(30):
        cluster.put(1, b"%d" % number, b"v")
    cluster.call(1, Reconfigure(cluster.topology.with_nodes(added=[Place(NodeId(5))])))
    cluster.settle()
    return cluster


def test_a_repeated_part_after_the_end_of_a_stream_is_ignored() -> None:
    """It found no plan to gather for, and asserted that there is one."""
    cluster = joint()
    parts = []
    while cluster.machine(5).is_joint:
        while not cluster.wire and cluster.machine(5).is_joint:
            cluster.now += milliseconds(100)
            for node in cluster.boxes:
                cluster.step(node, TimerFired("move"))
        if not cluster.wire:
            break
        letter = cluster.wire[0]
        parts += [letter for part in letter.bundle.parts if isinstance(part, Fetched)]
        cluster.deliver(letter)
    assert parts
    cluster.wire.extend(parts)
    cluster.run(seconds(3))
    cluster.wire.extend(parts)
    cluster.settle()
    assert cluster.machine(5).phase == 4
    assert cluster.machine(5).refused_count == 0


def test_a_node_that_settles_while_it_asks_for_parts_has_no_stage_to_tell() -> None:
    cluster = joint()
    machine = cluster.machine(5)
    assert machine.next_topology is not None
    machine.incoming.clear()
    machine.gains = []
    plan = name_of(machine.next_topology)
    for node in (1, 2, 3, 4):
        cluster.step(5, Received(NodeId(node), Bundle(3, 1, (Stage(plan, is_gathered=True, is_settled=False),))))
    cluster.now += seconds(1)
    cluster.step(5, TimerFired("move"))
    assert machine.phase == 4


def test_a_stamp_beyond_the_ceiling_is_not_given_again_in_the_next_life() -> None:
    """A coordinator that is no owner, after a stamp from the future: nothing on its disk reminds it of its own."""
    cluster = LeaderlessCluster(4, write_level="ONE")
    outsider = next(node for node in cluster.boxes if node not in cluster.machine(1).router.route(KEY).nodes)
    owner = cluster.machine(1).router.route(KEY).nodes[0]
    cluster.box(owner).skew_ns = seconds(3600)
    future = cluster.put(owner, KEY, b"tomorrow")
    assert isinstance(future, Answered)
    token = cluster.rule.token(future.cell)
    first = cluster.put(outsider, KEY, b"first", context=token)
    cluster.crash(outsider)
    cluster.restart(outsider)
    cluster.tick()
    second = cluster.put(outsider, KEY, b"second", context=token)
    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert cluster.rule.token(first.cell) != cluster.rule.token(second.cell)
