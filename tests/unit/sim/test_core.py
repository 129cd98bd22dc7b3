"""The core level: machines on the scheduler, and the same machine behind a shell at loop level."""

import asyncio
import itertools
from collections.abc import Callable
from random import Random

import pytest

from quorate.env import Address, Env
from quorate.kernel import (
    Call,
    Called,
    CancelTimer,
    Codec,
    Deliver,
    Duration,
    Event,
    Machine,
    Message,
    NodeId,
    Outbox,
    Output,
    Persist,
    Persisted,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    milliseconds,
    seconds,
)
from quorate.sim import CoreCluster, CoreHost, LinkPolicy, ProgramFailed, World


class Beat(Message, frozen=True, array_like=True, gc=False, tag=True):
    number: int


class Heard(Message, frozen=True, array_like=True, gc=False, tag=True):
    number: int


class Wrote(Record, frozen=True, array_like=True, gc=False, tag=True):
    number: int


class Bump(Call, frozen=True, gc=False, tag=True):
    by: int


class Told(Output, frozen=True, gc=False, tag=True):
    number: int


NODES = (1, 2, 3, 4, 5)


class Beating(Machine):
    """Beats at drawn intervals; answers beats; writes every tenth number down before it says it."""

    def __init__(self, node: NodeId, records: list[Record], rng: Random) -> None:
        super().__init__()
        self.node = node
        self.rng = rng
        self.number = max((record.number for record in records if isinstance(record, Wrote)), default=0)

    def _on_event(self, event: Event) -> None:
        match event:
            case Started():
                self._again()
            case TimerFired():
                self.number += 1
                if self.number % 10 == 0:
                    self._emit(Persist((Wrote(self.number),)))
                for node in NODES:
                    if node != self.node:
                        self._emit(Send(NodeId(node), Beat(self.number)))
                self._again()
            case Received(sender, Beat(number)):
                self._emit(Send(sender, Heard(number)))
            case Called(Bump(by)):
                self.number += by
                self._emit(Persist((Wrote(self.number),)))
                self._emit(Deliver(Told(self.number)))
                self._emit(CancelTimer("nothing"))
            case _:
                pass

    def _again(self) -> None:
        self._emit(SetTimer("beat", Duration(milliseconds(40) + int(self.rng.random() * milliseconds(20)))))


LOSSY = LinkPolicy(lose=0.05, repeat=0.05, reorder=0.05)
CODEC: Codec[Message] = Codec(Beat | Heard)
Seen = list[tuple[int, int, int, int]]


def cluster_of(world: World, **rest: object) -> CoreCluster:
    return CoreCluster(world, Beating, NODES, **rest)  # type: ignore[arg-type]


def run_at_core_level(seed: int) -> Seen:
    world, seen = World(seed, link=LOSSY), Seen()

    def look(host: CoreHost, event: Event) -> None:
        if isinstance(event, Received):
            seen.append((world.now, event.sender, host.node, event.message.number))

    cluster = cluster_of(world)
    cluster.after_step.append(look)
    cluster.start()
    harm(world)
    cluster.run_for(seconds(20))
    return seen


def run_at_loop_level(seed: int) -> Seen:
    """The same machine behind datagrams: decode, step, perform."""
    world, seen = World(seed, link=LOSSY), Seen()

    async def main(env: Env) -> None:
        machine, outbox = Beating(env.node, [], env.rng), Outbox()
        file = env.disk.open("records", create=True)
        writing: list[int] = []

        def take(event: Event) -> None:
            if isinstance(event, Persisted):
                for effect in outbox.persisted(event.count):
                    perform(effect)
            for effect in outbox.push(machine.step(event, now=env.clock.now())):
                perform(effect)

        def perform(effect: object) -> None:
            match effect:
                case Send(to, message):
                    endpoint.send(Address(f"n{to}", 7), CODEC.encode(message))
                case SetTimer(timer, after):
                    env.clock.call_after(after, lambda: take(TimerFired(timer)))
                case Persist(records):
                    file.write(file.size_bytes(), CODEC.encode(records))
                    writing.append(outbox.persist_count)
                    if len(writing) == 1:
                        tasks.append(asyncio.ensure_future(write()))

        async def write() -> None:
            while writing:
                count = writing[-1]
                await file.sync()
                writing[:] = [later for later in writing if later > count]
                take(Persisted(count))

        def receive(sender: Address, payload: bytes) -> None:
            message = CODEC.decode(payload)
            source = world.find(sender.host, world.hosts[0])
            seen.append((world.now, source.node, env.node, message.number))
            take(Received(source.node, message))

        tasks: list[asyncio.Future[None]] = []
        endpoint = await env.network.listen(Address(f"n{env.node}", 7), receive)
        take(Started())
        await asyncio.sleep(1e6)

    for node in NODES:
        world.host(f"n{node}", node=node).start(main)
    harm(world)
    world.run_for(seconds(20))
    world.close()
    return seen


