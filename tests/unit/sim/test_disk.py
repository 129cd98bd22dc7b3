"""The disk: what a crash keeps, what a power cut takes, what a failing device does."""

from collections import Counter

import pytest

from quorate.env import Env
from quorate.kernel import milliseconds, seconds
from quorate.kernel.errors import DiskFull, SyncFailed
from quorate.sim import DiskPolicy, World

PAGE = 4_096


def pages(count: int) -> bytes:
    return b"".join(bytes([number + 1]) * PAGE for number in range(count))


def run(program: object, *, seed: int = 1, disk: DiskPolicy | None = None, world: World | None = None) -> object:
    """Run a program on one host to its end."""
    used = world or World(seed, disk=disk)

    async def lab() -> object:
        return await used.result(used.host("a").start(program))  # type: ignore[arg-type]

    result = used.run(lab())
    used.host("a").crash()
    if world is None:
        used.close()
    return result


async def write_eight(env: Env) -> None:
    file = env.disk.open("log", create=True)
    for number in range(8):
        file.write(number * PAGE, bytes([number + 1]) * PAGE)
    env.disk.sync_names()


async def read_all(env: Env) -> bytes:
    if not env.disk.names("log"):
        return b"missing"
    return env.disk.open("log").read(0, 1 << 20)


def test_a_process_crash_keeps_the_page_cache() -> None:
    """kill -9 loses nothing that was written."""
    world = World(1)
    run(write_eight, world=world)

    assert run(read_all, world=world) == pages(8)


def classify(data: bytes) -> str:
    whole = pages(8)
    if data == whole:
        return "complete"
    if not data:
        return "empty"
    if data == whole[: len(data)]:
        return "prefix"
    return "torn or holes"


def test_a_power_cut_loses_tears_and_reorders_what_was_not_synced() -> None:
    """Over many seeds every kind of damage occurs, and every byte is either right or zero."""
    kinds: Counter[str] = Counter()
    for seed in range(200):
        world = World(seed)
        run(write_eight, world=world)
        world.host("a").power_cut()
        data = run(read_all, world=world)
        assert isinstance(data, bytes)
        assert all(found in {expected, 0} for found, expected in zip(data, pages(8), strict=False))
        kinds[classify(data)] += 1
        world.close()

    assert set(kinds) == {"complete", "empty", "prefix", "torn or holes"}
    assert min(kinds.values()) >= 5


@pytest.mark.parametrize("now", [True, False])
def test_what_was_synced_survives_a_power_cut(now: bool) -> None:
    """Whole, in every seed."""

    async def program(env: Env) -> None:
        await write_eight(env)
        file = env.disk.open("log")
        if now:
            file.sync_now()
        else:
            await file.sync()
        file.write(file.size_bytes(), b"not synced")

    for seed in range(40):
        world = World(seed)
        run(program, world=world)
        world.host("a").power_cut()
        data = run(read_all, world=world)
        assert isinstance(data, bytes)
        assert data[: 8 * PAGE] == pages(8)
        world.close()


def test_names_are_lost_in_order() -> None:
    """Of the changes of names since the last sync a power cut keeps a prefix; a rename is atomic."""
    outcomes: Counter[tuple[str, ...]] = Counter()

    async def program(env: Env) -> None:
        for name in ("old", "new.tmp"):
            file = env.disk.open(name, create=True)
            file.write(0, name.encode())
            file.sync_now()
        env.disk.sync_names()
        env.disk.rename("new.tmp", "old")
        env.disk.open("later", create=True)

    async def look(env: Env) -> tuple[str, ...]:
        return (*env.disk.names(), env.disk.open("old").read(0, 10).decode())

    for seed in range(60):
        world = World(seed)
        run(program, world=world)
        world.host("a").power_cut()
        outcome = run(look, world=world)
        assert isinstance(outcome, tuple)
        outcomes[outcome] += 1
        world.close()

    assert set(outcomes) == {("new.tmp", "old", "old"), ("old", "new.tmp"), ("later", "old", "new.tmp")}


def test_a_power_cut_in_the_middle_of_a_sync_may_take_it() -> None:
    """Until sync returns, nothing is promised, and what it had begun does not come after the power."""
    survived: Counter[bool] = Counter()

    async def program(env: Env) -> None:
        await write_eight(env)
        await env.disk.open("log").sync()

    for seed in range(40):
        world = World(seed, disk=DiskPolicy(sync_min=milliseconds(5), sync_max=milliseconds(5)))
        world.host("a").start(program)
        world.run_for(milliseconds(7))
        world.host("a").power_cut()
        size = len(world.host("a").disk.open("log", create=True).durable)
        world.host("a").main = read_all
        world.host("a").restart()
        world.run_for(seconds(1))
        assert len(world.host("a").disk.open("log", create=True).durable) == size
        survived[size == 8 * PAGE] += 1
        world.close()

    assert set(survived) == {True, False}


def test_a_failed_sync_drops_the_dirty_pages() -> None:
    """The cache still shows them, a second sync succeeds, and a power cut shows the truth."""
    world = World(1)

    async def program(env: Env) -> tuple[str, bytes]:
        file = env.disk.open("log", create=True)
        env.disk.sync_names()
        file.write(0, b"first")
        file.sync_now()
        file.write(5, b" second")
        world.host("a").disk.is_failing = True
        with pytest.raises(SyncFailed):
            await file.sync()
        world.host("a").disk.is_failing = False
        file.sync_now()
        return "synced", file.read(0, 100)

    assert run(program, world=world) == ("synced", b"first second")
    world.host("a").power_cut()
    data = run(read_all, world=world)
    assert isinstance(data, bytes)
    assert data.rstrip(b"\0") == b"first"


def test_a_full_disk_takes_a_prefix_or_nothing_and_recovers() -> None:
    """DiskFull; after a removal there is space again."""

    async def program(env: Env) -> tuple[int, bool, int]:
        file = env.disk.open("log", create=True)
        file.write(0, bytes(8_000))
        with pytest.raises(DiskFull):
            file.write(8_000, bytes(4_000))
        size, room = file.size_bytes(), env.disk.free_bytes()
        env.disk.remove("log")
        other = env.disk.open("other", create=True)
        other.write(0, bytes(9_000))
        return size, room + size == 10_000, other.size_bytes()

    size, adds_up, after = run(program, disk=DiskPolicy(capacity_bytes=10_000))  # type: ignore[misc]
    assert 8_000 <= size <= 10_000
    assert adds_up
    assert after == 9_000


def test_bit_rot_changes_one_bit() -> None:
    """Of a named file, in the cache and on the platter."""
    world = World(1)
    run(write_eight, world=world)

    assert world.host("a").disk.rot("nothing") is None
    assert world.host("a").disk.rot() == "log"
    data = run(read_all, world=world)
    assert isinstance(data, bytes)
    assert sum((found ^ expected).bit_count() for found, expected in zip(data, pages(8), strict=True)) == 1


def test_a_stalled_disk_delays_its_syncs() -> None:
    """Until the stall ends, by true time."""
    world = World(1)
    world.host("a").disk.stalled_until = seconds(3)

    async def program(env: Env) -> int:
        file = env.disk.open("log", create=True)
        await file.sync()
        return world.now

    now = run(program, world=world)
    assert isinstance(now, int)
    assert now > seconds(3)
