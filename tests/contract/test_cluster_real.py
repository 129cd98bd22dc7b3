"""Real node processes on loopback: failover, members, backup, and what happens when something is wrong."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import quorate
from quorate.client import Database
from quorate.kernel.errors import DefiniteError, DiskFull, OperationError

pytestmark = [pytest.mark.real, pytest.mark.slow]

Command = Callable[..., CompletedProcess[str]]


def test_increments_are_counted_once_although_the_leader_is_killed_and_connections_break(make_cluster: Any) -> None:
    """Counter equals acknowledged increments; the first write after kill -9 of the leader comes soon."""
    cluster = make_cluster()
    cluster.start()

    async def main() -> tuple[int, int, int, float]:
        acknowledged = in_doubt = 0
        last_ok = time.monotonic()
        longest_s = 0.0
        is_over = False

        async def worker(db: Database) -> None:
            nonlocal acknowledged, in_doubt, last_ok, longest_s
            while not is_over:
                try:
                    await db.increment("n")
                except DefiniteError:
                    continue
                except OperationError:
                    in_doubt += 1
                    continue
                acknowledged += 1
                now = time.monotonic()
                longest_s, last_ok = max(longest_s, now - last_ok), now
                await asyncio.sleep(0.002)

        async def breaker(db: Database) -> None:
            while not is_over:
                await asyncio.sleep(0.15)
                db.executor._drop(db.executor._connection)  # type: ignore[attr-defined]

        async with quorate.connect(cluster.url, timeout=20) as db:
            await db.put("n", 0)
            tasks = [asyncio.create_task(worker(db)) for _ in range(8)] + [asyncio.create_task(breaker(db))]
            await asyncio.sleep(0.5)
            leader = await asyncio.to_thread(cluster.wait_for_leader)
            leader.end(signal.SIGKILL)
            await asyncio.sleep(2.5)
            leader.start()
            await asyncio.sleep(0.5)
            is_over = True
            await asyncio.gather(*tasks)
            return acknowledged, in_doubt, int(await db.get("n") or 0), longest_s

    acknowledged, in_doubt, total, longest_s = asyncio.run(main())
    assert acknowledged > 100
    assert in_doubt == 0
    assert total == acknowledged
    print(f"longest time without an acknowledged write: {longest_s:.2f} s, {acknowledged} writes")


def test_status_members_and_leadership_from_the_command_line(shared_cluster: Any, quorate_command: Command) -> None:
    cluster = shared_cluster
    leader = cluster.wait_for_leader().number
    shown = quorate_command("status", "--at", cluster.at)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert len(lines) == 4
    assert sum(" leader " in line for line in lines[1:]) == 1
    assert sum(" follower " in line for line in lines) == 2
    listed = quorate_command("members", "--at", cluster.nodes[1].redis)
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [[str(n), "voter"] for n in (1, 2, 3)]
    other = leader % 3 + 1
    moved = quorate_command("transfer-leader", other, "--at", cluster.at)
    assert (moved.returncode, moved.stdout.strip()) == (0, f"node {other} leads now")
    assert cluster.wait_for_leader().number == other
    again = quorate_command("transfer-leader", 9, "--at", cluster.at)
    assert again.returncode == 1
    assert again.stderr.strip() == "err: node 9 is not a voter"


def test_status_says_which_node_is_away(make_cluster: Any, quorate_command: Command) -> None:
    cluster = make_cluster()
    cluster.start()
    cluster.nodes[3].end(signal.SIGKILL)
    cluster.wait_for_leader()
    shown = quorate_command("status", "--at", cluster.at)
    assert shown.returncode == 1
    assert "Traceback" not in shown.stderr
    assert cluster.nodes[3].redis in shown.stdout + shown.stderr
    assert any(line.split()[:1] == ["1"] for line in shown.stdout.splitlines())


def test_members_come_and_go_while_writes_go_on(make_cluster: Any, quorate_command: Command) -> None:
    """A node that joins late catches up through a snapshot; a leader that is removed hands over first."""
    cluster = make_cluster(
        extra="[storage]\ncheckpoint_entry_count = 50\ntrailing_entry_count = 10\nsegment_bytes_max = 65536\n"
    )
    cluster.start()
    at = cluster.at

    async def main() -> int:
        is_over = False
        count = 0

        async def writer(db: Database) -> None:
            nonlocal count
            while not is_over:
                await db.put(f"k{count}", "x" * 100)
                count += 1
                await asyncio.sleep(0.002)

        async with quorate.connect("quorate://" + at, timeout=20) as db:
            writing = asyncio.create_task(writer(db))
            await asyncio.sleep(1.0)
            node = cluster.add_node(4)
            node.start()
            added = await asyncio.to_thread(quorate_command, "members", "--at", at, "add", 4, node.peer, node.redis)
            assert (added.returncode, added.stdout.strip()) == (0, "node 4 is a voter now"), added.stderr
            status = await asyncio.to_thread(node.status)
            assert status is not None
            assert status["counters"]["snapshots_received"] >= 1
            leader = await asyncio.to_thread(cluster.wait_for_leader)
            removed = await asyncio.to_thread(quorate_command, "members", "--at", at, "remove", leader.number)
            assert (removed.returncode, removed.stdout.strip()) == (0, f"node {leader.number} is no member any more"), (
                removed.stderr
            )
            leader.end()
            following = await asyncio.to_thread(cluster.wait_for_leader, but=leader.number)
            again = await asyncio.to_thread(
                quorate_command, "members", "--at", following.redis, "add", leader.number, leader.peer, leader.redis
            )
            assert again.returncode == 1
            assert again.stderr.strip() == f"err: node id {leader.number} was used before; ids are never used again"
            is_over = True
            await writing
            # A node that was removed and is started again harms nobody: it is refused by name.
            leader.start()
            await asyncio.to_thread(cluster.wait, lambda: "is not a member" in leader.text(), "refusal of the removed")
            await db.put("last", 1)
            others = [one for one in cluster.nodes.values() if one is not leader]
            async with quorate.connect("quorate://" + ",".join(one.redis for one in others), timeout=20) as rest:
                found = [item async for item in rest.scan("k")]
                assert len(found) == count
            return count

    assert asyncio.run(main()) > 100


def test_a_torn_tail_is_cut_and_nothing_that_was_acknowledged_is_missing(make_cluster: Any) -> None:
    cluster = make_cluster()
    cluster.start()

    async def write(first: int) -> None:
        async with quorate.connect(cluster.url, timeout=20) as db:
            for place in range(first, first + 50):
                await db.put(f"k{place:03}", place)

    asyncio.run(write(0))
    node = cluster.nodes[2]
    node.end(signal.SIGKILL)
    last = max((node.data / "log").iterdir())
    with last.open("ab") as file:
        file.write(b"\x01half a block that no sync ever covered")
    node.start()
    asyncio.run(write(50))
    cluster.wait(lambda: "were never acknowledged and are cut" in node.text(), "word of the cut")
    commit = cluster.wait_for_leader().status()["commit_index"]
    cluster.wait(lambda: (node.status() or {"applied_index": 0})["applied_index"] >= commit, "catching up")

    async def read() -> list[bytes]:
        async with quorate.connect("quorate://" + node.redis, timeout=20) as db:
            return [item.key async for item in db.scan("k")]

    assert asyncio.run(read()) == [b"k%03d" % place for place in range(100)]


def test_a_backup_becomes_a_new_cluster(make_cluster: Any, quorate_command: Command, tmp_path: Path) -> None:
    cluster = make_cluster()
    cluster.start()

    async def fill() -> None:
        async with quorate.connect(cluster.url, timeout=20) as db:
            await asyncio.gather(*(db.put(f"k{place:03}", place) for place in range(200)))

    asyncio.run(fill())
    node = cluster.wait_for_leader()
    file = tmp_path / "backup"
    busy = quorate_command("snapshot", "save", node.data, file)
    assert busy.returncode == 1
    assert "in use by another process" in busy.stderr
    cluster.stop()
    saved = quorate_command("snapshot", "save", node.data, file)
    assert saved.returncode == 0, saved.stderr
    assert "200 keys" in saved.stdout
    assert quorate_command("snapshot", "save", node.data, file).returncode == 1

    fresh = make_cluster(name="fresh", cluster="fresh")
    configs = [part for one in fresh.nodes.values() for part in ("--config", one.path)]
    restored = quorate_command("snapshot", "restore", file, *configs)
    assert restored.returncode == 0, restored.stderr
    fresh.start()

    async def read() -> list[bytes]:
        async with quorate.connect(fresh.url, timeout=20) as db:
            await db.put("new", 1)
            return [item.value or b"" async for item in db.scan("k")]

    assert asyncio.run(read()) == [b"%d" % place for place in range(200)]
    twice = quorate_command("snapshot", "restore", file, *configs)
    assert twice.returncode == 1
    assert "is not empty; nothing was written" in twice.stderr
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    other = make_cluster(name="other", cluster="other")
    damaged = quorate_command("snapshot", "restore", file, "--config", other.nodes[1].path)
    assert damaged.returncode == 1
    assert "Traceback" not in damaged.stderr
    assert len(damaged.stderr.strip().splitlines()) == 1
    assert not other.nodes[1].data.exists() or not any(other.nodes[1].data.iterdir())


def test_up_runs_a_cluster_until_it_is_interrupted(tmp_path: Path, free_port: int, start_quorate: Any) -> None:
    process = start_quorate("up", "--nodes", 3, "--dir", tmp_path / "up", "--port", free_port)
    shown = ""
    while "Ctrl-C" not in shown:
        line = process.stdout.readline()
        assert line, f"it ended early: {shown}"
        shown += line
    assert f"redis-cli -p {free_port}" in shown
    assert "health: http://" in shown
    assert f"quorate.connect('quorate://127.0.0.1:{free_port}" in shown

    async def use() -> bytes | None:
        async with quorate.connect(f"quorate://127.0.0.1:{free_port}", timeout=20) as db:
            await db.put("a", 1)
            return await db.get("a")

    assert asyncio.run(use()) == b"1"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    for place in range(3):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", free_port + place)) != 0


def test_up_ends_its_nodes_also_when_it_is_terminated(tmp_path: Path, free_port: int, start_quorate: Any) -> None:
    process = start_quorate("up", "--nodes", 1, "--dir", tmp_path / "up", "--port", free_port)
    while "Ctrl-C" not in process.stdout.readline():
        pass
    process.terminate()
    assert process.wait(20) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", free_port)) != 0


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(make_cluster: Any, tmpfs: Any) -> None:
    """A real small file system: DISKFULL while it is full, reads go on, writes again when space returns."""
    cluster = make_cluster(1, extra="[storage]\nfree_bytes_min = 4194304\nsegment_bytes_max = 1048576\n")
    node = cluster.nodes[1]
    with tmpfs(node.data, "40m") as space:
        node.prefix = space.prefix
        cluster.start()

        async def main() -> None:
            async with quorate.connect(cluster.url, timeout=5) as db:
                await db.put("before", "x")
                space.fill()
                deadline = time.monotonic() + 20
                with pytest.raises(DiskFull, match="nothing was done"):
                    while time.monotonic() < deadline:
                        await db.put("during", "x")
                        await asyncio.sleep(0.02)
                assert await db.get("before") == b"x"
                space.free()
                while True:
                    try:
                        await db.put("after", "x")
                        break
                    except DiskFull:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.05)
                assert await db.get("after") == b"x"

        asyncio.run(main())
        assert node.end() == 0
        node.start()
        cluster.wait_for_leader()

        async def again() -> bytes | None:
            async with quorate.connect(cluster.url, timeout=10) as db:
                return await db.get("after")

        assert asyncio.run(again()) == b"x"
        node.end()
