"""`--system URL`: a cluster that runs already gets load and a verdict, is not harmed, and is left as it was."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quorate.env import Address
from quorate.kernel import NodeId, errors, seconds
from quorate.lab import TrialOptions, TrialResult, make_system, run_trial
from quorate.lab.systems.json_http import JSONConnection
from quorate.lab.systems.nats_client import NATSConnection
from quorate.lab.systems.postgres_client import PostgresConnection
from quorate.lab.systems.redis_door import client_of
from quorate.lab.systems.zookeeper_client import ask_four_letters

pytestmark = [pytest.mark.real, pytest.mark.slow]

Left = Callable[[Address], Awaitable[object]]


def tried(output: Path, url: str, **options: Any) -> TrialResult:
    wanted: dict[str, Any] = {"system": url, "duration": seconds(1), "rate_per_second": 200, "output": output}
    return run_trial(TrialOptions(**wanted | options), console=Console(file=io.StringIO()))


async def redis_keys(door: Address) -> object:
    client = client_of(lambda: door, timeout_s=2.0)
    try:
        return await client.command("DBSIZE")
    finally:
        await client.close()


async def etcd_keys(door: Address) -> object:
    http = JSONConnection(door, timeout_s=2.0)
    try:
        return (await http.post("/v3/kv/range", {"key": "AA==", "range_end": "AA==", "count_only": True}))[1].get(
            "count", 0
        )
    finally:
        await http.close()


async def postgres_tables(door: Address) -> object:
    connection = PostgresConnection(lambda: door, timeout_s=2.0)
    try:
        return await connection.query("SELECT tablename FROM pg_tables WHERE tablename LIKE 'quorate%'")
    finally:
        await connection.close()


async def zookeeper_nodes(door: Address) -> object:
    said = await ask_four_letters(door, "srvr", timeout_s=2.0)
    return [line for line in said.splitlines() if line.startswith("Node count")]


async def nats_streams(door: Address) -> object:
    connection = NATSConnection(door, timeout_s=2.0)
    try:
        return (await connection.request("$JS.API.STREAM.NAMES", b"")).body
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("name", "scheme", "left"),
    [
        ("redis", "redis", redis_keys),
        ("quorate", "quorate", redis_keys),
        ("etcd", "http", etcd_keys),
        ("postgres", "postgres", postgres_tables),
        ("zookeeper", "zookeeper", zookeeper_nodes),
        ("nats", "nats", nats_streams),
    ],
)
def test_a_server_that_runs_is_judged_and_left_as_it_was(
    run_system: Any, tmp_path: Path, name: str, scheme: str, left: Left
) -> None:
    node_count = 3 if name == "etcd" else 1

    async def play() -> TrialResult:
        system: Any = make_system(name)
        async with run_system(system, node_count):
            doors = [system.door(NodeId(number)) for number in range(1, node_count + 1)]
            door = doors[0]
            before = await left(door)
            result = await asyncio.to_thread(tried, tmp_path, f"{scheme}://{','.join(map(str, doors))}")
            assert await left(door) == before
            return result

    result = asyncio.run(play())
    assert result.verdict == "valid"
    assert result.outcomes["ok"] > 100
    assert result.spans == []
    assert len(set(result.where)) == node_count  # clients are spread over all addresses
    assert not any(call.key.startswith("quorate-trial") for call in result.calls)


@pytest.mark.parametrize("scheme", ["redis", "quorate", "http", "postgres", "zookeeper", "nats"])
def test_an_address_where_nobody_listens_is_named(run_main: Any, tmp_path: Path, scheme: str) -> None:
    end = run_main(
        "trial",
        "--system",
        f"{scheme}://somebody:secret@127.0.0.1:9" if scheme in {"redis", "nats"} else f"{scheme}://127.0.0.1:9",
        "--output",
        tmp_path,
    )
    assert end.returncode == 2
    assert "at 127.0.0.1:9 cannot be used" in end.stderr
    assert "secret" not in end.stderr + end.stdout
    assert "Traceback" not in end.stderr


def test_a_server_that_speaks_something_else_is_named(run_system: Any, tmp_path: Path) -> None:
    """Each of our protocols against a Redis: one sentence, and soon."""

    async def play() -> None:
        system: Any = make_system("redis")
        async with run_system(system):
            door = system.door(NodeId(1))
            schemes = ("etcd", "postgres", "zookeeper", "nats")
            trials = [asyncio.to_thread(tried, tmp_path / scheme, f"{scheme}://{door}") for scheme in schemes]
            for scheme, end in zip(schemes, await asyncio.gather(*trials, return_exceptions=True), strict=True):
                assert isinstance(end, errors.Unreachable)
                assert f"{scheme} at {door} cannot be used" in str(end)

    asyncio.run(play())


def test_a_password_is_used_and_a_wrong_one_is_refused_plainly(run_system: Any, tmp_path: Path) -> None:
    """SCRAM for PostgreSQL, AUTH for Redis."""

    async def play() -> None:
        system: Any = make_system("postgres")
        async with run_system(system):
            door = system.door(NodeId(1))
            admin = PostgresConnection(lambda: door, timeout_s=5.0)
            await admin.query("CREATE ROLE ann LOGIN SUPERUSER PASSWORD 'p@ss/word'")
            await admin.query("CREATE TABLE rules (line text)")
            rule = "COPY (SELECT 'host all ann 127.0.0.1/32 scram-sha-256' UNION ALL SELECT 'host all all 127.0.0.1/32 trust') TO "
            file = (await admin.query("SHOW hba_file"))[0][0]
            await admin.query(f"{rule}'{file}'")
            await admin.query("SELECT pg_reload_conf()")
            await admin.close()
            good = await asyncio.to_thread(tried, tmp_path, f"postgres://ann:p%40ss%2Fword@{door}/postgres")
            assert good.verdict == "valid"
            with pytest.raises(errors.Unreachable, match="password authentication failed"):
                await asyncio.to_thread(tried, tmp_path, f"postgres://ann:wrong@{door}/postgres")
        redis: Any = make_system("redis")
        async with run_system(redis):
            door = redis.door(NodeId(1))
            client = client_of(lambda: door, timeout_s=2.0)
            await client.command("CONFIG", "SET", "requirepass", "p@ss")
            await client.close()
            assert (await asyncio.to_thread(tried, tmp_path, f"redis://:p%40ss@{door}/1")).verdict == "valid"
            with pytest.raises(errors.Unreachable, match=f"redis at {door} cannot be used"):
                await asyncio.to_thread(tried, tmp_path, f"redis://{door}")

    asyncio.run(play())


def test_a_running_cluster_is_not_harmed(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="is not ours to harm"):
        tried(tmp_path, "redis://127.0.0.1:9", faults=("crash-leader",))
