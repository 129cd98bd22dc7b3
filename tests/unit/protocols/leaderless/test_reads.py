"""Reads through a coordinator: digests, merging, repair, speculation, and what a session asks for."""

import pytest

from quorate.kernel import NodeId, Received, marks, milliseconds, seconds
from quorate.protocols.leaderless import Answered, Ask, Bundle, Failed, Put, Stored, Told, ToldDigest, Write
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def behind(cluster: LeaderlessCluster, node: int, value: bytes = b"new") -> None:
    """Write something that a node misses, without a hint for it."""
    for box in cluster.boxes.values():
        box.machine.hints.clear()
    cluster.cut([node], [other for other in cluster.boxes if other != node])
    other = next(other for other in cluster.boxes if other != node)
    cluster.put(other, KEY, value)
    cluster.heal()
    for box in cluster.boxes.values():
        box.machine.writes.clear()
        box.machine.hints.clear()


def test_one_replica_sends_the_cell_and_the_others_a_digest() -> None:
    cluster = LeaderlessCluster(3)
    cluster.put(1, KEY, b"v")
    cluster.request(1, KEY, level="ALL")
    assert [part.is_digest for _, _, part in cluster.parts() if isinstance(part, Ask)] == [True, True]
    cluster.deliver(cluster.wire[0])
    assert any(isinstance(part, ToldDigest) for _, _, part in cluster.parts())
    plain = LeaderlessCluster(3, digest_reads=False)
    plain.request(1, KEY, level="ALL")
    assert [part.is_digest for _, _, part in plain.parts() if isinstance(part, Ask)] == [False, False]


def test_a_read_asks_no_more_replicas_than_its_level_needs() -> None:
    cluster = LeaderlessCluster(3)
    cluster.request(1, KEY, level="ONE")
    assert cluster.parts() == []
    cluster.request(1, KEY, level="QUORUM")
    assert len(cluster.parts()) == 1


def test_digests_differ_and_the_cells_are_merged() -> None:
    cluster = LeaderlessCluster(3)
    behind(cluster, 1)
    assert cluster.cell(1, KEY) == b""
    with marks.expect("leaderless: digests differ"), marks.expect("leaderless: read repair"):
        assert cluster.get(1, KEY) == (b"new",)
    assert cluster.seen(1, KEY).values == (b"new",)


def test_a_blocking_repair_is_on_disk_before_the_answer() -> None:
    """So the next quorum read, of other replicas, sees no less."""
    cluster = LeaderlessCluster(3, read_repair="blocking")
    behind(cluster, 2)
    behind(cluster, 3, b"old for three")
    # Node 1 and 2 hold the newest; node 3 does not. Ask 3 and 1 only.
    cluster.box(3).is_slow = True
    token = cluster.request(3, KEY)
    cluster.settle()
    assert cluster.answer(token) is None
    cluster.sync(3)
    assert isinstance(cluster.answer(token), Answered)


def test_a_background_repair_comes_after_the_answer() -> None:
    cluster = LeaderlessCluster(3, read_repair="background")
    behind(cluster, 2)
    token = cluster.request(1, KEY, level="ALL")
    while cluster.answer(token) is None:
        cluster.deliver(cluster.wire[0])
    assert cluster.cell(2, KEY) == b""
    cluster.settle()
    assert cluster.seen(2, KEY).values == (b"new",)


def test_without_repair_the_replica_stays_behind() -> None:
    cluster = LeaderlessCluster(3, read_repair="none")
    behind(cluster, 2)
    assert cluster.get(1, KEY, level="ALL") == (b"new",)
    assert cluster.cell(2, KEY) == b""


def test_a_silent_replica_costs_one_more_to_be_asked() -> None:
    cluster = LeaderlessCluster(3)
    cluster.put(1, KEY, b"v")
    token = cluster.request(1, KEY)
    asked = cluster.wire[0].to
    cluster.cut([asked], [1])
    with marks.expect("leaderless: a speculative retry"):
        cluster.run(milliseconds(25))
    assert isinstance(cluster.answer(token), Answered)


def test_without_a_delay_all_are_asked_at_once() -> None:
    cluster = LeaderlessCluster(3, speculative_delay=0)
    cluster.request(1, KEY, level="ONE")
    assert sum(isinstance(part, Ask) for _, _, part in cluster.parts()) == 2


def test_a_lost_question_is_asked_again() -> None:
    cluster = LeaderlessCluster(3)
    cluster.put(1, KEY, b"v")
    token = cluster.request(1, KEY, level="ALL")
    cluster.wire.clear()
    cluster.run(milliseconds(100))
    assert isinstance(cluster.answer(token), Answered)


def test_a_node_that_goes_down_is_replaced_at_once() -> None:
    cluster = LeaderlessCluster(3)
    token = cluster.request(1, KEY)
    asked = cluster.wire.pop().to
    cluster.down(asked)
    cluster.settle()
    assert isinstance(cluster.answer(token), Answered)


def test_a_read_without_its_level_ends_and_did_nothing() -> None:
    cluster = LeaderlessCluster(3)
    cluster.cut([1], [2, 3])
    token = cluster.request(1, KEY)
    with marks.expect("leaderless: a read ends without its level"):
        cluster.run(seconds(3))
    answer = cluster.answer(token)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("TIMEDOUT", "no")
    assert cluster.machine(1).pending_count == 0


