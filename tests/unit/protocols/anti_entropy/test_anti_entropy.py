"""Anti-entropy, one rule a test, on machines whose messages are delivered by hand."""

import random
from itertools import pairwise

import pytest

from quorate.kernel import HASH_COUNT, NodeId, Received, hash_key, marks, milliseconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.anti_entropy import (
    Agreed,
    Answer,
    AntiEntropyConfig,
    Ask,
    CompareAll,
    Decline,
    Divergent,
    Listing,
    Names,
    PeerDown,
    PeerUp,
    Reshape,
    SharedRange,
    Sums,
    Tick,
)
from quorate.protocols.anti_entropy.testing import Letter, Table
from quorate.protocols.swim import Nack


def many(count: int, *, other: tuple[int, ...] = ()) -> dict[bytes, bytes]:
    return {b"key:%d" % number: b"other" if number in other else b"value" for number in range(count)}


def agreements(table: Table, node: int) -> list[Agreed]:
    return [output for by, output in table.outputs if by == node and isinstance(output, Agreed)]


def test_equal_replicas_pay_one_sum_for_a_range() -> None:
    """A question and an answer, however many keys there are."""
    table = Table({1: many(5_000), 2: many(5_000)})
    table.cycle(1)
    assert table.sent_count == 2
    assert table.sent_bytes < 100
    assert agreements(table, 1) == [Agreed(NodeId(2), 0, HASH_COUNT, 0)]


def test_exactly_what_differs_is_named() -> None:
    """Different, missing here, missing there; not their neighbours."""
    mine, theirs = many(3_000, other=(7, 2_999)), many(3_000, other=(7, 11))
    del mine[b"key:500"]
    del theirs[b"key:600"]
    table = Table({1: mine, 2: theirs})
    table.cycle(1)
    assert table.named(1) == sorted(b"key:%d" % number for number in (11, 500, 600, 2_999))
    assert table.named(2) == []


def test_an_empty_replica_learns_of_everything() -> None:
    """As after a lost disk: it lists nothing, the other names all, in parts."""
    with marks.expect("anti-entropy: too many keys to name"):
        table = Table({1: {}, 2: many(3_000)})
        table.cycle(1)
    assert table.named(1) == sorted(many(3_000))


def test_a_full_replica_learns_that_its_peer_is_empty() -> None:
    table = Table({1: many(700), 2: {}})
    table.cycle(1)
    assert table.named(1) == sorted(many(700))


def test_swapped_values_of_two_keys_are_seen() -> None:
    """Sums alone would not change if digests did not depend on the key."""
    table = Table({1: {b"a": b"1", b"b": b"2"}, 2: {b"a": b"2", b"b": b"1"}})
    table.cycle(1)
    assert table.named(1) == [b"a", b"b"]


def test_a_change_is_seen_in_the_next_cycle_without_any_rebuilding() -> None:
    table = Table({1: many(500), 2: many(500)})
    table.cycle(1)
    table.put(2, {b"key:3": b"new", b"key:4": b"", b"fresh": b"x"})
    table.machines[NodeId(2)].index.check()
    table.call(1, CompareAll())
    table.cycle(1)
    assert table.named(1) == [b"fresh", b"key:3", b"key:4"]


def test_what_changed_while_the_answer_was_under_way_is_not_named() -> None:
    """It is being replicated at this moment; naming it would repair what is not broken."""
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2", b"b": b"3"}})
    table.fire(1)
    while not isinstance(table.wire[0].message, Answer) or not table.wire[0].message.names:
        table.deliver()
    table.put(1, {b"a": b"2", b"b": b"3"})
    table.settle()
    assert table.named(1) == []


def test_a_key_that_moved_on_is_left_for_the_next_cycle() -> None:
    """Neither side's listed digest is its own any more."""
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}})
    table.fire(1)
    while not isinstance(table.wire[0].message, Answer) or not table.wire[0].message.names:
        table.deliver()
    table.put(1, {b"a": b"3"})
    table.settle()
    assert table.named(1) == []
    table.call(1, CompareAll())
    table.cycle(1)
    assert table.named(1) == [b"a"]


def test_an_operator_does_not_wait_for_intervals() -> None:
    """More ranges than an interval allows, more peers than one time allows: all of it without a timer of cycles."""
    cells = {node: many(60, other=(node,)) for node in (1, 2, 3, 4)}
    cuts = [HASH_COUNT // 200 * place for place in range(200)] + [HASH_COUNT]
    table = Table(
        cells,
        make=lambda node: AntiEntropyConfig(node=node, range_count=1, exchange_count_max=1),
        ranges=tuple(pairwise(cuts)),
    )
    table.fire(1)
    table.call(1, CompareAll())
    table.settle()
    assert table.machines[NodeId(1)].is_idle
    assert table.named(1) == [b"key:1", b"key:2", b"key:3", b"key:4"]


def test_a_comparison_that_an_operator_asks_for_begins_after_he_asked() -> None:
    """One that was under way may have looked at a range before."""
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"1"}})
    table.fire(1)
    old = table.machines[NodeId(1)].exchanges[NodeId(2)].number
    table.call(1, CompareAll())
    assert table.machines[NodeId(1)].exchanges[NodeId(2)].number != old
    with marks.expect("anti-entropy: ignored an answer that nobody waits for"):
        table.settle()
    assert len(agreements(table, 1)) == 1


