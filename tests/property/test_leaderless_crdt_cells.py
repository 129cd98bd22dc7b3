"""Counters, sets and hashes as cells: a join semilattice, and the same as slow twins say."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.clocks import HybridStamp
from quorate.crdt import ORSet
from quorate.protocols.leaderless import (
    Add,
    AnyChange,
    ChangeRefused,
    Count,
    Delete,
    Put,
    Remove,
    RemoveFields,
    Rule,
    SetFields,
    rule_named,
)

RULE: Rule = rule_named("crdt")
T0 = 1_700_000_000_000_000_000
NONE = -1

names = st.lists(st.sampled_from([b"", b"a", b"b", b"c"]), min_size=1, max_size=3).map(tuple)
counts = st.builds(Count, st.integers(-3, 3))
adds = st.builds(Add, names)
removes = st.builds(Remove, names)
sets = st.builds(
    SetFields, st.lists(st.tuples(st.sampled_from([b"f", b"g"]), st.binary(max_size=1)), max_size=2).map(tuple)
)
unsets = st.builds(RemoveFields, st.lists(st.sampled_from([b"f", b"g"]), max_size=2).map(tuple))
deletes = st.just(Delete())
KINDS = {
    "counter": st.one_of(counts, counts, deletes),
    "set": st.one_of(adds, adds, removes, removes, deletes),
    "hash": st.one_of(sets, sets, unsets, deletes),
    "all": st.one_of(counts, adds, removes, sets, unsets, deletes, st.builds(Put, st.sampled_from([b"x", b"y"]))),
}


def moves(changes: st.SearchStrategy[AnyChange], count: int = 16) -> st.SearchStrategy[list]:
    """(replica, change or the replica to merge from, which earlier read is the context)."""
    return st.lists(
        st.tuples(st.integers(0, 2), st.one_of(changes, st.integers(0, 2)), st.integers(NONE, 10)), max_size=count
    )


class Run:
    """Three replicas of one key."""

    def __init__(self) -> None:
        self.cells = [b"", b"", b""]
        self.history: list[bytes] = []
        self.tokens: list[bytes] = []
        self.count = 0

    def move(self, at: int, what: AnyChange | int, seen: int) -> bool:
        """Return whether anything was done."""
        if isinstance(what, int):
            self.cells[at] = RULE.merge(self.cells[at], self.cells[what])
        else:
            self.count += 1
            stamp = HybridStamp(T0 + self.count, 0, at + 1)
            context = self.tokens[seen] if 0 <= seen < len(self.tokens) else b""
            before = self.cells[at]
            try:
                after = RULE.change(before, what, actor=at + 1, stamp=stamp, context=context)
            except ChangeRefused as refused:
                assert refused.word == "WRONGTYPE", refused
                return False
            assert RULE.merge(before, after) == after, "a changed cell contains the old one"
            assert RULE.includes(after, RULE.token(before))
            assert not before or not RULE.includes(before, RULE.token(after)), "every change is an event"
            self.cells[at] = after
            self.tokens.append(RULE.token(after))
        self.history.append(self.cells[at])
        return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_cells_are_a_join_semilattice(kind: str) -> None:
    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(schedule=moves(KINDS[kind]))
    def law(schedule: list) -> None:
        run = Run()
        for move in schedule:
            run.move(*move)
        cells = list(dict.fromkeys(run.history))[-7:]
        for a in cells:
            assert RULE.merge(a, a) == RULE.merge(a, b"") == RULE.merge(b"", a) == a
        for a, b in itertools.combinations(cells, 2):
            ab = RULE.merge(a, b)
            assert ab == RULE.merge(b, a), "equal joins are equal bytes"
            assert RULE.merge(a, ab) == RULE.merge(ab, b) == ab
            for c in cells:
                assert RULE.merge(ab, c) == RULE.merge(a, RULE.merge(b, c))

    law()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_replicas_that_merged_everything_in_any_order_are_equal_bytes(kind: str) -> None:
    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(schedule=moves(KINDS[kind]), order=st.permutations(range(12)))
    def law(schedule: list, order: list[int]) -> None:
        run = Run()
        for move in schedule:
            run.move(*move)
        shuffled = [run.history[place] for place in order if place < len(run.history)] + run.history + run.cells
        forward = backward = b""
        for cell in shuffled:
            forward = RULE.merge(forward, cell)
        for cell in reversed([*run.cells, *run.history]):
            backward = RULE.merge(backward, cell)
        assert forward == backward

    law()


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(schedule=moves(st.one_of(adds, adds, removes, removes, deletes), 24))
def test_sets_are_those_of_the_slow_twin(schedule: list) -> None:
    """`quorate.crdt.ORSet`, with its own dots and deferred removals."""
    run = Run()
    twins = [ORSet(actor=at + 1) for at in range(3)]
    reads: list[ORSet] = []
    for at, what, seen in schedule:
        # A delete of nothing is a string's tombstone, and its token has seen no set.
        if (isinstance(what, Delete) and not run.cells[at]) or not run.move(at, what, seen):
            continue
        twin = twins[at]
        read = reads[seen] if 0 <= seen < len(reads) else None
        match what:
            case int():
                twin.merge(twins[what].copy())
            case Add(members):
                for member in members:
                    twin.add(member)
            case Remove(members):
                for member in dict.fromkeys(members):
                    if read is not None:
                        twin.remove(member, context=read.context)
                    elif member in twin:
                        twin.remove(member)
            case Delete():
                if read is None:
                    twin.clear()
                else:
                    for member in (b"", b"a", b"b", b"c"):
                        twin.remove(member, context=read.context)
        if not isinstance(what, int):
            reads.append(twin.copy())
        assert list(RULE.seen(run.cells[at]).values) == twin.value


@pytest.mark.slow
@settings(max_examples=120, deadline=None, derandomize=True)
@given(schedule=moves(st.one_of(counts, counts, deletes), 24))
def test_counters_are_what_the_changes_say_that_no_observed_delete_took(schedule: list) -> None:
    """The twin keeps every single count by name, and a delete takes the names that its replica holds."""
    run = Run()
    alive: list[dict[int, int]] = [{}, {}, {}]
    gone: list[dict[int, None]] = [{}, {}, {}]
    for number, (at, what, seen) in enumerate(schedule):
        if not run.move(at, what, seen):
            continue
        match what:
            case int():
                gone[at] = {**gone[at], **gone[what]}
                alive[at] = {name: n for name, n in {**alive[at], **alive[what]}.items() if name not in gone[at]}
            case Count(amount):
                alive[at][number] = amount
            case Delete():
                gone[at].update(dict.fromkeys(alive[at]))
                alive[at] = {}
        shown = RULE.seen(run.cells[at])
        if alive[at]:
            assert shown.values == (b"%d" % sum(alive[at].values()),)
        else:
            assert shown.kind == "none"


@pytest.mark.slow
@settings(max_examples=120, deadline=None, derandomize=True)
@given(schedule=moves(st.one_of(sets, sets, unsets, deletes), 24))
def test_hashes_are_what_the_writes_say_that_nobody_saw_and_replaced(schedule: list) -> None:
    """The twin keeps every single write by name; a later write or removal takes what its replica holds of the field."""
    run = Run()
    alive: list[dict[tuple[int, bytes], bytes]] = [{}, {}, {}]
    gone: list[dict[tuple[int, bytes], None]] = [{}, {}, {}]

    def take(at: int, fields: tuple[bytes, ...]) -> None:
        for name in [name for name in alive[at] if name[1] in fields]:
            del alive[at][name]
            gone[at][name] = None

    for number, (at, what, _) in enumerate(schedule):
        if not run.move(at, what, NONE):
            continue
        match what:
            case int():
                gone[at] = {**gone[at], **gone[what]}
                alive[at] = {name: said for name, said in {**alive[at], **alive[what]}.items() if name not in gone[at]}
            case SetFields(pairs):
                for field, value in dict(pairs).items():
                    take(at, (field,))
                    alive[at][number, field] = value
            case RemoveFields(fields):
                take(at, fields)
            case Delete():
                take(at, (b"f", b"g"))
        shown = RULE.seen(run.cells[at]).values
        latest = {field: alive[at][number, field] for number, field in sorted(alive[at])}
        assert dict(zip(shown[::2], shown[1::2], strict=True)) == latest
