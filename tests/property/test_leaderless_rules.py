"""Conflict rules: cells join as a semilattice, whatever was written where and in whatever order it met."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.clocks import HybridStamp
from quorate.kernel import Malformed
from quorate.protocols.leaderless import ChangeRefused, Delete, Put, Rule, rule_named

NAMES = ("lww", "siblings", "merge:lines", "crdt")
T0 = 1_700_000_000_000_000_000

changes = st.one_of(
    st.builds(Put, st.sampled_from([b"", b"a", b"b", b"a\nc"]), st.sampled_from([b"", b"note"])),
    st.builds(Delete, st.sampled_from([b"", b"n"])),
)
# (replica, what it does): a change with or without the context of some earlier read, or a merge from another replica.
moves = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 2), changes, st.integers(-1, 8)),
        st.tuples(st.just("merge"), st.integers(0, 2), st.integers(0, 2), st.just(0)),
    ),
    max_size=14,
)


def run(rule: Rule, schedule: list) -> list[list[bytes]]:
    """Return every cell that each of three replicas ever had, the latest last."""
    histories: list[list[bytes]] = [[b""], [b""], [b""]]
    tokens: list[bytes] = []
    for number, (kind, at, what, seen) in enumerate(schedule):
        cell = histories[at][-1]
        if kind == "merge":
            histories[at].append(rule.merge(cell, histories[what][-1]))
            continue
        context = tokens[seen] if 0 <= seen < len(tokens) else b""
        stamp = HybridStamp(T0 + number, 0, at + 1)
        after = rule.change(cell, what, actor=at + 1, stamp=stamp, context=context)
        assert rule.merge(cell, after) == after, "a changed cell contains the old one"
        histories[at].append(after)
        tokens.append(rule.token(after))
    return histories


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.sampled_from(NAMES), schedule=moves)
def test_cells_are_a_join_semilattice(name: str, schedule: list) -> None:
    rule = rule_named(name)
    cells = [cell for history in run(rule, schedule) for cell in history[-3:]]
    for a in cells:
        assert rule.merge(a, a) == a
        assert rule.merge(a, b"") == rule.merge(b"", a) == a
        for b in cells:
            ab = rule.merge(a, b)
            assert ab == rule.merge(b, a), "equal joins are equal bytes"
            assert rule.merge(a, ab) == rule.merge(ab, b) == ab
            for c in cells[:4]:
                assert rule.merge(ab, c) == rule.merge(a, rule.merge(b, c))


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.sampled_from(NAMES), schedule=moves)
def test_a_token_is_included_exactly_in_what_descends(name: str, schedule: list) -> None:
    """All that a reader has seen of a key is in every later cell of the same replica, and in every join with it."""
    rule = rule_named(name)
    for history in run(rule, schedule):
        for earlier, later in itertools.pairwise(history):
            assert rule.includes(later, rule.token(earlier))
            if later:
                assert rule.includes(b"", rule.token(later)) is False


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.sampled_from(NAMES), schedule=moves)
def test_a_tombstone_is_seen_as_nothing_and_says_since_when(name: str, schedule: list) -> None:
    rule = rule_named(name)
    for history in run(rule, schedule):
        for cell in history:
            seen, deleted = rule.seen(cell), rule.deleted_at_ms(cell)
            assert (deleted is not None or not cell) == (seen.kind == "none") == (not seen.values)
            assert deleted is None or deleted == T0 // 1_000_000
            assert rule.sibling_count(cell) == len(seen.values) or name == "merge:lines"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(NAMES), garbage=st.binary(max_size=60), first=st.sampled_from([b"", b"\x01", b"\x02", b"\x7f"])
)
def test_garbage_is_malformed_and_nothing_else(name: str, garbage: bytes, first: bytes) -> None:
    """A peer's cell is refused, or is a cell; a client's token is refused, or of no consequence."""
    rule = rule_named(name)
    stamp = HybridStamp(T0, 0, 1)
    mine = rule.change(b"", Put(b"v"), actor=1, stamp=stamp, context=b"")
    for cell in (b"", mine):
        try:
            merged = rule.merge(cell, first + garbage)
        except Malformed:
            continue
        rule.seen(merged)
        rule.deleted_at_ms(merged)
        assert rule.merge(merged, merged) == merged
        assert rule.includes(merged, rule.token(merged))
    assert rule.includes(mine, first + garbage) in {True, False}
    rule.stamp(first + garbage)
    try:
        rule.change(mine, Put(b"w"), actor=1, stamp=stamp, context=first + garbage)
    except ChangeRefused as refused:
        assert refused.word == "BADTOKEN"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(name=st.sampled_from(NAMES), mine=st.binary(max_size=12), theirs=st.binary(max_size=12))
def test_a_write_with_the_context_of_a_read_replaces_what_was_read(name: str, mine: bytes, theirs: bytes) -> None:
    rule = rule_named(name)
    one = rule.change(b"", Put(mine), actor=1, stamp=HybridStamp(T0, 0, 1), context=b"")
    two = rule.change(b"", Put(theirs), actor=2, stamp=HybridStamp(T0, 0, 2), context=b"")
    read = rule.token(rule.merge(one, two))
    after = rule.change(one, Put(b"both"), actor=1, stamp=HybridStamp(T0, 1, 1), context=read)
    assert rule.seen(rule.merge(after, two)).values == (b"both",)
