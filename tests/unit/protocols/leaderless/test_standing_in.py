"""Sloppy quorums: a node that owns no copy coordinates counters and sets while no owner can be reached."""

import pytest

from quorate.kernel import marks, seconds
from quorate.protocols.leaderless import Add, Answered, Count, Delete, Failed, Put
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def parted(rule: str = "crdt", **config: object) -> tuple[LeaderlessCluster, list[int], list[int]]:
    """Five nodes; the three owners of the key on one side, two others on the other, each side knowing of it."""
    cluster = LeaderlessCluster(5, rule=rule, sloppy=True, read_level="ONE", write_level="ONE", **config)
    owners = [int(node) for node in cluster.machine(1).router.route(KEY).nodes]
    others = [int(node) for node in cluster.boxes if node not in owners]
    part(cluster, owners, others)
    return cluster, owners, others


def part(cluster: LeaderlessCluster, owners: list[int], others: list[int]) -> None:
    cluster.cut(owners, others)
    for owner in owners:
        cluster.down(owner, at=others)
    for other in others:
        cluster.down(other, at=owners)


def heal(cluster: LeaderlessCluster) -> None:
    cluster.heal()
    for node in list(cluster.boxes):
        cluster.up(node)
    cluster.run(seconds(5))


@pytest.mark.parametrize("rule", ["lww", "siblings", "crdt"])
def test_both_sides_of_a_partition_take_counts_and_none_is_lost(rule: str) -> None:
    """Dynamo, section 4.6: always writable. A stand-in's dots are its own."""
    cluster, owners, others = parted(rule)
    with marks.expect("leaderless: a stand-in coordinates"):
        for _ in range(3):
            assert isinstance(cluster.change(others[0], KEY, Count(1)), Answered)
    assert isinstance(cluster.change(others[1], KEY, Count(10)), Answered)
    assert isinstance(cluster.change(owners[0], KEY, Count(100)), Answered)

    heal(cluster)

    assert all(not kept for node in others for kept in cluster.machine(node).hints.values())
    assert [cluster.seen(owner, KEY).values for owner in owners] == [(b"113",)] * 3


def test_a_stand_in_stamps_as_somebody_new_when_its_hints_have_gone() -> None:
    """What it gave before is not here any more, so counting on from nothing would lose it."""
    cluster, owners, others = parted()
    cluster.change(others[0], KEY, Count(5))
    with marks.expect("leaderless: a stand-in gives up its dots with a hint"):
        heal(cluster)
    part(cluster, owners, others)
    cluster.change(others[0], KEY, Count(2))
    heal(cluster)

    assert [cluster.seen(owner, KEY).values for owner in owners] == [(b"7",)] * 3


def test_a_stand_in_that_crashed_does_the_same() -> None:
    cluster, owners, others = parted()
    cluster.change(others[0], KEY, Count(5))
    cluster.crash(others[0])
    cluster.restart(others[0])
    for owner in owners:
        cluster.down(owner, at=others)
    cluster.tick()
    cluster.change(others[0], KEY, Count(1))
    heal(cluster)
    part(cluster, owners, others)
    cluster.change(others[0], KEY, Count(2))
    heal(cluster)

    assert [cluster.seen(owner, KEY).values for owner in owners] == [(b"8",)] * 3


def test_sets_and_deletes_are_taken_too() -> None:
    cluster, owners, others = parted()
    assert isinstance(cluster.change(others[0], KEY, Add((b"apple",))), Answered)
    assert cluster.get(others[0], KEY) == (b"apple",)
    assert isinstance(cluster.change(others[0], KEY, Delete()), Answered)
    assert isinstance(cluster.change(others[1], b"string", Put(b"v")), Answered)
    heal(cluster)

    assert [cluster.seen(owner, KEY).values for owner in owners] == [()] * 3


def test_without_sloppy_quorums_it_is_refused_for_certain() -> None:
    cluster = LeaderlessCluster(5, rule="crdt", write_level="ONE")
    owners = [int(node) for node in cluster.machine(1).router.route(KEY).nodes]
    other = next(int(node) for node in cluster.boxes if node not in owners)
    part(cluster, owners, [other])
    answer = cluster.change(other, KEY, Count(1))

    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("UNREACHABLE", "no")


def test_without_room_for_the_hint_it_is_refused_for_certain() -> None:
    """The hint is what holds the dot."""
    cluster, _, others = parted(hint_count_max=1)
    assert isinstance(cluster.change(others[0], KEY, Count(1)), Answered)
    first = next(name for name in (b"%d" % n for n in range(9999)) if _owned_alike(cluster, name))
    answer = cluster.change(others[0], first, Count(1))

    assert isinstance(answer, Failed)
    assert answer.happened == "no"


def _owned_alike(cluster: LeaderlessCluster, key: bytes) -> bool:
    router = cluster.machine(1).router
    mine, theirs = router.route(key).nodes, router.route(KEY).nodes
    return mine[0] == theirs[0] and sorted(mine) == sorted(theirs)
