"""When a batch waits for more requests."""

from quorate.replication.requests import Gathering


def test_a_lone_request_never_waits() -> None:
    """One client alone is served at once."""
    gathering = Gathering(turn_max=8)
    gathering.took(1)

    assert not gathering.waits(1)


def test_a_batch_waits_while_every_turn_brings_more() -> None:
    """The first turn without a new request ends the wait, and the next batch begins anew."""
    gathering = Gathering(turn_max=8)
    gathering.took(64)

    assert [gathering.waits(count) for count in (1, 20, 40, 40)] == [True, True, True, False]
    assert gathering.waits(5)


def test_no_batch_waits_longer_than_its_turns() -> None:
    """A stream of requests without end cannot keep a batch back."""
    gathering = Gathering(turn_max=3)

    assert [gathering.waits(count) for count in (2, 3, 4, 5)] == [True, True, True, False]
