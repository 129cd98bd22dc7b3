"""Conflict rules, each claim by hand."""

import pytest

from quorate.clocks import HybridStamp
from quorate.kernel import marks
from quorate.kernel.errors import ConfigError
from quorate.protocols.leaderless import ChangeRefused, Count, Delete, Put, Seen, rule_named

T0 = 1_700_000_000_000_000_000


def stamp(number: int, actor: int = 1) -> HybridStamp:
    return HybridStamp(T0 + number, 0, actor)


def test_the_later_stamp_wins_and_the_loser_is_gone() -> None:
    rule = rule_named("lww")
    early = rule.change(b"", Put(b"early", b"n1"), actor=1, stamp=stamp(1), context=b"")
    late = rule.change(b"", Put(b"late", b"n2"), actor=2, stamp=stamp(2, 2), context=b"")
    assert rule.seen(rule.merge(late, early)) == Seen((b"late",), (b"n2",), "string")
    assert rule.includes(late, rule.token(early))
    assert not rule.includes(early, rule.token(late))


def test_of_equal_times_the_larger_actor_wins_everywhere() -> None:
    rule = rule_named("lww")
    one = rule.change(b"", Put(b"zzz"), actor=1, stamp=stamp(1, 1), context=b"")
    two = rule.change(b"", Put(b"aaa"), actor=2, stamp=stamp(1, 2), context=b"")
    assert rule.merge(one, two) == rule.merge(two, one) == two


def test_concurrent_values_stay_side_by_side_until_a_writer_has_seen_them() -> None:
    rule = rule_named("siblings")
    one = rule.change(b"", Put(b"milk"), actor=1, stamp=stamp(1, 1), context=b"")
    two = rule.change(b"", Put(b"eggs"), actor=2, stamp=stamp(2, 2), context=b"")
    both = rule.merge(one, two)
    assert rule.seen(both).values == (b"milk", b"eggs")
    assert rule.sibling_count(both) == 2
    after = rule.change(one, Put(b"milk, eggs"), actor=1, stamp=stamp(3), context=rule.token(both))
    assert rule.seen(rule.merge(both, after)).values == (b"milk, eggs",)


def test_a_delete_hides_what_its_writer_had_seen_and_nothing_else() -> None:
    rule = rule_named("siblings")
    one = rule.change(b"", Put(b"milk"), actor=1, stamp=stamp(1, 1), context=b"")
    gone = rule.change(one, Delete(), actor=1, stamp=stamp(2), context=rule.token(one))
    two = rule.change(b"", Put(b"eggs"), actor=2, stamp=stamp(2, 2), context=b"")
    assert rule.seen(gone).kind == "none"
    assert rule.deleted_at_ms(gone) == T0 // 1_000_000
    assert rule.seen(rule.merge(gone, one)).kind == "none"
    assert rule.seen(rule.merge(gone, two)).values == (b"eggs",)


def test_a_delete_without_a_context_takes_what_its_coordinator_holds() -> None:
    rule = rule_named("siblings")
    one = rule.change(b"", Put(b"milk"), actor=1, stamp=stamp(1), context=b"")
    assert rule.seen(rule.change(one, Delete(), actor=2, stamp=stamp(2, 2), context=b"")).kind == "none"


def test_a_dot_is_not_given_again_after_a_purge() -> None:
    """Another replica may still know the old dot: a new value under it would count as seen and replaced."""
    rule = rule_named("siblings")
    old = rule.change(b"", Put(b"old"), actor=1, stamp=stamp(1), context=b"")
    gone = rule.change(old, Delete(), actor=1, stamp=stamp(2), context=b"")
    after_purge = rule.change(b"", Put(b"new"), actor=1, stamp=stamp(1_000_000_000), context=b"")
    assert rule.seen(rule.merge(gone, after_purge)).values == (b"new",)
    assert rule.seen(rule.merge(after_purge, old)).values == (b"new",)


