"""Writes through a coordinator: levels, acknowledgements, refusals, and what is said when."""

import pytest

from quorate.kernel import NodeId, marks, milliseconds, seconds
from quorate.kernel.errors import ConfigError, UsageError
from quorate.protocols.leaderless import Answered, Failed, Place, Put, Topology, Write, Written
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def test_a_write_goes_to_all_owners_whatever_its_level() -> None:
    """Cassandra: the level only says how many acknowledgements are awaited."""
    cluster = LeaderlessCluster(3)
    assert isinstance(cluster.put(1, KEY, b"v", level="ONE"), Answered)
    assert [cluster.seen(node, KEY).values for node in (1, 2, 3)] == [(b"v",)] * 3


def test_a_quorum_write_is_answered_with_the_second_stable_copy() -> None:
    cluster = LeaderlessCluster(3)
    cluster.put(1, b"other", b"v")
    cluster.box(1).is_slow = True
    token = cluster.request(1, KEY, Put(b"v"))
    first, second = cluster.wire[:2]
    cluster.deliver(first)
    cluster.deliver(next(letter for letter in cluster.wire if letter.to == 1))
    assert cluster.answer(token) is None, "one copy, and its own is not stable"
    cluster.sync(1)
    assert isinstance(cluster.answer(token), Answered)
    cluster.deliver(second)
    cluster.settle()
    assert cluster.machine(1).pending_count == 0


def test_nobody_says_written_before_it_is() -> None:
    cluster = LeaderlessCluster(3)
    cluster.box(2).is_slow = True
    cluster.request(1, KEY, Put(b"v"))
    cluster.settle()
    assert not any(letter.sender == 2 for letter in cluster.wire)
    cluster.sync(2)
    assert [type(part) for _, _, part in cluster.parts()] == [Written]


def test_a_repeated_write_is_acknowledged_without_a_write_but_not_before_the_first_is_stable() -> None:
    cluster = LeaderlessCluster(3)
    cluster.box(2).is_slow = True
    cluster.request(1, KEY, Put(b"v"))
    letter = next(letter for letter in cluster.wire if letter.to == 2)
    cluster.deliver(letter, repeat=True)
    assert len(cluster.box(2).writes) == 1
    cluster.deliver(letter)
    assert len(cluster.box(2).writes) == 1, "the second changes nothing"
    assert not any(letter.sender == 2 for letter in cluster.wire)
    cluster.sync(2)
    assert sum(isinstance(part, Written) for sender, _, part in cluster.parts() if sender == 2) == 2
    cluster.deliver(next(letter for letter in cluster.wire if letter.sender == 2))
    cluster.request(1, KEY, Put(b"v2"))


def test_a_put_under_lww_leaves_at_once_and_one_with_a_dot_after_its_own_disk() -> None:
    """Its stamp is below a stable ceiling and never given again; a dot could be, if a crash took the cell back."""
    for rule, is_eager in (("lww", True), ("siblings", False)):
        cluster = LeaderlessCluster(3, rule=rule)
        cluster.put(1, b"other", b"v")
        cluster.box(1).is_slow = True
        cluster.request(1, KEY, Put(b"v"))
        assert any(isinstance(part, Write) for _, _, part in cluster.parts()) is is_eager


def test_the_first_stamps_of_a_life_wait_for_their_ceiling() -> None:
    cluster = LeaderlessCluster(3)
    cluster.box(1).is_slow = True
    cluster.request(1, KEY, Put(b"v"))
    assert cluster.wire == []


def test_stamps_of_a_new_life_are_above_all_that_were_told() -> None:
    """Although the disk lost the write itself and the wall clock went back a day."""
    cluster = LeaderlessCluster(3)
    cluster.put(1, b"other", b"v")
    cluster.box(1).is_slow = True
    cluster.request(1, KEY, Put(b"before"))
    cluster.settle()
    cluster.crash(1)
    cluster.box(1).is_slow = False
    cluster.box(1).skew_ns = -seconds(86_400)
    cluster.restart(1)
    cluster.tick()
    assert cluster.cell(1, KEY) == b""
    cluster.put(1, KEY, b"after")
    assert cluster.get(2, KEY) == (b"after",)


