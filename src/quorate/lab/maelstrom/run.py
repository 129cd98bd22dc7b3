"""Anybody's Maelstrom nodes under our router, our faults and our judges."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
from rich.console import Console

from quorate.check import Event, Finding, History
from quorate.kernel import Seeds, errors
from quorate.lab.checkers import JudgeOptions
from quorate.lab.maelstrom.children import Child
from quorate.lab.maelstrom.messages import DEFINITE, Body, Message
from quorate.lab.maelstrom.router import Conditions, Router
from quorate.lab.maelstrom.workloads import Ask, Workload, make_workload

FAULTS: Final = ("partition", "kill", "pause")
"""What can be done to nodes on purpose."""

# Who tells nodes what they are.
_OURSELVES: Final = "c0"
_INIT_TIMEOUT_S: Final = 15.0
_FINAL_TRIES: Final = 20


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    command: tuple[str, ...]
    workload: str
    node_count: int = 3
    # Clients for each node.
    client_count: int = 2
    # Requests per second of all clients together, at most.
    rate_per_second: float = 100.0
    seconds: float = 10.0
    faults: tuple[str, ...] = ()
    # From one fault to its healing, and from there to the next.
    fault_interval_s: float = 2.0
    # How long a client waits for an answer.
    timeout_ms: float = 1_000.0
    # After the last healing, before the final reads.
    recovery_s: float = 3.0
    conditions: Conditions = Conditions()
    judging: JudgeOptions = JudgeOptions()
    seed: int = 1
    output: Path = Path("maelstrom")

    def __post_init__(self) -> None:
        unknown = [fault for fault in self.faults if fault not in FAULTS]
        if unknown:
            raise errors.UsageError(f"no fault is named {unknown[0]!r}; there are {', '.join(FAULTS)}")
        if not self.command:
            raise errors.UsageError("which program is the node?")


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    findings: Mapping[str, Finding]
    history: History
    # ok, fail, info → how many.
    outcomes: Mapping[str, int]
    messages: Mapping[str, int]
    # Times between call and answer, sorted, in nanoseconds.
    latencies_ns: tuple[int, ...]

    @property
    def exit_status(self) -> int:
        """0 valid, 1 invalid, 2 unknown."""
        verdicts = [finding.verdict for finding in self.findings.values()]
        return 1 if "invalid" in verdicts else 2 if "unknown" in verdicts else 0


def run_maelstrom(options: RunOptions, console: Console) -> RunResult:
    """Run nodes under load and faults, judge, print, and keep history, messages and the nodes' errors in a directory.

    Raises:
        UsageError: the program cannot be started, or is no Maelstrom node; the sentence says what it did.
    """
    workload = make_workload(options.workload)
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "messages.log").open("w", encoding="utf-8") as journal:
        session = _Session(options, workload, journal, console)
        asyncio.run(session.run())
    history = History(session.events)
    with (options.output / "history.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in history.to_lines())
    result = RunResult(
        findings=workload.findings(history, session.final_call, options.judging),
        history=history,
        outcomes=session.outcomes,
        messages=session.router.counts,
        latencies_ns=tuple(sorted(session.latencies_ns)),
    )
    _print(result, options, console)
    return result


class _Session:
    """The processes, clients and faults of one run, all on one loop."""

    def __init__(self, options: RunOptions, workload: Workload, journal: TextIO, console: Console) -> None:
        self.options = options
        self.workload = workload
        self.console = console
        self.events: list[Event] = []
        self.outcomes = {"ok": 0, "fail": 0, "info": 0}
        self.latencies_ns: list[int] = []
        self.final_call = 1 << 62
        seeds = Seeds(options.seed)
        self._asks = seeds.stream("maelstrom asks")
        self._nemesis = seeds.stream("maelstrom nemesis")
        self.router = Router(seeds.stream("maelstrom network"), options.conditions, journal)
        self.names = [f"n{place}" for place in range(1, options.node_count + 1)]
        directory = _fresh(options.output.absolute())
        self.children = {
            name: Child(name, options.command, directory / name, self._heard, self._fail) for name in self.names
        }
        self._answers: dict[tuple[str, int], asyncio.Future[Body]] = {}
        self._message_count = 0
        self._next_process = options.client_count * options.node_count
        self._broken: asyncio.Future[None] | None = None
        self._began_ns = time.monotonic_ns()

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self._broken = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait([work, self._broken], return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                self._broken.result()
            await work
        finally:
            for child in self.children.values():
                await child.kill()
            if not self._broken.done():
                self._broken.cancel()

    def _heard(self, message: Message) -> None:
        if message.dest == _OURSELVES:
            self._on_answer(message)
        else:
            self.router.post(message)

    def _fail(self, sentence: str) -> None:
        assert self._broken is not None, "children begin after the session"
        if not self._broken.done():
            name = sentence.split(maxsplit=1)[0]
            words = self.children[name].last_words() if name in self.children else ""
            tail = f"; its last words: {words}" if words else ""
            self._broken.set_exception(errors.UsageError(f"{sentence}{tail}"))

    async def _work(self) -> None:
        for name, child in self.children.items():
            self.router.join(name, child.send, is_node=True)
        await asyncio.gather(*(self._begin(name) for name in self.names))
        if self.options.workload == "broadcast":
            topology = {name: [peer for peer in self.names if peer != name] for name in self.names}
            for name in self.names:
                await self._call(
                    _OURSELVES, name, {"type": "topology", "topology": topology}, _INIT_TIMEOUT_S, is_direct=True
                )
        self._began_ns = time.monotonic_ns()
        stop_ns = self._began_ns + round(self.options.seconds * 1e9)
        clients = [
            self._client(number, self.names[number % len(self.names)], stop_ns)
            for number in range(self.options.client_count * len(self.names))
        ]
        nemesis = asyncio.create_task(self._harm(stop_ns))
        await asyncio.gather(*clients)
        await nemesis
        if self.workload.final is not None:
            await asyncio.sleep(self.options.recovery_s)
            self.final_call = len(self.events)
            await asyncio.gather(*(self._read_finally(name) for name in self.names))

    async def _begin(self, name: str) -> None:
        """Start a process and tell it who it is."""
        await self.children[name].start()
        body = {"type": "init", "node_id": name, "node_ids": self.names}
        # Not through the router, nor its answer: a lost init is not what anybody wants to test.
        answer = await self._call(_OURSELVES, name, body, _INIT_TIMEOUT_S, is_direct=True)
        if answer is None or answer.get("type") != "init_ok":
            words = self.children[name].last_words()
            raise errors.UsageError(f"{name} answered init with {answer}{'; it said: ' + words if words else ''}")

    # -- clients ------------------------------------------------------------------------------------------------------

    async def _call(
        self, client: str, node: str, body: Body, timeout_s: float, *, is_direct: bool = False
    ) -> Body | None:
        """Ask a node; None when no answer came in time."""
        self._message_count += 1
        number = self._message_count
        future: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._answers[client, number] = future
        self.router.join(client, self._on_answer, is_node=False)
        message = Message(client, node, {**body, "msg_id": number})
        if is_direct:
            self.children[node].send(message)
        else:
            self.router.post(message)
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return None
        finally:
            del self._answers[client, number]

    def _on_answer(self, message: Message) -> None:
        number = message.body.get("in_reply_to")
        future = self._answers.get((message.dest, number)) if isinstance(number, int) else None
        if future is not None and not future.done():
            future.set_result(message.body)

    async def _client(self, number: int, node: str, stop_ns: int) -> None:
        process = number
        share = self.options.client_count * len(self.names) / max(self.options.rate_per_second, 1e-3)
        while time.monotonic_ns() < stop_ns:
            began = time.monotonic()
            ask = self.workload.draw(self._asks, process)
            if await self._perform(process, f"c{number + 1}", node, ask) == "info":
                # Its call stays open for ever, so the process is retired.
                process, self._next_process = self._next_process, self._next_process + 1
            await asyncio.sleep(max(0.0, began + share * self._asks.uniform(0.5, 1.5) - time.monotonic()))

    async def _perform(self, process: int, client: str, node: str, ask: Ask) -> str:
        """Make one request and note it; return its outcome."""
        begin_ns = time.monotonic_ns()
        self._note(process, "invoke", ask, ask.value, None)
        answer = await self._call(client, node, ask.body, self.options.timeout_ms / 1e3)
        kind, value, error = self._understand(ask, answer, process)
        if kind == "ok":
            self.latencies_ns.append(time.monotonic_ns() - begin_ns)
        self.outcomes[kind] += 1
        self._note(process, kind, ask, value, error)
        return kind

    def _understand(self, ask: Ask, answer: Body | None, process: int) -> tuple[str, Any, Any]:
        """Return outcome, result and error of an answer."""
        if answer is None:
            return "info", None, "no answer in time"
        if answer.get("type") == "error":
            code = answer.get("code")
            told = self.workload.refusal(ask, code) if isinstance(code, int) else None
            if told is not None:
                return "ok", told[0], None
            return "fail" if code in DEFINITE else "info", None, [code, str(answer.get("text", ""))[:200]]
        try:
            return "ok", self.workload.result(ask, answer, process), None
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            self._fail(f"an answer to {ask.f} makes no sense ({type(cause).__name__} {cause}): {answer}")
            return "info", None, "an answer without sense"

    def _note(self, process: int | str, kind: str, ask: Ask, value: Any, error: Any) -> None:
        self.events.append(
            Event(
                index=len(self.events), time=time.monotonic_ns() - self._began_ns, process=process,
                type=kind, f=ask.f, key=ask.key, value=value, error=error,  # type: ignore[arg-type]  # one of four
            )
        )  # fmt: skip

    async def _read_finally(self, name: str) -> None:
        final = self.workload.final
        assert final is not None, "only workloads with final reads come here"
        for _ in range(_FINAL_TRIES):
            process, self._next_process = self._next_process, self._next_process + 1
            if await self._perform(process, f"c-final-{name}", name, final) == "ok":
                return
            await asyncio.sleep(0.25)
        raise errors.UsageError(f"{name} answered none of {_FINAL_TRIES} final reads though all faults were over")

    # -- faults -------------------------------------------------------------------------------------------------------

    async def _harm(self, stop_ns: int) -> None:
        """Harm and heal in turns until the load ends; leave all well."""
        pending: Sequence[str] = ()
        with contextlib.suppress(asyncio.CancelledError):
            while self.options.faults:
                if not await self._wait_until(stop_ns):
                    break
                fault = self._nemesis.choice(self.options.faults)
                pending = await self._inflict(fault)
                is_more = await self._wait_until(stop_ns)
                await self._heal(pending)
                pending = ()
                if not is_more:
                    break
        await self._heal(pending)

    async def _wait_until(self, stop_ns: int) -> bool:
        left_s = (stop_ns - time.monotonic_ns()) / 1e9
        await asyncio.sleep(max(0.0, min(self.options.fault_interval_s, left_s)))
        return left_s > self.options.fault_interval_s

    async def _inflict(self, fault: str) -> Sequence[str]:
        """Do one fault; return the nodes that are to be brought back."""
        names = list(self.names)
        self._nemesis.shuffle(names)
        some = names[: max(1, (len(names) - 1) // 2)]
        self._say(fault, some)
        if fault == "partition":
            rest = [name for name in self.names if name not in some]
            self.router.cut([pair for one in some for other in rest for pair in ((one, other), (other, one))])
            return ()
        for name in some:
            if fault == "pause":
                self.children[name].pause()
            else:
                await self.children[name].kill()
        return some

    async def _heal(self, names: Sequence[str]) -> None:
        self.router.heal()
        for name in names:
            if self.children[name].is_paused:
                self.children[name].resume()
            elif not self.children[name].is_running:
                try:
                    await self._begin(name)
                except errors.UsageError as cause:
                    self._fail(f"{name} did not come back: {cause}")
        self._say("heal", names)

    def _say(self, fault: str, names: Sequence[str]) -> None:
        self._note("nemesis", "info", Ask(body={}, f=fault), list(names), None)


def _fresh(output: Path) -> Path:
    """Return a directory for the nodes that no earlier run used: what a node remembers of another run is a lie here."""
    number = 1
    while (output / f"nodes-{number}").exists():
        number += 1
    return output / f"nodes-{number}"


def _print(result: RunResult, options: RunOptions, console: Console) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in result.outcomes.items())
    console.print(f"{sum(result.outcomes.values())} requests: {counts}", highlight=False)
    if result.latencies_ns:
        places = [(share, result.latencies_ns[int(share * (len(result.latencies_ns) - 1))]) for share in (0.5, 0.95, 1)]
        words = ", ".join(f"{share:.0%} {ns / 1e6:.1f} ms" for share, ns in places)
        console.print(f"answered within: {words}", highlight=False)
    words = ", ".join(f"{count} {name}" for name, count in result.messages.items() if count)
    per_request = result.messages["sent"] / max(1, sum(result.outcomes.values()))
    console.print(f"messages: {words}; {per_request:.1f} for each request", highlight=False)
    for name, finding in result.findings.items():
        console.print(f"{name}: {finding}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"history, messages and the nodes' errors are in {options.output}", highlight=False)
