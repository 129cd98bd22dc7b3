"""Campaigns of the available side: hints for oneself (seed 79), and for owners that own no more (movement, seed 1)."""

from quorate.kernel import NodeId, Received, milliseconds
from quorate.protocols.leaderless import Bundle, Keep, Put
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def test_a_coordinator_whose_own_disk_is_slow_keeps_no_hint_for_itself() -> None:
    """A stand-in had taken the place of its own slow copy; when that went down, the copy was hinted for."""
    cluster = LeaderlessCluster(5, sloppy=True)
    owners = cluster.machine(1).router.route(KEY).nodes
    coordinator = owners[0]
    cluster.put(coordinator, b"other", b"v")
    cluster.box(coordinator).is_slow = True
    for owner in owners[1:]:
        cluster.crash(owner)
    cluster.request(coordinator, KEY, Put(b"v"), level="ALL")
    cluster.run(milliseconds(600))
    outsiders = [node for node in cluster.boxes if node not in owners]
    for outsider in outsiders:
        cluster.down(outsider, at=[coordinator])

    assert coordinator not in cluster.machine(coordinator).hints


def test_a_hint_for_an_owner_that_owns_no_more_is_kept_for_those_that_do() -> None:
    """A stand-in is asked by a coordinator that is behind; nobody else may hold the write, and the old owner takes none."""
    cluster = LeaderlessCluster(5, sloppy=True)
    machine = cluster.machine(1)
    key = next(name for name in (b"%d" % n for n in range(99)) if machine.node not in machine.router.route(name).nodes)
    owners = machine.router.route(key).nodes
    former = next(node for node in cluster.boxes if node not in owners and node != machine.node)
    other = LeaderlessCluster(3)
    other.put(1, key, b"v")

    cluster.step(
        1,
        Received(NodeId(2), Bundle(machine.phase, 9, (Keep(7, former, key, other.cell(1, key), cluster.wall_ns(1)),))),
    )

    assert [node for node, kept in machine.hints.items() if key in kept] == sorted(owners, key=owners.index)
