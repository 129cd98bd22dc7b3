"""Session guarantees over stale copies: each is broken without its switch, and holds with it, as the checkers judge.

R = W = 1, nothing repairs, the nodes hear of each other late, their clocks differ, and every request of a client goes to
another node.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from quorate.check import Finding, History
from quorate.check.weak import check_causal, check_sessions
from quorate.client import Consistency, KeyChange, Keyspace, RemoteExecutor
from quorate.kernel import SECOND, Duration, milliseconds, seconds
from quorate.kernel.errors import QuorateError
from quorate.lab.recorder import Recorder
from quorate.lab.simulation.cluster import SimCluster
from quorate.server import Keyspace as Declared
from quorate.server import Replication
from quorate.sim import LinkPolicy, World
from quorate.sim.env import make_env

pytestmark = pytest.mark.slow

STALE = Replication(by="leaderless", read=1, write=1, read_repair="none", anti_entropy=False, hint_delay_ms=60_000)
ALL = {"read_your_writes": True, "monotonic_reads": True, "monotonic_writes": True, "writes_follow_reads": True}
SEEDS = (1, 2)


class Wandering:
    """Sends every request to a node drawn anew: what a load balancer without memory does."""

    def __init__(self, nodes: Sequence[RemoteExecutor], draw: Callable[[int], int]) -> None:
        self._nodes = nodes
        self._draw = draw

    async def send(self, args: list[bytes], *, is_write: bool) -> Any:
        return await self._nodes[self._draw(len(self._nodes))].send(args, is_write=is_write)

    async def admin(self, args: list[bytes]) -> Any:
        return await self._nodes[0].admin(args)

    async def write(self, args: list[bytes]) -> Any:
        raise AssertionError("nothing here goes to Raft")

    async def read(self, args: list[bytes], consistency: Consistency) -> Any:
        raise AssertionError("nothing here goes to Raft")

    async def watch(self, prefix: bytes, listener: Callable[[KeyChange | None], None]) -> Callable[[], None]:
        raise AssertionError("nothing here watches")

    async def close(self) -> None:
        pass


class Client:
    """One session, and what it does."""

    def __init__(self, keyspace: Keyspace, process: int, recorder: Recorder, dice: random.Random, keys: Sequence[str]):
        self.keyspace = keyspace
        self.process = process
        self.recorder = recorder
        self.dice = dice
        self.keys = keys
        self.count = 0

    async def write(self, key: str) -> None:
        self.count += 1
        value = self.process * 1000 + self.count
        call = self.recorder.invoke(process=self.process, worker=self.process, f="write", key=key, value=value)
        try:
            await self.keyspace.put(key, value)
            self.recorder.ok(call, None)
        except QuorateError as refused:
            self.recorder.failed(call, refused)

    async def read(self, key: str) -> int | None:
        call = self.recorder.invoke(process=self.process, worker=self.process, f="read", key=key, value=None)
        try:
            data = await self.keyspace.get(key)
        except QuorateError as refused:
            self.recorder.failed(call, refused)
            return None
        found = int(data) if data is not None else None
        self.recorder.ok(call, found)
        return found

    async def mixed(self) -> None:
        """Reads and writes whatever comes."""
        while self.recorder.now_ns() < 12 * SECOND:
            await asyncio.sleep(self.dice.random() * 0.1)
            key = self.keys[self.dice.randrange(len(self.keys))]
            await (self.write(key) if self.dice.random() < 0.4 else self.read(key))

    async def burst(self) -> None:
        """Corrects itself at once: two writes, then a pause."""
        while self.recorder.now_ns() < 14 * SECOND:
            await self.write(self.keys[0])
            await self.write(self.keys[0])
            await asyncio.sleep(1.2)

    async def once(self) -> None:
        """Writes now and then."""
        while self.recorder.now_ns() < 14 * SECOND:
            await self.write(self.keys[0])
            await asyncio.sleep(0.7)

    async def reply(self) -> None:
        """Answers what it has not seen before."""
        last = None
        while self.recorder.now_ns() < 14 * SECOND:
            found = await self.read(self.keys[0])
            if found is not None and found != last and found // 1000 != self.process:
                last = found
                await self.write(self.keys[0])
            await asyncio.sleep(0.07)

    async def look(self) -> None:
        """Reads again and again."""
        while self.recorder.now_ns() < 14 * SECOND:
            await self.read(self.keys[0])
            await asyncio.sleep(0.07)


MIXED = (Client.mixed,) * 4


def recorded(
    seed: int,
    roles: Sequence[Callable[[Client], Coroutine[Any, Any, None]]] = MIXED,
    *,
    keys: Sequence[str] = ("a",),
    **guarantees: bool,
) -> History:
    """Return what some sessions saw."""
    with World(seed) as world:
        cluster = SimCluster(world, node_count=3, keyspaces={"stale": Declared(replication=STALE)})
        late = LinkPolicy(latency=milliseconds(300), jitter=milliseconds(500))
        for one in cluster.hosts:
            one.time.wall_offset_ns += int(milliseconds(220 * (int(one.node) - 2)))
            for other in cluster.hosts:
                if one is not other:
                    world.links.policies[one.number, other.number] = late
        cluster.start()
        recorder = Recorder(lambda: world.now)
        dice = make_env(world.lab).rng

        async def main() -> None:
            await asyncio.sleep(2)
            clients = []
            for process in range(1, len(roles) + 1):
                nodes = [
                    RemoteExecutor(make_env(world.lab), [cluster.address_of(place)], timeout=seconds(6))
                    for place in range(3)
                ]
                session = Keyspace(Wandering(nodes, dice.randrange), "stale").session(**guarantees)
                clients.append(Client(session, process, recorder, dice, keys))
            await asyncio.gather(*(role(client) for role, client in zip(roles, clients, strict=True)))

        world.run(main(), timeout=Duration(600 * 10**9))
        return recorder.history()


def judged(findings: list[Finding]) -> list[str]:
    return [finding.verdict for finding in findings]


# An order of writes is refuted by who sees it: a reader that never goes back, a writer that reads its own.
@pytest.mark.parametrize(
    ("switch", "together", "roles"),
    [
        ("read_your_writes", ("read-your-writes",), MIXED),
        ("monotonic_reads", ("monotonic-reads",), MIXED),
        ("monotonic_writes", ("monotonic-writes", "monotonic-reads"), (Client.burst, Client.look, Client.look)),
        ("writes_follow_reads", ("writes-follow-reads", "read-your-writes"), (Client.once, Client.reply, Client.reply)),
    ],
)
def test_a_guarantee_is_broken_without_its_switch_and_holds_with_it(
    switch: str, together: tuple[str, ...], roles: Sequence[Callable[[Client], Coroutine[Any, Any, None]]]
) -> None:
    without = [check_sessions(recorded(seed, roles, **{**ALL, switch: False}), together) for seed in SEEDS]
    assert "invalid" in judged(without), "stale copies must show"
    held = [check_sessions(recorded(seed, roles, **ALL), together) for seed in SEEDS]
    assert judged(held) == ["valid"] * len(SEEDS), held


def test_causality_across_keys_needs_the_causal_session() -> None:
    keys = ("a", "b", "c")
    without = [check_causal(recorded(seed, keys=keys, **ALL)) for seed in SEEDS]
    assert "invalid" in judged(without), "the four guarantees order each key for itself"
    held = [check_causal(recorded(seed, keys=keys, causal=True)) for seed in SEEDS]
    assert judged(held) == ["valid"] * len(SEEDS), held
