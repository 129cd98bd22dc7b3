"""Measures local clusters against each other: same machine, same generator, one after the other, again and again.

On a machine that others use, only ratios of neighbours mean anything, so measurements alternate and ratios are taken
pair by pair; the medians of those are what may be quoted. Nodes dial each other directly, without proxies.
"""

import asyncio
import contextlib
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from quorate.env import Address
from quorate.kernel import MILLISECOND, NodeId, errors
from quorate.lab.bench.load import LoadOptions, LoadResult
from quorate.lab.proxy import Links
from quorate.lab.systems import EtcdSystem, QuorateSystem, RedisSystem

_NODES = (NodeId(1), NodeId(2), NodeId(3))
_START_TIMEOUT_S = 20.0
# From here on the generator may be what is measured.
_BUSY = 0.9
_PROGRAMS = {"quorate": sys.executable, "etcd": "etcd", "redis": "redis-server"}
_PROTOCOLS = {"quorate": "redis", "etcd": "grpc", "redis": "redis-wait"}
_KINDS = ("write", "read")

Benched = QuorateSystem | EtcdSystem | RedisSystem


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure."""

    # The first is compared with each other; those that are not installed are left out, and it is said.
    systems: tuple[str, ...] = ("quorate", "etcd", "redis")
    client_counts: tuple[int, ...] = (1, 16, 64, 256)
    kinds: tuple[str, ...] = ("write", "read")
    round_count: int = 3
    measure_s: float = 2.0
    value_bytes: int = 256


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the generator against one cluster."""

    system: str
    kind: str
    client_count: int
    round: int
    load: LoadResult
    # Of all server processes together, in units of one processor.
    server_cpu: float


@dataclass(kw_only=True)
class BenchResult:
    """All measurements, in the order in which they were made."""

    options: BenchOptions
    systems: tuple[str, ...]
    measurements: list[Measurement] = field(default_factory=list)

    def of(self, system: str, kind: str, client_count: int) -> list[Measurement]:
        """Return the rounds of one cell."""
        wanted = (system, kind, client_count)
        return [m for m in self.measurements if (m.system, m.kind, m.client_count) == wanted]

    def ratios(self, system: str, kind: str, client_count: int) -> list[float]:
        """Return, round by round, the first system's rate over another's."""
        first, other = self.of(self.systems[0], kind, client_count), self.of(system, kind, client_count)
        return [a.load.per_second / max(b.load.per_second, 1e-9) for a, b in zip(first, other, strict=True)]


class DirectLinks(Links):
    """Links without proxies: everything is reached where it listens."""

    async def route(
        self, source: NodeId, target: NodeId, address: Address, *, listen: Address | None = None
    ) -> Address:
        """Return the address itself."""
        del source, target, listen
        return address

    async def route_shared(self, target: NodeId, address: Address, *, source_of: Any) -> Address:
        """Return the address itself."""
        del target, source_of
        return address


def run_bench(options: BenchOptions, *, console: Console | None = None) -> BenchResult:
    """Start the clusters, measure in alternation, print as it goes and the medians at the end.

    Raises:
        UsageError: no such system or kind of load, or none of the systems is installed.
        Unreachable: a cluster never served.
    """
    console = console if console is not None else Console()
    for kind in options.kinds:
        if kind not in _KINDS:
            raise errors.UsageError(f"no kind of load is named {kind!r} (known: {', '.join(_KINDS)})")
    present = tuple(name for name in options.systems if shutil.which(_program(name)) is not None)
    for name in options.systems:
        if name not in present:
            console.print(f"{name}: {_program(name)} is not on the PATH, left out", highlight=False)
    if not present:
        raise errors.UsageError("nothing to measure: none of the systems is installed")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_run(options, present, console))
    print_result(console, result)
    return result


def _program(name: str) -> str:
    if name not in _PROGRAMS:
        raise errors.UsageError(f"no system is named {name!r} (known: {', '.join(_PROGRAMS)})")
    return _PROGRAMS[name]


async def _run(options: BenchOptions, names: Sequence[str], console: Console) -> BenchResult:
    result = BenchResult(options=options, systems=tuple(names))
    async with contextlib.AsyncExitStack() as stack:
        clusters = {name: await _started(name, stack) for name in names}
        for name in names:  # so that reads find every key
            await _measure(clusters[name], name, "fill", 64, 0, options)
        for kind in options.kinds:
            for client_count in options.client_counts:
                for number in range(1, options.round_count + 1):
                    for name in names:
                        found = await _measure(clusters[name], name, kind, client_count, number, options)
                        result.measurements.append(found)
                    _print_round(console, result, kind, client_count, number)
    return result