def test_different_topologies_are_not_compared() -> None:
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}})
    table.call(2, Reshape(2, (SharedRange(0, HASH_COUNT, (NodeId(1),)),)))
    with marks.expect("anti-entropy: declined for another topology"):
        table.cycle(1)
    assert table.named(1) == []
    assert table.machines[NodeId(1)].declined_count == 1


def test_a_lost_answer_costs_a_repetition_and_nothing_else() -> None:
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}})
    table.fire(1)
    table.deliver()
    table.wire.clear()
    with marks.expect("anti-entropy: a question was repeated"):
        table.fire(1, "answer/2")
    table.settle()
    assert table.named(1) == [b"a"]


def test_a_silent_peer_is_given_up_and_tried_again_in_the_next_cycle() -> None:
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}})
    table.fire(1)
    with marks.expect("anti-entropy: an exchange was given up"):
        for _ in range(3):
            table.wire.clear()
            table.fire(1, "answer/2")
    machine = table.machines[NodeId(1)]
    assert (machine.exchanges, machine.abandoned_count) == ({}, 1)
    table.wire.clear()
    table.call(1, CompareAll())
    table.cycle(1)
    assert table.named(1) == [b"a"]


def test_repeated_and_late_messages_change_nothing() -> None:
    """Every message twice, and all of them once more at the end."""
    table = Table({1: many(300, other=(5,)), 2: many(300, other=(6,))})
    table.fire(1)
    seen: list[Letter] = []
    with marks.expect("anti-entropy: ignored an answer that nobody waits for"):
        while table.wire:
            seen.append(table.wire[0])
            table.wire.append(table.wire[0])
            table.deliver()
            if len(seen) > 200:
                break
            table.wire = type(table.wire)(letter for letter in table.wire if letter not in seen[:-1])
        for letter in seen:
            table.step(letter.to, Received(letter.sender, letter.message))
        table.settle()
    assert table.named(1) == [b"key:5", b"key:6"]
    assert not table.machines[NodeId(1)].exchanges


def test_an_answer_from_another_life_matches_nothing() -> None:
    """Numbers are drawn, not counted: an old "all equal" must not be taken for a new one."""
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"1"}})
    table.fire(1)
    table.deliver()
    old = table.wire.popleft()
    again = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}})
    again.machines[NodeId(1)].rng = random.Random(99)
    again.fire(1)
    again.step(NodeId(1), Received(old.sender, old.message))
    assert agreements(again, 1) == []


def test_a_budget_of_keys_makes_the_rest_wait() -> None:
    """What is named is repaired by others: a bound here is a bound there."""

    def slow(node: NodeId) -> AntiEntropyConfig:
        return AntiEntropyConfig(node=node, key_rate=100, digest_count_max=64, name_count_max=16)

    table = Table({1: {}, 2: many(2_000)}, make=slow)
    with marks.expect("anti-entropy: waits for the next interval to name more keys"):
        table.fire(1)
        table.settle()
    counts = []
    for _ in range(10):
        counts.append(len(table.named(1)))
        table.fire(1)
        table.settle()
    assert max(counts) < 200
    assert 900 <= sum(counts) <= 1_100


def test_a_peer_that_is_down_is_not_asked() -> None:
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}, 3: {b"a": b"2"}})
    table.call(1, PeerDown(NodeId(2)))
    table.cycle(1)
    assert {peer for peer, _ in table.found[NodeId(1)]} == {3}
    table.call(1, PeerUp(NodeId(2)))
    table.call(1, PeerUp(NodeId(2)))
    table.cycle(1)
    assert {peer for peer, _ in table.found[NodeId(1)]} == {2, 3}


def test_a_peer_that_goes_down_ends_its_exchange() -> None:
    table = Table({1: {b"a": b"1"}, 2: {b"a": b"2"}})
    table.fire(1)
    table.call(1, PeerDown(NodeId(2)))
    assert table.machines[NodeId(1)].exchanges == {}
    assert "answer/2" not in table.timers[NodeId(1)]


def test_the_order_of_ranges_is_random_and_complete() -> None:
    """No range waits behind the same others for ever."""
    step = HASH_COUNT // 32
    ranges = tuple((place * step, (place + 1) * step) for place in range(32))

    def few(node: NodeId) -> AntiEntropyConfig:
        return AntiEntropyConfig(node=node, range_count=4)

    table = Table({1: many(50), 2: many(50)}, ranges=ranges, make=few)
    table.fire(1)
    table.settle()
    assert len(agreements(table, 1)) == 4
    table.cycle(1)
    assert sorted((agreed.start, agreed.end) for agreed in agreements(table, 1)) == sorted(ranges)
    assert [agreed.start for agreed in agreements(table, 1)] != sorted(start for start, _ in ranges)


