"""A trial: real processes, real clients, a nemesis, and a verdict.

    set up → start all nodes → wait until they serve → load and faults → heal → wait until they serve
           → read every key → judge → card and report

Whatever happens, Ctrl-C included, every process that was started is killed at the end.
"""

import asyncio
import contextlib
import dataclasses
import inspect
import math
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import uvloop
from rich.console import Console

from quorate.check import BUDGET_DEFAULT, Finding, Verdict, check, format_event
from quorate.kernel import SECOND, NodeId, Seeds, errors, seconds
from quorate.lab.card import print_card, print_schedule
from quorate.lab.clients import Worker, final_reads
from quorate.lab.faults import PlannedFault, plan_faults
from quorate.lab.live import Display
from quorate.lab.nemesis import Nemesis
from quorate.lab.options import TrialOptions, TrialResult
from quorate.lab.proxy import Links
from quorate.lab.recorder import Recorder
from quorate.lab.report import write_report
from quorate.lab.second_act import ACT_NODE_COUNT_MIN, ActResult, SecondAct, history_lines
from quorate.lab.second_act_card import print_act
from quorate.lab.statistics import availability, latencies, outages, throughput
from quorate.lab.systems import AttachedSystem, Client, Leadership, QuorateSystem, Skewing, System, make_system
from quorate.lab.workload import Bucket, Workload

_FAULT_DURATION_MIN = seconds(0.1)
_SAMPLE_INTERVAL_S = 0.2
_PROBE_INTERVAL_S = 0.1
_NODE_COUNT_MAX = 9


def run_trial(options: TrialOptions, *, system: System | None = None, console: Console | None = None) -> TrialResult:
    """Put a system on trial; print the live display and the card, write report.html and history.jsonl.

    Args:
        options: all knobs.
        system: what to try; made from `options.system` when absent.
        console: where to print; standard output when absent.

    Raises:
        UsageError: the options, the system or the output directory cannot be used.
        Unreachable: the system never served.
    """
    _check_options(options)
    chosen = system if system is not None else _system_of(options)
    if isinstance(chosen, AttachedSystem):
        options = _unharmed(options, chosen)
    console = console if console is not None else Console()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise errors.UsageError(f"cannot write to {options.output}: {cause.strerror}") from cause
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        trial = Trial(options, chosen, console)
        runner.run(trial.run())
    result = trial.judge()
    write_report(result)
    print_card(console, result)
    if result.act is not None:
        print_act(console, result.act)
    return result


def _system_of(options: TrialOptions) -> System:
    if options.system == "quorate" and options.act_count > 1 and options.node_count >= ACT_NODE_COUNT_MIN:
        return QuorateSystem(has_carts=True)
    return make_system(options.system)


def _check_options(options: TrialOptions) -> None:
    if not 1 <= options.node_count <= _NODE_COUNT_MAX:
        raise errors.UsageError(f"a trial has 1 to {_NODE_COUNT_MAX} nodes, not {options.node_count}")
    if options.duration < SECOND:
        raise errors.UsageError("a trial lasts at least one second")
    if options.fault_duration < _FAULT_DURATION_MIN:
        raise errors.UsageError("a fault lasts at least a tenth of a second")
    if options.worker_count < 1 or not 0 < options.rate_per_second < math.inf or options.key_count < 1:
        raise errors.UsageError("a trial needs at least one worker, one key and a rate above 0")


def _unharmed(options: TrialOptions, system: AttachedSystem) -> TrialOptions:
    """Return the options for a cluster that runs already: a node for each address, no faults."""
    if options.faults:
        raise errors.UsageError(f"{system.name} runs already and is not ours to harm: leave the faults out")
    return dataclasses.replace(options, node_count=system.node_count, faults=())