async def _started(name: str, stack: contextlib.AsyncExitStack) -> Benched:
    system: Benched = {"quorate": QuorateSystem, "etcd": EtcdSystem, "redis": RedisSystem}[name]()
    stack.push_async_callback(system.close)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"quorate-bench-{name}-")))
    await system.setup(directory, _NODES, DirectLinks(_NODES, rng=random.Random(0)))
    for node in _NODES:
        await system.start(node)
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            # Its state is elsewhere: nothing here could set an event.
            while len((seen := await system.leader()).answered) < len(_NODES) or seen.node is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError as cause:
        raise errors.Unreachable(f"{name} had no leader within {_START_TIMEOUT_S:.0f} s") from cause
    return system


async def _measure(
    system: Benched, name: str, kind: str, client_count: int, number: int, options: BenchOptions
) -> Measurement:
    leader = (await system.leader()).node
    if leader is None:
        raise errors.Unreachable(f"{name} has no leader")
    door = system.door(leader)
    wanted = LoadOptions(
        protocol=_PROTOCOLS[name],
        kind=kind,
        host=door.host,
        port=door.port,
        client_count=client_count,
        value_bytes=options.value_bytes,
        measure_s=options.measure_s,
    )
    generator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from quorate.lab.bench.load import main; main()"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    loop = asyncio.get_running_loop()
    assert generator.stdin is not None, "both pipes were asked for"
    assert generator.stdout is not None, "both pipes were asked for"
    try:
        generator.stdin.write(msgspec.json.encode(wanted))
        generator.stdin.close()
        await generator.stdout.readline()
        cpu_s, begin = system.cpu_s(), loop.time()
        answer = await generator.stdout.read()
        server_cpu = (system.cpu_s() - cpu_s) / (loop.time() - begin)
        await generator.wait()
    finally:
        if generator.returncode is None:
            generator.kill()
            await generator.wait()
    load = msgspec.json.decode(answer, type=LoadResult)
    return Measurement(
        system=name, kind=kind, client_count=client_count, round=number, load=load, server_cpu=server_cpu
    )


def _print_round(console: Console, result: BenchResult, kind: str, client_count: int, number: int) -> None:
    last = [result.of(name, kind, client_count)[-1] for name in result.systems]
    words = ", ".join(f"{m.system} {m.load.per_second:,.0f}/s" for m in last)
    ratios = ", ".join(f"{m.system} × {last[0].load.per_second / max(m.load.per_second, 1e-9):.2f}" for m in last[1:])
    console.print(
        f"{kind}s, {client_count} clients, round {number}: {words}{'; ' if ratios else ''}{ratios}",
        highlight=False,
        soft_wrap=True,
    )
    for m in last:
        if m.load.error_count:
            console.print(f"  {m.system}: {m.load.error_count:,} errors, the first: {m.load.first_error}", markup=False)


def print_result(console: Console, result: BenchResult) -> None:
    """Print the medians, and for each other system the ratios pair by pair."""
    title = f"{len(_NODES)} nodes, {result.options.value_bytes}-byte values, medians of the rounds"
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    ratio_heading = f"{result.systems[0]} / it, pair by pair"
    for name in ("", "clients", "system", "per s", "p50 ms", "p99 ms", "cpu", "load cpu", ratio_heading):
        is_text = name in {"", "system", ratio_heading}
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != ratio_heading)
    busy = False
    for kind in result.options.kinds:
        for client_count in result.options.client_counts:
            for name in result.systems:
                found = result.of(name, kind, client_count)
                loads = [m.load for m in found]
                generator = statistics.median(load.cpu for load in loads)
                busy = busy or generator > _BUSY
                ratios = [] if name == result.systems[0] else sorted(result.ratios(name, kind, client_count))
                table.add_row(
                    f"{kind}s",
                    str(client_count),
                    name,
                    f"{statistics.median(load.per_second for load in loads):,.0f}",
                    f"{statistics.median(load.p50_ns for load in loads) / MILLISECOND:.2f}",
                    f"{statistics.median(load.p99_ns for load in loads) / MILLISECOND:.2f}",
                    f"{statistics.median(m.server_cpu for m in found):.2f}",
                    f"{generator:.2f}{' !' if generator > _BUSY else ''}",
                    f"{statistics.median(ratios):.2f}  ({' '.join(f'{ratio:.2f}' for ratio in ratios)})"
                    if ratios
                    else "",
                )
    console.print(table)
    console.print(
        "cpu, load cpu: processors used by all servers and by the load generator. "
        "Clients talk to the leader; one request in flight each. "
        "redis: primary and two replicas, appendfsync always, WAIT 1 sent with each SET; its reads are local. "
        "etcd: gRPC.",
        highlight=False,
    )
    if busy:
        console.print(f"!: the generator was over {_BUSY:.0%} busy: the figure is a lower bound", highlight=False)
