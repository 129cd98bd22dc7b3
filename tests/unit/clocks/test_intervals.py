"""Bounded time: TrueTime's promises, Marzullo's intersection, NTP's arithmetic and packets."""

import pytest

from quorate.clocks import (
    BadExchange,
    ClockFilter,
    ClocksDisagree,
    Exchange,
    IntervalClock,
    Mode,
    NotSynchronized,
    NTPPacket,
    TimeEstimator,
    TimeInterval,
    from_ntp,
    marzullo,
    to_ntp,
    to_short_format,
)
from quorate.kernel import ForeignBytes, Truncated, errors


def test_an_unsynchronised_clock_says_so() -> None:
    clock = IntervalClock()
    assert not clock.is_synchronized
    with pytest.raises(NotSynchronized):
        clock.now(at=0)


def test_uncertainty_grows_by_the_drift_bound_and_shrinks_by_synchronising() -> None:
    """Spanner §3: a sawtooth of 200 µs/s between polls."""
    clock = IntervalClock(drift_ppm=200)
    clock.synchronize(TimeInterval(0, 2_000_000), at=0)
    assert clock.now(at=10**9).width_ns == pytest.approx(2_000_000 + 400_000, abs=100)
    clock.synchronize(TimeInterval(10**9, 10**9 + 1_000_000), at=10**9)
    assert clock.now(at=10**9).width_ns == 1_000_000


def test_commit_wait_is_long_enough_and_no_longer() -> None:
    clock = IntervalClock(drift_ppm=333)
    clock.synchronize(TimeInterval(1_000, 9_000), at=50)
    moment = clock.now(at=77).latest_ns
    wait = clock.commit_wait(moment, at=77)
    assert clock.after(moment, at=77 + wait)
    again = IntervalClock(drift_ppm=333)
    again.synchronize(TimeInterval(1_000, 9_000), at=50)
    assert not again.after(moment, at=77 + wait - 1)
    assert clock.commit_wait(moment, at=77 + wait) == 0
    assert clock.before(moment + 10**6, at=77 + wait)


def test_contradicting_synchronisations_are_refused_until_reset() -> None:
    clock = IntervalClock()
    clock.synchronize(TimeInterval(0, 10), at=0)
    with pytest.raises(ClocksDisagree):
        clock.synchronize(TimeInterval(100, 110), at=0)
    assert clock.now(at=0) == TimeInterval(0, 10)
    clock.reset()
    clock.synchronize(TimeInterval(100, 110), at=0)
    assert clock.now(at=0) == TimeInterval(100, 110)
    assert clock.now(at=0).middle_ns == 105


def test_senseless_bounds_are_refused() -> None:
    for make in (
        lambda: IntervalClock(drift_ppm=-1),
        lambda: IntervalClock(drift_ppm=10**6),
        lambda: IntervalClock().synchronize(TimeInterval(2, 1), at=0),
        lambda: ClockFilter(sample_count=0),
        lambda: ClockFilter(drift_ppm=-1),
        lambda: TimeEstimator(servers=[]),
        lambda: TimeEstimator(servers=["a", "a"]),
        lambda: TimeEstimator(servers=["a"]).filter("b"),
        lambda: marzullo([]),
        lambda: marzullo([TimeInterval(2, 1)]),
    ):
        with pytest.raises(errors.UsageError):
            make()


def test_marzullos_own_examples() -> None:
    """The textbook triples: 10±2, 12±1, 11±1 agree on 11 to 12; with 8±2 … the middle one wins."""
    three = [TimeInterval(8, 12), TimeInterval(11, 13), TimeInterval(10, 12)]
    assert marzullo(three) == (TimeInterval(11, 12), 3)
    assert marzullo([TimeInterval(8, 9), TimeInterval(8, 12), TimeInterval(10, 12)]) == (TimeInterval(8, 9), 2)


def test_four_timestamps_give_offset_delay_and_a_bound() -> None:
    """RFC 5905 §8, with a path of 30 ns out and 40 ns back."""
    trip = Exchange(sent=100, server_received_ns=1_130, server_sent_ns=1_150, received=190)
    assert (trip.offset_ns, trip.delay_ns) == (995, 70)
    assert trip.interval(server_error_ns=5) == TimeInterval(1_145, 1_225)
    for bad in (Exchange(10, 0, 0, 9), Exchange(0, 5, 4, 10), Exchange(0, 0, 20, 10)):
        with pytest.raises(BadExchange):
            bad.checked()
    with pytest.raises(BadExchange):
        ClockFilter().add(trip, server_error_ns=-1)