class Trial:
    """One run, from setting up to the last read; `judge` comes after the loop has ended."""

    def __init__(self, options: TrialOptions, system: System, console: Console) -> None:
        self._options = options
        self._system = system
        self._console = console
        self._seeds = Seeds(options.seed)
        self._nodes = tuple(NodeId(number) for number in range(1, options.node_count + 1))
        self._recorder = Recorder()
        self._leadership = Leadership()
        self._asking = asyncio.Lock()
        self._leaders: list[tuple[int, Leadership]] = []
        self._planned: list[PlannedFault] = []
        self._nemesis: Nemesis | None = None
        self._workload = Workload(
            self._seeds.stream("workload"),
            key_count=options.key_count,
            operation_count_max=options.key_operation_count,
        )
        self._unread: list[str] = []
        self._load_end_ns = 0
        self._end_ns = 0
        self._recovery_ns: int | None = None
        self._where: list[str] = []
        self._act: SecondAct | None = None
        self._act_result: ActResult | None = None
        self._generator_cpu = 0.0
        self._server_cpu = 0.0

    async def run(self) -> None:
        """Do everything that needs the system."""
        self._planned = plan_faults(
            self._seeds.stream("nemesis"),
            duration=self._options.duration,
            node_count=len(self._nodes),
            names=self._options.faults,
            fault_duration=self._options.fault_duration,
        )
        if "skew" in (self._options.faults or ()):
            if not isinstance(self._system, Skewing):
                raise errors.UsageError(f"no skew for {self._system.name}: its adapter cannot set a clock")
            self._system.allow_skew()
        print_schedule(self._console, self._options, self._system.name, self._planned)
        links = Links(self._nodes, rng=self._seeds.stream("links"))
        # Data lives in a temporary directory (a trial must not judge what an earlier one left), logs stay.
        with tempfile.TemporaryDirectory(prefix="quorate-trial-") as directory:
            try:
                await self._system.setup(Path(directory), self._nodes, links)
                for node in self._nodes:
                    await self._system.start(node)
                await self._run_started(links)
            finally:
                await self._close(links, Path(directory))

    async def _run_started(self, links: Links) -> None:
        with self._console.status("waiting for the nodes to serve"):
            await self._wait_until_served("the nodes never served")
        # Time zero is here: what came before was not load.
        self._recorder = Recorder()
        self._nemesis = Nemesis(
            system=self._system,
            links=links,
            nodes=self._nodes,
            recorder=self._recorder,
            leadership=lambda: self._leadership,
        )
        workers = [self._worker(number) for number in range(self._options.worker_count)]
        tasks = [asyncio.get_running_loop().create_task(self._sample())]
        display = Display(self._console, self._options, self._recorder, self._nemesis, lambda: self._leadership)
        try:
            with display:
                refreshing = asyncio.get_running_loop().create_task(display.keep_fresh())
                tasks.append(refreshing)
                await self._load(workers, self._nemesis)
                display.phase = "healed; waiting until it serves"
                await self._finish(workers, display)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for worker in workers:
                await worker.close()
        if isinstance(self._system, QuorateSystem) and self._system.has_carts and self._recovery_ns is not None:
            await self._play_second(self._system, links)

    async def _play_second(self, system: QuorateSystem, links: Links) -> None:
        self._say("act two: one partition, two keyspaces, on the same processes")
        self._act = SecondAct(
            nodes=self._nodes,
            links=links,
            leader=self._leadership.node,
            client=system.keyspace_client,
            timeout_s=self._options.timeout / SECOND,
        )
        self._act_result = await self._act.run(lambda text: self._say(f"  {text}"))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    async def _load(self, workers: list[Worker], nemesis: Nemesis) -> None:
        cpu_s, server_cpu_s = _own_cpu_s(), _cpu_s_of(self._system)
        bucket = Bucket(rate=self._options.rate_per_second, burst=self._options.rate_per_second / 20)
        stop_at_ns = self._options.duration
        async with asyncio.TaskGroup() as group:
            group.create_task(nemesis.run(self._planned))
            for worker in workers:
                group.create_task(worker.run(self._workload, bucket, stop_at_ns))
        self._load_end_ns = self._recorder.now_ns()
        seconds_passed = self._load_end_ns / SECOND
        self._generator_cpu = (_own_cpu_s() - cpu_s) / seconds_passed
        self._server_cpu = (_cpu_s_of(self._system) - server_cpu_s) / seconds_passed

    async def _finish(self, workers: list[Worker], display: Display) -> None:
        healed_ns = max((span.end_ns for span in self._nemesis.spans), default=0) if self._nemesis else 0
        try:
            await self._wait_until_served("the system did not serve again")
            self._recovery_ns = max(0, self._first_update_after(healed_ns) - healed_ns)
        except errors.Unreachable:
            self._recovery_ns = None
        display.phase = "reading every key"
        self._unread = await final_reads(
            workers,
            self._workload.keys,
            # A cluster that does not serve will not do so for each key in turn.
            deadline_ns=self._recorder.now_ns()
            + (self._options.recovery_timeout if self._recovery_ns is not None else 0),
            now_ns=self._recorder.now_ns,
        )
        self._end_ns = self._recorder.now_ns()

    def _first_update_after(self, at_ns: int) -> int:
        """Return when the first update that began after a moment was acknowledged; now if none was."""
        calls = self._recorder.calls
        found = [c.complete_ns for c in calls if c.outcome == "ok" and c.is_update and c.invoke_ns >= at_ns]
        return min(found, default=self._recorder.now_ns())

    def _worker(self, number: int) -> Worker:
        client = self._system.client(number)
        self._where.append(getattr(client, "where", ""))
        return Worker(
            number=number,
            worker_count=self._options.worker_count,
            client=client,
            recorder=self._recorder,
            timeout_s=3 * self._options.timeout / SECOND,
        )

    async def _wait_until_served(self, sentence: str) -> None:
        """Wait until a client of every node gets a write through; raise Unreachable after the time allowed."""
        clients = [self._system.client(place) for place in range(len(self._nodes))]
        deadline_ns = self._recorder.now_ns() + self._options.recovery_timeout
        last: list[str] = []
        try:
            while self._recorder.now_ns() < deadline_ns:
                self._leadership = await self._ask_leader()
                outcomes = await asyncio.gather(*(_probe(client, place) for place, client in enumerate(clients)))
                last = [outcome for outcome in outcomes if outcome]
                if trouble := _trouble_of(self._system):
                    raise errors.Unreachable(f"{sentence}: {trouble}")
                if not last and len(self._leadership.answered) == len(self._nodes):
                    return
                await asyncio.sleep(_PROBE_INTERVAL_S)
        finally:
            for client in clients:
                await client.close()
        waited_s = self._options.recovery_timeout / SECOND
        answered = ", ".join(map(str, self._leadership.answered)) or "none"
        cause = last[0] if last else f"nodes that are whole: {answered}"
        raise errors.Unreachable(f"{sentence} within {waited_s:.0f} s: {cause}")

    async def _ask_leader(self) -> Leadership:
        """Ask, one at a time: an adapter has one connection for it to each node, and may act on the answers."""
        async with self._asking:
            return await self._system.leader()

    async def _sample(self) -> None:
        while True:
            seen = await self._ask_leader()
            before = self._leaders[-1][1] if self._leaders else None
            self._leadership = seen
            if before is None or (before.node, before.term) != (seen.node, seen.term):
                self._leaders.append((self._recorder.now_ns(), seen))
            await asyncio.sleep(_SAMPLE_INTERVAL_S)

    async def _close(self, links: Links, directory: Path) -> None:
        """Kill every node, whatever the adapter forgot, and keep the logs."""
        for node in self._nodes:
            with contextlib.suppress(Exception):
                await self._system.stop(node, "crash")
        close: Callable[[], object] | None = getattr(self._system, "close", None)
        if close is not None:
            outcome = close()
            if inspect.isawaitable(outcome):
                await outcome
        await links.close()
        _keep_logs(directory, self._options.output / "logs")

    def judge(self) -> TrialResult:
        """Check the history and put everything together."""
        options, recorder = self._options, self._recorder
        begin_ns = recorder.now_ns()
        history = recorder.history()
        with self._console.status(f"judging {len(recorder.calls):,} operations"):
            finding = check(history, "kv", budget=options.budget or BUDGET_DEFAULT)
        judge_ns = recorder.now_ns() - begin_ns
        path = options.output / "history.jsonl"
        path.write_text("".join(f"{format_event(event)}\n" for event in history.events), encoding="utf-8")
        if self._act is not None:
            for keyspace, kept in self._act.recorders.items():
                (options.output / f"history-{keyspace}.jsonl").write_text(history_lines(kept), encoding="utf-8")
        spans = self._nemesis.spans if self._nemesis is not None else []
        load_end_ns = max(self._load_end_ns, 1)
        load = [call for call in recorder.calls if call.invoke_ns < load_end_ns]
        verdict, reason = self._verdict(finding)
        return TrialResult(
            options=options,
            system=self._system.name,
            verdict=verdict,
            reason=reason,
            finding=finding,
            planned=self._planned,
            spans=spans,
            calls=recorder.calls,
            outcomes=dict(recorder.outcomes),
            error_codes=dict(recorder.error_codes),
            key_count=len(self._workload.keys),
            load_end_ns=load_end_ns,
            end_ns=self._end_ns,
            recovery_ns=self._recovery_ns,
            availability=availability(load, end_ns=load_end_ns),
            throughput=throughput(load, end_ns=load_end_ns),
            outages=outages(load, spans, end_ns=load_end_ns),
            reads=latencies(load, updates=False),
            updates=latencies(load, updates=True),
            leaders=self._leaders,
            generator_cpu=self._generator_cpu,
            server_cpu=self._server_cpu,
            where=self._where,
            judge_ns=judge_ns,
            act=self._act_result,
            report=options.output / "report.html",
            history=path,
        )

    def _verdict(self, finding: Finding) -> tuple[Verdict, str]:
        if finding.verdict != "valid":
            return finding.verdict, finding.explanation
        if not self._recorder.outcomes["ok"]:
            return "unknown", "no operation was answered, so nothing was tested"
        if self._recovery_ns is None:
            waited_s = self._options.recovery_timeout / SECOND
            return "unknown", f"what was answered is linearizable, but it did not serve again within {waited_s:.0f} s"
        if self._unread:
            count = len(self._unread)
            return "unknown", f"what was answered is linearizable, but {count} keys could not be read at the end"
        return "valid", finding.explanation


async def _probe(client: Client, place: int) -> str:
    """Write once; return what went wrong, or nothing."""
    try:
        await client.write(f"probe-{place}", 1)
    except (errors.QuorateError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _keep_logs(directory: Path, logs: Path) -> None:
    shutil.rmtree(logs, ignore_errors=True)  # an earlier trial's logs would mislead
    logs.mkdir()
    for log in sorted(directory.glob("*.log")):
        shutil.copy(log, logs / log.name)


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _trouble_of(system: System) -> str:
    ask: Callable[[], str] | None = getattr(system, "trouble", None)
    return ask() if ask is not None else ""


def _cpu_s_of(system: System) -> float:
    measure: Callable[[], float] | None = getattr(system, "cpu_s", None)
    return measure() if measure is not None else 0.0
