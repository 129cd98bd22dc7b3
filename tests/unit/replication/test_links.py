"""Links between simulated nodes: who is let in, what arrives, and what happens when the network breaks."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from quorate.env import Address, Env
from quorate.kernel import Duration, NodeId, seconds
from quorate.replication import Kind, Links, LinksConfig, Turn, frame
from quorate.sim import Host, World

PORT = 7000


class Party:
    """A node with nothing but links."""

    def __init__(self, env: Env, addresses: dict[NodeId, Address], cluster: str, config: LinksConfig | None) -> None:
        self.turn = Turn()
        self.links = Links(env, self.turn, cluster=cluster, config=config)
        self.turn.add(self.links.flush)
        self.heard: list[tuple[int, bytes]] = []
        self.lost: list[int] = []
        self.links.on_frame(Kind.MESSAGE, lambda node, payload: self.heard.append((node, payload)))
        self.found: list[int] = []
        self.links.on_lost(self.lost.append)
        self.links.on_found(self.found.append)
        self._addresses = addresses
        self._listen = addresses[env.node]

    async def run(self) -> None:
        await self.links.start(self._listen)
        self.links.set_peers(self._addresses)
        await asyncio.get_running_loop().create_future()


class Net:
    """A world of parties."""

    def __init__(self, world: World, count: int = 3, *, clusters: dict[int, str] | None = None) -> None:
        self.world = world
        self.hosts: list[Host] = [world.host(f"n{number}") for number in range(1, count + 1)]
        self.addresses = {host.node: Address(host.ip, PORT) for host in self.hosts}
        self.clusters = clusters or {}
        self.parties: dict[int, Party] = {}
        self.config: LinksConfig | None = None
        for host in self.hosts:
            host.start(self.main)

    async def main(self, env: Env) -> None:
        party = Party(env, self.addresses, self.clusters.get(env.node, "c"), self.config)
        self.parties[env.node] = party
        await party.run()

    def run(self, span_s: float = 3.0) -> None:
        self.world.run_for(seconds(span_s))

    def on(self, node: int, callback: Callable[..., Any], *args: Any) -> None:
        """Call something on a node's own loop."""
        incarnation = self.hosts[node - 1].incarnation
        assert incarnation is not None
        incarnation.enter(callback, *args)

    def send(self, node: int, to: int, payload: bytes) -> None:
        self.on(node, self.parties[node].links.send, NodeId(to), Kind.MESSAGE, payload)

    def up(self, node: int) -> list[int]:
        return [other for other in self.addresses if self.parties[node].links.is_up(other)]


@pytest.fixture
def net() -> Any:
    with World(3) as world:
        yield Net(world)


def test_every_pair_has_one_link_and_frames_arrive_in_order(net: Net) -> None:
    net.run()
    assert [net.up(node) for node in (1, 2, 3)] == [[2, 3], [1, 3], [1, 2]]
    for number in range(20):
        net.send(1, 2, b"%d" % number)
    net.run()
    assert net.parties[2].heard == [(1, b"%d" % number) for number in range(20)]


def test_what_is_sent_in_one_turn_leaves_in_one_write(net: Net) -> None:
    net.run()
    links = net.parties[1].links
    writes: list[bytes] = []
    connection = links._connections[NodeId(2)]
    write = connection.write
    connection.write = lambda data: (writes.append(data), write(data))[1]  # type: ignore[method-assign]

    def burst() -> None:
        for number in range(5):
            links.send(NodeId(2), Kind.MESSAGE, b"%d" % number)

    net.on(1, burst)
    net.run(0.01)
    assert writes == [b"".join(frame(Kind.MESSAGE, b"%d" % number) for number in range(5))]


def test_what_cannot_be_sent_is_dropped_and_counted(net: Net) -> None:
    net.run()
    net.send(1, 9, b"x")
    assert net.parties[1].links.dropped_count == 1


def test_a_partition_is_noticed_and_so_is_its_end(net: Net) -> None:
    net.run()
    net.world.partitions.isolate(net.hosts[0], net.hosts[1:])
    net.run(4)
    assert (net.up(1), net.up(2)) == ([], [3])
    assert sorted(net.parties[1].lost) == [2, 3]
    net.world.partitions.heal()
    net.run(3)
    assert net.up(1) == [2, 3]
    net.send(1, 3, b"again")
    net.run(1)
    assert net.parties[3].heard == [(1, b"again")]


def test_a_node_that_restarts_is_linked_again(net: Net) -> None:
    net.run()
    net.hosts[1].crash()
    net.run()
    net.hosts[1].restart()
    net.run()
    assert [net.up(node) for node in (1, 2, 3)] == [[2, 3], [1, 3], [1, 2]]


def test_nodes_of_another_cluster_are_refused_by_name_and_seldom_complained_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with World(4) as world:
        net = Net(world, clusters={3: "other"})
        net.run(20)
        assert [net.up(node) for node in (1, 2, 3)] == [[2], [1], []]
        assert net.parties[1].links.refused_count > 5
        lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("node 1:")]
        assert lines[0].startswith("node 1: refused a peer: cluster 'other' is not 'c'")
        assert len(lines) <= 2


def test_a_node_that_is_no_member_any_more_is_refused_and_told(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    net.run()
    for node in (2, 3):
        rest = {number: address for number, address in net.addresses.items() if number != 1}
        net.on(node, net.parties[node].links.set_peers, rest)
    net.run(5)
    assert (net.up(2), net.up(3)) == ([3], [2])
    assert any("node 1: was refused: node 1 is not a member" in record.getMessage() for record in caplog.records)
    # Dialling anew every 30 ms would be a storm.
    assert net.parties[2].links.refused_count < 60


def test_strangers_who_say_nothing_are_shown_out_and_only_so_many_may_wait() -> None:
    class Silent(asyncio.Protocol):
        def __init__(self) -> None:
            self.is_lost = False

        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            self.is_lost = True

    with World(5) as world:
        net = Net(world, 1)
        net.run(0.1)
        net.parties[1].links.config = LinksConfig(stranger_count_max=3)
        silent = [Silent() for _ in range(6)]

        async def call() -> list[int]:
            loop = asyncio.get_running_loop()
            for one in silent:
                await loop.create_connection(lambda one=one: one, net.hosts[0].ip, PORT)  # type: ignore[misc]
            await asyncio.sleep(0.3)
            first = [one.is_lost for one in silent].count(True)
            await asyncio.sleep(3)
            return [first, [one.is_lost for one in silent].count(True)]

        assert world.run(call(), timeout=Duration(60 * 10**9)) == [3, 6]
        assert net.parties[1].links._strangers == {}


def test_a_stopped_node_lets_go_of_everything(net: Net) -> None:
    net.run()

    async def stop() -> None:
        await net.parties[1].links.stop()

    net.on(1, lambda: asyncio.get_running_loop().create_task(stop()))
    net.run()
    assert (net.up(1), net.parties[1].lost) == ([], [])
    assert net.up(2) == [3]


def test_a_link_that_stands_is_told_and_told_again_when_it_comes_back(net: Net) -> None:
    """Keyspaces without a leader take it for a peer that is up."""
    net.run()
    assert sorted(net.parties[1].found) == [2, 3]

    net.hosts[2].crash()
    net.run()
    assert net.parties[1].lost == [3]
    net.hosts[2].restart()
    net.run()

    assert net.parties[1].found.count(3) == 2
