"""Dotted sets, interval tree, matrix and interval clocks, graphs: each against a dumb twin that keeps whole histories."""

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.clocks import (
    DottedVersion,
    DottedVersionSet,
    HappenedBefore,
    IntervalClock,
    IntervalTreeStamp,
    MatrixClock,
    Order,
    TimeInterval,
    VersionVector,
    marzullo,
)

CHECK = settings(max_examples=120, deadline=None, derandomize=True)


def order(left: frozenset, right: frozenset) -> Order:
    if left == right:
        return Order.EQUAL
    return Order.BEFORE if left < right else Order.AFTER if left > right else Order.CONCURRENT


@CHECK
@given(
    st.lists(st.tuples(st.sampled_from(["event", "fork", "join"]), st.integers(0, 9), st.integers(0, 9)), max_size=40)
)
def test_interval_tree_stamps_order_events_as_whole_histories_do(steps: list) -> None:
    stamps: list[tuple[IntervalTreeStamp, frozenset]] = [(IntervalTreeStamp.seed(), frozenset())]
    for number, (kind, first, second) in enumerate(steps):
        stamp, history = stamps.pop(first % len(stamps))
        if kind == "event":
            stamps.append((stamp.event(), history | {number}))
        elif kind == "fork":
            left, right = stamp.fork()
            stamps += [(left, history), (right, history)]
        elif stamps:
            other, theirs = stamps.pop(second % len(stamps))
            stamps.append((stamp.join(other), history | theirs))
        else:
            stamps.append((stamp, history))
    for stamp, history in stamps:
        assert IntervalTreeStamp.from_bytes(stamp.to_bytes()) == stamp == pickle.loads(pickle.dumps(stamp))
        for other, theirs in stamps:
            assert stamp.compare(other) is order(history, theirs)
            assert stamp.peek().compare(other) is order(history, theirs)


WRITES = st.lists(st.tuples(st.sampled_from(["put", "get", "sync"]), st.integers(0, 2), st.integers(0, 2)), max_size=40)


@CHECK
@given(WRITES)
def test_a_dotted_set_holds_exactly_the_values_that_no_write_had_seen(steps: list) -> None:
    """The twin keeps, per server, every value ever and every value ever replaced."""
    servers = [DottedVersionSet() for _ in range(3)]
    twins: list[tuple[frozenset, frozenset]] = [(frozenset(), frozenset())] * 3
    versions: dict[bytes, DottedVersion] = {}
    contexts = [VersionVector()] * 3
    read: list[frozenset] = [frozenset()] * 3
    for number, (kind, client, server) in enumerate(steps):
        if kind == "put":
            value = b"%d" % number
            versions[value] = DottedVersion(servers[server].context().next_dot(server), contexts[client])
            servers[server] = servers[server].put(value, actor=server, context=contexts[client])
            known, gone = twins[server]
            twins[server] = (known | {value} | read[client], gone | read[client])
        elif kind == "get":
            contexts[client] = servers[server].context()
            read[client] = twins[server][0]
        else:
            servers[server] = servers[server].sync(servers[client])
            twins[server] = (twins[server][0] | twins[client][0], twins[server][1] | twins[client][1])
        assert sorted(servers[server].values()) == sorted(twins[server][0] - twins[server][1])
    for left in servers:
        assert DottedVersionSet.from_bytes(left.to_bytes()) == left == pickle.loads(pickle.dumps(left))
        for right in servers:
            assert left.sync(right) == right.sync(left)
        for first in left.values():
            for second in left.values():
                expected = Order.EQUAL if first == second else Order.CONCURRENT
                assert versions[first].compare(versions[second]) is expected


@CHECK
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2) | st.none()), max_size=30))
def test_a_graph_and_a_matrix_clock_agree_with_reachability(steps: list) -> None:
    graph = HappenedBefore(["0", "1", "2"])
    clocks = [MatrixClock(actor=n, members=range(3)) for n in range(3)]
    causes: list[frozenset] = []
    mail: list[tuple[int, dict] | None] = [None] * 3
    latest: list[int | None] = [None] * 3
    # Per actor: what it has heard each member to have known. The dumb matrix.
    heard: list[list[frozenset]] = [[frozenset()] * 3 for _ in range(3)]
    letters: list[list[frozenset] | None] = [None] * 3
    for actor, sender in steps:
        letter = mail[sender] if sender is not None and sender != actor else None
        index = graph.record(str(actor), sent_by=letter[0] if letter else None)
        known = frozenset({index})
        for cause in (latest[actor], letter[0] if letter else None):
            known |= causes[cause] if cause is not None else frozenset()
        causes.append(known)
        latest[actor] = index
        if letter:
            clocks[actor].receive(letter[1], sender=sender)
            heard[actor] = [mine | theirs for mine, theirs in zip(heard[actor], letters[sender], strict=True)]
        heard[actor][actor] = known
        mail[actor] = (index, clocks[actor].tick() if letter is None else _matrix(clocks[actor]))
        letters[actor] = list(heard[actor])
    for first in range(len(causes)):
        for second in range(len(causes)):
            assert graph.happened_before(first, second) == (first != second and first in causes[second])
            assert graph.compare(first, second) is order(causes[first], causes[second])
    for actor, clock in enumerate(clocks):
        stable = heard[actor][0] & heard[actor][1] & heard[actor][2]
        assert clock.stable().event_count() == len(stable)
        assert MatrixClock.from_bytes(clock.to_bytes()) == clock


def _matrix(clock: MatrixClock) -> dict:
    return {member: clock.row(member) for member in clock.members}


INTERVALS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 5)).map(lambda p: TimeInterval(p[0], p[0] + p[1])),
    min_size=1,
    max_size=6,
)


@CHECK
@given(INTERVALS)
def test_marzullo_is_the_first_region_that_most_intervals_cover(intervals: list) -> None:
    cover = [sum(i.earliest_ns <= moment <= i.latest_ns for i in intervals) for moment in range(20)]
    best = max(cover)
    agreement = marzullo(intervals)
    assert agreement.source_count == best
    assert agreement.interval.earliest_ns == cover.index(best)
    assert all(cover[m] >= best for m in range(agreement.interval.earliest_ns, agreement.interval.latest_ns + 1))


@CHECK
@given(
    st.integers(-900, 900),
    st.lists(
        st.tuples(st.integers(0, 10**7), st.integers(0, 5_000), st.integers(0, 5_000), st.booleans()), max_size=20
    ),
)
def test_true_time_is_always_within_the_interval(rate_ppm: int, steps: list) -> None:
    """A local clock of any rate within the bound, synchronised at random with honest intervals."""
    clock = IntervalClock(drift_ppm=1000)
    true = 10**15
    clock.synchronize(TimeInterval(true - 10, true + 10), at=0)
    earliest = 0
    for span, low, high, sync in steps:
        true += span
        local = (true - 10**15) * (10**6 + rate_ppm) // 10**6
        if sync:
            clock.synchronize(TimeInterval(true - low, true + high), at=local)
        interval = clock.now(at=local)
        assert interval.earliest_ns <= true + 1 and true - 1 <= interval.latest_ns
        assert interval.earliest_ns >= earliest
        earliest = interval.earliest_ns
        wait = clock.commit_wait(interval.latest_ns, at=local)
        assert wait > 0