def test_the_clock_filter_trusts_the_fastest_exchange() -> None:
    """RFC 5905 §10: the sample of least delay has the least error."""
    clock_filter = ClockFilter(sample_count=3)
    assert clock_filter.best() is None
    assert clock_filter.interval(now=0) is None
    assert clock_filter.drift() is None
    for start, out, back in ((0, 500, 10), (1_000, 20, 20), (2_000, 10, 900)):
        clock_filter.add(Exchange(start, start + 10**6 + out, start + 10**6 + out, start + out + back))
    best = clock_filter.best()
    assert best is not None and best.offset_ns == 10**6
    assert clock_filter.interval(now=2_910).width_ns <= 42
    assert clock_filter.jitter_ns() > 200
    for start in (3_000, 4_000, 5_000):
        clock_filter.add(Exchange(start, start + 7, start + 7, start + 14))
    assert len(clock_filter) == 3
    assert clock_filter.jitter_ns() == 0


def test_drift_is_the_slope_of_the_offsets() -> None:
    clock_filter = ClockFilter()
    for second in range(8):
        local = second * 10**9
        server = local + local * 50 // 10**6
        clock_filter.add(Exchange(local, server + 1_000, server + 1_000, local + 2_000))
    assert clock_filter.drift() == pytest.approx(50, abs=0.01)


def test_a_minority_of_liars_does_not_move_the_agreement() -> None:
    estimator = TimeEstimator(servers=["a", "b", "c", "d", "e"])
    for server, ahead in (("a", 0), ("b", 3), ("c", 5), ("d", 10**9), ("e", -(10**9))):
        estimator.add(server, Exchange(10**10, 10**10 + ahead + 50, 10**10 + ahead + 50, 10**10 + 100))
    agreement = estimator.agreement(now=10**10 + 100)
    assert agreement is not None and agreement.source_count == 3
    assert agreement.interval.earliest_ns <= 10**10 + 100 <= agreement.interval.latest_ns
    assert estimator.falsetickers(now=10**10 + 100) == ["d", "e"]


def test_without_a_majority_there_is_no_agreement() -> None:
    """Silent servers count: two that agree of five are no majority."""
    estimator = TimeEstimator(servers=["a", "b", "c", "d", "e"])
    assert estimator.agreement(now=0) is None
    assert estimator.falsetickers(now=0) == []
    for server in ("a", "b"):
        estimator.add(server, Exchange(0, 50, 50, 100))
    assert estimator.agreement(now=100) is None


def test_packets_have_the_layout_of_the_standard() -> None:
    """RFC 5905 §7.3: flags 0x23 for a version 4 client, the transmit timestamp in the last 8 of 48 bytes."""
    wall = 1_790_000_000_123_456_789
    data = NTPPacket(mode=Mode.CLIENT, transmit=to_ntp(wall)).to_bytes()
    assert len(data) == 48
    assert data[0] == 0x23
    packet = NTPPacket.from_bytes(data + b"extension")
    assert packet.mode is Mode.CLIENT
    assert abs(from_ntp(packet.transmit, near_ns=wall) - wall) <= 1
    assert to_ntp(0) >> 32 == 2_208_988_800


def test_timestamps_roll_over_into_the_next_era() -> None:
    """The first era ends on 2036-02-07 06:28:16 UTC."""
    rollover = (2**32 - 2_208_988_800) * 10**9
    for wall in (rollover - 1, rollover, rollover + 10**18, 0):
        assert abs(from_ntp(to_ntp(wall), near_ns=wall + 10**17) - wall) <= 1


def test_root_distance_is_dispersion_and_half_the_delay() -> None:
    packet = NTPPacket(mode=Mode.SERVER, root_delay=to_short_format(10**9), root_dispersion=to_short_format(10**8))
    assert packet.root_distance_ns == pytest.approx(6 * 10**8, abs=30_000)
    assert to_short_format(10**18) == 0xFFFFFFFF


def test_other_datagrams_are_told_apart() -> None:
    with pytest.raises(Truncated):
        NTPPacket.from_bytes(b"\x23" * 47)
    for first in (0x00, 0x26, 0x3C):
        with pytest.raises(ForeignBytes):
            NTPPacket.from_bytes(bytes((first,)) + bytes(47))
