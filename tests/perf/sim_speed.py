"""How fast the simulated world runs: `python tests/perf/sim_speed.py [seconds per figure]`. Per second of processor time; prints, asserts nothing."""

import asyncio
import random
import sys
import time
from typing import Any

from quorate.env import Address, Env
from quorate.kernel import Machine, NodeId, Received, Send, SetTimer, Started, TimerFired, milliseconds, seconds
from quorate.sim import CoreCluster, World

NODES = (1, 2, 3, 4, 5)


class Heartbeat(Machine):
    """Sends to every peer each 125 ms and answers: 320 messages per simulated second in a group of five."""

    def __init__(self, node: NodeId) -> None:
        super().__init__()
        self.peers = [NodeId(peer) for peer in NODES if peer != node]

    def _on_event(self, event: Any) -> None:
        match event:
            case Received(sender, "beat"):
                self._emit(Send(sender, "heard"))  # type: ignore[arg-type]
            case Started() | TimerFired():
                for peer in self.peers:
                    self._emit(Send(peer, "beat"))  # type: ignore[arg-type]
                self._emit(SetTimer("beat", milliseconds(125)))


def callbacks(limit: float) -> str:
    async def main() -> float:
        loop, count, begun = asyncio.get_running_loop(), 0, time.process_time()
        done = loop.create_future()

        def chain() -> None:
            nonlocal count
            count += 1
            if count % 1000 or time.process_time() - begun < limit:
                loop.call_soon(chain)
            else:
                done.set_result(None)

        loop.call_soon(chain)
        await done
        return count / (time.process_time() - begun)

    with World(1, livelock_limit=1 << 60) as world:
        return f"{world.run(main()) / 1e3:8.0f} k callbacks/s (call_soon chain)"


def echo(limit: float, *, streams: bool) -> str:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    class Client(asyncio.Protocol):
        count = 0

        def connection_made(self, transport: Any) -> None:
            self.transport, self.begun = transport, time.process_time()
            self.done = asyncio.get_running_loop().create_future()
            transport.write(b"x" * 100)

        def data_received(self, data: bytes) -> None:
            self.count += 1
            if self.count % 100 == 0 and time.process_time() - self.begun > limit:
                if not self.done.done():
                    self.done.set_result(self.count / (time.process_time() - self.begun))
            else:
                self.transport.write(data)

    async def server(env: Env) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line)

        if streams:
            await asyncio.start_server(serve, "a", 80)
        else:
            await env.streams.listen(Address("a", 80), Echo)
        await asyncio.sleep(1e9)

    async def client(env: Env) -> float:
        await asyncio.sleep(0.1)
        if not streams:
            protocol = Client()
            await env.streams.connect(Address("a", 80), lambda: protocol)
            return await protocol.done
        reader, writer = await asyncio.open_connection("a", 80)
        count, begun = 0, time.process_time()
        while count % 100 or time.process_time() - begun < limit:
            writer.write(b"x" * 99 + b"\n")
            await reader.readline()
            count += 1
        return count / (time.process_time() - begun)

    with World(1) as world:

        async def lab() -> float:
            world.host("a").start(server)
            return await world.result(world.host("b").start(client))

        name = "streams" if streams else "Protocol"
        # A round trip is two messages.
        return f"{2 * world.run(lab()) / 1e3:8.0f} k msgs/s (TCP echo, {name})"


def core(limit: float) -> str:
    world = World(1)
    cluster = CoreCluster(world, lambda node, _records, _rng: Heartbeat(node), NODES)
    cluster.start()
    begun = time.process_time()
    while time.process_time() - begun < limit:
        cluster.run_for(seconds(10))
    rate = world.now / 1e9 / (time.process_time() - begun)
    return f"{rate:8.0f} simulated s/s (core level, 5 heartbeat machines, 320 msgs per simulated s)"


def raft(limit: float) -> str:
    from quorate.protocols.raft import Configuration, Propose, Raft, RaftConfig

    members = Configuration(voters=tuple(NodeId(node) for node in NODES))

    def make(node: NodeId, records: list[Any], rng: random.Random) -> Machine:
        return Raft(RaftConfig(node=node, configuration=members), records, rng)

    world = World(1)
    cluster = CoreCluster(world, make, NODES)
    cluster.start()
    begun = time.process_time()
    while time.process_time() - begun < limit:
        for host in cluster.hosts.values():
            if type(host.machine.role).__name__ == "Leader":  # type: ignore[attr-defined]
                host.call(Propose((b"x" * 100,), 1))
        cluster.run_for(milliseconds(200))
    rate = world.now / 1e9 / (time.process_time() - begun)
    return f"{rate:8.0f} simulated s/s (core level, 5 Raft nodes, 5 proposals per simulated s)"


if __name__ == "__main__":
    span = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    print(callbacks(span))
    print(echo(span, streams=True))
    print(echo(span, streams=False))
    print(core(span))
    print(raft(span))
