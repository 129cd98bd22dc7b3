"""Wrong wall clocks of real servers: what they do to expiry, and that they do nothing to order."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quorate.kernel import NodeId, errors, seconds
from quorate.lab import QuorateSystem, RedisSystem, System, TrialOptions, make_system, run_trial
from quorate.lab.systems.clocks import FakeClocks
from quorate.lab.systems.redis_door import client_of

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOUR_S = 3_600.0


def tried(tmp_path: Path, system: System, **options: Any) -> Any:
    wanted = {
        "node_count": 3,
        "duration": seconds(3.5),
        "rate_per_second": 200,
        "output": tmp_path,
        "faults": ("skew",),
    }
    return run_trial(TrialOptions(**wanted | options), system=system, console=Console(file=io.StringIO()))


async def asked(system: Any, node: int, *words: str | int) -> Any:
    client = client_of(lambda: system.door(NodeId(node)), timeout_s=5.0)
    try:
        return await client.command(*words)
    finally:
        await client.close()


def test_one_redis_ends_keys_by_a_clock_that_jumps_ahead_and_they_stay_ended(run_system: Any) -> None:
    async def play() -> None:
        system = RedisSystem()
        async with run_system(system, 1, can_skew=True):
            await asked(system, 1, "SET", "k", "v", "EX", 100)
            system.skew(NodeId(1), HOUR_S)
            assert await asked(system, 1, "GET", "k") is None
            system.skew(NodeId(1), 0.0)
            assert await asked(system, 1, "GET", "k") is None

    asyncio.run(play())


def test_a_node_of_quorate_with_a_wrong_clock_ends_no_key_unless_it_leads(run_system: Any) -> None:
    """Expiry goes by the log's time, which the leader stamps: a follower that thinks a key is due asks the leader."""

    async def play() -> None:
        system = QuorateSystem()
        async with run_system(system, 3, can_skew=True) as found:
            assert found.node is not None
            leader, follower = int(found.node), 1 + int(found.node) % 3
            await asked(system, leader, "SET", "k", "v", "EX", 100)
            system.skew(NodeId(follower), HOUR_S)
            assert await asked(system, follower, "GET", "k") == "v"
            assert await asked(system, leader, "GET", "k") == "v"
            system.skew(NodeId(leader), HOUR_S)
            assert await asked(system, leader, "GET", "k") is None
            # Log time never goes back: what a read has found ended does not come again.
            system.skew(NodeId(leader), -HOUR_S)
            assert await asked(system, follower, "GET", "k") is None
            assert await asked(system, leader, "SET", "k", "w", "EX", 100)
            assert await asked(system, follower, "GET", "k") == "w"

    asyncio.run(play())


def test_quorate_stays_valid_with_wrong_clocks_though_reads_go_by_leases(tmp_path: Path) -> None:
    """Leases are timed by the monotonic clock, which nobody sets."""
    result = tried(tmp_path, QuorateSystem(settings="lease_reads = true\n"), fault_duration=seconds(0.8))
    assert [span.name for span in result.spans] == ["skew"]
    assert result.verdict == "valid"


def test_skew_is_refused_with_the_reason_where_it_cannot_be_had(tmp_path: Path) -> None:
    for name in ("etcd", "nats"):
        with pytest.raises(errors.UsageError, match=f"no skew for {name}: it is written in Go"):
            tried(tmp_path, make_system(name))

    class Clockless:
        name = "clockless"

    with pytest.raises(errors.UsageError, match="its adapter cannot set a clock"):
        tried(tmp_path, Clockless())  # type: ignore[arg-type]


def test_a_clock_file_says_what_is_to_be_added_and_is_gone_at_the_end() -> None:
    clocks = FakeClocks()
    path = Path(clocks.environment(NodeId(2))["FAKETIME_TIMESTAMP_FILE"])
    assert path.read_text() == "+0.000\n"
    clocks.set(NodeId(2), -1.5)
    assert path.read_text() == "-1.500\n"
    clocks.close()
    assert not path.parent.exists()


def test_a_process_sees_the_wrong_time_at_once_and_its_monotonic_clock_goes_on(run_system: Any) -> None:
    async def play() -> None:
        system = RedisSystem()
        async with run_system(system, 1, can_skew=True):
            before = await asked(system, 1, "INFO", "server")
            # TIME is a pair of seconds and microseconds.
            right = int((await asked(system, 1, "TIME"))[0])
            system.skew(NodeId(1), -HOUR_S)
            wrong = int((await asked(system, 1, "TIME"))[0])
            assert -HOUR_S <= wrong - right < -HOUR_S / 2
            after = await asked(system, 1, "INFO", "server")
            assert str(before["run_id"]) == str(after["run_id"])

    asyncio.run(play())