def harm(world: World) -> None:
    """A partition and its heal, at the same moments for both levels."""
    world.at(seconds(5), lambda: world.partitions.split([[1, 2], [3, 4, 5]]))
    world.at(seconds(9), world.partitions.heal)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_both_levels_give_the_same_messages_at_the_same_nanoseconds(seed: int) -> None:
    """One code path: the core level is the loop level without its cost."""
    core = run_at_core_level(seed)

    assert len(core) > 5000
    assert core == run_at_loop_level(seed)


def test_one_seed_is_one_run() -> None:
    """The trace hash is equal for equal seeds and differs for others."""

    def run(seed: int) -> int:
        world = World(seed)
        cluster = cluster_of(world)
        cluster.start()
        cluster.run_for(seconds(2))
        return world.trace_hash

    assert run(1) == run(1)
    assert run(1) != run(2)


def told(world: World) -> tuple[CoreCluster, list[int]]:
    outputs: list[int] = []

    def deliver(host: CoreHost, output: Output) -> None:
        assert isinstance(output, Told)
        outputs.append(output.number)

    cluster = CoreCluster(world, Beating, NODES, on_deliver=deliver, codec=CODEC)
    cluster.start()
    return cluster, outputs


def test_an_output_waits_for_its_write() -> None:
    """`kernel.Outbox` is the barrier here too."""
    world = World(1)
    cluster, outputs = told(world)
    host = cluster.hosts[NodeId(1)]

    assert host.call(Bump(1000))
    assert outputs == []
    assert host.durable == []
    cluster.run_for(milliseconds(10))

    assert outputs == [1000]
    assert host.durable == [Wrote(1000)]


def test_a_power_cut_loses_what_was_not_stable_and_said_nothing_of_it() -> None:
    """What was told is found again; what was not may be lost."""
    lost_count = 0
    for seed in range(20):
        world = World(seed)
        cluster, outputs = told(world)
        host = cluster.hosts[NodeId(1)]
        host.call(Bump(1000))
        cluster.run_for(milliseconds(10))
        host.call(Bump(1000))
        host.power_cut()
        assert not host.call(Bump(1))
        cluster.run_for(milliseconds(100))
        host.restart()

        assert outputs == [1000]
        assert host.machine.number in {1000, 2000}  # type: ignore[attr-defined]
        lost_count += host.machine.number == 1000  # type: ignore[attr-defined]
    assert 0 < lost_count < 20


def test_a_paused_machine_takes_everything_later() -> None:
    """Nothing is lost in a pause; calls wait too."""
    world = World(1)
    cluster, outputs = told(world)
    host = cluster.hosts[NodeId(1)]
    host.pause()
    host.call(Bump(500))
    cluster.run_for(seconds(1))
    steps = host.step_count
    host.resume()
    cluster.run_for(milliseconds(10))

    assert steps == 1
    assert host.step_count > 50
    assert outputs[0] >= 500


def test_an_invariant_that_breaks_fails_the_run() -> None:
    """`after_step` sees every step of every machine."""

    def broken(host: CoreHost, event: Event) -> None:
        assert host.machine.number < 20, "numbers stay small"  # type: ignore[attr-defined]

    world = World(1)
    cluster = cluster_of(world)
    cluster.after_step.append(broken)
    cluster.start()
    with pytest.raises(ProgramFailed, match="numbers stay small"):
        cluster.run_for(seconds(10))


def test_a_timer_of_a_slow_clock_comes_late_and_never_early() -> None:
    """Drift is honoured at core level too, also for timers that run already."""
    beats: list[int] = []

    def look(host: CoreHost, event: Event) -> None:
        if isinstance(event, TimerFired):
            beats.append(world.now)

    world = World(1)
    cluster = CoreCluster(world, Beating, (1,))
    cluster.after_step.append(look)
    cluster.start()
    cluster.hosts[NodeId(1)].host.set_drift(-500_000_000)
    cluster.run_for(seconds(2))

    assert min(later - sooner for sooner, later in itertools.pairwise(beats)) >= milliseconds(80)
    assert beats[0] >= milliseconds(80)


def test_a_condition_is_waited_for() -> None:
    """`run_until` says whether it came in time."""
    world = World(1)
    cluster = cluster_of(world)
    cluster.start()
    reached: Callable[[], bool] = lambda: cluster.hosts[NodeId(3)].machine.number >= 10  # type: ignore[attr-defined]  # noqa: E731

    assert cluster.run_until(reached, timeout=seconds(5), period=milliseconds(10))
    assert not cluster.run_until(lambda: False, timeout=seconds(1), period=milliseconds(10))
