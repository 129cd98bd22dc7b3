# The programs here do what strangers do.
# ruff: noqa: TID251, DTZ005, DTZ011, SIM115, ICN001
"""Programs that know nothing of the world see the clocks, chance, files and sockets of their host, and only there."""

import asyncio
import concurrent.futures
import datetime
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from time import monotonic as clock_of_import
from typing import Any

import pytest

from quorate.kernel import milliseconds, seconds
from quorate.sim import DiskPolicy, ScriptFailed, Unsimulated, World
from quorate.sim.foreign import serial_hashes

UNSEEDED = random.Random()
YEAR = 2026


def on_host(program: Any, seed: int = 1, name: str = "a", **options: Any) -> Any:
    with World(seed, patch=True, **options) as world:

        async def lab() -> Any:
            return await world.result(world.host(name).launch(program))

        return world.run(lab(), timeout=seconds(7200))


async def chances() -> list[Any]:
    return [random.random(), random.randint(1, 10**9), random.choice(range(10**6)), os.urandom(8), uuid.uuid4(),
            uuid.uuid1(), secrets.token_hex(8), random.Random().random(), random.SystemRandom().random(),
            UNSEEDED.random()]  # fmt: skip


def test_time_is_the_hosts() -> None:
    """Every reading of the clock, however it was imported, moves with virtual time."""

    async def program() -> Any:
        begun = (time.monotonic(), clock_of_import(), time.time(), time.perf_counter_ns())
        await asyncio.sleep(3600)
        ended = (time.monotonic(), clock_of_import(), time.time(), time.perf_counter_ns() - 3600 * 10**9 + 3600)
        naive, aware = datetime.datetime.now(), datetime.datetime.now(datetime.UTC)
        return (
            [round(b - a) for a, b in zip(begun, ended, strict=True)],
            aware,
            naive,
            time.gmtime(),
            datetime.date.today(),
        )

    spans, aware, naive, utc, today = on_host(program)

    assert spans == [3600] * 4
    assert (aware.year, aware.month, aware.day, aware.hour) == (YEAR, 1, 1, 1)
    assert naive.astimezone(datetime.UTC).hour == 1
    assert (utc.tm_year, utc.tm_hour, today.year) == (YEAR, 1, naive.year)


def test_a_blocking_sleep_stalls_its_host_alone() -> None:
    """The sleeper's timers come late, the other host's do not."""
    seen: list[tuple[str, float]] = []

    async def sleeper() -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_later(1, lambda: seen.append(("sleeper", loop.time() - begun)))
        time.sleep(5)
        await asyncio.sleep(2)

    async def other() -> None:
        begun = time.monotonic()
        await asyncio.sleep(1)
        seen.append(("other", time.monotonic() - begun))

    with World(1, patch=True) as world:
        world.host("a").launch(sleeper)
        world.host("b").launch(other)
        world.run_for(seconds(10))

    assert [(name, round(span)) for name, span in seen] == [("other", 1), ("sleeper", 5)]


def test_chance_is_a_function_of_seed_and_host() -> None:
    """The same again with the same seed; another host and another seed differ in every source."""
    first, again = on_host(chances), on_host(chances)
    other_host, other_seed = on_host(chances, name="b"), on_host(chances, seed=2)

    assert first == again
    assert all(one != two for one, two in zip(first, other_seed, strict=True))
    assert all(one != two for one, two in zip(first[:-1], other_host[:-1], strict=True))


def test_names_and_numbers_are_the_hosts() -> None:
    """Host name, process number, addresses."""

    async def program() -> Any:
        return socket.gethostname(), os.getpid(), socket.gethostbyname("a"), await asyncio.to_thread(socket.gethostname)

    assert on_host(program) == ("a", 2001, "10.0.0.1", "a")


def test_outside_of_hosts_nothing_changes() -> None:
    """While the world runs, the world's own callbacks and everything afterwards see the real things."""
    names = (time.time, time.sleep, random.random, os.urandom, os.fsync, open, socket.getaddrinfo, os.listdir)
    now, make = datetime.datetime.now, socket.socket.__new__
    seen: list[float] = []
    with World(1, patch=True) as world:
        world.at(1, lambda: seen.append(time.time()))
        world.run(asyncio.sleep(1))

    assert abs(seen[0] - time.time()) < 60
    assert names == (time.time, time.sleep, random.random, os.urandom, os.fsync, open, socket.getaddrinfo, os.listdir)
    assert datetime.datetime.now == now
    assert socket.socket.__new__ == make
    with socket.socket() as real:
        assert real.fileno() > 0


def test_a_failed_run_restores_everything() -> None:
    """Also when the run ends with an exception."""
    sleep = time.sleep

    async def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        on_host(fail)
    assert time.sleep is sleep


