"""Version vectors, contexts and hybrid clocks against sets of events and plain integers."""

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.clocks import CausalContext, Dot, HybridClock, HybridStamp, Order, VersionVector

CHECK = settings(max_examples=150, deadline=None, derandomize=True)
COUNTERS = st.dictionaries(st.integers(0, 5), st.integers(0, 6))
DOTS = st.lists(st.builds(Dot, st.integers(0, 3), st.integers(1, 6)), max_size=14)


def events(counters: dict[int, int]) -> frozenset[tuple[int, int]]:
    """The twin: the set itself."""
    return frozenset((a, n) for a, c in counters.items() for n in range(1, c + 1))


def order(left: frozenset, right: frozenset) -> Order:
    if left == right:
        return Order.EQUAL
    return Order.BEFORE if left < right else Order.AFTER if left > right else Order.CONCURRENT


@CHECK
@given(COUNTERS, COUNTERS)
def test_a_version_vector_is_a_set_of_events(left: dict, right: dict) -> None:
    a, b, x, y = VersionVector(left), VersionVector(right), events(left), events(right)
    assert a.compare(b) is order(x, y)
    assert a.compare(b).reversed() is b.compare(a)
    assert a.descends(b) == (x >= y)
    assert events(dict(a.merge(b).items())) == x | y
    assert events(dict(a.meet(b).items())) == x & y
    assert a.event_count() == len(x)
    assert (a == b) == (x == y) and (a != b or hash(a) == hash(b))
    assert all((Dot(n, c) in a) == ((n, c) in x) for n in range(7) for c in range(8))
    assert VersionVector.from_bytes(a.to_bytes()) == a == pickle.loads(pickle.dumps(a))


@CHECK
@given(DOTS, DOTS)
def test_a_causal_context_is_a_set_of_events(left: list, right: list) -> None:
    a, b, x, y = CausalContext(dots=left), CausalContext(dots=right), frozenset(left), frozenset(right)
    assert a.compare(b) is order(x, y)
    assert a.merge(b) == CausalContext(dots=x | y)
    assert all((Dot(n, c) in a) == ((n, c) in x) for n in range(5) for c in range(8))
    one_by_one = CausalContext()
    for dot in right:
        one_by_one = one_by_one.with_dot(dot)
    assert one_by_one == b and hash(one_by_one) == hash(b)
    assert CausalContext.from_bytes(a.to_bytes()) == a == pickle.loads(pickle.dumps(a))


WALL = st.integers(0, 2_000)
STEPS = st.lists(
    st.tuples(st.integers(0, 2), WALL, st.integers(0, 2) | st.none()),
    max_size=40,
)


@CHECK
@given(STEPS, st.sampled_from([1, 7, 64]))
def test_hybrid_stamps_grow_along_every_cause_whatever_the_wall_clocks_do(steps: list, resolution: int) -> None:
    """Wall clocks jump at random; messages go anywhere; causality is tracked by vectors beside the stamps."""
    clocks = [HybridClock(actor=n, drift_max=10**9, resolution_ns=resolution) for n in range(3)]
    vectors = [VersionVector() for _ in range(3)]
    made: list[tuple[HybridStamp, VersionVector]] = []
    mail: list[tuple[HybridStamp, VersionVector] | None] = [None] * 3
    largest_wall = 0
    for actor, wall, sender in steps:
        largest_wall = max(largest_wall, wall)
        letter = mail[sender] if sender is not None else None
        if letter is None:
            stamp = clocks[actor].tick(wall_ns=wall)
        else:
            stamp = clocks[actor].receive(letter[0], wall_ns=wall)
            vectors[actor] = vectors[actor].merge(letter[1])
        vectors[actor] = vectors[actor].increment(actor)
        assert wall - resolution < stamp.wall_ns <= largest_wall
        made.append((stamp, vectors[actor]))
        mail[actor] = made[-1]
    assert len({stamp for stamp, _ in made}) == len(made)
    for first, known in made:
        for second, seen in made:
            assert known.compare(seen) is not Order.BEFORE or first < second


@CHECK
@given(st.lists(st.tuples(WALL, st.booleans()), max_size=40))
def test_hybrid_stamps_grow_through_restarts(steps: list) -> None:
    """Only the ceiling survives a restart, and the wall clock may have jumped back meanwhile."""
    durable: int | None = None
    clock = HybridClock(actor=1)
    last = HybridStamp(-1, 0, 0)
    for wall, restart in steps:
        if restart:
            clock = HybridClock(actor=1, ceiling_ns=durable)
        ceiling = clock.wanted_ceiling(wall_ns=wall, ahead=100)
        if ceiling is not None:
            durable = ceiling
            clock.raise_ceiling(ceiling)
        stamp = clock.tick(wall_ns=wall)
        assert stamp > last
        last = stamp
