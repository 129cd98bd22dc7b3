"""Dynamo (DeCandia et al. 2007), a sentence each; and what Cassandra and Riak document where they differ."""

import pytest

from quorate.kernel import NodeId, milliseconds, seconds
from quorate.protocols.leaderless import (
    Answered,
    Failed,
    HandOver,
    Keep,
    Place,
    Preferences,
    Put,
    Reconfigure,
    Topology,
    Write,
    topology_of,
)
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"cart"


def test_each_key_is_replicated_at_n_hosts() -> None:
    """§4.3: each data item is replicated at N hosts, where N is a parameter configured per instance."""
    for count in (1, 2, 3, 5):
        cluster = LeaderlessCluster(6, replica_count=count)
        cluster.put(1, KEY, b"v")
        assert sum(KEY in machine.cells for machine in cluster.machines()) == count


def test_the_preference_list_skips_positions_of_nodes_that_are_in_it() -> None:
    """§4.3: the preference list contains only distinct physical nodes, and more than N of them, for failures."""
    preferences = Preferences(topology_of([NodeId(node) for node in range(1, 7)]))
    for number in range(200):
        walk = preferences.walk(b"%d" % number, "")
        assert sorted(walk) == [1, 2, 3, 4, 5, 6]


def test_copies_are_spread_over_data_centres() -> None:
    """§4.6: the preference list is constructed such that the storage nodes are spread across data centres."""
    places = tuple(Place(NodeId(node), "abc"[node % 3]) for node in range(1, 10))
    preferences = Preferences(Topology(1, places, {"a": 1, "b": 1, "c": 1}))
    for number in range(200):
        owners = preferences.owners(b"%d" % number)
        assert [preferences.datacenter_of[owner] for owner in owners] == ["a", "b", "c"]


def test_every_node_can_determine_who_holds_a_key() -> None:
    """§4.3: every node in the system can determine which nodes should be in this list for any particular key."""
    cluster = LeaderlessCluster(6)
    for number in range(100):
        assert len({machine.router.route(b"%d" % number).nodes for machine in cluster.machines()}) == 1


def test_any_node_takes_any_request() -> None:
    """§4.5: any storage node in Dynamo is eligible to receive client get and put operations for any key."""
    for rule in ("lww", "siblings"):
        cluster = LeaderlessCluster(6, rule=rule)
        for node in cluster.boxes:
            assert isinstance(cluster.put(node, b"%d" % node, b"v"), Answered)
            assert all(cluster.get(other, b"%d" % node) == (b"v",) for other in cluster.boxes)


def test_concurrent_versions_are_kept_and_all_returned() -> None:
    """§4.4: multiple versions of an object can be present at the same time; a get returns all that cannot be merged."""
    cluster = LeaderlessCluster(3, rule="siblings")
    empty = cluster.read(1, KEY)
    assert isinstance(empty, Answered)
    cluster.put(1, KEY, b"milk")
    cluster.put(2, KEY, b"eggs")
    assert sorted(cluster.get(3, KEY)) == [b"eggs", b"milk"]


def test_an_update_with_the_context_of_a_read_supersedes_what_was_read() -> None:
    """§4.4: when a client updates an object, it must specify which version it is updating, by passing the context."""
    cluster = LeaderlessCluster(3, rule="siblings")
    cluster.put(1, KEY, b"milk")
    cluster.put(2, KEY, b"eggs")
    read = cluster.read(3, KEY)
    assert isinstance(read, Answered)
    cluster.put(3, KEY, b"milk, eggs", context=cluster.rule.token(read.cell))
    assert cluster.get(1, KEY) == (b"milk, eggs",)