@pytest.mark.parametrize(
    ("level", "down", "outcome"),
    [
        ("ONE", [2, 3], Answered),
        ("2", [3], Answered),
        ("QUORUM", [3], Answered),
        ("QUORUM", [2, 3], Failed),
        ("ALL", [3], Failed),
        ("TWO", [2, 3], Failed),
        ("THREE", [], Answered),
        ("4", [], Failed),
        ("LOCAL_QUORUM", [3], Answered),
        ("EACH_QUORUM", [2, 3], Failed),
        ("ANY", [2, 3], Answered),
        ("NONE", [2, 3], Answered),
    ],
)
def test_a_level_that_cannot_be_met_is_refused_before_anything_is_sent(level: str, down: list[int], outcome) -> None:
    cluster = LeaderlessCluster(3)
    for node in down:
        cluster.down(node)
    token = cluster.request(1, KEY, Put(b"v"), level=level)
    answer = cluster.answer(token)
    if outcome is Failed:
        assert cluster.wire == []
        assert cluster.cell(1, KEY) == b""
        assert isinstance(answer, Failed)
        assert (answer.code, answer.happened) == ("UNREACHABLE", "no")
    cluster.settle()
    assert isinstance(cluster.answer(token), outcome)


def test_refusals_are_marked() -> None:
    cluster = LeaderlessCluster(3)
    cluster.down(2)
    cluster.down(3)
    with marks.expect("leaderless: a write is refused beforehand"):
        cluster.put(1, KEY, b"v")
    with marks.expect("leaderless: a read is refused beforehand"):
        cluster.read(1, KEY)


def test_a_silent_owner_makes_a_write_end_maybe() -> None:
    """It was sent: it may have happened, or may still."""
    cluster = LeaderlessCluster(3)
    cluster.cut([1], [2, 3])
    token = cluster.request(1, KEY, Put(b"v"))
    with marks.expect("leaderless: a write ends without its level"):
        cluster.run(seconds(3))
    answer = cluster.answer(token)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("TIMEDOUT", "maybe")
    assert cluster.machine(1).pending_count == 0


def test_a_lost_write_is_told_again_within_the_timeout() -> None:
    cluster = LeaderlessCluster(3)
    token = cluster.request(1, KEY, Put(b"v"), level="ALL")
    cluster.wire.clear()
    cluster.run(milliseconds(600))
    assert isinstance(cluster.answer(token), Answered)


def test_a_request_has_its_own_timeout() -> None:
    cluster = LeaderlessCluster(3)
    cluster.cut([1], [2, 3])
    token = cluster.request(1, KEY, Put(b"v"), timeout=milliseconds(100))
    cluster.run(milliseconds(110))
    assert isinstance(cluster.answer(token), Failed)


def two_datacenters() -> Topology:
    places = tuple(Place(NodeId(node), "east" if node < 4 else "west") for node in range(1, 7))
    return Topology(1, places, {"east": 3, "west": 3})


@pytest.mark.parametrize(
    ("level", "is_met"), [("LOCAL_ONE", True), ("LOCAL_QUORUM", True), ("QUORUM", False), ("EACH_QUORUM", False)]
)
def test_local_levels_do_not_wait_for_the_other_data_centre(level: str, is_met: bool) -> None:
    cluster = LeaderlessCluster(6, topology=two_datacenters())
    cluster.cut([1, 2, 3], [4, 5, 6])
    assert isinstance(cluster.put(1, KEY, b"v", level=level), Answered) is is_met


def test_the_other_data_centre_gets_the_write_too() -> None:
    cluster = LeaderlessCluster(6, topology=two_datacenters())
    cluster.put(1, KEY, b"v", level="LOCAL_ONE")
    assert [cluster.seen(node, KEY).values for node in range(1, 7)] == [(b"v",)] * 6
    assert cluster.get(5, KEY, level="LOCAL_QUORUM") == (b"v",)


def test_a_local_level_where_nothing_is_kept_is_refused() -> None:
    places = tuple(Place(NodeId(node), "east" if node < 4 else "west") for node in range(1, 5))
    cluster = LeaderlessCluster(4, topology=Topology(1, places, {"east": 3}))
    answer = cluster.put(4, KEY, b"v", level="LOCAL_ONE")
    assert isinstance(answer, Failed)
    assert answer.code == "UNREACHABLE"
    assert isinstance(cluster.put(4, KEY, b"v", level="QUORUM"), Answered)


def test_fire_and_forget_is_answered_at_once_and_leaves_no_trace_of_a_loss() -> None:
    cluster = LeaderlessCluster(3)
    cluster.box(1).is_slow = True
    token = cluster.request(1, KEY, Put(b"v"), level="NONE")
    assert isinstance(cluster.answer(token), Answered)
    cluster.crash(1)
    assert cluster.machine(1).pending_count == 0
    assert not any(box.machine.hints.get(NodeId(3)) for box in cluster.boxes.values())


