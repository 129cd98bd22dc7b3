"""A node as a process: configuration to running server, signals to a clean stop; and a cluster of them."""

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from quorate.kernel import GroupId
from quorate.kernel.errors import ConfigError, StorageError
from quorate.runtime import client_context, lock_directory, new_loop, real_env, server_context, worker
from quorate.server import Config, Server, is_leaderless, load
from quorate.storage import LMDBBase

log = logging.getLogger("quorate.process")


def read_text(path: Path) -> str:
    """Return the text of a configuration file; raise ConfigError that names it."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as cause:
        raise ConfigError(f"{path}: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError(f"{path}: not a text in UTF-8") from cause


def load_config(path: Path) -> Config:
    """Return the configuration in a file; raise ConfigError that names the file and the key."""
    return load(read_text(path), name=str(path))


def _check_group_count(directory: Path, config: Config) -> None:
    """Remember how many groups there are; raise ConfigError when it has changed: keys would be looked for elsewhere."""
    path = directory / "groups"
    if not path.exists():
        state = directory / "state"
        found = len(list(state.glob("group-*"))) if state.is_dir() else 0
        partial = path.with_suffix(".new")
        partial.write_text(f"{found or config.group_count}\n", encoding="utf-8")
        partial.replace(path)
    text = path.read_text(encoding="utf-8").strip()
    if text != str(config.group_count):
        raise ConfigError(f"group_count: {directory} has {text}, not {config.group_count}: it is fixed at the founding")


async def serve_real(config: Config) -> Server:
    """Start a server on this machine: real clock, sockets and files.

    Raises:
        ForeignData: the directory belongs to another node or cluster, or another process uses it.
        Corrupt: its files are damaged; the sentence says where and what to do.
        OSError: an address cannot be had, or the directory not be written.
    """
    directory = Path(config.data)
    env = real_env(config.node_id, directory)
    lock = lock_directory(directory, node=config.node_id, cluster=config.cluster)
    try:
        _check_group_count(directory, config)
        tls = config.tls
        contexts = (
            (
                server_context(tls.certificate, tls.key, tls.authority),
                client_context(tls.certificate, tls.key, tls.authority),
            )
            if tls.certificate
            else (None, None)
        )

        def make_base(group: GroupId) -> LMDBBase:
            kind = "keyspace" if is_leaderless(group) else "group"
            return LMDBBase(directory / "state" / f"{kind}-{group}", worker(f"state-{group}"))

        server = Server(env, config, make_base=make_base, server_tls=contexts[0], client_tls=contexts[1])
        server.on_stopped = lock.close
        await server.start()
    except BaseException:
        lock.close()
        raise
    return server


async def _serve_until_stopped(config: Config) -> int:
    server = await serve_real(config)
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask_to_stop() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ask_to_stop)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: _judge(server, context))
    log.info(
        "node %d of cluster %r is up: redis %s, http %s, peers %s",
        config.node,
        config.cluster,
        server.redis_address,
        server.http_address,
        server.node.peer_address,
    )
    server.node.failed.add_done_callback(lambda _failed: ask_to_stop())
    await stop
    status = 1 if server.node.failed.done() else 0
    await server.stop()
    return status


def _judge(server: Server, context: dict[str, Any]) -> None:
    """Take what a callback of the loop raised: a stranger's fault is a line, a broken promise of ours ends the node."""
    cause = context.get("exception")
    if isinstance(cause, OSError):  # TLS errors among them: a handshake that failed, a connection that broke
        log.warning("a connection failed: %s", cause)
    elif isinstance(cause, AssertionError):
        log.critical("a promise of this program is broken", exc_info=cause)
        server.node.fail(StorageError(f"stopped rather than guess: {cause}"))
    else:
        log.error("%s", context.get("message"), exc_info=cause)


def run_node(config: Config) -> int:
    """Run one node until SIGINT or SIGTERM; return the exit status."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_serve_until_stopped(config))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def write_local_configs(node_count: int, directory: Path, first_port: int, *, tables: str = "") -> list[Path]:
    """Write one TOML file per node of a cluster on this machine; keep those that exist. Return their paths.

    Args:
        node_count: how many.
        directory: where the files, and the nodes' data, lie.
        first_port: the Redis port of the first node.
        tables: further tables of each file, such as [keyspaces.NAME].
    """
    paths = [directory / f"node-{node}.toml" for node in range(1, node_count + 1)]
    existing = [path for path in paths if path.exists()]
    if existing:
        if len(existing) != node_count or (directory / f"node-{node_count + 1}.toml").exists():
            raise ConfigError(f"{directory} holds a cluster of another size: give the same --nodes, or another --dir")
        if any(tables.strip() not in path.read_text(encoding="utf-8") for path in paths):
            raise ConfigError(f"{directory} holds a cluster already: keyspaces are declared in its node-*.toml")
        return paths
    directory.mkdir(parents=True, exist_ok=True)
    ports = _free_ports(2 * node_count)
    peers = "\n".join(f'{node} = "127.0.0.1:{ports[node - 1]}"' for node in range(1, node_count + 1))
    doors = "\n".join(f'{node} = "127.0.0.1:{first_port + node - 1}"' for node in range(1, node_count + 1))
    for node, path in enumerate(paths, 1):
        path.write_text(
            f"""# A node of a local cluster; every key is explained in docs/configuration.md.
