"""The whole member in the simulated world: several groups, checkpoints, snapshots, full disks, stops."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from quorate.client import Database, KeyChange, RemoteExecutor
from quorate.kernel import Duration, GroupId, NodeId, marks, seconds
from quorate.kernel.errors import ConnectionLost, DiskFull, Refused
from quorate.lab.simulation.cluster import SimCluster
from quorate.server import Storage
from quorate.sim import World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

SMALL = Storage(checkpoint_entry_count=20, trailing_entry_count=5, segment_bytes_max=4 << 10, free_bytes_min=0)


def database(world: World, cluster: SimCluster, *places: int) -> Database:
    addresses = [cluster.address_of(place) for place in places or range(len(cluster.hosts))]
    return Database(RemoteExecutor(make_env(world.lab), addresses, timeout=seconds(20)))


def run(world: World, main: Coroutine[Any, Any, Any]) -> Any:
    return world.run(main, timeout=Duration(600 * 10**9))


async def until(is_so: Callable[[], Any], span_s: float = 60.0) -> None:
    for _ in range(round(span_s / 0.1)):
        if is_so():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never became so")


def all_applied(cluster: SimCluster, count: int) -> bool:
    indexes = {server.node.first.state.applied_index for server in cluster.live().values()}
    return len(cluster.live()) == count and len(indexes) == 1


def on(cluster: SimCluster, node: int, callback: Callable[..., Any], *args: Any) -> None:
    incarnation = cluster.host_of(NodeId(node)).incarnation
    assert incarnation is not None
    incarnation.enter(callback, *args)


# -- several groups --------


def test_four_groups_on_three_nodes_serve_as_one_store() -> None:
    with World(11) as world:
        cluster = SimCluster(world, node_count=3, group_count=4)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster)
            await asyncio.gather(*(db.put(f"k{number:02}", number) for number in range(60)))
            assert [int(item.value or b"") async for item in db.scan("k")] == list(range(60))
            assert await db.execute("dbsize") == 60
            async with db.transaction() as t:
                t.put("{one}a", 1)
                t.put("{one}b", 2)
            with pytest.raises(Refused, match="same slot"):
                await db.execute("mset", "a", 1, "b", 2)
            cluster.host_of(cluster.leader() or NodeId(1)).crash()
            assert await db.increment("n") == 1
            assert await db.increment("n") == 2
            cluster.hosts[[host.is_running for host in cluster.hosts].index(False)].restart()
            await until(lambda: all_applied(cluster, 3))
            keys: list[bytes] = []
            cursor = b"0"
            while True:
                cursor, found = await db.executor.read([b"SCAN", cursor, b"COUNT", b"7"], "linearizable")
                keys += found
                if cursor == b"0":
                    break
            assert sorted(keys) == sorted([b"k%02d" % number for number in range(60)] + [b"n", b"{one}a", b"{one}b"])
            server = cluster.live()[NodeId(1)]
            assert len(server.node.replicas) == 4
            assert all(replica.state.applied_index > 0 for replica in server.node.replicas.values())
            await db.close()

        run(world, main())


# -- checkpoints and the log --------


def test_checkpoints_let_old_files_of_the_log_go_and_a_restart_finds_everything() -> None:
    with World(13) as world:
        cluster = SimCluster(world, node_count=3, storage=SMALL)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster)
            for number in range(300):
                await db.put(f"k{number}", "x" * 100)
            await asyncio.sleep(3)
            for server in cluster.live().values():
                assert server.node.first.checkpoint_count > 2
                assert server.node.wal.segment_count <= 5
            for host in cluster.hosts:
                host.power_cut()
            for host in cluster.hosts:
                host.restart()
            assert len([item async for item in db.scan("k")]) == 300
            await db.close()

        run(world, main())


def test_an_idle_group_does_not_keep_old_files_of_the_log() -> None:
    """It writes its promises and its few entries again, in one frame, so that the oldest file can go."""
    with World(14) as world, marks.expect("replica: an idle group wrote its log again, so that old files can go"):
        cluster = SimCluster(world, node_count=3, group_count=2, storage=SMALL)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster)
            router = cluster.live()[NodeId(1)].node._writes
            assert router is not None
            names = [f"k{number}" for number in range(3000)]
            busy = [name for name in names if router.place_of(name.encode()) == 0]
            idle = [name for name in names if router.place_of(name.encode()) == 1]
            for name in idle[:3]:
                await db.put(name, "idle")
            for name in busy[:400]:
                await db.put(name, "x" * 100)
            await asyncio.sleep(3)
            for server in cluster.live().values():
                assert server.node.wal.segment_count <= 5, server.node.wal.holding_back()
            for host in cluster.hosts:
                host.power_cut()
            for host in cluster.hosts:
                host.restart()
            assert [await db.get(name) for name in idle[:3]] == [b"idle"] * 3
            assert await db.execute("dbsize") == 403
            await db.close()

        world.run_for(seconds(2))
        run(world, main())


def test_a_node_that_was_away_for_long_takes_over_a_snapshot_and_its_watchers_are_told() -> None:
    with (
        World(15) as world,
        marks.expect("snapshots: installed"),
        marks.expect("replica: the state was replaced by a snapshot"),
    ):
        cluster = SimCluster(world, node_count=3, storage=SMALL)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster, 0, 1)
            await db.put("first", 1)
            away = database(world, cluster, 2)
            assert await away.get("first") == b"1"
            changes = away.watch()
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.5)
            world.partitions.isolate(cluster.hosts[2], cluster.hosts[:2])
            for number in range(200):
                await db.put(f"k{number}", number)
            await asyncio.sleep(2)
            world.partitions.heal()
            with pytest.raises(ConnectionLost):
                while True:
                    change: KeyChange = await waiting
                    assert change.key != b"k199", "it was told everything, so nothing was missed"
                    waiting = asyncio.ensure_future(anext(changes))
            await until(lambda: all_applied(cluster, 3))
            assert cluster.live()[NodeId(3)].node.first.snapshots.received_count >= 1
            assert await away.get("k199", consistency="local") == b"199"
            await db.close()
            await away.close()

        run(world, main())


def test_a_snapshot_with_a_piece_missing_is_begun_anew() -> None:
    from quorate.replication import PIECES, Kind

    with World(16) as world, marks.expect("snapshots: a piece is missing"):
        cluster = SimCluster(world, node_count=3, storage=SMALL)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster, 0, 1)
            await db.put("first", "x" * 600_000)
            cluster.hosts[2].crash()
            for number in range(100):
                await db.put(f"k{number}", number)
            await asyncio.sleep(2)
            dropped = 0
            for node in (NodeId(1), NodeId(2)):
                links = cluster.live()[node].node.links
                send = links.send

                def lossy(to: NodeId, kind: Kind, payload: bytes, send: Any = send) -> bool:
                    nonlocal dropped
                    if kind == Kind.SNAPSHOT and dropped == 0 and getattr(PIECES.decode(payload), "ordinal", 9) == 1:
                        dropped += 1
                        return True
                    return bool(send(to, kind, payload))

                links.send = lossy  # type: ignore[method-assign]
            cluster.hosts[2].restart()
            await until(lambda: all_applied(cluster, 3))
            assert dropped == 1
            assert cluster.live()[NodeId(3)].node.first.snapshots.received_count == 1
            await db.close()

        run(world, main())


# -- a full disk, and a stop --------


def test_a_full_disk_refuses_writes_and_comes_back() -> None:
    with World(17) as world:
        storage = Storage(free_bytes_min=100_000)
        cluster = SimCluster(world, node_count=1, storage=storage)
        cluster.start()

        async def main() -> None:
            db = database(world, cluster)
            await db.put("before", 1)
            disk = cluster.hosts[0].disk
            wide = disk.policy
            import msgspec

            disk.policy = msgspec.structs.replace(wide, capacity_bytes=disk.used_bytes + 50_000)
            await asyncio.sleep(1)
            with pytest.raises(DiskFull, match="nothing was done"):
                await db.put("during", 1)
            assert await db.get("before") == b"1"
            disk.policy = wide
            await asyncio.sleep(1)
            await db.put("after", 1)
            assert await db.get("during") is None
            await db.close()

        run(world, main())


def test_an_administrator_is_answered_whatever_he_asks() -> None:
    """Also when arguments are missing or senseless, and when the node stops meanwhile."""

    class Caller:
        def __init__(self) -> None:
            self.replies: list[str] = []

        def complete(self, reply: Any) -> None:
            self.replies.append(str(reply))

        def flush(self) -> None:
            pass

    with World(18) as world:
        cluster = SimCluster(world, node_count=3)
        cluster.start()
        world.run_for(seconds(3))
        leader = cluster.leader()
        assert leader is not None
        node = cluster.live()[leader].node
        asked = [
            (b"ADD", []),
            (b"ADD", [b"x", b"a:1", b"b:2"]),
            (b"ADD", [b"0", b"a:1", b"b:2"]),
            (b"ADD", [b"4", b"nowhere", b"b:2"]),
            (b"ADD", [b"4", b"\xff:1", b"b:2"]),
            (b"ADD", [b"4", str(node.addresses()[NodeId(1)]).encode(), b"b:2"]),
            (b"REMOVE", [b"9"]),
            (b"TRANSFER", [b"9"]),
            (b"NONSENSE", []),
            (b"TRANSFER", [str(leader).encode()]),
            (b"MEMBERS", []),
            (b"SNAPSHOT", []),
        ]
        callers = [Caller() for _ in asked]
        for (name, args), caller in zip(asked, callers, strict=True):
            on(cluster, leader, node.admin, name, args, caller)
        world.run_for(seconds(3))
        assert [len(caller.replies) for caller in callers] == [1] * len(asked)
        assert "not host:port" in callers[3].replies[0]
        assert "is the address of node 1" in callers[5].replies[0]
        assert "node 9 is not a member" in callers[6].replies[0]
        assert "node 9 is not a voter" in callers[7].replies[0]
        # A node that nobody runs never catches up; the node stops while the administrator waits.
        late = Caller()
        on(cluster, leader, node.admin, b"ADD", [b"5", b"10.9.9.9:1", b"10.9.9.9:2"], late)
        world.run_for(seconds(2))
        assert late.replies == []
        on(cluster, leader, lambda: asyncio.get_running_loop().create_task(node.stop()))
        world.run_for(seconds(2))
        assert len(late.replies) == 1
        assert "STOPPED" in late.replies[0]
        assert node._admin_tasks == {}
        assert GroupId(1) in node.replicas


def test_a_node_that_was_removed_is_let_in_nowhere_any_more() -> None:
    """Once only the node on which it was removed knew."""
    with World(19) as world:
        cluster = SimCluster(world, node_count=3)
        cluster.start()
        world.run_for(seconds(3))
        leader = cluster.leader()
        assert leader is not None
        removed = next(node for node in cluster.live() if node != leader)
        cluster.administer(leader, b"REMOVE", [str(removed).encode()])
        world.run_for(seconds(5))
        for node, server in cluster.live().items():
            if node != removed:
                assert removed not in server.node.peers(), node
                assert not server.node.links.is_up(removed), node