def test_a_write_follows_what_its_owner_holds_even_from_the_future() -> None:
    """A clock that is a day ahead poisons one key, not the clocks; and the next write of that key still wins."""
    cluster = LeaderlessCluster(3)
    cluster.box(3).skew_ns = seconds(86_400)
    cluster.put(3, KEY, b"tomorrow")
    with marks.expect("leaderless: a write above a stamp from the future"):
        cluster.put(1, KEY, b"today")
    assert cluster.get(2, KEY) == (b"today",)
    answer = cluster.put(1, b"other", b"v")
    assert isinstance(answer, Answered)
    stamp = cluster.rule.stamp(cluster.rule.token(answer.cell))
    assert stamp is not None
    assert stamp.wall_ns < cluster.wall_ns(1) + seconds(1)


def test_a_context_from_another_replica_is_written_above() -> None:
    cluster = LeaderlessCluster(5, replica_count=3)
    cluster.box(2).skew_ns = milliseconds(400)
    written = cluster.put(2, KEY, b"first")
    assert isinstance(written, Answered)
    for node in range(1, 6):
        cluster.put(node, KEY, b"by %d" % node, context=cluster.rule.token(written.cell))
        written = cluster.read(node, KEY)
        assert isinstance(written, Answered)
        assert cluster.rule.seen(written.cell).values == (b"by %d" % node,)


def test_what_is_too_large_is_refused() -> None:
    cluster = LeaderlessCluster(3, key_bytes_max=10, value_bytes_max=10)
    for answer in (
        cluster.put(1, b"x" * 11, b"v"),
        cluster.put(1, KEY, b"v" * 11),
        cluster.change(1, KEY, Put(b"v", b"n" * 11)),
    ):
        assert isinstance(answer, Failed)
        assert (answer.code, answer.happened) == ("TOOLARGE", "no")
    assert isinstance(cluster.put(1, b"x" * 10, b"v" * 10), Answered)


def test_a_request_beyond_the_limit_is_refused() -> None:
    cluster = LeaderlessCluster(3, pending_count_max=2)
    cluster.cut([1], [2, 3])
    cluster.put(1, b"1", b"v")
    cluster.put(1, b"2", b"v")
    with marks.expect("leaderless: a request beyond the limit is refused"):
        answer = cluster.put(1, b"3", b"v")
    assert isinstance(answer, Failed)
    assert (answer.code, answer.happened) == ("OVERLOADED", "no")
    cluster.heal()
    cluster.run(seconds(1))
    assert isinstance(cluster.put(1, b"3", b"v"), Answered)


def test_a_sibling_beyond_the_limit_is_refused() -> None:
    cluster = LeaderlessCluster(3, rule="siblings", sibling_count_max=3)
    for number in range(3):
        cluster.put(1, KEY, b"%d" % number)
    with marks.expect("leaderless: a sibling beyond the limit is refused"):
        answer = cluster.put(1, KEY, b"3")
    assert isinstance(answer, Failed)
    assert answer.code == "TOOMANYSIBLINGS"
    read = cluster.read(2, KEY)
    assert isinstance(read, Answered)
    assert isinstance(cluster.put(2, KEY, b"one", context=cluster.rule.token(read.cell)), Answered)
    assert cluster.get(3, KEY) == (b"one",)


@pytest.mark.parametrize("level", ["", "quorum", "0", "-1", "1.5", "\u0661"])
def test_a_word_that_is_no_level_is_refused_with_all_that_are(level: str) -> None:
    if level:
        cluster = LeaderlessCluster(3)
        answer = cluster.put(1, KEY, b"v", level=level)
        assert isinstance(answer, Failed)
        assert answer.code == "ERR"
        assert "EACH_QUORUM" in answer.sentence
    with pytest.raises(UsageError):
        LeaderlessCluster(3, write_level=level)


@pytest.mark.parametrize("level", ["ANY", "NONE"])
def test_a_level_of_writes_is_none_for_reads(level: str) -> None:
    answer = LeaderlessCluster(3).read(1, KEY, level=level)
    assert isinstance(answer, Failed)
    assert answer.code == "ERR"


def test_a_window_beyond_the_grace_is_refused() -> None:
    """A hint would bring a deleted value back."""
    with pytest.raises(ConfigError, match="hint_window"):
        LeaderlessCluster(3, hint_window=seconds(100), tombstone_grace=seconds(100))


def test_more_copies_than_nodes_are_refused() -> None:
    places = tuple(Place(NodeId(node)) for node in (1, 2))
    with pytest.raises(UsageError, match="3 copies need as many nodes"):
        LeaderlessCluster(2, topology=Topology(1, places, {"": 3}))
