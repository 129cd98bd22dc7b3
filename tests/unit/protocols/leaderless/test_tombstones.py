"""Tombstones: when they go, and what must never bring a deleted value back."""

import pytest

from quorate.kernel import HASH_COUNT, NodeId, Received, marks, seconds
from quorate.protocols.leaderless import Answered, Bundle, CellChanged, Delete, HandOver, Reconcile, Synchronized, Write
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"
SHORT = {"hint_window": seconds(10), "tombstone_grace": seconds(20), "request_timeout": seconds(2)}


@pytest.fixture(params=["lww", "siblings"])
def cluster(request: pytest.FixtureRequest) -> LeaderlessCluster:
    return LeaderlessCluster(3, rule=request.param, **SHORT)


def test_a_deleted_key_reads_as_nothing_and_is_still_known(cluster: LeaderlessCluster) -> None:
    cluster.put(1, KEY, b"v")
    assert isinstance(cluster.delete(2, KEY), Answered)
    assert cluster.get(3, KEY) == ()
    assert cluster.cell(3, KEY) != b""


def test_a_tombstone_goes_after_its_grace(cluster: LeaderlessCluster) -> None:
    cluster.put(1, KEY, b"v")
    cluster.delete(1, KEY)
    cluster.run(seconds(19))
    assert cluster.cell(1, KEY) != b""
    with marks.expect("leaderless: a tombstone is purged"):
        cluster.run(seconds(2))
    assert [cluster.cell(node, KEY) for node in (1, 2, 3)] == [b""] * 3
    assert isinstance(cluster.box(1).outputs[-1], CellChanged)
    assert cluster.box(1).outputs[-1].after == b""  # type: ignore[union-attr]


def test_a_key_that_lives_again_is_not_purged(cluster: LeaderlessCluster) -> None:
    cluster.delete(1, KEY)
    cluster.run(seconds(15))
    read = cluster.read(1, KEY)
    assert isinstance(read, Answered)
    cluster.put(1, KEY, b"again", context=cluster.rule.token(read.cell))
    cluster.run(seconds(30))
    assert cluster.get(2, KEY) == (b"again",)


def test_a_purge_survives_a_crash(cluster: LeaderlessCluster) -> None:
    cluster.delete(1, KEY)
    cluster.run(seconds(30))
    cluster.crash(1)
    cluster.restart(1)
    cluster.tick()
    assert cluster.cell(1, KEY) == b""


def test_a_tombstone_is_not_carried_back_and_forth(cluster: LeaderlessCluster) -> None:
    """One replica purged, the other has not yet: anti-entropy differs, and must not fill the first again."""
    cluster.box(2).skew_ns = -seconds(5)
    cluster.delete(1, KEY)
    cluster.run(seconds(21))
    assert cluster.cell(1, KEY) == b""
    assert cluster.cell(2, KEY) != b""
    with marks.expect("leaderless: a tombstone that was purged here is not taken again"):
        cluster.call(2, Reconcile(NodeId(1), (KEY,)))
        cluster.settle()
    cluster.call(1, Reconcile(NodeId(2), (KEY,)))
    cluster.settle()
    assert cluster.cell(1, KEY) == b""
    cluster.run(seconds(10))
    assert cluster.cell(2, KEY) == b""


def test_an_old_tombstone_still_kills_an_older_value(cluster: LeaderlessCluster) -> None:
    """The replica that missed the delete meets one that has not purged it."""
    cluster.put(1, KEY, b"v")
    cluster.machine(1).hints.clear()
    cluster.cut([3], [1, 2])
    cluster.delete(1, KEY)
    cluster.box(2).skew_ns = -seconds(100)
    cluster.run(seconds(30))
    cluster.heal()
    assert cluster.cell(1, KEY) == b""
    assert cluster.seen(3, KEY).values == (b"v",)
    cluster.call(3, Reconcile(NodeId(2), (KEY,)))
    cluster.settle()
    assert cluster.seen(3, KEY).values == ()


