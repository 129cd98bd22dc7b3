"""The world: time, hosts, crashes and failures that are named."""

import asyncio
import io
import os
import subprocess
import sys

import pytest

from quorate.env import Address, Env
from quorate.kernel import Duration, milliseconds, seconds
from quorate.sim import Deadlock, LinkPolicy, Livelock, Overdue, ProgramFailed, Revoked, World


async def echo(env: Env) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "a", 80)
    await server.serve_forever()


def test_an_hour_passes_at_once() -> None:
    """Time is virtual and exact."""
    with World(1) as world:
        world.run(asyncio.sleep(3600))

        assert world.now == 3_600_000_000_000


def test_waiting_for_nothing_is_a_deadlock() -> None:
    """Nothing ready and no timer is an immediate, named failure, not a hang."""

    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with World(1) as world, pytest.raises(Deadlock, match="wait_for_ever"):
        world.run(wait_for_ever())


def test_spinning_is_a_livelock() -> None:
    """Callbacks that run without time passing are counted."""

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with World(1, livelock_limit=1000) as world, pytest.raises(Livelock):
        world.run(spin())


def test_too_late_is_named() -> None:
    """A run may be given a span of simulated time."""
    with World(1) as world, pytest.raises(Overdue, match="not done after 5"):
        world.run(asyncio.sleep(10), timeout=seconds(5))


def test_an_error_that_nobody_caught_fails_the_run() -> None:
    """What reaches the loop's exception handler is not a line in a log."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(1)

    with World(1) as world, pytest.raises(ProgramFailed, match="ZeroDivisionError"):
        world.run(main())


def test_an_error_that_leaves_a_host_program_fails_the_run() -> None:
    """A node that dies of an exception is noticed though nobody awaits it."""

    async def broken(env: Env) -> None:
        raise ValueError("broken node")

    async def lab() -> None:
        world.host("a").start(broken)
        await asyncio.sleep(1)

    with World(1) as world, pytest.raises(ProgramFailed, match="broken node"):
        world.run(lab())


def test_the_lab_awaits_a_host_program() -> None:
    """`result` bridges loops and brings exceptions along."""

    async def broken(env: Env) -> None:
        raise ValueError("broken node")

    async def lab() -> str:
        try:
            await world.result(world.host("a").start(broken))
        except ValueError as error:
            return str(error)
        return ""

    with World(1) as world:
        assert world.run(lab()) == "broken node"


def test_a_crash_runs_nothing() -> None:
    """No `finally`, no CancelledError: a dead process does nothing."""
    seen: list[str] = []

    async def program(env: Env) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            seen.append("finally")

    async def lab() -> None:
        world.host("a").start(program)
        await asyncio.sleep(1)
        world.host("a").crash()
        await asyncio.sleep(1000)

    with World(1) as world:
        world.run(lab())
    assert seen == []


def test_a_dead_node_reaches_nothing() -> None:
    """A crash revokes the Env."""
    kept: list[Env] = []

    async def program(env: Env) -> None:
        kept.append(env)
        await asyncio.sleep(100)

    async def lab() -> None:
        world.host("a").start(program)
        await asyncio.sleep(1)
        world.host("a").crash()

    with World(1) as world:
        world.run(lab())
        with pytest.raises(Revoked):
            kept[0].disk.open("log", create=True)
        with pytest.raises(Revoked):
            kept[0].clock.call_after(Duration(1), lambda: None)


def test_all_tasks_are_those_of_one_host() -> None:
    """Each incarnation has its own loop, so a library's "cancel everything" ends one host."""

    async def program(env: Env) -> int:
        other = asyncio.ensure_future(asyncio.sleep(1))
        count = len(asyncio.all_tasks())
        await other
        return count

    async def lab() -> list[int]:
        tasks = [world.host(name).start(program) for name in ("a", "b")]
        return [await world.result(task) for task in tasks]

    with World(1) as world:
        assert world.run(lab()) == [2, 2]


def test_a_lock_shared_between_hosts_is_refused() -> None:
    """Hosts share no memory: asyncio's own check catches the cheat."""
    lock = asyncio.Lock()

    async def program(env: Env) -> None:
        async with lock:
            await asyncio.sleep(1)

    async def lab() -> None:
        tasks = [world.host(name).start(program) for name in ("a", "b", "c")]
        for task in tasks:
            await world.result(task)

    with World(1) as world, pytest.raises((RuntimeError, ProgramFailed), match="different event loop"):
        world.run(lab())


