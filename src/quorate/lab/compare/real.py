"""The same run on real processes: one `quorate serve` per node, clients at the Redis door of every node.

What is the same: load, scenarios, delays of links, what is measured, how it is judged. What is not: links between nodes
pass through proxies of TCP, so order is kept, and what is cut waits and arrives after the healing; a zone without power
is killed processes; the machine adds its own delays, so nothing is predicted from them; and no run is the same again.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from quorate.kernel import SECOND, NodeId, Seeds, errors
from quorate.lab.compare.load import AUDIT_PAUSE, AUDIT_ROUND_COUNT, PROCESSES_PER_NODE, Audit
from quorate.lab.compare.measures import measure
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.results import Observed, RunResult
from quorate.lab.compare.scenarios import SLOW_JITTER, SLOW_LATENCY, Scenario, scenario_named, zone_of
from quorate.lab.compare.spec import Design, LeaderlessDesign, RaftDesign, check_fits
from quorate.lab.proxy import Conditions, Links
from quorate.lab.recorder import Call, Recorder
from quorate.lab.systems import Client, QuorateSystem

READY_BOUND_S = 30.0
# How often a node that was started again is asked whether it serves, and after what pauses.
RETURN_ATTEMPT_COUNT = 100
RETURN_PAUSE_S = 0.1
# Clients of one node at one time; an operation that finds none free is not made, and counts as refused.
CLIENTS_MAX = 64


def run_real(plan: RunPlan) -> RunResult:
    """Run a plan on processes of this machine and return what was measured.

    Raises:
        UsageError: a plan that cannot be, or the redis package is not installed.
        Unreachable: the cluster never served.

    Complexity: the plan's time, and a few seconds.
    """
    check_fits(plan.design, plan.node_count)
    scenario = scenario_named(plan.scenario, plan.node_count)
    if scenario.skewed:
        raise errors.UsageError("skew: clocks are only skewed in simulation; `quorate trial` does it to processes")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Real(plan, scenario).run())


def run_really(plans: Sequence[RunPlan], on_done: Callable[[int], None] = lambda _: None) -> list[RunResult]:
    """Make runs one after another on real processes; a runner of comparisons."""
    found: list[RunResult] = []
    for plan in plans:
        found.append(run_real(plan))
        on_done(len(found))
    return found


def configuration_of(design: Design, node_count: int) -> str:
    """Return what a node's configuration says beyond its addresses: the design as a keyspace in database 0."""
    if not isinstance(design, LeaderlessDesign):
        interval_ms = max(1, design.election_ms // 5)
        return f"[timing]\nelection_timeout_ms = {design.election_ms}\nheartbeat_interval_ms = {interval_ms}\n"
    lines = [
        *("[keyspaces.compared]", "database = 0", f'conflicts = "{design.rule}"'),
        *(["acknowledge = false"] if design.w == "NONE" else []),
        *("[keyspaces.compared.replication]", 'by = "leaderless"', f"replicas = {design.n}"),
        f"read = {_level(design.r)}",
        f"write = {_level(design.w)}" if design.w != "NONE" else 'write = "ONE"',
        f"sloppy = {str(design.sloppy).lower()}",
        f'read_repair = "{design.repair}"',
        f"anti_entropy = {str(design.anti_entropy).lower()}",
        *(["speculative_delay_ms = 0"] if design.eager else []),
        *([] if design.hints else ["hint_count_max = 0"]),
    ]
    for node in range(1, node_count + 1):
        lines += [f"[nodes.{node}]", f'zone = "zone {zone_of(node, node_count) + 1}"']
    return "\n".join(lines) + "\n"


def _put_first(line: str, directory: Path) -> None:
    """Put a line before the tables of every node's configuration."""
    for path in sorted(directory.glob("node-*.toml")):
        path.write_text(line + path.read_text(encoding="utf-8"), encoding="utf-8")


def _level(level: str) -> str:
    return level if level.isdigit() else f'"{level}"'


class _Real:
    """One run."""

    def __init__(self, plan: RunPlan, scenario: Scenario) -> None:
        self.plan = plan
        self.scenario = scenario
        self.nodes = tuple([NodeId(node) for node in range(1, plan.node_count + 1)])
        self.seeds = Seeds(plan.seed)
        self.links = Links(self.nodes, rng=self.seeds.stream("links"))
        # As late as in simulation; what the machine itself takes comes on top.
        network = plan.network
        self.usual = Conditions(delay_s=network.latency / SECOND, jitter_s=network.jitter / SECOND)
        timeout_s = plan.load.timeout / SECOND
        self.system = QuorateSystem(extra=configuration_of(plan.design, plan.node_count), timeout_s=timeout_s)
        self.recorder = Recorder()
        self.down: list[NodeId] = []
        self._clients: dict[NodeId, list[Client]] = {node: [] for node in self.nodes}
        self._client_counts = dict.fromkeys(self.nodes, 0)
        self._processes: dict[NodeId, list[int]] = {node: [] for node in self.nodes}
        self._process_counts = dict.fromkeys(self.nodes, 0)
        self._acknowledged: dict[str, int] = {}
        self._last_value = 0
        self._insert_count = 0
        self._probe_count = 0
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def run(self) -> RunResult:
        with tempfile.TemporaryDirectory(prefix="quorate-compare-") as directory:
            try:
                await self.system.setup(Path(directory), self.nodes, self.links)
                if isinstance(self.plan.design, RaftDesign) and self.plan.design.lease:
                    _put_first("lease_reads = true\n", Path(directory))
                self.links.change_all(self.usual)
                for node in self.nodes:
                    await self.system.start(node)
                await self._wait()
                return await self._measured()
            finally:
                for clients in self._clients.values():
                    for client in clients:
                        await client.close()
                await self.system.close()
                await self.links.close()

    async def _measured(self) -> RunResult:
        plan, timeline = self.plan, self.plan.timeline
        self.recorder = Recorder()
        before = self._passed_bytes()
        nemesis = asyncio.get_running_loop().create_task(self._harm())
        try:
            await asyncio.gather(*[self._arrivals(node) for node in self.nodes])
            await asyncio.sleep(max(0.0, (timeline.end - self.recorder.now_ns()) / SECOND))
            observed = Observed(bytes=self._passed_bytes() - before)
            await asyncio.gather(*list(self._tasks), return_exceptions=True)
            await nemesis
        finally:
            nemesis.cancel()
        audit = await self._audit()
        return measure(plan, self.scenario, self.recorder, observed, audit, is_real=True)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait until every node serves, and node 1 leads where somebody leads."""
        deadline = asyncio.get_running_loop().time() + READY_BOUND_S
        while asyncio.get_running_loop().time() < deadline:
            outcomes = await asyncio.gather(*[self._probe(node) for node in self.nodes], return_exceptions=True)
            seen = await self.system.leader()
            if not any(isinstance(outcome, BaseException) for outcome in outcomes):
                if isinstance(self.plan.design, LeaderlessDesign) or seen.node == 1:
                    return
                await self._ask_to_lead(seen.node)
            if trouble := self.system.trouble():
                raise errors.Unreachable(trouble)
            await asyncio.sleep(0.2)
        raise errors.Unreachable(f"the cluster did not serve within {READY_BOUND_S:.0f} s")

    async def _probe(self, node: NodeId) -> None:
        client = self._take_client(node)
        if client is None:
            raise errors.Unreachable("no client is free")
        try:
            await client.write(f"probe-{node}", 1)
        finally:
            self._clients[node].append(client)

    async def _ask_to_lead(self, leader: NodeId | None) -> None:
        if leader is None:
            return
        from quorate.lab.systems.redis_door import asker_of

        asker = asker_of(self.system.door(leader))
        with contextlib.suppress(errors.OperationError):
            await asker.command("QUORATE.TRANSFER", 1)
        await asker.close()

    def _passed_bytes(self) -> int:
        pairs = [(a, b) for a in self.nodes for b in self.nodes if a != b]
        return sum([self.links.direction(a, b).passed_bytes for a, b in pairs])

    # -- harm ---------------------------------------------------------------------------------------------------------

    async def _harm(self) -> None:
        scenario, timeline = self.scenario, self.plan.timeline
        await self._until(timeline.calm)
        try:
            for source, target in scenario.cuts:
                self.links.change(Conditions(cut=True), source=NodeId(source), target=NodeId(target))
            slow = Conditions(delay_s=SLOW_LATENCY / SECOND, jitter_s=SLOW_JITTER / SECOND)
            for node in [NodeId(node) for node in scenario.slow]:
                for other in [other for other in self.nodes if other != node]:
                    self.links.change(slow, source=node, target=other)
                    self.links.change(slow, source=other, target=node)
            self.down = [NodeId(node) for node in (*scenario.killed, *scenario.unpowered)]
            for node in self.down:
                await self.system.stop(node, "crash")
            await self._until(timeline.heal_at)
        finally:
            self.links.change_all(self.usual)
            for node in list(self.down):
                await self.system.start(node)
                self._begin(self._return(node))

    async def _return(self, node: NodeId) -> None:
        """Let clients come back to a node as soon as it serves."""
        for _ in range(RETURN_ATTEMPT_COUNT):
            with contextlib.suppress(errors.QuorateError, OSError):
                await self._probe(node)
                break
            await asyncio.sleep(RETURN_PAUSE_S)
        self.down.remove(node)

    async def _until(self, at_ns: int) -> None:
        await asyncio.sleep(max(0.0, (at_ns - self.recorder.now_ns()) / SECOND))

    # -- load ---------------------------------------------------------------------------------------------------------

    async def _arrivals(self, node: NodeId) -> None:
        """Begin operations at drawn moments, whatever became of the earlier ones."""
        load = self.plan.load
        rng, what = self.seeds.stream("arrivals", node), self.seeds.stream("operations", node)
        gap_ns = SECOND * self.plan.node_count / load.rate
        at = rng.expovariate(1.0) * gap_ns
        while at < self.plan.timeline.end:
            await self._until(round(at))
            self._begin(self._operation(node, what))
            at += rng.expovariate(1.0) * gap_ns

    def _begin(self, operation: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(operation)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _operation(self, node: NodeId, rng: Random) -> None:
        load = self.plan.load
        share, key = rng.random(), f"r{rng.randrange(load.key_count)}"
        other = self.nodes[(node - 1 + rng.randrange(1, len(self.nodes))) % len(self.nodes)]
        if share < load.write_share:
            self._last_value += 1
            call = await self._perform(node, "write", key, self._last_value)
            if call.outcome == "ok":
                delay_ms = load.probe_delays_ms[self._probe_count % len(load.probe_delays_ms)]
                self._probe_count += 1
                await asyncio.sleep(delay_ms / 1000)
                await self._perform(other, "read", key, None)
        elif share < load.write_share + load.insert_share:
            self._last_value += 1
            self._insert_count += 1
            value, new_key = self._last_value, f"i{self._insert_count}"
            call = await self._perform(node, "write", new_key, value)
            if call.outcome == "ok":
                self._acknowledged[new_key] = value
        else:
            await self._perform(node, "read", key, None)

    async def _perform(self, home: NodeId, f: str, key: str, value: int | None) -> Call:
        processes = self._processes[home]
        if not processes:
            self._process_counts[home] += 1
            processes.append(home * PROCESSES_PER_NODE + self._process_counts[home])
        process = processes.pop()
        call = self.recorder.invoke(process=process, worker=int(home), f=f, key=key, value=value)
        node = self._running(home)
        client = self._take_client(node) if node is not None else None
        if node is None or client is None:
            self.recorder.failed(call, errors.Unreachable("no node runs, or no client is free"))
            processes.append(process)
            return call
        try:
            async with asyncio.timeout(self.plan.load.timeout / SECOND):
                result = await (client.read(key) if value is None else client.write(key, value))
            self.recorder.ok(call, result)
            processes.append(process)
        except (errors.QuorateError, OSError, ValueError) as cause:
            error = errors.TimedOut("no answer in time") if isinstance(cause, TimeoutError) else cause
            if not self.recorder.failed(call, error):
                processes.append(process)
            await client.close()
        self._clients[node].append(client)
        return call

    def _running(self, home: NodeId) -> NodeId | None:
        ring = [self.nodes[(home - 1 + step) % len(self.nodes)] for step in range(len(self.nodes))]
        return next((node for node in ring if node not in self.down), None)

    def _take_client(self, node: NodeId) -> Client | None:
        if self._clients[node]:
            return self._clients[node].pop()
        if self._client_counts[node] >= CLIENTS_MAX:
            return None
        self._client_counts[node] += 1
        return self.system.client(int(node) - 1)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _audit(self) -> Audit:
        """Look for every acknowledged write through one node after another."""
        wanted, last = dict(self._acknowledged), dict[str, int | None]()
        registers = [f"r{number}" for number in range(self.plan.load.key_count)]
        # Each key through every node in turn.
        places = {key: place for place, key in enumerate([*wanted, *registers])}
        for round_number in range(max(AUDIT_ROUND_COUNT, len(self.nodes))):
            keys = [*wanted, *registers]
            for start in range(0, len(keys), CLIENTS_MAX):
                part = keys[start : start + CLIENTS_MAX]
                reads = [
                    self._perform(self.nodes[(places[key] + round_number) % len(self.nodes)], "read", key, None)
                    for key in part
                ]
                for call in await asyncio.gather(*reads):
                    _note(call, wanted, last, registers)
            if not wanted and len(last) == len(registers):
                break
            await asyncio.sleep(AUDIT_PAUSE / SECOND)
        return Audit(lost=sorted(wanted), acknowledged_count=len(self._acknowledged), last=last)


def _note(call: Call, wanted: dict[str, int], last: dict[str, int | None], registers: Sequence[str]) -> None:
    if call.outcome != "ok":
        return
    result = call.result if isinstance(call.result, int) else None
    if call.key in registers:
        last[call.key] = result
    elif result == wanted.get(call.key):
        wanted.pop(call.key, None)