def test_a_late_hint_does_not_bring_a_value_back(cluster: LeaderlessCluster) -> None:
    """Hint for node 3 kept by node 1; the delete passes; node 1 is away until the tombstones have gone."""
    cluster.cut([3], [1, 2])
    cluster.down(3)
    cluster.put(1, KEY, b"v")
    cluster.heal()
    cluster.up(3)
    cluster.cut([1], [2, 3])
    cluster.down(1)
    cluster.delete(2, KEY)
    cluster.run(seconds(40))
    assert cluster.cell(2, KEY) == cluster.cell(3, KEY) == b""
    cluster.heal()
    cluster.up(1)
    cluster.up(2, at=[1])
    cluster.up(3, at=[1])
    cluster.run(seconds(5))
    assert cluster.cell(3, KEY) == b""


def test_a_hint_that_is_forged_young_is_the_documented_danger(cluster: LeaderlessCluster) -> None:
    """Whoever brings an older value after the purge, by whatever way, brings it back: so every way looks at the age."""
    old = cluster.put(1, KEY, b"v")
    assert isinstance(old, Answered)
    cluster.delete(1, KEY)
    cluster.run(seconds(30))
    late = HandOver(1, KEY, old.cell, cluster.wall_ns(1) - seconds(11))
    cluster.step(3, Received(NodeId(1), Bundle(2, 1, (late,))))
    assert cluster.cell(3, KEY) == b""
    cluster.step(3, Received(NodeId(1), Bundle(2, 1, (Write(1, KEY, old.cell),))))
    assert cluster.seen(3, KEY).values == (b"v",)


def agree(cluster: LeaderlessCluster, began: int) -> None:
    for node in cluster.boxes:
        cluster.call(node, Synchronized(0, HASH_COUNT, began + cluster.box(node).skew_ns))


def test_purge_by_repair_waits_for_an_agreement_that_began_later() -> None:
    cluster = LeaderlessCluster(3, purge="repair", **SHORT)
    began = cluster.wall_ns(1)
    cluster.run(seconds(1))
    cluster.delete(1, KEY)
    cluster.run(seconds(100))
    agree(cluster, began)
    cluster.run(seconds(1))
    assert cluster.cell(1, KEY) != b"", "that comparison may not have seen it"
    agree(cluster, cluster.wall_ns(1))
    cluster.run(seconds(1))
    assert [cluster.cell(node, KEY) for node in (1, 2, 3)] == [b""] * 3


def test_purge_by_repair_waits_for_hints_to_outgrow_their_window() -> None:
    """Scylla's issue 23712: a hint replays a value whose tombstone is already gone."""
    cluster = LeaderlessCluster(3, purge="repair", **SHORT)
    cluster.delete(1, KEY)
    cluster.run(seconds(1))
    agree(cluster, cluster.wall_ns(1))
    cluster.run(seconds(10))
    assert cluster.cell(1, KEY) != b""
    cluster.run(seconds(3))
    assert cluster.cell(1, KEY) == b""


def test_purge_by_repair_looks_at_its_range_only() -> None:
    cluster = LeaderlessCluster(3, purge="repair", **SHORT)
    cluster.delete(1, KEY)
    cluster.run(seconds(20))
    cluster.call(1, Synchronized(0, 1, cluster.wall_ns(1)))
    cluster.run(seconds(20))
    assert cluster.cell(1, KEY) != b""


def test_a_replica_purged_by_repair_does_not_take_the_same_tombstone_again() -> None:
    cluster = LeaderlessCluster(3, purge="repair", **SHORT)
    cluster.delete(1, KEY)
    cluster.run(seconds(20))
    cluster.call(1, Synchronized(0, HASH_COUNT, cluster.wall_ns(1)))
    cluster.run(seconds(1))
    cluster.call(2, Reconcile(NodeId(1), (KEY,)))
    cluster.settle()
    assert cluster.cell(1, KEY) == b""
    assert cluster.cell(2, KEY) != b""


def test_never_means_never() -> None:
    cluster = LeaderlessCluster(3, purge="never", **SHORT)
    cluster.change(1, KEY, Delete())
    agree(cluster, cluster.wall_ns(1))
    cluster.run(seconds(1000))
    agree(cluster, cluster.wall_ns(1))
    cluster.run(seconds(1000))
    assert cluster.cell(1, KEY) != b""