def test_pieces_of_a_range_that_differs_are_still_agreed_on() -> None:
    """One hot key must not keep the tombstones of all others."""
    table = Table({1: many(300), 2: many(300, other=(1,))})
    table.call(1, Tick(5_000))
    table.cycle(1)
    found = agreements(table, 1)
    hot = hash_key(b"key:1")
    assert len(found) == 2
    assert sum(agreed.end - agreed.start for agreed in found) == HASH_COUNT * 15 // 16
    assert not any(agreed.start <= hot < agreed.end for agreed in found)
    assert {agreed.began_wall_ns for agreed in found} == {5_000}


def test_keys_outside_the_ranges_are_not_compared() -> None:
    """What is kept for others, or was not yet given away, is nobody's business."""
    half = HASH_COUNT // 2
    cells = many(200)
    upper = {key for key in cells if hash_key(key) >= half}
    table = Table({1: cells, 2: {}}, ranges=((half, HASH_COUNT),))
    table.cycle(1)
    assert table.named(1) == sorted(upper)


@pytest.mark.parametrize(
    "ask",
    [
        Ask(1, 7, 1, (Sums(5, 4, bytes(8)),)),
        Ask(1, 7, 1, (Sums(0, 99, bytes(7)),)),
        Ask(1, 7, 1, (Sums(0, 99, b""),)),
        Ask(1, 7, 1, (Sums(0, 99, bytes(8 * 5)),)),
        Ask(1, 7, 1, (Sums(0, 99, bytes(8 * 4_000)),)),
        Ask(1, 7, 1, (), (Listing(0, 99, bytes(3)),)),
        Ask(1, 7, 1, (), (Listing(9, 3, b""),)),
        Ask(1, 7, 1, (Sums(0, 99, bytes(8)),) * 5_000),
    ],
)
def test_a_question_that_makes_no_sense_is_counted_and_declined(ask: Ask) -> None:
    """Also that of a node with other parameters: it cuts otherwise."""
    table = Table({1: many(5), 2: many(5)})
    with marks.expect("anti-entropy: refused a question that makes no sense"):
        table.step(NodeId(1), Received(NodeId(2), ask))
    assert table.machines[NodeId(1)].refused_count == 1
    assert [letter.message for letter in table.wire] == [Decline(7, 1)]


@pytest.mark.parametrize(
    ("differing", "names"),
    [((), ()), ((2,), ()), ((0, 0), ()), ((1,), (Names((), b""),)), ((1 << 40,), ())],
)
def test_an_answer_that_makes_no_sense_ends_the_exchange(differing: tuple[int, ...], names: tuple[Names, ...]) -> None:
    table = Table({1: many(5), 2: many(5)})
    table.fire(1)
    asked = table.wire.popleft().message
    assert isinstance(asked, Ask)
    with marks.expect("anti-entropy: refused an answer that makes no sense"):
        table.step(NodeId(1), Received(NodeId(2), Answer(asked.exchange, asked.step, differing, names)))
    assert table.machines[NodeId(1)].exchanges == {}
    assert table.outputs == []


def test_strange_messages_are_ignored() -> None:
    table = Table({1: many(5), 2: many(5)})
    with marks.expect("anti-entropy: ignored a message that is not its own"):
        table.step(NodeId(1), Received(NodeId(2), Nack(1)))
    with marks.expect("anti-entropy: ignored a message from itself"):
        table.step(NodeId(1), Received(NodeId(1), Decline(1, 1)))
    table.step(NodeId(1), Received(NodeId(2), Decline(1, 1)))
    assert not table.wire


def test_only_so_many_peers_at_one_time() -> None:
    def few(node: NodeId) -> AntiEntropyConfig:
        return AntiEntropyConfig(node=node, exchange_count_max=2)

    table = Table({node: many(5) for node in range(1, 8)}, make=few)
    table.fire(1)
    assert len({letter.to for letter in table.wire}) == 2
    table.settle()
    table.cycle(1)
    assert {int(agreed.peer) for agreed in agreements(table, 1)} == set(range(2, 8))


def test_long_keys_are_named_in_several_answers() -> None:
    def narrow(node: NodeId) -> AntiEntropyConfig:
        return AntiEntropyConfig(node=node, name_bytes_max=100, key_rate=1_000_000)

    cells = {b"k" * 60 + b"%d" % number: b"v" for number in range(40)}
    table = Table({1: {}, 2: cells}, make=narrow)
    table.cycle(1)
    assert table.named(1) == sorted(cells)
    assert max(len(output.keys) for _, output in table.outputs if isinstance(output, Divergent)) < 40


@pytest.mark.parametrize(
    "fields",
    [
        {"interval": 0},
        {"cycle": 0},
        {"answer_timeout": 0},
        {"range_count": 0},
        {"key_rate": 0},
        {"attempt_count": 0},
        {"digest_count_max": 16},
        {"list_key_count": 5_000},
    ],
)
def test_bounds_that_cannot_be_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        AntiEntropyConfig(node=NodeId(1), **fields)
    with pytest.raises(ConfigError):
        AntiEntropyConfig(node=NodeId(0))
    assert AntiEntropyConfig(node=NodeId(1), answer_timeout=milliseconds(5)).attempt_count == 3