def test_an_added_item_is_never_lost_and_a_deleted_one_can_come_back() -> None:
    """§4.4: with this reconciliation an "add to cart" is never lost; however, deleted items can resurface."""
    cluster = LeaderlessCluster(3, rule="merge:lines")
    cluster.put(1, KEY, b"eggs\nmilk")
    read = cluster.read(1, KEY)
    assert isinstance(read, Answered)
    context = cluster.rule.token(read.cell)
    cluster.put(1, KEY, b"eggs", context=context)
    cluster.put(2, KEY, b"bread\neggs\nmilk", context=context)
    assert cluster.get(3, KEY) == (b"bread\neggs\nmilk",)


def test_a_read_sees_the_last_write_where_r_and_w_overlap() -> None:
    """§4.5: setting R and W such that R + W > N yields a quorum-like system."""
    for read, write in (("1", "3"), ("2", "2"), ("3", "1")):
        cluster = LeaderlessCluster(3, read_level=read, write_level=write)
        for number in range(9):
            value = b"%d" % number
            assert isinstance(cluster.put(1 + number % 3, KEY, value), Answered)
            assert all(cluster.get(node, KEY) == (value,) for node in cluster.boxes)


def test_where_they_do_not_overlap_a_read_may_miss_it() -> None:
    """§4.5 by contrast; §6: W = 1 never rejects a write as long as there is a node that can take it."""
    cluster = LeaderlessCluster(3, read_level="ONE", write_level="ONE")
    cluster.cut([1], [2, 3])
    assert isinstance(cluster.put(1, KEY, b"v"), Answered)
    assert cluster.get(2, KEY) == ()


def test_operations_go_to_the_first_healthy_nodes() -> None:
    """§4.6: all read and write operations are performed on the first N healthy nodes from the preference list."""
    cluster = LeaderlessCluster(6, sloppy=True)
    walk = cluster.machine(1).router.preferences[0].walk(KEY, "")
    sick = walk[0]
    cluster.down(sick)
    cluster.request(walk[1], KEY, Put(b"v"))
    told = {to: type(part) for _, to, part in cluster.parts()}
    assert told == {walk[2]: Write, walk[3]: Keep}


def test_a_stand_ins_copy_names_the_intended_recipient_and_is_handed_over_and_deleted() -> None:
    """§4.6: the replica sent to D will have a hint in its metadata; upon A's recovery D sends it and may delete it."""
    cluster = LeaderlessCluster(6, sloppy=True)
    owner, *others = cluster.machine(1).router.preferences[0].walk(KEY, "")
    cluster.down(owner)
    cluster.put(others[0], KEY, b"v")
    stand_in = others[2]
    assert list(cluster.machine(stand_in).hints[owner]) == [KEY]
    cluster.up(owner)
    cluster.run(seconds(1))
    assert cluster.seen(owner, KEY).values == (b"v",)
    assert cluster.machine(stand_in).hints[owner] == {}
    assert KEY not in cluster.machine(stand_in).cells


def test_operations_do_not_fail_for_a_temporary_failure() -> None:
    """§4.6: using hinted handoff, Dynamo ensures that reads and writes are not failed due to temporary failures."""
    strict, sloppy = LeaderlessCluster(6), LeaderlessCluster(6, sloppy=True)
    for cluster, outcome in ((strict, Failed), (sloppy, Answered)):
        owners = cluster.machine(1).router.route(KEY).nodes
        for node in owners[:2]:
            cluster.crash(node)
            cluster.down(node)
        through = next(node for node in cluster.boxes if node not in owners)
        assert isinstance(cluster.put(through, KEY, b"v"), outcome)
        assert isinstance(cluster.read(through, KEY), outcome)


def test_stale_replicas_that_answered_are_brought_up_to_date() -> None:
    """§5: if stale versions were returned in any of the responses, the coordinator updates those nodes."""
    cluster = LeaderlessCluster(3, hint_count_max=0)
    cluster.cut([3], [1, 2])
    cluster.put(1, KEY, b"v")
    cluster.run(seconds(3))
    cluster.heal()
    cluster.get(1, KEY, level="ALL")
    assert cluster.seen(3, KEY).values == (b"v",)


