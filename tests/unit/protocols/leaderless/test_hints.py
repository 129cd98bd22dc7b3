"""Hinted handoff: who keeps what for whom, how it comes home, and when it is dropped."""

import pytest

from quorate.kernel import NodeId, Received, TimerFired, marks, milliseconds, seconds
from quorate.protocols.leaderless import Answered, Bundle, Count, Failed, HandOver, Keep, Put, Write
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def missed(cluster: LeaderlessCluster, node: int = 3, value: bytes = b"v") -> None:
    """Let a node that is known to be down miss a write through node 1."""
    cluster.cut([node], [other for other in cluster.boxes if other != node])
    cluster.down(node)
    assert isinstance(cluster.put(1, KEY, value), Answered)


def test_the_coordinator_keeps_a_hint_and_hands_it_over_when_the_owner_is_back() -> None:
    cluster = LeaderlessCluster(3)
    missed(cluster)
    assert KEY in cluster.machine(1).hints[NodeId(3)]
    cluster.heal()
    cluster.up(3)
    cluster.run(seconds(1))
    assert cluster.seen(3, KEY).values == (b"v",)
    assert cluster.machine(1).hints[NodeId(3)] == {}


def test_a_silent_owner_gets_a_hint_after_a_while() -> None:
    cluster = LeaderlessCluster(3)
    cluster.cut([3], [1, 2])
    cluster.put(1, KEY, b"v")
    assert not cluster.machine(1).hints.get(NodeId(3))
    cluster.run(milliseconds(510))
    assert KEY in cluster.machine(1).hints[NodeId(3)]


def test_a_late_word_of_the_owner_makes_the_hint_unnecessary() -> None:
    cluster = LeaderlessCluster(3)
    cluster.request(1, KEY, Put(b"v"))
    late = next(letter for letter in cluster.wire if letter.to == 3)
    cluster.wire.remove(late)
    cluster.run(milliseconds(510))
    cluster.wire[:] = [late]
    cluster.settle()
    assert cluster.machine(1).hints[NodeId(3)] == {}
    assert cluster.machine(1).pending_count == 0


def test_an_owner_that_goes_down_gets_its_hint_at_once() -> None:
    cluster = LeaderlessCluster(3)
    cluster.cut([3], [1, 2])
    cluster.put(1, KEY, b"v")
    cluster.down(3)
    assert KEY in cluster.machine(1).hints[NodeId(3)]


def test_hints_survive_a_crash() -> None:
    cluster = LeaderlessCluster(3)
    missed(cluster)
    cluster.crash(1)
    cluster.restart(1)
    cluster.heal()
    with marks.expect("leaderless: hints wait until the wall clock is known"):
        cluster.run(milliseconds(300))
    cluster.run(seconds(1))
    assert cluster.seen(3, KEY).values == (b"v",)


def test_a_hint_that_is_lost_on_its_way_goes_again() -> None:
    cluster = LeaderlessCluster(3)
    missed(cluster)
    cluster.up(3)
    cluster.run(milliseconds(500))
    assert cluster.cell(3, KEY) == b""
    cluster.heal()
    cluster.run(seconds(2))
    assert cluster.seen(3, KEY).values == (b"v",)


def test_hints_of_one_key_are_merged() -> None:
    cluster = LeaderlessCluster(3)
    missed(cluster, value=b"one")
    cluster.run(milliseconds(10))
    missed(cluster, value=b"two")
    (hint,) = cluster.machine(1).hints[NodeId(3)].values()
    assert cluster.rule.seen(hint.cell).values == (b"two",)
    assert hint.wall_ns == cluster.wall_ns(1) - milliseconds(10)


def test_handing_over_is_throttled() -> None:
    cluster = LeaderlessCluster(3, hint_rate=100)
    cluster.cut([3], [1, 2])
    cluster.down(3)
    for number in range(50):
        cluster.put(1, b"%d" % number, b"v")
    cluster.heal()
    cluster.up(3)
    cluster.run(milliseconds(210))
    assert len(cluster.machine(3).cells) == 20
    cluster.run(milliseconds(400))
    assert len(cluster.machine(3).cells) == 50


def test_hints_beyond_the_limit_are_not_kept() -> None:
    cluster = LeaderlessCluster(3, hint_count_max=2)
    missed(cluster)
    cluster.put(1, b"2", b"v")
    with marks.expect("leaderless: a hint beyond the limit is not kept"):
        cluster.put(1, b"3", b"v")
    assert list(cluster.machine(1).hints[NodeId(3)]) == [KEY, b"2"]
    missed(cluster, value=b"newer")
    assert len(cluster.machine(1).hints[NodeId(3)]) == 2


