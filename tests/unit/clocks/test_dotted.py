"""Dotted versions: what replaces what, and siblings that do not explode."""

import random

import pytest

from quorate.clocks import DottedVersion, DottedVersionSet, Order, Stamping, VersionVector, measure_siblings
from quorate.kernel import BadPayload, Envelope, errors

NOTHING = VersionVector()


def test_two_writes_with_the_same_past_through_one_server_are_concurrent() -> None:
    """The case that a plain vector with server entries cannot express."""
    siblings = DottedVersionSet().put(b"x", actor=1, context=NOTHING).put(b"y", actor=1, context=NOTHING)
    assert siblings.values() == [b"y", b"x"]
    assert siblings.context() == VersionVector({1: 2})


def test_the_papers_example_run() -> None:
    """Almeida et al. 2014, figure 3 in spirit: servers a and b, a client that saw only v, a client that saw all."""
    at_a = DottedVersionSet().put(b"v", actor=1, context=NOTHING)
    saw_v = at_a.context()
    at_a = at_a.put(b"w", actor=1, context=NOTHING)
    at_b = DottedVersionSet().sync(at_a).put(b"z", actor=2, context=saw_v)
    assert at_b.values() == [b"w", b"z"]
    at_a = at_a.put(b"y", actor=1, context=at_a.context())
    assert at_a.values() == [b"y"]
    assert at_a.sync(at_b).values() == [b"y", b"z"]
    assert at_a.compare(at_b) is Order.CONCURRENT
    assert at_a.sync(at_b).compare(at_b) is Order.AFTER


def test_a_delete_removes_what_was_seen_and_spares_what_was_not() -> None:
    first = DottedVersionSet().put(b"x", actor=1, context=NOTHING)
    second = first.put(b"y", actor=1, context=NOTHING)
    assert second.discard(first.context()).values() == [b"y"]
    assert len(second.discard(second.context())) == 0
    assert second.sync(second.discard(second.context())).values() == []


def test_seven_interleaved_writers_explode_a_set_vector_and_not_a_dotted_one() -> None:
    """The experiment of the paper, and of Riak's release notes."""
    reports = {
        stamping: measure_siblings(stamping, writer_count=7, write_count=2000, rng=random.Random(1))
        for stamping in Stamping
    }
    plain, clients, dotted = (reports[s] for s in (Stamping.SET_VECTOR, Stamping.CLIENT_VECTORS, Stamping.DOTTED))
    assert plain.sibling_count_max >= 21
    assert plain.zombie_count_max >= 14
    assert dotted.sibling_count_max == clients.sibling_count_max == 7
    assert dotted.zombie_count_max == clients.zombie_count_max == 0
    assert (plain.entry_count_max, dotted.entry_count_max, clients.entry_count_max) == (1, 1, 7)
    assert all(report.lost_count == 0 for report in reports.values())


def test_an_experiment_without_writers_is_refused() -> None:
    with pytest.raises(errors.UsageError):
        measure_siblings(Stamping.DOTTED, writer_count=0, write_count=1, rng=random.Random(1))


def test_encodings_come_back_and_bad_ones_are_refused() -> None:
    siblings = DottedVersionSet().put(b"x", actor=3, context=NOTHING).put(b"y", actor=1, context=NOTHING)
    assert DottedVersionSet.from_bytes(siblings.to_bytes()) == siblings
    version = DottedVersion(NOTHING.next_dot(4), VersionVector({4: 2, 9: 1}))
    assert DottedVersion.from_bytes(version.to_bytes()) == version
    rows: Envelope[object] = Envelope("dotted-version-set", 1, list)
    for bad in (
        [[2, 1, []], [1, 1, []]],
        [[1, 1, [b"a", b"b"]]],
        [[-1, 1, []]],
        [[1, 0, []]],
        [[1, 1]],
        [[1, 1, ["s"]]],
    ):
        with pytest.raises(BadPayload):
            DottedVersionSet.from_bytes(rows.encode(bad))
    pairs: Envelope[object] = Envelope("dotted-version", 1, list)
    with pytest.raises(BadPayload):
        DottedVersion.from_bytes(pairs.encode([[1, 0], []]))