def test_a_merging_rule_shows_one_value_and_writes_one_value() -> None:
    """Reading merges for the eye only; writing beside unseen siblings makes one value under the new dot."""
    rule = rule_named("merge:lines")
    one = rule.change(b"", Put(b"milk", b"n1"), actor=1, stamp=stamp(1, 1), context=b"")
    two = rule.change(b"", Put(b"eggs", b"n2"), actor=2, stamp=stamp(2, 2), context=b"")
    both = rule.merge(one, two)
    assert rule.seen(both) == Seen((b"eggs\nmilk",), (b"n1", b"n2"), "string")
    assert rule.sibling_count(both) == 2
    with marks.expect("leaderless: a write merges the siblings that it had not seen"):
        after = rule.change(both, Put(b"bread"), actor=1, stamp=stamp(3), context=b"")
    assert rule.sibling_count(after) == 1
    assert rule.seen(rule.merge(after, both)).values == (b"bread\neggs\nmilk",)


def test_a_merge_function_that_raises_refuses_the_write_and_hides_no_value() -> None:
    def broken(_: tuple[bytes, ...]) -> bytes:
        raise ZeroDivisionError

    rule = rule_named("merge:broken", merges={"broken": broken})
    one = rule.change(b"", Put(b"a"), actor=1, stamp=stamp(1, 1), context=b"")
    two = rule.change(b"", Put(b"b"), actor=2, stamp=stamp(2, 2), context=b"")
    both = rule.merge(one, two)
    with marks.expect("leaderless: a merge function failed at a read"):
        assert rule.seen(both).values == (b"a", b"b")
    with pytest.raises(ChangeRefused, match="ZeroDivisionError") as refused:
        rule.change(both, Put(b"c"), actor=1, stamp=stamp(3), context=b"")
    assert refused.value.word == "MERGEFAILED"


def test_a_context_that_nobody_gave_is_refused() -> None:
    """A counter far above the clock would make later writes count as seen."""
    rule = rule_named("siblings")
    far = rule.change(b"", Put(b"a"), actor=2, stamp=HybridStamp(1 << 62, 0, 2), context=b"")
    with pytest.raises(ChangeRefused):
        rule.change(b"", Put(b"b"), actor=1, stamp=stamp(1), context=rule.token(far))
    with pytest.raises(ChangeRefused):
        rule.change(b"", Put(b"b"), actor=1, stamp=stamp(1), context=b"\x02nonsense")


def test_a_context_cannot_spend_the_coordinators_own_dots() -> None:
    rule = rule_named("siblings")
    one = rule.change(b"", Put(b"a"), actor=1, stamp=stamp(1), context=b"")
    ahead = rule.token(rule.change(one, Put(b"b"), actor=1, stamp=stamp(2), context=b""))
    after = rule.change(one, Put(b"c"), actor=1, stamp=stamp(3), context=ahead)
    assert rule.seen(after).values == (b"c",)


def test_only_a_put_under_lww_needs_no_dot() -> None:
    assert [rule_named("lww").needs_dot(change) for change in (Put(b""), Delete(), Count(1))] == [False, True, True]
    assert rule_named("siblings").needs_dot(Put(b""))


@pytest.mark.parametrize("name", ["", "newest", "merge:", "merge:nobody"])
def test_an_unknown_rule_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match="conflicts"):
        rule_named(name)


@pytest.mark.parametrize("name", ["lww", "siblings", "crdt"])
@pytest.mark.parametrize("token", [b"garbage", b"\x7f", b"\x08\x00"])
def test_what_is_no_token_is_refused_not_taken_for_nothing_read(name: str, token: bytes) -> None:
    """Every value that the client meant to replace would stay, and one more beside them."""
    rule = rule_named(name)
    cell = rule.change(b"", Put(b"v"), actor=1, stamp=HybridStamp(T0, 0, 1), context=b"")
    for mine in (b"", cell):
        with pytest.raises(ChangeRefused) as refused:
            rule.change(mine, Put(b"w"), actor=1, stamp=HybridStamp(T0 + 1, 0, 1), context=token)
        assert refused.value.word == "BADTOKEN"
