"""Nodes come, go and are replaced while the keyspace is served."""

import pytest

from quorate.kernel import HASH_COUNT, NodeId, Received, TimerFired, hash_key, marks, milliseconds, seconds
from quorate.protocols.leaderless import (
    Adopted,
    Answered,
    Born,
    Bundle,
    CellChanged,
    Failed,
    Fetch,
    Fetched,
    Gathered,
    Place,
    Plan,
    Preferences,
    Put,
    Reconfigure,
    Settled,
    Stage,
    Streamed,
    Topology,
    Write,
    canonical,
    gains_of,
    plan_of,
    streaming,
    topology_of,
)
from quorate.protocols.leaderless.outgoing import Outgoing
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY_COUNT = 60


def keys() -> list[bytes]:
    return [b"key:%d" % number for number in range(KEY_COUNT)]


def filled(node_count: int, founder_count: int, **config: object) -> LeaderlessCluster:
    """Return a cluster of founders that hold keys, and of further nodes that wait."""
    topology = topology_of([NodeId(node) for node in range(1, founder_count + 1)])
    cluster = LeaderlessCluster(node_count, topology=topology, **config)
    for number, key in enumerate(keys()):
        assert isinstance(cluster.put(1 + number % founder_count, key, key), Answered)
    return cluster


def reconfigure(cluster: LeaderlessCluster, topology: Topology, *, through: int = 1) -> None:
    cluster.call(through, Reconfigure(topology))


def check_settled(cluster: LeaderlessCluster, topology: Topology) -> None:
    """All nodes use the topology alone, exactly its owners hold the keys, and everybody reads them."""
    preferences = Preferences(topology)
    for machine in cluster.machines():
        assert (machine.topology, machine.next_topology) == (topology, None)
    for key in keys():
        holders = sorted(machine.node for machine in cluster.machines() if key in machine.cells)
        assert holders == sorted(preferences.owners(key))
        for machine in cluster.machines():
            assert cluster.get(machine.node, key) == (key,)