def test_an_unpatched_world_replaces_nothing() -> None:
    """What knows of the world is not touched."""
    sleep = time.sleep

    async def program() -> bool:
        return time.sleep is sleep

    with World(1) as world:
        assert world.run(program())


def test_files_below_the_mount_are_the_hosts() -> None:
    """Text, bytes, appending, seeking, directories, paths; another host sees none of it."""

    async def program() -> Any:
        os.makedirs("/disk/data/deep")
        home = Path("/disk/data")
        (home / "note.txt").write_text("first\nsecond\n")
        with open(home / "note.txt", "a") as file:
            file.write("third\n")
        with (home / "bytes").open("wb+") as file:
            file.write(b"0123456789")
            file.seek(20)
            file.write(b"x")
            file.seek(2)
            part = file.read(3)
        os.replace("/disk/data/bytes", "/disk/data/deep/moved")
        with pytest.raises(FileNotFoundError):
            open("/disk/data/bytes")
        with pytest.raises(FileExistsError):
            open("/disk/data/note.txt", "x")
        with open("/disk/data/note.txt") as file:
            lines = [line.strip() for line in file]
        found = sorted(str(path) for path in home.rglob("*"))
        size, exists = os.path.getsize("/disk/data/deep/moved"), (home / "deep").is_dir()
        os.remove("/disk/data/note.txt")
        return lines, part, found, size, exists, os.listdir(home)

    assert on_host(program) == (
        ["first", "second", "third"],
        b"234",
        ["/disk/data/deep", "/disk/data/deep/moved", "/disk/data/note.txt"],
        21,
        True,
        ["deep"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("is_synced", [True, False])
def test_a_power_cut_takes_what_was_not_synced(is_synced: bool) -> None:
    """With fsync of file and directory everything is there in every run; without, sometimes not."""

    async def write() -> None:
        with open("/disk/log", "wb") as file:
            file.write(b"x" * 10_000)
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
                directory = os.open("/disk", os.O_RDONLY)
                os.fsync(directory)
                os.close(directory)
        await asyncio.get_running_loop().create_future()

    outcomes = []
    for seed in range(12):
        with World(seed, patch=True) as world:
            host = world.host("a")
            host.launch(write)
            world.run_for(seconds(1))
            host.power_cut()

            async def read() -> bytes:
                return Path("/disk/log").read_bytes() if os.path.exists("/disk/log") else b""

            task = host.launch(read)
            world.run_for(seconds(1))
            outcomes.append(task.result() == b"x" * 10_000)

    assert all(outcomes) is is_synced


def test_a_full_disk_and_a_failing_one_speak_as_the_operating_system() -> None:
    """ENOSPC and EIO."""

    async def fill() -> Any:
        with pytest.raises(OSError, match="No space left"), open("/disk/big", "wb", buffering=0) as file:
            file.write(b"x" * 5_000)
            file.write(b"x" * 5_000)

    async def sync() -> Any:
        with open("/disk/file", "wb", buffering=0) as file:
            file.write(b"x")
            with pytest.raises(OSError, match="Input/output error"):
                os.fsync(file)

    assert on_host(fill, disk=DiskPolicy(capacity_bytes=8_000)) is None
    assert on_host(sync, disk=DiskPolicy(sync_error=1.0)) is None


def test_a_shared_file_is_refused() -> None:
    """Reading elsewhere is fine; writing would tie hosts together."""

    async def program() -> bool:
        with pytest.raises(PermissionError, match="write below /disk"):
            open("/tmp/shared-by-hosts", "w")
        return "def test_a_shared" in Path(__file__).read_text()

    assert on_host(program)


def refused_thread() -> None:
    threading.Thread(target=print).start()


def refused_pool() -> None:
    concurrent.futures.ThreadPoolExecutor(1).submit(print)


def refused_process() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def refused_socket() -> None:
    socket.create_connection(("b", 80))


def refused_plain_socket() -> None:
    socket.socket().connect(("b", 80))


def refused_signal() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (refused_thread, "threads are not simulated"),
        (refused_pool, "threads are not simulated"),
        (refused_process, "subprocesses are not simulated"),
        (refused_socket, "blocking sockets are not simulated"),
        (refused_plain_socket, "blocking sockets are not simulated"),
        (refused_signal, "signals are not simulated"),
        (lambda: socket.socketpair(), "socket pairs are not simulated"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_the_reason(attempt: Any, reason: str) -> None:
    """Never silently, and never for real."""

    async def program() -> None:
        with pytest.raises(Unsimulated, match=reason):
            attempt()
        with pytest.raises(RuntimeError, match="signals are not simulated"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)

    assert on_host(program) is None


def test_sockets_of_the_program_work_through_the_loop() -> None:
    """Accept, receive, send all, half close; the same objects hand over to streams."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as door:
            door.setblocking(False)
            door.bind(("", 7))
            door.listen()
            taken, _ = await loop.sock_accept(door)
            with taken:
                while data := await loop.sock_recv(taken, 1000):
                    await loop.sock_sendall(taken, data.upper())
                taken.shutdown(socket.SHUT_WR)

    async def call() -> Any:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("a", 7))
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"hello" * 100_000)
        writer.write_eof()
        data = await reader.read()
        writer.close()
        return isinstance(sock, socket.socket), len(data), data[:5]

    with World(1, patch=True) as world:
        world.host("a").launch(serve)
        world.run_for(milliseconds(10))

        async def lab() -> Any:
            return await world.result(world.host("b").launch(call))

        assert world.run(lab(), timeout=seconds(60)) == (True, 500_000, b"HELLO")


def test_completion_comes_in_the_order_of_asking() -> None:
    """`as_completed` over coroutines of equal length keeps their order."""

    async def program() -> list[int]:
        async def one(number: int) -> int:
            await asyncio.sleep(0.001)
            return number

        return [await done for done in asyncio.as_completed([one(number) for number in range(50)])]

    assert on_host(program) == list(range(50))


def test_plain_objects_can_hash_by_birth() -> None:
    """A set of them is iterated in the order in which they were first hashed."""
    with serial_hashes():

        class Plain:
            def __init__(self, number: int) -> None:
                self.number = number

        class Equal:
            def __eq__(self, other: object) -> bool:
                return True

    assert [plain.number for plain in {Plain(number) for number in range(300)}] == list(range(300))
    assert Equal.__hash__ is None


def test_a_script_runs_as_it_is(tmp_path: Path) -> None:
    """`asyncio.run`, `__main__`, `sys.argv`, and the host's clock."""
    path = tmp_path / "server.py"
    path.write_text(
        "import asyncio, sys, time\n"
        "async def main(argv):\n"
        "    begun = time.time()\n"
        "    await asyncio.sleep(7200)\n"
        "    return argv, round(time.time() - begun)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main(sys.argv[1:]))\n"
    )
    with World(1, patch=True) as world:

        async def lab() -> Any:
            return await world.result(world.host("a").script(str(path), "--port", "80"))

        assert world.run(lab()) == (["--port", "80"], 7200)


def script_result(tmp_path: Path, text: str, *argv: str) -> Any:
    path = tmp_path / "program.py"
    path.write_text(text, "utf-8")
    with World(1, patch=True) as world:

        async def lab() -> Any:
            return await world.result(world.host("a").script(str(path), *argv))

        return world.run(lab(), timeout=seconds(7200))


def test_what_follows_the_run_of_a_script_is_run(tmp_path: Path) -> None:
    """Its result is used, it may be called again, its errors are handled and its cleaning-up comes after it."""
    text = (
        "import asyncio, time\n"
        "from asyncio import run as go\n"
        "seen = []\n"
        "async def work(number):\n"
        "    await asyncio.sleep(60)\n"
        "    seen.append(number)\n"
        "    if number == 3:\n"
        "        raise LookupError('three')\n"
        "    return number * 10\n"
        "try:\n"
        "    seen.append(asyncio.run(work(1)) + go(work(2)))\n"
        "    go(work(3))\n"
        "except LookupError as error:\n"
        "    seen.append(str(error))\n"
        "finally:\n"
        "    seen.append('clean')\n"
        "async def told():\n"
        "    return seen\n"
        "if __name__ == '__main__':\n"
        "    go(told())\n"
    )
    assert script_result(tmp_path, text) == [1, 2, 30, 3, "three", "clean"]


def test_a_script_may_run_in_a_function_and_then_ends_there(tmp_path: Path) -> None:
    text = (
        "import asyncio, sys\n"
        "from helper import answer\n"
        "async def work():\n"
        "    await asyncio.sleep(1)\n"
        "    return answer, sys.argv[1:]\n"
        "def main():\n"
        "    asyncio.run(work())\n"
        "main()\n"
    )
    (tmp_path / "helper.py").write_text("answer = 42\n", "utf-8")
    before = (list(sys.argv), list(sys.path), sys.modules["__main__"])
    # While coroutines run, what all hosts share is not the script's.
    assert script_result(tmp_path, text, "--port") == (42, sys.argv[1:])
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before
    del sys.modules["helper"]


def test_a_script_that_exits_says_how(tmp_path: Path) -> None:
    assert script_result(tmp_path, "import asyncio, sys\nasync def f(): return 0\nsys.exit(asyncio.run(f()))\n") == 0
    assert script_result(tmp_path, "names = 1\n")["names"] == 1
    with pytest.raises(ScriptFailed, match="exit status 3"):
        script_result(tmp_path, "import asyncio, sys\nasync def f(): return 3\nsys.exit(asyncio.run(f()))\n")