# Any, and sloppy quorums.


def test_a_hint_alone_is_enough_for_any_and_for_nothing_else() -> None:
    cluster = LeaderlessCluster(6)
    owners = cluster.machine(1).router.route(KEY).nodes
    outsider = next(node for node in cluster.boxes if node not in owners)
    for owner in owners:
        cluster.down(owner)
    answer = cluster.put(outsider, KEY, b"v", level="ONE")
    assert isinstance(answer, Failed)
    cluster.box(outsider).is_slow = True
    token = cluster.request(outsider, KEY, Put(b"v"), level="ANY")
    assert cluster.answer(token) is None, "the hint is not on disk"
    cluster.sync(outsider)
    assert isinstance(cluster.answer(token), Answered)


def test_any_without_room_for_a_hint_is_refused() -> None:
    cluster = LeaderlessCluster(6, hint_count_max=0)
    owners = cluster.machine(1).router.route(KEY).nodes
    outsider = next(node for node in cluster.boxes if node not in owners)
    for owner in owners:
        cluster.down(owner)
    answer = cluster.put(outsider, KEY, b"v", level="ANY")
    assert isinstance(answer, Failed)
    assert answer.code == "UNREACHABLE"


def sloppy_cluster(**config: object) -> tuple[LeaderlessCluster, list[int], list[int]]:
    """Return a cluster with stand-ins, the owners of KEY, and the stand-ins in order."""
    cluster = LeaderlessCluster(6, sloppy=True, **config)
    router = cluster.machine(1).router
    owners = list(router.route(KEY).nodes)
    return cluster, owners, list(router.stand_ins(KEY, owners[0]))


def test_a_stand_in_counts_towards_a_sloppy_quorum() -> None:
    cluster, owners, stand_ins = sloppy_cluster()
    first, second, third = owners
    for node in (second, third):
        cluster.cut([node], [other for other in cluster.boxes if other != node])
        cluster.down(node)
    with marks.expect("leaderless: a stand-in is asked to keep a hint"):
        assert isinstance(cluster.put(first, KEY, b"v", level="ALL"), Answered)
    kept = {node: list(cluster.machine(node).hints) for node in stand_ins[:2]}
    assert sorted(owner for owners in kept.values() for owner in owners) == sorted([second, third])
    cluster.heal()
    for node in (second, third):
        cluster.up(node)
    cluster.run(seconds(1))
    assert cluster.seen(second, KEY).values == cluster.seen(third, KEY).values == (b"v",)
    assert not any(any(kept.values()) for kept in (cluster.machine(node).hints for node in stand_ins))


def test_a_sloppy_read_asks_the_stand_ins_too() -> None:
    cluster, owners, _ = sloppy_cluster()
    for node in owners:
        cluster.cut([node], [other for other in cluster.boxes if other != node])
        cluster.down(node)
    outsiders = [node for node in cluster.boxes if node not in owners]
    assert isinstance(cluster.put(outsiders[0], KEY, b"v"), Answered)
    assert [cluster.get(node, KEY) for node in outsiders] == [(b"v",)] * 3


def test_a_silent_owner_is_replaced_by_a_stand_in() -> None:
    cluster, owners, _ = sloppy_cluster()
    first, second, third = owners
    cluster.cut([first], [second, third])
    token = cluster.request(first, KEY, Put(b"v"))
    with marks.expect("leaderless: a stand-in takes the place of a silent owner"):
        cluster.run(milliseconds(600))
    assert isinstance(cluster.answer(token), Answered)


def test_a_read_repairs_a_stand_in_by_a_hint() -> None:
    cluster, owners, stand_ins = sloppy_cluster()
    first, second, third = owners
    cluster.put(first, KEY, b"v")
    cluster.cut([third], [other for other in cluster.boxes if other != third])
    cluster.down(third)
    assert cluster.get(first, KEY, level="ALL") == (b"v",)
    (hint,) = cluster.machine(stand_ins[0]).hints[NodeId(third)].values()
    assert hint.cell == cluster.cell(second, KEY)


def test_a_stand_in_that_does_not_know_the_owner_keeps_nothing() -> None:
    cluster = LeaderlessCluster(3)
    cell = cluster.put(1, KEY, b"v").cell  # type: ignore[union-attr]
    for part in (Keep(1, NodeId(9), KEY, cell, 0), Keep(1, NodeId(3), KEY, b"\xff", cluster.wall_ns(2))):
        cluster.step(2, Received(NodeId(1), Bundle(2, 1, (part,))))
    assert cluster.wire == []
    assert not any(cluster.machine(2).hints.values())