node = {node}
cluster = "local"
data = "{directory / f"node-{node}"}"

[listen]
peer = "127.0.0.1:{ports[node - 1]}"
redis = "127.0.0.1:{first_port + node - 1}"
http = "127.0.0.1:{ports[node_count + node - 1]}"

[peers]
{peers}

[redis]
{doors}
{tables}""",
            encoding="utf-8",
        )
    return paths


def _configs_of(node_count: int, directory: Path, first_port: int, tables: str) -> tuple[list[Path], list[Config]]:
    """Return the files of a local cluster, and what they say; files that were written now and are refused do not stay.

    Raises:
        ConfigError: something is wrong in them.
    """
    is_new = not (directory / "node-1.toml").exists()
    paths = write_local_configs(node_count, directory, first_port, tables=tables)
    try:
        return paths, [load_config(path) for path in paths]
    except ConfigError:
        if is_new:
            # They would stand for a cluster that exists, in the way of the next attempt.
            for path in paths:
                path.unlink()
        raise


def run_local_cluster(
    node_count: int, directory: Path, first_port: int, console: Console, *, keyspaces: Path | None = None
) -> int:
    """Run a cluster of processes on this machine until Ctrl-C or SIGTERM; return the exit status."""
    tables = f"\n{read_text(keyspaces)}" if keyspaces is not None else ""
    paths, configs = _configs_of(node_count, directory, first_port, tables)
    processes: list[subprocess.Popen[bytes]] = []

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        for path in paths:
            processes.append(_start_node(path))  # noqa: PERF401  (what was started before an error is ended)
        _wait_until_healthy(configs, processes, paths)
        _say_how_to_reach(configs, directory, console)
        return _watch_nodes(processes, paths, console)
    except KeyboardInterrupt:
        console.print("\nstopping …")
        return 0
    finally:
        _stop_nodes(processes)
        signal.signal(signal.SIGTERM, former)


def _watch_nodes(processes: list[subprocess.Popen[bytes]], paths: list[Path], console: Console) -> int:
    """Say which nodes end; the others go on, for that is what a cluster is for. Return 1 when none is left."""
    left = dict(zip(paths, processes, strict=True))
    while left:
        for path, process in list(left.items()):
            if process.poll() is not None:
                del left[path]
                log = path.with_suffix(".log")
                console.print(f"[red]a node ended with status {process.returncode}; see {log}", soft_wrap=True)
                console.print(f"  to start it again: quorate serve --config {path}", highlight=False, soft_wrap=True)
        time.sleep(0.3)
    return 1


def _start_node(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "quorate", "serve", "--config", str(path)]
    with path.with_suffix(".log").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def _stop_nodes(processes: list[subprocess.Popen[bytes]]) -> None:
    """End the nodes and nothing else; one that does not end in time is killed."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(configs: list[Config], processes: list[subprocess.Popen[bytes]], paths: list[Path]) -> None:
    deadline = time.monotonic() + 30
    for config, process, path in zip(configs, processes, paths, strict=True):
        while True:
            if process.poll() is not None:
                lines = path.with_suffix(".log").read_text(errors="replace").strip().splitlines()
                raise StorageError(f"node {config.node} did not start: {lines[-1] if lines else 'no word from it'}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{config.listen.http}/health", timeout=1).close()
                break
            if time.monotonic() > deadline:
                raise StorageError(f"node {config.node} is not healthy after 30 s; see {path.with_suffix('.log')}")
            time.sleep(0.1)


def _say_how_to_reach(configs: list[Config], directory: Path, console: Console) -> None:
    doors = [config.listen.redis for config in configs]
    port = doors[0].rpartition(":")[2]
    url = "quorate://" + ",".join(doors)
    console.print(f"[bold green]{len(configs)} nodes are up[/]; data, configuration and logs in {directory}/")
    console.print(f"  redis-cli -p {port}", highlight=False)
    console.print(f"  python: async with quorate.connect({url!r}) as db: …", highlight=False, soft_wrap=True)
    console.print(f"  health: http://{configs[0].listen.http}/health", highlight=False)
    console.print(f"  quorate status --at {','.join(doors)}", highlight=False, soft_wrap=True)
    console.print("Ctrl-C stops them; the data stays.")
