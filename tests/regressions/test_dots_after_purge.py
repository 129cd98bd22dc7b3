"""Campaign of the available side, seed 35: a dot was given again after a purge, to a client that came from before it."""

from quorate.clocks import HybridStamp
from quorate.protocols.leaderless import Delete, Put, rule_named


def test_a_dot_from_before_a_purge_is_not_given_again_to_an_old_context() -> None:
    """A replica that still knows the old dot would take the new write for one that has been deleted."""
    rule = rule_named("siblings")
    first = rule.change(b"", Put(b"old"), actor=1, stamp=HybridStamp(1_000, 0, 1), context=b"")
    token = rule.token(first)
    deleted = rule.change(first, Delete(), actor=1, stamp=HybridStamp(2_000, 0, 1), context=token)
    # The tombstone is purged; the client that had read the first value writes through another owner, then through ours.
    other = rule.change(b"", Put(b"other"), actor=2, stamp=HybridStamp(9_000, 0, 2), context=token)
    context = rule.token(other)
    after = rule.change(other, Put(b"new"), actor=1, stamp=HybridStamp(9_500, 0, 1), context=context)

    merged = rule.merge(deleted, after)
    assert rule.seen(merged).values == (b"new",)


def test_a_living_value_of_the_same_actor_survives_the_count() -> None:
    """Two writes that have not seen each other stay side by side, however far apart in time."""
    rule = rule_named("siblings")
    one = rule.change(b"", Put(b"one"), actor=1, stamp=HybridStamp(1_000, 0, 1), context=b"")
    two = rule.change(one, Put(b"two"), actor=1, stamp=HybridStamp(9_000, 0, 1), context=b"")

    assert sorted(rule.seen(two).values) == [b"one", b"two"]