@pytest.mark.parametrize("rule", ["siblings", "lww"])
def test_without_any_owner_a_stand_in_gives_dots_under_a_name_of_its_own(rule: str) -> None:
    """Always writable: and when the hint is gone, so is the name, since its dots are elsewhere."""
    cluster, owners, _ = sloppy_cluster(rule=rule)
    outsiders = [node for node in cluster.boxes if node not in owners]
    cluster.cut(owners, outsiders)
    for owner in owners:
        cluster.down(owner, at=outsiders)
    changes = [Count(2), Count(3)] if rule == "lww" else [Put(b"one"), Put(b"two")]
    for outsider, change in zip(outsiders, [*changes, changes[0]], strict=True):
        with marks.expect("leaderless: a stand-in gives dots"):
            assert isinstance(cluster.change(outsider, KEY, change), Answered)
    assert isinstance(cluster.change(outsiders[0], KEY, changes[1]), Answered)
    cluster.heal()
    for owner in owners:
        cluster.up(owner, at=outsiders)
    cluster.run(seconds(2))
    expected = [b"10"] if rule == "lww" else [b"one", b"one", b"two", b"two"]
    for node in cluster.boxes:
        assert sorted(cluster.get(node, KEY, level="ALL")) == expected
    assert not any(machine._guests for machine in cluster.machines())
    for owner in owners:
        cluster.down(owner, at=outsiders)
    assert isinstance(cluster.change(outsiders[0], KEY, changes[0]), Answered)
    for owner in owners:
        cluster.up(owner, at=outsiders)
    cluster.run(seconds(2))
    expected = [b"12"] if rule == "lww" else [b"one", *expected]
    assert sorted(cluster.get(1, KEY, level="ALL")) == expected


def test_a_stand_in_without_room_for_a_hint_gives_no_dots() -> None:
    cluster, owners, _ = sloppy_cluster(rule="siblings", hint_count_max=0)
    for owner in owners:
        cluster.down(owner)
    answer = cluster.put(next(node for node in cluster.boxes if node not in owners), KEY, b"v")
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("UNREACHABLE", "no")


# Age.


def test_a_hint_beyond_the_window_is_dropped_and_never_handed_over() -> None:
    config = {"hint_window": seconds(10), "tombstone_grace": seconds(20)}
    cluster = LeaderlessCluster(3, **config)
    missed(cluster)
    cluster.run(seconds(8))
    with marks.expect("leaderless: a hint grew older than the window"):
        cluster.run(seconds(3))
    assert cluster.machine(1).hints[NodeId(3)] == {}

    cluster = LeaderlessCluster(3, **config)
    missed(cluster)
    cluster.run(seconds(11), tick=False)
    cluster.heal()
    with marks.expect("leaderless: a hint beyond the window is dropped"):
        cluster.up(3)
        cluster.run(seconds(1), tick=False)
    assert cluster.cell(3, KEY) == b""


def test_a_hint_that_slept_on_its_way_is_not_taken() -> None:
    """Its keeper looked at its age and then stood still: the owner looks again."""
    cluster = LeaderlessCluster(3, hint_window=seconds(10), tombstone_grace=seconds(20))
    missed(cluster)
    cluster.heal()
    cluster.up(3)
    while not any(isinstance(part, HandOver) for _, _, part in cluster.parts()):
        at, node, timer = min(
            (at, node, timer) for node, box in cluster.boxes.items() for timer, at in box.timers.items()
        )
        cluster.now = at
        del cluster.boxes[node].timers[timer]
        cluster.step(node, TimerFired(timer))
    letter = next(letter for letter in cluster.wire if isinstance(letter.bundle.parts[0], HandOver))
    cluster.wire.clear()
    cluster.now += seconds(11)
    cluster.wire.append(letter)
    with marks.expect("leaderless: a hint that arrives beyond the window is not taken"):
        cluster.settle()
    assert cluster.cell(3, KEY) == b""


def test_a_hint_that_is_already_too_old_is_not_kept() -> None:
    cluster = LeaderlessCluster(3)
    cell = cluster.put(1, KEY, b"v").cell  # type: ignore[union-attr]
    old = cluster.wall_ns(2) - cluster.machine(2).config.hint_window - 1
    with marks.expect("leaderless: a hint beyond the window is not kept"):
        cluster.step(2, Received(NodeId(1), Bundle(2, 1, (Keep(1, NodeId(3), KEY, cell, old),))))
    assert not any(cluster.machine(2).hints.values())


def test_a_write_is_told_before_a_hint_is_kept() -> None:
    cluster = LeaderlessCluster(3)
    cluster.request(1, KEY, Put(b"v"))
    assert not any(cluster.machine(1).hints.values())
    assert all(isinstance(part, Write) for _, _, part in cluster.parts())