@pytest.fixture(params=["lww", "siblings"])
def rule(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_node_is_added(rule: str) -> None:
    cluster = filled(5, 4, rule=rule)
    topology = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    reconfigure(cluster, topology)
    cluster.run(seconds(2))
    check_settled(cluster, topology)
    for box in cluster.boxes.values():
        assert [output.version for output in box.outputs if isinstance(output, Settled)] == [2]


def test_a_node_is_removed(rule: str) -> None:
    cluster = filled(5, 5, rule=rule)
    topology = cluster.topology.with_nodes(removed=[NodeId(2)])
    reconfigure(cluster, topology, through=4)
    cluster.run(seconds(2))
    check_settled(cluster, topology)
    assert cluster.machine(2).cells == {}
    lost = [output for output in cluster.box(2).outputs if isinstance(output, CellChanged) and not output.after]
    assert len(lost) > 0, "what is dropped is told"


def test_a_dead_node_is_replaced(rule: str) -> None:
    """Its copies come from the others, and it is not waited for."""
    cluster = filled(5, 4, rule=rule)
    cluster.crash(2)
    cluster.down(2)
    topology = cluster.topology.with_replacement(NodeId(2), Place(NodeId(5)))
    reconfigure(cluster, topology)
    cluster.run(seconds(3))
    check_settled(cluster, topology)


def test_the_number_of_copies_grows(rule: str) -> None:
    cluster = filled(5, 5, rule=rule)
    topology = cluster.topology.with_nodes(replica_counts={"": 5})
    reconfigure(cluster, topology)
    cluster.run(seconds(3))
    check_settled(cluster, topology)
    smaller = topology.with_nodes(replica_counts={"": 2})
    reconfigure(cluster, smaller)
    cluster.run(seconds(3))
    check_settled(cluster, smaller)


def test_a_data_centre_is_added(rule: str) -> None:
    cluster = filled(6, 3, rule=rule)
    places = [Place(NodeId(node), "west") for node in (4, 5, 6)]
    topology = cluster.topology.with_nodes(added=places, replica_counts={"": 3, "west": 2})
    reconfigure(cluster, topology)
    cluster.run(seconds(3))
    check_settled(cluster, topology)
    assert cluster.get(5, keys()[0], level="LOCAL_QUORUM") == (keys()[0],)


def test_only_the_ranges_of_the_plan_move() -> None:
    before = Preferences(topology_of([NodeId(node) for node in range(1, 6)]))
    after = Preferences(before.topology.with_nodes(added=[Place(NodeId(6))], removed=[NodeId(3)]))
    plan = plan_of(before, after, "")
    assert plan.proof().is_minimal or plan.proof().needless_share < 0.1
    for node in after.topology.nodes():
        gains = gains_of(before, after, node)
        moved = sum(move.end - move.start for move in plan.moves if move.target == node)  # type: ignore[operator]
        assert sum(gain.end - gain.start for gain in gains) == moved
        for gain in gains:
            for key_hash in (gain.start, gain.end - 1):
                assert node in after.owners_of_hash(key_hash, "")
                assert node not in before.owners_of_hash(key_hash, "")
                assert before.owners_of_hash(key_hash, "") == gain.owners


def test_nodes_that_stay_keep_their_places() -> None:
    topology = topology_of([NodeId(node) for node in range(1, 6)])
    smaller = topology.with_nodes(removed=[NodeId(1)])
    before, after = Preferences(topology).tokens(), Preferences(smaller).tokens()
    assert all(after[node] == before[node] for node in after)
    heir = smaller.with_replacement(NodeId(4), Place(NodeId(9)))
    assert Preferences(heir).tokens()[NodeId(9)] == before[NodeId(4)]
    assert smaller.with_nodes(added=[Place(NodeId(7))]).version == 3


# While it moves.


def joint(**config: object) -> LeaderlessCluster:
    """Return a cluster of four and a newcomer, all joint, of which the newcomer has fetched nothing yet."""
    cluster = filled(5, 4, **config)
    reconfigure(cluster, cluster.topology.with_nodes(added=[Place(NodeId(5))]))
    cluster.settle()
    assert all(machine.is_joint for machine in cluster.machines())
    assert not cluster.machine(5).has_gathered
    return cluster


def moving_key(cluster: LeaderlessCluster) -> bytes:
    """Return a key that the newcomer gains."""
    return next(key for key in keys() if 5 in cluster.machine(1).router.route(key).nodes)


def test_a_joint_write_needs_a_quorum_of_the_old_and_of_the_new_owners() -> None:
    cluster = joint()
    key = moving_key(cluster)
    old, new = (
        {node for _, nodes in grouping for node in nodes} for grouping in cluster.machine(1).router.route(key).groupings
    )
    (leaver,) = old - new
    other = next(iter(old & new))
    stay = next(node for node in cluster.boxes if node not in {leaver, other, 5})
    # Of the new owners only one is reachable, of the old ones two.
    cluster.cut([5, other], [node for node in cluster.boxes if node not in {5, other}])
    token = cluster.request(stay, key, Put(b"new"))
    cluster.run(milliseconds(300))
    assert cluster.answer(token) is None
    cluster.heal()
    cluster.run(seconds(1))
    assert isinstance(cluster.answer(token), Answered)


@pytest.mark.parametrize("is_leaver_gone", [False, True])
def test_a_newcomer_holds_what_the_owner_that_it_replaces_held(is_leaver_gone: bool) -> None:
    """A write that only two of three had is still on two of three afterwards: quorums cross it."""
    cluster = filled(5, 4, hint_count_max=0, read_repair="none")
    key = keys()[0]
    leaver, holder, behind = Preferences(cluster.topology).owners(key)
    if is_leaver_gone:
        # Then its copy counts for nothing, and the newcomer must find the two others'.
        behind, leaver = leaver, behind
    missing = leaver if is_leaver_gone else behind
    cluster.cut([missing], [node for node in cluster.boxes if node != missing])
    assert isinstance(cluster.put(holder, key, b"on two"), Answered)
    cluster.run(seconds(3))
    cluster.heal()
    if is_leaver_gone:
        cluster.crash(leaver)
        cluster.down(leaver)
    topology = cluster.topology.with_replacement(leaver, Place(NodeId(5)))
    reconfigure(cluster, topology, through=holder)
    cluster.run(seconds(3))
    assert cluster.machine(5).topology == topology
    assert cluster.seen(5, key).values == (b"on two",)


def test_a_joint_read_sees_what_the_newcomer_has_not_got_yet() -> None:
    cluster = joint()
    key = moving_key(cluster)
    assert cluster.cell(5, key) == b""
    assert cluster.get(5, key) == (key,)


def test_a_write_under_way_goes_to_new_owners_too() -> None:
    cluster = filled(5, 4)
    topology = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    after = Preferences(topology)
    key = next(key for key in keys() if NodeId(5) in after.owners(key))
    owner = Preferences(cluster.topology).owners(key)[0]
    token = cluster.request(owner, key, Put(b"under way"))
    read = cluster.request(owner, key)
    with marks.expect("leaderless: a write under way goes to new owners too"):
        reconfigure(cluster, topology, through=owner)
    cluster.settle()
    cluster.run(milliseconds(600))
    assert isinstance(cluster.answer(token), Answered)
    assert isinstance(cluster.answer(read), Answered)
    assert cluster.seen(5, key).values == (b"under way",)


def test_a_joint_node_takes_no_writes_of_the_old_topology() -> None:
    """Else a write could be acknowledged by an owner whose range has already been read."""
    cluster = joint()
    key = moving_key(cluster)
    cell = cluster.cell(cluster.machine(1).router.route(key).nodes[0], key)
    before = len(cluster.wire)
    with marks.expect("leaderless: a joint node takes no writes of the old topology"):
        cluster.step(1, Received(NodeId(2), Bundle(2, 1, (Write(1, b"fresh", cell),))))
    assert b"fresh" not in cluster.machine(1).cells
    assert [type(part) for _, _, part in cluster.parts()[before:]] in ([], [Plan])


def test_a_source_that_is_not_joint_does_not_stream() -> None:
    cluster = filled(4, 4)
    with marks.expect("leaderless: a source that is not joint does not stream"):
        cluster.step(1, Received(NodeId(2), Bundle(3, 1, (Fetch(1, 0, 100, 5),))))
    assert not any(isinstance(part, Fetched) for _, _, part in cluster.parts())


def test_a_change_with_a_dot_is_coordinated_by_an_old_owner_until_all_has_come() -> None:
    cluster = joint(rule="siblings")
    key = moving_key(cluster)
    assert isinstance(cluster.put(5, key, b"second"), Answered)
    cluster.run(seconds(2))
    assert sorted(cluster.get(5, key)) == sorted([key, b"second"])


def test_streaming_is_throttled() -> None:
    cluster = joint(stream_rate=50, stream_part_count=3)
    before = len(cluster.machine(5).cells)
    cluster.run(milliseconds(410))
    assert 0 < len(cluster.machine(5).cells) - before <= 4 * 5 + 3


def test_a_stream_goes_on_after_crashes_of_both_ends() -> None:
    cluster = joint(stream_rate=50, stream_part_count=2)
    cluster.run(milliseconds(300))
    cluster.crash(5)
    disk = canonical(cluster.box(5).disk)
    assert sum(isinstance(record, Streamed) for record in disk) > 0
    cluster.run(milliseconds(300))
    cluster.restart(5, disk=disk)
    cluster.crash(1)
    cluster.run(milliseconds(300))
    cluster.restart(1)
    asked = {part.start for _, _, part in cluster.parts() if isinstance(part, Fetch)}
    cluster.run(seconds(30))
    check_settled(cluster, cluster.machine(1).topology)
    assert cluster.machine(1).topology.version == 2
    assert not asked


def test_a_lost_part_is_asked_for_again() -> None:
    cluster = joint()
    cluster.now += milliseconds(100)
    cluster.step(5, TimerFired("move"))
    assert any(isinstance(part, Fetch) for _, _, part in cluster.parts())
    cluster.wire.clear()
    cluster.run(seconds(3))
    check_settled(cluster, cluster.machine(1).topology)


def test_a_leaver_that_dies_is_replaced_by_the_other_owners() -> None:
    cluster = filled(4, 4, stream_rate=20)
    topology = cluster.topology.with_nodes(removed=[NodeId(3)])
    reconfigure(cluster, topology)
    cluster.run(milliseconds(200))
    cluster.crash(3)
    cluster.down(3)
    cluster.run(seconds(20))
    check_settled(cluster, topology)


def test_nobody_settles_before_everybody_is_joint() -> None:
    cluster = filled(5, 4)
    cluster.cut([2], [1, 3, 4, 5])
    topology = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    reconfigure(cluster, topology)
    cluster.run(seconds(5))
    assert all(machine.is_joint for machine in cluster.machines() if machine.node != 2)
    cluster.heal()
    cluster.run(seconds(5))
    check_settled(cluster, topology)


def test_a_removed_node_that_is_down_is_not_waited_for_and_learns_of_it_later() -> None:
    cluster = filled(5, 5)
    cluster.crash(2)
    cluster.down(2)
    topology = cluster.topology.with_nodes(removed=[NodeId(2)])
    reconfigure(cluster, topology)
    cluster.run(seconds(5))
    assert not any(machine.is_joint for machine in cluster.machines())
    cluster.restart(2)
    cluster.tick()
    with marks.expect("leaderless: a node that missed a movement takes over its end"):
        answer = cluster.read(2, keys()[0])
    assert answer is None or isinstance(answer, Answered | Failed)
    cluster.run(seconds(2))
    check_settled(cluster, topology)


def test_a_newcomer_to_the_news_jumps_to_where_the_others_are_going() -> None:
    cluster = filled(6, 4)
    first = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    second = first.with_nodes(added=[Place(NodeId(6))])
    cluster.step(6, Received(NodeId(1), Bundle(5, 1, (Plan(first, second),))))
    assert (cluster.machine(6).topology, cluster.machine(6).next_topology) == (first, second)


def test_a_hint_is_kept_for_the_new_owners() -> None:
    """It may be all that is left of a sloppy write."""
    cluster = filled(5, 4)
    topology = cluster.topology.with_replacement(NodeId(4), Place(NodeId(5)))
    key = next(key for key in keys() if NodeId(4) in Preferences(cluster.topology).owners(key))
    writer = next(node for node in Preferences(cluster.topology).owners(key) if node != 4)
    cluster.cut([4], [1, 2, 3, 5])
    cluster.down(4)
    cluster.put(writer, key, b"hinted")
    assert key in cluster.machine(writer).hints[NodeId(4)]
    with marks.expect("leaderless: a hint is kept for the new owners"):
        reconfigure(cluster, topology, through=writer)
        cluster.run(seconds(3))
    assert not cluster.machine(writer).hints[NodeId(4)]
    assert cluster.seen(5, key).values == (b"hinted",)


def test_an_actor_that_gave_cells_away_is_born_again() -> None:
    """Its dots are on other nodes now; should the keys come back without some of them, none may be given again."""
    cluster = filled(5, 4, rule="siblings")
    before = [machine.stamper.actor for machine in cluster.machines()]
    reconfigure(cluster, cluster.topology.with_nodes(added=[Place(NodeId(5))]))
    cluster.run(seconds(2))
    after = [machine.stamper.actor for machine in cluster.machines()]
    assert all(new != old and new >> 32 == old >> 32 for new, old in zip(after[:4], before[:4], strict=True))
    assert after[4] == before[4], "it gave nothing away"
    born = [record for record in cluster.box(1).disk if isinstance(record, Born)]
    assert born[-1].actor == after[0]
    cluster.crash(1)
    cluster.restart(1)
    assert cluster.machine(1).stamper.actor == after[0]


def test_dropping_goes_on_after_a_crash() -> None:
    cluster = filled(5, 4)
    reconfigure(cluster, cluster.topology.with_nodes(added=[Place(NodeId(5))]))
    while cluster.machine(1).phase != 4:
        cluster.run(milliseconds(10))
    left = [key for key in cluster.machine(1).cells if not cluster.machine(1).holds(key)]
    cluster.crash(1)
    cluster.restart(1)
    cluster.run(seconds(1))
    assert left
    assert not any(key in cluster.machine(1).cells for key in left)


# Plans that cannot be.


def test_of_two_plans_the_larger_one_wins() -> None:
    """Two operators at once: safe, as nobody settles before all are joint on the same."""
    cluster = filled(6, 4)
    one = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    two = cluster.topology.with_nodes(added=[Place(NodeId(6))])
    with marks.expect("leaderless: of two plans the larger one wins"):
        reconfigure(cluster, one, through=1)
        reconfigure(cluster, two, through=2)
        cluster.run(seconds(5))
    winner = cluster.machine(1).topology
    assert winner in (one, two)
    check_settled(cluster, winner)


def test_a_movement_that_cannot_end_is_given_up() -> None:
    """The newcomer never came; the plan is replaced by none, and later by another."""
    cluster = filled(5, 4)
    cluster.crash(5)
    plan = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    reconfigure(cluster, plan)
    cluster.run(seconds(2))
    assert all(machine.is_joint for machine in cluster.machines())
    given_up = cluster.topology.with_nodes(instead_of=plan)
    reconfigure(cluster, given_up, through=3)
    cluster.run(seconds(2))
    check_settled(cluster, given_up)
    smaller = given_up.with_nodes(removed=[NodeId(2)])
    assert (smaller.version, smaller.attempt) == (3, 0)
    reconfigure(cluster, smaller, through=3)
    cluster.run(seconds(2))
    check_settled(cluster, smaller)


def test_a_node_that_dies_while_it_moves_is_removed_by_another_plan() -> None:
    cluster = filled(5, 4)
    plan = cluster.topology.with_nodes(added=[Place(NodeId(5))])
    reconfigure(cluster, plan)
    cluster.run(milliseconds(50))
    cluster.crash(2)
    cluster.down(2)
    cluster.run(seconds(2))
    assert all(machine.is_joint for machine in cluster.machines())
    other = cluster.topology.with_nodes(added=[Place(NodeId(5))], removed=[NodeId(2)], instead_of=plan)
    reconfigure(cluster, other)
    cluster.run(seconds(3))
    check_settled(cluster, other)


def test_a_topology_that_does_not_follow_or_cannot_be_is_refused() -> None:
    cluster = filled(4, 4)
    topology = cluster.topology
    too_few = Topology(2, topology.places[:2], {"": 3})
    with marks.expect("leaderless: a topology that does not follow the present one is refused"):
        reconfigure(cluster, topology)
    reconfigure(cluster, Topology(7, topology.places, {"": 3}))
    reconfigure(cluster, too_few)
    assert cluster.machine(1).refused_count == 3
    with marks.expect("leaderless: a topology that cannot be is refused"):
        cluster.step(1, Received(NodeId(2), Bundle(6, 1, (Plan(Topology(3, topology.places[:1], {"": 3}), None),))))
    assert not cluster.machine(1).is_joint


def test_parts_of_streams_that_make_no_sense_are_refused() -> None:
    cluster = joint()
    for number, part in enumerate(
        (Fetch(1, 5, 4, 1), Fetch(1, -1, 4, 1), Fetch(1, 0, 1 << 64, 1), Fetch(1, 0, 5, 0)), 1
    ):
        with marks.expect("leaderless: a part of a stream that makes no sense is refused"):
            cluster.step(1, Received(NodeId(2), Bundle(3, 1, (part,))))
        assert cluster.machine(1).refused_count == number
    cluster.now += milliseconds(100)
    cluster.step(5, TimerFired("move"))
    source, (stream, *_) = next(iter(cluster.machine(5)._asked.items()))
    for through in (stream.position - 1, stream.gain.end):
        cluster.step(5, Received(source, Bundle(3, 1, (Fetched(stream.number, through, ()),))))
    assert cluster.machine(5).refused_count == 2
    cluster.step(5, Received(source, Bundle(3, 1, (Fetched(12345, stream.position, ()),))))
    assert stream.position == stream.gain.start


def test_a_stage_of_another_plan_counts_for_nothing() -> None:
    cluster = joint()
    for sender in (2, 3, 4, 5):
        cluster.step(1, Received(NodeId(sender), Bundle(3, 1, (Stage(7, is_gathered=True, is_settled=True),))))
    assert cluster.machine(1).is_joint


def test_the_records_of_a_movement_end_with_it() -> None:
    cluster = joint()
    cluster.run(seconds(3))
    kept = canonical(cluster.box(5).disk)
    assert not any(isinstance(record, Streamed | Gathered) for record in kept)
    assert [record.is_settled for record in kept if isinstance(record, Adopted)] == [True]


def test_keys_are_made_ready_a_little_at_a_time() -> None:
    """A million keys must not stop a source for a second."""
    names = [b"%d" % number for number in range(3000)]
    outgoing = Outgoing(names)
    outgoing.prepare(2999)
    assert not outgoing.is_ready
    outgoing.prepare(5)
    assert outgoing.is_ready
    hashes = sorted((hash_key(name), name) for name in names)
    assert list(outgoing.between(0, HASH_COUNT - 1)) == hashes
    start, last = hashes[700][0], hashes[1900][0]
    assert list(outgoing.between(start, last)) == hashes[700:1901]
    assert list(outgoing.between(start + 1, last - 1)) == hashes[701:1900]


def test_a_source_that_is_not_ready_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_PREPARE_COUNT", 5)
    cluster = joint()
    cluster.run(seconds(5))
    check_settled(cluster, cluster.machine(1).topology)
    assert cluster.machine(1).topology.version == 2