def test_drift_moves_the_clock_and_its_timers() -> None:
    """A fast clock shows more and its timers come earlier, exactly."""

    async def program(env: Env) -> tuple[int, int]:
        begun, fired = env.clock.now(), asyncio.get_running_loop().create_future()
        env.clock.call_after(seconds(11), lambda: fired.set_result(None))
        await fired
        return env.clock.now() - begun, world.now

    async def lab() -> tuple[int, int]:
        host = world.host("a")
        task = host.start(program)
        await asyncio.sleep(0)
        host.set_drift(100_000_000)  # ten percent
        return await world.result(task)

    with World(1) as world:
        assert world.run(lab()) == (11_000_000_000, 10_000_000_000)


def test_a_wall_clock_jumps_and_the_monotonic_one_does_not() -> None:
    """Spans are measured with `now`."""

    async def program(env: Env) -> tuple[int, int]:
        now, wall = env.clock.now(), env.clock.wall_ns()
        await asyncio.sleep(10)
        return env.clock.now() - now, env.clock.wall_ns() - wall

    async def lab() -> tuple[int, int]:
        host = world.host("a")
        task = host.start(program)
        await asyncio.sleep(5)
        host.jump_wall(seconds(-3600))
        return await world.result(task)

    with World(1) as world:
        assert world.run(lab()) == (10_000_000_000, -3_590_000_000_000)


def test_a_blocking_call_freezes_its_host_only() -> None:
    """`sync_now` takes time: nothing else of this host runs meanwhile, and the other host does."""

    async def program(env: Env) -> int:
        late = asyncio.get_running_loop().create_future()
        begun = env.clock.now()
        env.clock.call_after(milliseconds(0.01), lambda: late.set_result(env.clock.now() - begun))
        file = env.disk.open("log", create=True)
        file.write(0, b"x")
        if env.node == 1:
            file.sync_now()
        return await late

    async def lab() -> list[int]:
        tasks = [world.host(name).start(program) for name in ("a", "b")]
        return [await world.result(task) for task in tasks]

    with World(1) as world:
        stalled, free = world.run(lab())
        assert free == 10_000
        assert stalled >= 200_000


def test_a_paused_host_goes_on_where_it_was() -> None:
    """Timers that ran out meanwhile fire at once on resume."""

    async def program(env: Env) -> int:
        await asyncio.sleep(1)
        return world.now

    async def lab() -> int:
        host = world.host("a")
        task = host.start(program)
        await asyncio.sleep(0.5)
        host.pause()
        await asyncio.sleep(5)
        host.resume()
        return await world.result(task)

    with World(1) as world:
        assert world.run(lab()) == 5_500_000_000


def test_a_partition_holds_bytes_and_a_heal_lets_them_go() -> None:
    """What is under way when a link is cut arrives after it heals, by retransmission."""

    async def client(env: Env) -> bytes:
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("a", 80)
        writer.write(b"held")
        data = await reader.read(100)
        writer.close()
        return data

    async def lab() -> tuple[bytes, int]:
        a, b = world.host("a"), world.host("b")
        a.start(echo)
        task = b.start(client)
        await asyncio.sleep(0.1006)
        world.partitions.cut_both(a, b)
        await asyncio.sleep(5)
        world.partitions.heal()
        return await world.result(task), world.now

    with World(1) as world:
        data, now = world.run(lab())
        assert data == b"held"
        assert now > 5_000_000_000


def test_a_connection_to_a_host_that_lost_power_is_reset_after_its_boot() -> None:
    """Silence while it is off; a reset when it is back and remembers nothing."""

    async def client(env: Env) -> str:
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("a", 80)
        await asyncio.sleep(1)
        writer.write(b"anybody there?")
        try:
            await reader.read(100)
        except ConnectionResetError:
            return f"reset after {world.now // 1_000_000_000} s"
        return "read"

    async def lab() -> str:
        a = world.host("a")
        a.start(echo)
        task = world.host("b").start(client)
        await asyncio.sleep(0.5)
        a.power_cut()
        await asyncio.sleep(10)
        a.restart()
        return await world.result(task)

    with World(1) as world:
        assert world.run(lab()).startswith("reset after 1")


def test_a_crashed_process_says_goodbye() -> None:
    """Its kernel closes the connections: the peer reads end of file."""

    async def client(env: Env) -> bytes:
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("a", 80)
        data = await reader.read(100)
        writer.close()
        return data

    async def lab() -> bytes:
        a = world.host("a")
        a.start(echo)
        task = world.host("b").start(client)
        await asyncio.sleep(0.5)
        a.crash()
        return await world.result(task)

    with World(1) as world:
        assert world.run(lab()) == b""