def test_a_new_node_takes_ranges_from_those_that_had_them() -> None:
    """§4.9: when a new node is added, existing nodes transfer to it the keys that they are no longer to hold."""
    cluster = LeaderlessCluster(5, topology=topology_of([NodeId(node) for node in (1, 2, 3, 4)]))
    keys = [b"%d" % number for number in range(50)]
    for key in keys:
        cluster.put(1, key, key)
    before = {key: {machine.node for machine in cluster.machines() if key in machine.cells} for key in keys}
    cluster.call(1, Reconfigure(cluster.topology.with_nodes(added=[Place(NodeId(5))])))
    cluster.run(seconds(2))
    for key in keys:
        after = {machine.node for machine in cluster.machines() if key in machine.cells}
        assert after == before[key] or (5 in after and len(before[key] - after) == 1)


# Cassandra and Riak.


def test_a_write_is_sent_to_all_replicas_and_the_level_only_says_how_many_are_awaited() -> None:
    """Cassandra, dynamo.adoc: write operations are always sent to all replicas, regardless of consistency level."""
    cluster = LeaderlessCluster(3)
    cluster.request(1, KEY, Put(b"v"), level="ONE")
    assert {to for _, to, part in cluster.parts() if isinstance(part, Write)} == {2, 3}


def test_a_hint_is_stored_when_the_replica_is_down_or_does_not_answer() -> None:
    """Cassandra, hints.adoc: hints are kept for a replica that is down, or that does not acknowledge in time."""
    for known in (True, False):
        cluster = LeaderlessCluster(3)
        cluster.cut([3], [1, 2])
        if known:
            cluster.down(3)
        cluster.put(1, KEY, b"v")
        cluster.run(milliseconds(600))
        assert KEY in cluster.machine(1).hints[NodeId(3)]


def test_replaying_a_hint_twice_changes_nothing() -> None:
    """Cassandra, hints.adoc: replay keeps the original timestamp, so it is idempotent."""
    cluster = LeaderlessCluster(3)
    cluster.down(3)
    cluster.put(1, KEY, b"old")
    cluster.up(3)
    cluster.run(milliseconds(50))
    newer = cluster.put(2, KEY, b"new")
    assert isinstance(newer, Answered)
    cluster.run(seconds(2))
    assert cluster.cell(3, KEY) == newer.cell
    assert not any(isinstance(part, HandOver) for _, _, part in cluster.parts())


def test_blocking_read_repair_gives_monotonic_quorum_reads() -> None:
    """Cassandra, read_repair.adoc: once a quorum read has seen a write, no later quorum read misses it."""
    for repair, later in (("blocking", (b"v",)), ("none", ())):
        cluster = LeaderlessCluster(3, read_repair=repair, hint_count_max=0)
        cluster.cut([1], [2, 3])
        cluster.put(1, KEY, b"v", level="QUORUM")
        cluster.run(seconds(3))
        cluster.heal()
        # The write ended with one copy; a quorum read through its holder sees it.
        assert cluster.get(1, KEY) == (b"v",)
        cluster.crash(1)
        cluster.down(1)
        assert cluster.get(2, KEY) == later


@pytest.mark.parametrize("rule", ["lww", "siblings"])
def test_a_node_that_lost_its_disk_gives_no_dot_and_no_stamp_again(rule: str) -> None:
    """Riak, riak_kv_vnode.erl: a vnode that lost data starts a new actor id (key epochs)."""
    cluster = LeaderlessCluster(3, rule=rule)
    cluster.put(1, KEY, b"before")
    old = cluster.machine(1).stamper.actor
    cluster.crash(1)
    cluster.restart(1, disk=[])
    cluster.tick()
    assert cluster.machine(1).stamper.actor != old
    cluster.run(milliseconds(1))
    cluster.put(1, KEY, b"after", level="ONE")
    assert b"after" in cluster.get(1, KEY, level="ALL")
    if rule == "siblings":
        assert sorted(cluster.get(2, KEY, level="ALL")) == [b"after", b"before"], "neither has seen the other"
