"""A real cluster: node processes on this machine, each with its own directory and free ports."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.kernel import NodeId
from quorate.lab import Links

START_TIMEOUT_S = 40.0


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class RealNode:
    """One node: its configuration file and, while it runs, its process."""

    def __init__(self, number: int, directory: Path, ports: list[int]) -> None:
        self.number = number
        self.data = directory / f"node-{number}"
        self.path = directory / f"node-{number}.toml"
        self.log = directory / f"node-{number}.log"
        self.peer, self.redis, self.http = (f"127.0.0.1:{port}" for port in ports)
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []

    def start(self) -> None:
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "quorate", "serve", "--config", str(self.path)],
                stdout=output,
                stderr=output,
            )

    def tell(self, number: int) -> None:
        assert self.process is not None, "it runs"
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def status(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://{self.http}/status", timeout=2) as answer:
                found: dict[str, Any] = json.load(answer)["node"]
                return found
        except (OSError, ValueError):
            return None

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class RealCluster:
    """A few nodes; whatever still runs at the end is killed, and nothing else."""

    def __init__(self, directory: Path, node_count: int, *, extra: str = "", cluster: str = "test") -> None:
        self.directory = directory
        self.extra = extra
        self.cluster = cluster
        directory.mkdir(parents=True, exist_ok=True)
        ports = free_ports(3 * node_count)
        self.nodes = {
            number: RealNode(number, directory, ports[3 * (number - 1) : 3 * number])
            for number in range(1, node_count + 1)
        }
        for node in self.nodes.values():
            self.write_config(node)

    def write_config(self, node: RealNode, *, join: bool = False, extra: str | None = None) -> None:
        lines = [f"node = {node.number}", f'data = "{node.data}"', f'cluster = "{self.cluster}"']
        lines += [f"join = {str(join).lower()}"]
        lines += ["[listen]", f'peer = "{node.peer}"', f'redis = "{node.redis}"', f'http = "{node.http}"', "[peers]"]
        lines += [f'{other.number} = "{other.peer}"' for other in self.nodes.values()]
        lines += ["[redis]", *(f'{other.number} = "{other.redis}"' for other in self.nodes.values())]
        node.path.write_text("\n".join(lines) + "\n" + (self.extra if extra is None else extra) + "\n")

    def add_node(self, number: int) -> RealNode:
        """Describe one more node, that joins; the others do not know it from their files."""
        node = RealNode(number, self.directory, free_ports(3))
        self.nodes[number] = node
        self.write_config(node, join=True)
        return node

    @property
    def url(self) -> str:
        return "quorate://" + ",".join(node.redis for node in self.nodes.values())

    @property
    def at(self) -> str:
        return ",".join(node.redis for node in self.nodes.values())

    def start(self) -> None:
        for node in self.nodes.values():
            node.start()
        self.wait_for_leader()

    def wait(self, is_so: Callable[[], Any], what: str, timeout: float = START_TIMEOUT_S) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            found = is_so()
            if found:
                return found
            for node in self.nodes.values():
                if node.process is not None and node.process.poll() not in (None, 0, -9):
                    raise AssertionError(f"node {node.number} ended while waiting for {what}:\n{node.text()[-2000:]}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- node {node.number}\n{node.text()[-800:]}" for node in self.nodes.values())
                raise AssertionError(f"no {what} after {timeout} s\n{logs}")
            time.sleep(0.03)

    def leader(self) -> int | None:
        """The leader that a majority of the running nodes names."""
        running = [node for node in self.nodes.values() if node.process is not None and node.process.poll() is None]
        found = [status["leader"] for status in (node.status() for node in running) if status is not None]
        for number in self.nodes:
            if found.count(number) * 2 > len(running):
                return number
        return None

    def wait_for_leader(self, *, but: int | None = None) -> RealNode:
        def found() -> int | None:
            leader = self.leader()
            return leader if leader != but else None

        return self.nodes[self.wait(found, "leader")]

    def stop(self) -> None:
        running = [node for node in self.nodes.values() if node.process is not None and node.process.poll() is None]
        for node in running:
            node.tell(signal.SIGCONT)
            node.tell(signal.SIGTERM)
        for node in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.end()


Make = Callable[..., RealCluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Make]:
    made: list[RealCluster] = []

    def make(node_count: int = 3, *, name: str = "cluster", **options: Any) -> RealCluster:
        cluster = RealCluster(tmp_path / name, node_count, **options)
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Start three nodes, configured as the module wants, for tests that leave them as they were."""
    made: list[RealCluster] = []

    def make(**options: Any) -> RealCluster:
        cluster = RealCluster(tmp_path_factory.mktemp("module"), 3, **options)
        made.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Three nodes for tests that leave them as they were."""
    cluster = RealCluster(tmp_path_factory.mktemp("shared"), 3)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def quorate_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def run(*args: object, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "quorate", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    return run


@pytest.fixture
def run_async() -> Callable[[Any], Any]:
    return asyncio.run


@pytest.fixture
def free_port() -> int:
    """The first of a few free ports in a row, as far as can be told."""
    for _ in range(100):
        (first,) = free_ports(1)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for place in range(3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", first + place))
            return first
    raise AssertionError("no three free ports in a row")


@pytest.fixture
def start_quorate() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line in a process of its own; it is asked to end, then killed, when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "quorate", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


class SmallDisk:
    """A file system of its own, in a mount namespace that only commands with `prefix` see."""

    def __init__(self, path: Path, size: str) -> None:
        path.mkdir(parents=True)
        self._path = path
        script = f"mount -t tmpfs -o size={size} tmpfs {path} && echo ready && exec cat"
        self._holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n", self._holder.stderr and self._holder.stderr.read()
        self.prefix = ["nsenter", "-t", str(self._holder.pid), "-m", "--wd=."]

    def fill(self) -> None:
        """Leave less than a page free."""
        script = f"dd if=/dev/zero of={self._path}/ballast bs=64k; dd if=/dev/zero of={self._path}/ballast2 bs=4k"
        subprocess.run([*self.prefix, "sh", "-c", script], capture_output=True, check=False)

    def free(self) -> None:
        """Give the space back."""
        script = f"rm {self._path}/ballast {self._path}/ballast2"
        subprocess.run([*self.prefix, "sh", "-c", script], capture_output=True, check=True)

    def close(self) -> None:
        """End the namespace, and the file system with it."""
        self._holder.communicate()


@pytest.fixture
def tmpfs() -> Callable[[Path, str], contextlib.AbstractContextManager[SmallDisk]]:
    return lambda path, size: contextlib.closing(SmallDisk(path, size))


@pytest.fixture
def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in this process, for what ends before anything is started."""
    from quorate.cli import main

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["quorate", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "200")
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        captured = capsys.readouterr()
        return subprocess.CompletedProcess([], status, captured.out, captured.err)

    return run


@pytest.fixture
def run_system(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Any]]:
    """Start an adapter's nodes outside of any trial, wait until all serve, and kill them at the end."""

    @contextlib.asynccontextmanager
    async def running(system: Any, node_count: int = 1, *, can_skew: bool = False) -> AsyncIterator[Any]:
        nodes = [NodeId(number) for number in range(1, node_count + 1)]
        links = Links(nodes, rng=random.Random(1))
        if can_skew:
            system.allow_skew()
        directory = Path(tempfile.mkdtemp(prefix="quorate-system-"))
        try:
            await system.setup(directory, nodes, links)
            for node in nodes:
                await system.start(node)
            async with asyncio.timeout(START_TIMEOUT_S):
                while len((found := await system.leader()).answered) < node_count or found.node is None:
                    await asyncio.sleep(0.05)
            yield found
        finally:
            await system.close()
            await links.close()
            shutil.rmtree(directory, ignore_errors=True)

    return running
