"""Hybrid logical clocks: the paper's rules, the bounds, and restarts."""

import pytest

from quorate.clocks import (
    LOGICAL_COUNT,
    PACKED_RESOLUTION_NS,
    CeilingReached,
    ClockTooFarAhead,
    HybridClock,
    HybridStamp,
)
from quorate.kernel import BadPayload, Envelope, errors


def test_a_backward_jump_stops_the_wall_part_and_counts_on() -> None:
    clock = HybridClock(actor=1)
    assert clock.tick(wall_ns=1000) == HybridStamp(1000, 0, 1)
    assert clock.tick(wall_ns=10) == HybridStamp(1000, 1, 1)
    assert clock.ahead_ns(10) == 990
    assert clock.tick(wall_ns=1001) == HybridStamp(1001, 0, 1)


def test_a_received_stamp_is_overtaken() -> None:
    clock = HybridClock(actor=1)
    assert clock.receive(HybridStamp(500, 7, 2), wall_ns=100) == HybridStamp(500, 8, 1)
    assert clock.receive(HybridStamp(500, 3, 2), wall_ns=100) == HybridStamp(500, 9, 1)
    assert clock.receive(HybridStamp(400, 3, 2), wall_ns=600) == HybridStamp(600, 0, 1)


def test_a_stamp_too_far_ahead_is_refused_and_changes_nothing() -> None:
    clock = HybridClock(actor=1, drift_max=50)
    clock.tick(wall_ns=100)
    with pytest.raises(ClockTooFarAhead, match="actor 2 is 51 ns ahead"):
        clock.receive(HybridStamp(151, 0, 2), wall_ns=100)
    assert not clock.is_plausible(HybridStamp(151, 0, 2), wall_ns=100)
    assert clock.latest == HybridStamp(100, 0, 1)
    assert clock.receive(HybridStamp(150, 0, 2), wall_ns=100).wall_ns == 150


def test_a_full_logical_part_borrows_a_step_of_wall_time() -> None:
    clock = HybridClock(actor=1, resolution_ns=10)
    clock.receive(HybridStamp(20, LOGICAL_COUNT - 2, 2), wall_ns=0)
    assert clock.tick(wall_ns=0) == HybridStamp(30, 0, 1)


def test_a_restart_waits_for_a_higher_ceiling_and_then_goes_on_above_the_old_one() -> None:
    clock = HybridClock(actor=1)
    assert clock.latest is None
    clock.raise_ceiling(1000)
    assert clock.tick(wall_ns=999).wall_ns == 999
    with pytest.raises(CeilingReached):
        clock.tick(wall_ns=1000)
    again = HybridClock(actor=1, ceiling_ns=1000)
    with pytest.raises(CeilingReached):
        again.tick(wall_ns=0)
    assert again.wanted_ceiling(wall_ns=0, ahead=500) == 1500
    again.raise_ceiling(1500)
    assert again.wanted_ceiling(wall_ns=0, ahead=500) is None
    assert again.tick(wall_ns=0) == HybridStamp(1000, 0, 1)
    with pytest.raises(errors.UsageError, match="never comes down"):
        again.raise_ceiling(1499)


def test_stamps_of_the_packed_resolution_fit_64_bits_in_order() -> None:
    clock = HybridClock(actor=1, resolution_ns=PACKED_RESOLUTION_NS)
    now = 1_790_000_000 * 10**9
    stamps = [clock.tick(wall_ns=now + n * 30_000) for n in range(50)]
    packed = [stamp.to_uint64() for stamp in stamps]
    assert packed == sorted(set(packed))
    assert max(packed) < 2**64
    assert [HybridStamp.from_uint64(p, actor=1) for p in packed] == stamps
    with pytest.raises(errors.UsageError):
        HybridStamp(1, 0, 1).to_uint64()


def test_stamps_survive_their_encoding_and_bad_ones_are_refused() -> None:
    stamp = HybridStamp(1_790_000_000_000_000_001, 5, 9)
    assert HybridStamp.from_bytes(stamp.to_bytes()) == stamp
    bad = Envelope("hybrid-stamp", 1, HybridStamp).encode(HybridStamp(1, LOGICAL_COUNT, 1))
    with pytest.raises(BadPayload):
        HybridStamp.from_bytes(bad)


def test_senseless_settings_are_refused() -> None:
    for settings in ({"actor": -1}, {"actor": 1, "drift_max": -1}, {"actor": 1, "resolution_ns": 0}, {"actor": True}):
        with pytest.raises(errors.UsageError):
            HybridClock(**settings)
