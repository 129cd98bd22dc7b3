"""Counters, sets and hashes, one sentence a test: what concurrent changes and deletes mean."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.clocks import HybridStamp
from quorate.crdt import EmbeddedCounter
from quorate.kernel import Malformed
from quorate.protocols.leaderless import (
    Add,
    AnyChange,
    ChangeRefused,
    Count,
    Delete,
    Put,
    Remove,
    RemoveFields,
    SetFields,
    rule_named,
)

RULE = rule_named("crdt")
T0 = 1_700_000_000_000_000_000
MAX = 2**63 - 1


class Clock:
    """Stamps that grow, whoever asks."""

    def __init__(self) -> None:
        self.count = 0

    def change(self, cell: bytes, change: AnyChange, *, actor: int = 1, context: bytes = b"") -> bytes:
        self.count += 1_000_000
        return RULE.change(cell, change, actor=actor, stamp=HybridStamp(T0 + self.count, 0, actor), context=context)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shown(cell: bytes) -> tuple[bytes, ...]:
    return RULE.seen(cell).values


def test_counts_through_all_nodes_add_up(clock: Clock) -> None:
    here = clock.change(b"", Count(5), actor=1)
    there = clock.change(here, Count(-2), actor=2)
    here = clock.change(here, Count(10), actor=1)
    assert shown(RULE.merge(here, there)) == (b"13",)
    assert RULE.seen(here).kind == "counter"


def test_a_counter_of_nothing_is_there(clock: Clock) -> None:
    """As in Redis: INCR and DECR leave a key with 0, which DEL takes away."""
    cell = clock.change(clock.change(b"", Count(1)), Count(-1))
    assert shown(cell) == (b"0",)
    assert RULE.deleted_at_ms(cell) is None
    cell = clock.change(cell, Delete())
    assert RULE.seen(cell).kind == "none"
    assert RULE.deleted_at_ms(cell) == (T0 + clock.count) // 1_000_000


def test_a_concurrent_count_survives_a_delete_alone(clock: Clock) -> None:
    """Removed at 5 and increased by 1: 1. Kept as one dot per actor it would be 6, as Riak documents of its maps."""
    five = clock.change(b"", Count(5), actor=1)
    deleted = clock.change(five, Delete(), actor=2)
    more = clock.change(five, Count(1), actor=1)
    assert shown(RULE.merge(deleted, more)) == (b"1",)
    here = EmbeddedCounter(actor=1)
    here.increment(5)
    there = here.copy(actor=2)
    there.reset()
    here.increment(1)
    here.merge(there)
    assert here.value == 6


def test_a_deleted_counter_counts_from_zero(clock: Clock) -> None:
    cell = clock.change(clock.change(b"", Count(7)), Delete())
    assert shown(clock.change(cell, Count(2))) == (b"2",)


def test_two_deletes_at_once_take_nothing_twice(clock: Clock) -> None:
    cell = clock.change(b"", Count(7), actor=1)
    one, other = clock.change(cell, Delete(), actor=1), clock.change(cell, Delete(), actor=2)
    assert RULE.seen(RULE.merge(one, other)).kind == "none"
    assert shown(clock.change(RULE.merge(one, other), Count(1), actor=2)) == (b"1",)


@pytest.mark.parametrize(("first", "then"), [(MAX, 1), (-MAX, -2), (MAX - 1, MAX)])
def test_a_counter_never_passes_64_bits(clock: Clock, first: int, then: int) -> None:
    cell = clock.change(b"", Count(first))
    with pytest.raises(ChangeRefused, match="overflow"):
        clock.change(cell, Count(then))
    with pytest.raises(ChangeRefused, match="overflow"):
        clock.change(cell, Count(then), actor=2)


def test_add_wins_over_a_concurrent_remove(clock: Clock) -> None:
    base = clock.change(b"", Add((b"milk", b"tea")), actor=1)
    removed = clock.change(base, Remove((b"milk", b"never")), actor=2)
    again = clock.change(base, Add((b"milk",)), actor=1)
    assert shown(removed) == (b"tea",)
    assert shown(RULE.merge(removed, again)) == (b"milk", b"tea")


def test_a_remove_with_a_context_takes_what_the_client_saw_even_before_it_arrives(clock: Clock) -> None:
    """Asked of a node that missed the add: what a quorum read saw goes, also there, when the add comes late."""
    added = clock.change(b"", Add((b"milk", b"tea")), actor=1)
    elsewhere = clock.change(b"", Remove((b"milk",)), actor=2, context=RULE.token(added))
    assert shown(RULE.merge(elsewhere, added)) == (b"tea",)
    kept = clock.change(b"", Remove((b"milk",)), actor=2)
    assert shown(RULE.merge(kept, added)) == (b"milk", b"tea")


def test_a_remove_with_a_context_spares_what_the_client_did_not_see(clock: Clock) -> None:
    seen = clock.change(b"", Add((b"milk",)), actor=1)
    later = clock.change(seen, Add((b"milk",)), actor=1)
    assert shown(clock.change(later, Remove((b"milk",)), actor=2, context=RULE.token(seen))) == (b"milk",)


def test_a_delete_takes_what_was_seen_and_leaves_what_came_concurrently(clock: Clock) -> None:
    base = clock.change(b"", Add((b"a", b"b")), actor=1)
    deleted = clock.change(base, Delete(), actor=2)
    more = clock.change(base, Add((b"c",)), actor=1)
    assert RULE.seen(deleted).kind == "none"
    assert shown(RULE.merge(deleted, more)) == (b"c",)


def test_a_set_that_was_emptied_is_a_tombstone(clock: Clock) -> None:
    """As in Redis, where an empty set is no key; and another kind may take its place."""
    cell = clock.change(clock.change(b"", Add((b"a",))), Remove((b"a",)))
    assert RULE.deleted_at_ms(cell) == (T0 + clock.count) // 1_000_000
    assert shown(clock.change(cell, Put(b"text"))) == (b"text",)


def test_the_latest_of_concurrent_values_of_a_field_is_shown(clock: Clock) -> None:
    base = clock.change(b"", SetFields(((b"name", b"Ada"), (b"age", b"36"))), actor=1)
    one = clock.change(base, SetFields(((b"name", b"one"),)), actor=1)
    other = clock.change(base, SetFields(((b"name", b"other"),)), actor=2)
    both = RULE.merge(one, other)
    assert shown(both) == (b"age", b"36", b"name", b"other")
    assert shown(clock.change(both, SetFields(((b"name", b"x"), (b"name", b"y"))))) == (b"age", b"36", b"name", b"y")


def test_a_field_that_is_set_and_removed_at_once_stays(clock: Clock) -> None:
    base = clock.change(b"", SetFields(((b"f", b"1"),)), actor=1)
    removed = clock.change(base, RemoveFields((b"f", b"g")), actor=2)
    again = clock.change(base, SetFields(((b"f", b"2"),)), actor=1)
    assert RULE.seen(removed).kind == "none"
    assert shown(RULE.merge(removed, again)) == (b"f", b"2")


def test_two_kinds_made_at_once_are_kept_until_a_delete(clock: Clock) -> None:
    """Merged kind by kind; nothing is guessed and nothing is lost."""
    mixed = RULE.merge(clock.change(b"", Add((b"a",)), actor=1), clock.change(b"", Count(1), actor=2))
    assert RULE.seen(mixed).kind == "mixed"
    with pytest.raises(ChangeRefused) as refused:
        clock.change(mixed, Count(1))
    assert refused.value.word == "WRONGTYPE"
    assert RULE.seen(clock.change(mixed, Delete())).kind == "none"


def test_a_wrong_type_is_refused(clock: Clock) -> None:
    with pytest.raises(ChangeRefused) as refused:
        clock.change(clock.change(b"", Add((b"a",))), SetFields(((b"f", b"1"),)))
    assert refused.value.word == "WRONGTYPE"


def test_events_begin_above_those_before_a_purge(clock: Clock) -> None:
    """A tombstone that others still hold must not swallow what is new under an event that was given before."""
    old = clock.change(clock.change(b"", Add((b"a",))), Delete())
    assert shown(RULE.merge(old, clock.change(b"", Add((b"b",))))) == (b"b",)
    counted = clock.change(clock.change(b"", Count(5)), Delete())
    assert shown(RULE.merge(counted, clock.change(b"", Count(2)))) == (b"2",)


@pytest.mark.parametrize("change", [Count(1), Add((b"a",)), Remove((b"a",)), SetFields(((b"f", b"1"),)), Delete()])
def test_every_change_is_one_that_a_token_knows(clock: Clock, change: AnyChange) -> None:
    """Removals too: who has removed must not read what was before from a replica that missed it."""
    before = clock.change(b"", Add((b"a",))) if isinstance(change, Remove | Delete) else b""
    after = clock.change(before, change)
    token = RULE.token(after)
    assert RULE.includes(after, token)
    assert not RULE.includes(before, token)
    stamp = RULE.stamp(token)
    assert stamp is not None
    assert stamp.wall_ns == T0 + clock.count


def test_a_context_that_cannot_be_is_refused(clock: Clock) -> None:
    cell = clock.change(b"", Add((b"a",)))
    token = RULE.token(cell)
    for bad in (token[:-1], token[:1], token + b"x"):
        with pytest.raises(ChangeRefused) as refused:
            clock.change(cell, Remove((b"a",)), context=bad)
        assert refused.value.word == "BADTOKEN"
        assert RULE.includes(cell, bad) is False
        assert RULE.stamp(bad) is None
    far = RULE.token(RULE.change(b"", Add((b"a",)), actor=3, stamp=HybridStamp(T0 * 2, 0, 3), context=b""))
    with pytest.raises(ChangeRefused):
        clock.change(cell, Remove((b"a",)), context=far)


def test_a_context_with_more_of_this_actor_than_there_is_takes_no_later_adds(clock: Clock) -> None:
    """A made-up token must not remove what is added after it."""
    cell = clock.change(b"", Add((b"a",)))
    more = clock.change(cell, Add((b"b",)))
    after = clock.change(cell, Delete(), context=RULE.token(more))
    assert shown(clock.change(after, Add((b"c",)))) == (b"c",)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    data=st.binary(max_size=60),
    code=st.sampled_from([0x10, 0x11, 0x12]),
    cut=st.integers(0, 80),
    flip=st.integers(0, 80),
)
def test_garbage_is_malformed_and_nothing_else(data: bytes, code: int, cut: int, flip: int) -> None:
    clock = Clock()
    change: AnyChange = {0x10: Count(3), 0x11: Add((b"a", b"b")), 0x12: SetFields(((b"f", b"v"),))}[code]
    good = clock.change(clock.change(b"", change), change, actor=2)
    torn = bytearray(good[: max(1, len(good) - cut)])
    torn[-1 - flip % len(torn)] ^= 1 << flip % 8
    for bad in (bytes((code,)) + data, bytes(torn)):
        for mine in (b"", good):
            try:
                joined = RULE.merge(mine, bad)
            except Malformed:
                continue
            assert RULE.merge(joined, joined) == joined
            RULE.seen(joined), RULE.token(joined), RULE.deleted_at_ms(joined)