def test_a_silent_peer_breaks_a_write_in_the_end() -> None:
    """ETIMEDOUT after the limit, not before."""

    async def client(env: Env) -> int:
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("a", 80)
        await asyncio.sleep(1)
        writer.write(b"anybody there?")
        with pytest.raises(TimeoutError):
            await reader.read(100)
        return world.now

    async def lab() -> int:
        a, b = world.host("a"), world.host("b")
        a.start(echo)
        task = b.start(client)
        await asyncio.sleep(0.5)
        world.partitions.cut_both(a, b)
        return await world.result(task)

    with World(1) as world:
        assert 900 * 10**9 < world.run(lab()) < 1000 * 10**9


def test_datagrams_are_lost_repeated_and_reordered() -> None:
    """As often as the link says."""
    policy = LinkPolicy(lose=0.2, repeat=0.2, reorder=0.2)

    async def receiver(env: Env) -> list[int]:
        got: list[int] = []
        await env.network.listen(Address("a", 53), lambda _, data: got.append(int(data)))
        await asyncio.sleep(10)
        return got

    async def sender(env: Env) -> None:
        endpoint = await env.network.listen(Address("b", 0), lambda *_: None)
        for number in range(1000):
            endpoint.send(Address("a", 53), b"%d" % number)
            await asyncio.sleep(0.001)

    async def lab() -> list[int]:
        task = world.host("a").start(receiver)
        world.host("b").start(sender)
        return await world.result(task)

    with World(5, link=policy) as world:
        got = world.run(lab())
    assert 700 < len(set(got)) < 900
    assert len(got) - len(set(got)) > 100
    assert got != sorted(got)


PROGRAM = """
import asyncio
import io
from quorate.sim import World

async def server(env):
    async def serve(reader, writer):
        while data := await reader.read(1000):
            await asyncio.sleep(env.rng.random() / 100)
            writer.write(data)
        writer.close()
    await (await asyncio.start_server(serve, "a", 80)).serve_forever()

async def client(env):
    await asyncio.sleep(0.1)
    seen = []
    async def talk(name):
        reader, writer = await asyncio.open_connection("a", 80)
        for _ in range(5):
            writer.write(name.encode())
            seen.append(await reader.read(100))
    await asyncio.gather(*(talk(f"t{n}") for n in range(20)))
    rest = [asyncio.ensure_future(asyncio.sleep(env.rng.random())) for _ in range(50)]
    done, pending = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for name in {"x", "y"} ^ {"x", "y", "z"}:
        seen.append(name)
    return len(seen)

async def lab():
    world.host("a").start(server)
    await world.result(world.host("b").start(client))

world = World(42)
world.run(lab())
print(world.trace_hash, world.now)
world.close()
"""


@pytest.mark.slow
def test_one_seed_gives_one_run_in_fresh_processes() -> None:
    """Under any PYTHONHASHSEED and any memory layout."""
    outcomes = []
    for hash_seed in ("0", "1", "random", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        outcomes.append(done.stdout)

    assert len(set(outcomes)) == 1
    assert outcomes[0] != ""


def test_the_trace_has_columns() -> None:
    """Time, host, event: one line each, to any text file."""
    sink = io.StringIO()

    async def program(env: Env) -> None:
        await asyncio.sleep(10)

    async def lab() -> None:
        host = world.host("a")
        host.start(program)
        await asyncio.sleep(1.5)
        host.crash()

    with World(1, trace=sink) as world:
        world.run(lab())

    assert [line.split() for line in sink.getvalue().splitlines()] == [
        ["0.000000", "a", "start", "boot=1"],
        ["1.500000", "a", "crash"],
    ]


def test_buggify_sites_are_live_in_a_quarter_of_the_runs() -> None:
    """And fire at a quarter of the visits; never when switched off."""

    async def program(env: Env) -> int:
        return sum(env.buggify("sync-slow") for _ in range(100))

    def fired(seed: int, *, buggify: bool) -> int:
        async def lab() -> int:
            return await world.result(world.host("a").start(program))

        with World(seed, buggify=buggify) as world:
            return world.run(lab())

    counts = [fired(seed, buggify=True) for seed in range(40)]
    live = [count for count in counts if count]
    assert 4 <= len(live) <= 18
    assert all(8 <= count <= 45 for count in live)
    assert fired(counts.index(live[0]), buggify=False) == 0


def test_an_executor_answers_later() -> None:
    """The function runs at once; its result takes a seeded time, and a blocking sync in it does not stall the loop."""

    async def program(env: Env) -> tuple[int, int]:
        file = env.disk.open("log", create=True)
        file.write(0, b"x")
        begun, ticks = env.clock.now(), []
        env.clock.call_after(milliseconds(0.01), lambda: ticks.append(env.clock.now() - begun))
        await asyncio.to_thread(file.sync_now)
        return env.clock.now() - begun, ticks[0]

    async def lab() -> tuple[int, int]:
        return await world.result(world.host("a").start(program))

    with World(1) as world:
        span, tick = world.run(lab())
    assert span > 200_000
    assert tick == 10_000
