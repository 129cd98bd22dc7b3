"""Campaign of the available side, seed 79: a node kept a hint for itself and then wrote to itself."""

from quorate.kernel import milliseconds
from quorate.protocols.leaderless import Put
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