def test_a_late_answer_is_repaired() -> None:
    """Dynamo, section 5: replicas that answered late with a stale version are updated."""
    cluster = LeaderlessCluster(3, speculative_delay=0)
    behind(cluster, 2)
    cluster.request(1, KEY, level="QUORUM")
    for_two = next(letter for letter in cluster.wire if letter.to == 2)
    cluster.wire.remove(for_two)
    cluster.settle()
    cluster.wire.append(for_two)
    with marks.expect("leaderless: a late answer is repaired"):
        cluster.settle()
    assert cluster.seen(2, KEY).values == (b"new",)
    assert cluster.machine(1).pending_count == 0


def test_a_late_answer_that_is_ahead_repairs_the_others() -> None:
    cluster = LeaderlessCluster(3, speculative_delay=0)
    behind(cluster, 1)
    behind(cluster, 1)
    # Now 2 alone gets something newer.
    cluster.machine(3).cells.pop(KEY)
    newer = cluster.cell(2, KEY)
    cluster.request(1, KEY, level="QUORUM")
    for_two = next(letter for letter in cluster.wire if letter.to == 2)
    cluster.wire.remove(for_two)
    cluster.settle()
    cluster.wire.append(for_two)
    cluster.settle()
    assert [cluster.cell(node, KEY) for node in (1, 2, 3)] == [newer] * 3


def test_more_replicas_are_asked_for_what_the_session_has_seen() -> None:
    cluster = LeaderlessCluster(3)
    behind(cluster, 1)
    token = cluster.rule.token(cluster.cell(2, KEY))
    with marks.expect("leaderless: more replicas are asked for what the reader has seen"):
        assert cluster.get(1, KEY, level="ONE", at_least=token) == (b"new",)


def test_what_no_replica_has_is_stale_for_certain() -> None:
    cluster = LeaderlessCluster(3)
    ahead = LeaderlessCluster(3, seed=1)
    ahead.run(seconds(1))
    written = ahead.put(1, KEY, b"elsewhere")
    assert isinstance(written, Answered)
    cluster.put(1, KEY, b"here")
    with marks.expect("leaderless: no replica has what the reader has seen"):
        answer = cluster.read(1, KEY, level="ONE", at_least=cluster.rule.token(written.cell))
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("STALE", "no")


def test_a_session_that_saw_a_tombstone_is_content_when_it_has_been_purged() -> None:
    cluster = LeaderlessCluster(3, tombstone_grace=seconds(20), hint_window=seconds(10))
    gone = cluster.delete(1, KEY)
    assert isinstance(gone, Answered)
    token = cluster.rule.token(gone.cell)
    cluster.run(seconds(30))
    assert cluster.cell(1, KEY) == b""
    assert cluster.get(1, KEY, at_least=token) == ()


def test_a_value_that_is_not_on_disk_is_not_shown_to_anybody() -> None:
    """It could be gone after a crash, and the next read would be older."""
    cluster = LeaderlessCluster(3)
    cluster.put(1, b"other", b"v")
    for node in (1, 2, 3):
        cluster.box(node).is_slow = True
    cluster.request(1, KEY, Put(b"v"))
    cluster.settle()
    own = cluster.request(1, KEY, level="ONE")
    others = cluster.request(2, KEY, level="ONE")
    cluster.settle()
    assert cluster.answer(own) is None
    assert cluster.answer(others) is None
    cluster.sync(1)
    cluster.sync(2)
    assert isinstance(cluster.answer(own), Answered)
    assert isinstance(cluster.answer(others), Answered)


def test_a_node_that_is_no_owner_reads_too() -> None:
    cluster = LeaderlessCluster(6, replica_count=3)
    cluster.put(1, KEY, b"v")
    assert all(cluster.get(node, KEY) == (b"v",) for node in range(1, 7))


def test_answers_of_strangers_and_repeated_ones_change_nothing() -> None:
    cluster = LeaderlessCluster(3)
    cluster.put(1, KEY, b"v")
    token = cluster.request(1, KEY, level="ALL")
    for letter in list(cluster.wire):
        cluster.deliver(letter)
    for letter in list(cluster.wire):
        cluster.deliver(letter, repeat=True)
        cluster.deliver(letter)
    assert isinstance(cluster.answer(token), Answered)


@pytest.mark.parametrize("part", [Told(1, b"\x01garbage"), Write(1, KEY, b"\xff"), Told(1, b"")])
def test_garbage_is_no_answer(part) -> None:
    cluster = LeaderlessCluster(3)
    token = cluster.request(1, KEY, level="ALL")
    number = next(iter(cluster.machine(1).reads))
    if isinstance(part, Told):
        part = Told(number, part.cell)
    for sender in (2, 3, 7):
        cluster.step(1, Received(NodeId(sender), Bundle(2, 1, (part,))))
    is_answer = isinstance(part, Told) and not part.cell
    assert isinstance(cluster.answer(token), Answered) is is_answer
    assert cluster.machine(1).refused_count == (0 if is_answer else 2 if isinstance(part, Told) else 3)


def test_cells_are_recovered_from_the_records() -> None:
    cluster = LeaderlessCluster(3)
    cluster.put(1, KEY, b"v")
    before = cluster.cell(1, KEY)
    cluster.crash(1)
    cluster.restart(1)
    cluster.tick()
    assert cluster.cell(1, KEY) == before
    assert sum(isinstance(record, Stored) for record in cluster.box(1).disk) == 1
