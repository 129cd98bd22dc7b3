"""Lamport, vector, matrix and interval tree clocks: single claims."""

import pytest

from quorate.clocks import (
    BadActor,
    BadCounter,
    IntervalTreeStamp,
    LamportClock,
    LamportStamp,
    MatrixClock,
    NoShare,
    Order,
    OverlappingShares,
    TooManyForks,
    VectorClock,
    VersionVector,
)
from quorate.kernel import BadPayload, Envelope, Truncated, seal


def test_a_lamport_stamp_is_above_that_of_its_cause() -> None:
    clock = LamportClock(actor=2, counter=3)
    assert clock.tick() == LamportStamp(4, 2)
    assert clock.receive(LamportStamp(2, 1)) == LamportStamp(5, 2)
    assert clock.receive(LamportStamp(9, 1)) == LamportStamp(10, 2)
    assert LamportStamp(4, 1) < LamportStamp(4, 2) < LamportStamp(5, 0)
    assert LamportStamp.from_bytes(LamportStamp(5, 2).to_bytes()) == LamportStamp(5, 2)


def test_vector_stamps_tell_cause_from_concurrency() -> None:
    one, two = VectorClock(actor=1), VectorClock(actor=2)
    sent, alone = one.tick(), two.tick()
    arrived = two.receive(sent)
    assert sent.compare(alone) is Order.CONCURRENT
    assert sent.compare(arrived) is Order.BEFORE
    assert arrived.compare(alone) is Order.AFTER


def test_zero_counts_and_strangers_are_the_same() -> None:
    assert VersionVector({1: 0}) == VersionVector()
    assert VersionVector()[7] == 0
    assert list(VersionVector({2: 1, 1: 1})) == [1, 2]
    assert len(VersionVector({1: 1, 2: 0})) == 1


def test_pruning_can_make_a_replaced_version_look_concurrent() -> None:
    """Dynamo §4.4: truncated clocks lose ancestry."""
    old, new = VersionVector({1: 1, 2: 1}), VersionVector({1: 1, 2: 1, 3: 1})
    assert old.compare(new) is Order.BEFORE
    assert old.compare(new.without([1])) is Order.CONCURRENT


def test_senseless_actors_and_counts_are_refused() -> None:
    for actor in (-1, 2**63, "a", True, 1.5):
        with pytest.raises(BadActor):
            VersionVector({actor: 1})
    for count in (-1, "1", 2**63):
        with pytest.raises(BadCounter):
            VersionVector({1: count})
    pairs: Envelope[object] = Envelope("version-vector", 1, list)
    for bad in ([[2, 1], [1, 1]], [[1, 1], [1, 2]], [[1, 0]], [[-1, 1]], [[1]], "x"):
        with pytest.raises(BadPayload):
            VersionVector.from_bytes(pairs.encode(bad))


def test_a_matrix_clock_knows_what_everybody_knows() -> None:
    a, b, c = (MatrixClock(actor=n, members=[1, 2, 3]) for n in (1, 2, 3))
    b.receive(a.tick(), sender=1)
    c.receive(b.tick(), sender=2)
    assert c.stable() == VersionVector({1: 1})
    assert b.stable() == VersionVector()
    assert c.row(2) == VersionVector({1: 1, 2: 2})
    a.receive(c.tick(), sender=3)
    assert a.stable() == VersionVector({1: 1, 2: 1}).merge(VersionVector({2: 2}))
    assert a.members == (1, 2, 3)


def test_a_matrix_clock_refuses_strangers_and_survives_its_encoding() -> None:
    with pytest.raises(BadActor):
        MatrixClock(actor=1, members=[2])
    clock = MatrixClock(actor=1, members=[1, 2])
    before = clock.to_bytes()
    with pytest.raises(BadActor):
        clock.receive({9: VersionVector({9: 1})}, sender=9)
    with pytest.raises(BadActor):
        clock.row(9)
    assert clock.to_bytes() == before
    clock.tick()
    assert MatrixClock.from_bytes(clock.to_bytes()) == clock
    rows: Envelope[object] = Envelope("matrix-clock", 1, tuple)
    for bad in ((1, []), (1, [[2, []]]), (1, [[1, []], [1, []]]), (-1, [[-1, []]])):
        with pytest.raises(BadPayload):
            MatrixClock.from_bytes(rows.encode(bad))


def test_interval_tree_stamps_follow_the_papers_example_run() -> None:
    """Almeida et al. 2008, section 5.1 and its figure: fork, events, fork, join, and the tree shrinks again."""
    a, b = IntervalTreeStamp.seed().fork()
    a, b = a.event(), b.event().event()
    assert a == ((1, 0), (0, 1, 0))
    assert b == ((0, 1), (0, 0, 2))
    a1, a2 = a.fork()
    a1, middle = a1.event(), a2.join(b)
    assert a1 == (((1, 0), 0), (0, (1, 1, 0), 0))
    assert middle == (((0, 1), 1), (1, 0, 1))
    c1, c2 = middle.fork()
    assert c1.join(a1) == ((1, 0), (1, (0, 1, 0), 1))
    assert c1.join(a1).event() == ((1, 0), 2)
    assert c2.identity == (0, 1)


def test_interval_tree_stamps_refuse_what_cannot_be() -> None:
    seed = IntervalTreeStamp.seed()
    with pytest.raises(NoShare):
        seed.peek().event()
    with pytest.raises(OverlappingShares):
        seed.join(seed)
    stamp = seed
    with pytest.raises(TooManyForks):
        for _ in range(200):
            stamp = stamp.fork()[0]
    deep = stamp.event()
    assert IntervalTreeStamp.from_bytes(deep.to_bytes()) == deep
    for bits in ("1", "10", "1" + "1" * 200, "1" + "1" + "01" + "01" + "01"):
        with pytest.raises(BadPayload):
            IntervalTreeStamp.from_bytes(
                seal("interval-tree-clock", 1, int(bits, 2).to_bytes((len(bits) + 7) // 8, "big"))
            )
    with pytest.raises(Truncated):
        IntervalTreeStamp.from_bytes(b"")


def test_a_seed_stamp_takes_one_byte_beside_its_envelope() -> None:
    assert len(IntervalTreeStamp.seed().to_bytes()) - len(seal("interval-tree-clock", 1, b"")) == 1
