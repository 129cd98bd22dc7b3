"""The experiment with real processes: a supervisor carries their messages, keeps the resource, and kills.

The supervisor is what a power switch is to STONITH ("shoot the other node in the head"): it can be reached from both
sides of the partition, it kills (SIGKILL), and it says so only when the operating system has said that the process is
gone. A leader that cannot reach it, or is not told, does not write: STONITH trades two leaders for none.

Source: Pacemaker's fencing; the danger of an unconfirmed kill: its documentation on unfencing and manual fencing.
"""

import asyncio
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from quorate.kernel import SECOND, Duration, NodeId
from quorate.kernel.errors import TimedOut
from quorate.lab.elections.experiment import (
    ACKNOWLEDGE_SPAN,
    LEADER,
    NODES,
    PAUSE,
    SIDES,
    WRITE_INTERVAL,
    Attempt,
    CureRow,
    ElectionOptions,
    Run,
    row_of,
)
from quorate.lab.elections.process import Options
from quorate.protocols.election import Token

START_TIMEOUT_S = 30.0
_PROGRAM = Path(__file__).with_name("process.py")


class Supervisor:
    """Five processes of one experiment."""

    def __init__(self, run: Run, directory: Path) -> None:
        self.run = run
        self.processes: dict[NodeId, Process] = {}
        # Node → how its process ended, once it has.
        self.statuses: dict[NodeId, int] = {}
        self._directory = directory
        self._ready = {node: asyncio.Event() for node in NODES}
        self._is_cut = False
        self._listeners: dict[NodeId, asyncio.Task[None]] = {}
        self._shots: list[asyncio.Task[None]] = []
        # One leader's wish at a time: of two that shoot each other, the first lives.
        self._trigger = asyncio.Lock()

    async def __aenter__(self) -> Self:
        for node in NODES:
            path = self._directory / f"{self.run.harm}-{self.run.kind}-{self.run.cure.replace(' ', '')}-{node}"
            options = Options(
                kind=self.run.kind,
                node=node,
                nodes=NODES,
                quorum=self.run.cure.startswith("quorum"),
                has_stonith=self.run.cure == "stonith",
                acknowledge_span=ACKNOWLEDGE_SPAN,
                write_interval=WRITE_INTERVAL,
            )
            arguments = ("-P", str(_PROGRAM), str(path), msgspec.json.encode(options).decode())
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            self.processes[node] = process
            self._listeners[node] = asyncio.create_task(self._listen(node, process))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                for ready in self._ready.values():
                    await ready.wait()
        except TimeoutError as cause:
            await self.__aexit__()
            raise TimedOut("elections: a process did not start in time") from cause
        for node in NODES:
            self._tell(node, {"go": True})
        return self

    async def __aexit__(self, *_: object) -> None:
        for shot in self._shots:
            shot.cancel()
        await asyncio.gather(*self._shots, return_exceptions=True)
        for node in list(self.processes):
            await self.kill(node)

    async def harm(self, span: Duration) -> None:
        """Do what the run is about for a span: let no message pass between the sides, or stop the leader."""
        self.run.begin_ns = time.monotonic_ns()
        if self.run.harm == "partition":
            self._is_cut = True
            await asyncio.sleep(span / SECOND)
        else:
            self.processes[LEADER].send_signal(signal.SIGSTOP)
            await asyncio.sleep(span / 2 / SECOND)
            if self.processes[LEADER].returncode is None:
                self.processes[LEADER].send_signal(signal.SIGCONT)
            await asyncio.sleep(span / 2 / SECOND)
        self.run.end_ns = time.monotonic_ns()

    async def kill(self, node: NodeId) -> int:
        """Kill a process, wait until it is gone, and return how it ended; again is harmless."""
        process = self.processes[node]
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        status = await process.wait()
        # What it had said before it died arrives before its death is told.
        await self._listeners[node]
        self.statuses[node] = status
        return status

    async def _listen(self, node: NodeId, process: Process) -> None:
        assert process.stdout is not None, "its output is a pipe"
        while line := await process.stdout.readline():
            await self._on_line(node, msgspec.json.decode(line))

    async def _on_line(self, node: NodeId, line: dict[str, Any]) -> None:
        match line:
            case {"ready": _}:
                self._ready[node].set()
            case {"to": to, "data": data}:
                if not (self._is_cut and self._are_apart(node, NodeId(to))):
                    self._tell(NodeId(to), {"from": int(node), "data": data})
            case {"write": [count, at]}:
                self.run.attempts.append(Attempt(time.monotonic_ns(), node, Token(count, at)))
            case {"shoot": others, "token": token}:
                shot = self._shoot(node, [NodeId(other) for other in others], token)
                self._shots.append(asyncio.create_task(shot))
            case _:
                pass

    async def _shoot(self, asker: NodeId, others: list[NodeId], token: list[int]) -> None:
        """Kill for a leader that lives, and say so when all are gone."""
        async with self._trigger:
            if asker in self.statuses:
                return  # it was shot first
            for other in others:
                if other not in self.statuses:
                    await self.kill(other)
                    self.run.killed.append(other)
            self._tell(asker, {"dead": token})

    def _are_apart(self, one: NodeId, other: NodeId) -> bool:
        return not any(one in side and other in side for side in SIDES)

    def _tell(self, node: NodeId, line: dict[str, Any]) -> None:
        process = self.processes[node]
        if node not in self.statuses and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(msgspec.json.encode(line) + b"\n")


async def run_really(run: Run, span: Duration, directory: Path) -> tuple[CureRow, dict[NodeId, int]]:
    """Elect, harm, wait; return what was counted, and how each process that was killed meanwhile ended."""
    async with Supervisor(run, directory) as supervisor:
        await asyncio.sleep(PAUSE / SECOND)
        await supervisor.harm(span)
        statuses = dict(supervisor.statuses)
    return row_of(run, is_real=True), statuses


def compare_elections_really(
    options: ElectionOptions, *, on_row: Callable[[CureRow], None] | None = None
) -> Sequence[CureRow]:
    """Run every election with every cure under every harm on real processes, one after another, in real time."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="quorate-elections-") as directory:
        for run in options.runs():
            row, _ = asyncio.run(run_really(run, options.span, Path(directory)))
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return rows
