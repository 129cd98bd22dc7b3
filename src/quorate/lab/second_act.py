"""The second act of a trial: one partition, two keyspaces, on the same processes.

A minority is cut off from a majority. On both sides clients go on, with both keyspaces: registers on Raft, which must
refuse on the minority side, and carts (sets) without a leader, which must be served on both. Then the links heal, all
carts must become equal on every node, and each keyspace is judged by what it promises: the registers must be
linearizable, and of the carts no acknowledged item may be lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from quorate.check import Finding, History, Verdict, check, format_event, workloads
from quorate.kernel import SECOND, NodeId, errors
from quorate.lab.proxy import Links
from quorate.lab.recorder import Call, Recorder
from quorate.lab.statistics import Latencies, latencies

ACT_NODE_COUNT_MIN: Final = 3
_PAUSE_S: Final = 0.02
_REGISTERS: Final = ("register-a", "register-b", "register-c")
_CARTS: Final = ("cart-a", "cart-b", "cart-c")
# Reads of sets are long lines of a history, so they are fewer than additions.
_READ_EVERY: Final = 4


class Scenes(msgspec.Struct, frozen=True):
    """How long each scene lasts, seconds."""

    # Before the cut, and after the healing.
    calm_s: float = 1.5
    partition_s: float = 6.0
    # Of the partition: a cut link is noticed, and a leader deposed, after this; what is counted begins then.
    notice_s: float = 2.5
    # After the healing, all carts must be equal within this.
    convergence_s: float = 30.0


class KeyspaceClient(Protocol):
    """A connection to one node, for one keyspace."""

    async def command(self, *words: str | int) -> Any:
        """Send a command; raise one of `quorate.kernel.errors` that says whether it happened."""

    async def close(self) -> None:
        """Close the connection; never raises."""


class SideFacts(msgspec.Struct, frozen=True):
    """What one keyspace did for the clients of one side, while the links were cut."""

    keyspace: str
    side: str
    nodes: tuple[NodeId, ...]
    reads: Latencies
    writes: Latencies
    # Share of calls that were answered; None where none was made.
    read_share: float | None
    write_share: float | None


class ActResult(msgspec.Struct, frozen=True):
    """What came of the second act."""

    minority: tuple[NodeId, ...]
    majority: tuple[NodeId, ...]
    sides: tuple[SideFacts, ...]
    # Items acknowledged on the minority side while it was cut off.
    minority_item_count: int
    # From the healing until all carts were equal on all nodes; None if they never were.
    convergence_ns: int | None
    registers: Finding
    carts: Finding
    verdict: Verdict
    reason: str


class SecondAct:
    """Plays it; `run` returns the result.

    Args:
        nodes: all nodes, three or more.
        links: between them.
        leader: tells who leads; the leader is put on the majority's side.
        client: makes a client of a node for "ledger" or "carts".
        timeout_s: how long a client waits for an answer, seconds.
        scenes: how long each scene lasts.
    """

    def __init__(
        self,
        *,
        nodes: Sequence[NodeId],
        links: Links,
        leader: NodeId | None,
        client: Callable[[str, NodeId], KeyspaceClient],
        timeout_s: float = 1.0,
        scenes: Scenes = Scenes(),  # noqa: B008  frozen
    ) -> None:
        assert len(nodes) >= ACT_NODE_COUNT_MIN, "a minority and a majority need three nodes"
        count = (len(nodes) - 1) // 2
        followers = [node for node in nodes if node != leader]
        self.minority = tuple(followers[-count:])
        self.majority = tuple(node for node in nodes if node not in self.minority)
        self._nodes = tuple(nodes)
        self._links = links
        self._client = client
        self._timeout_s = timeout_s
        self._scenes = scenes
        self.recorders = {"ledger": Recorder(), "carts": Recorder()}
        self._is_over = False
        self._last_value = 0
        self._last_process = 1_000_000

    async def run(self, say: Callable[[str], None]) -> ActResult:
        """Play all scenes.

        Args:
            say: told what happens, a line each.
        """
        tasks = [
            asyncio.get_running_loop().create_task(self._work(keyspace, place, node))
            for keyspace in ("ledger", "carts")
            for place, node in enumerate(self._nodes)
        ]
        try:
            await asyncio.sleep(self._scenes.calm_s)
            say(f"cut: nodes {_names(self.minority)} | {_names(self.majority)}")
            self._links.partition(list(self.minority), list(self.majority))
            cut_ns = self._now_ns()
            await asyncio.sleep(self._scenes.partition_s)
            self._links.heal()
            healed_ns = self._now_ns()
            say("healed")
            await asyncio.sleep(self._scenes.calm_s)
        finally:
            self._is_over = True
            self._links.heal()
            await asyncio.gather(*tasks, return_exceptions=True)
        convergence_ns = await self._converged(healed_ns)
        return self._judge(cut_ns, healed_ns, convergence_ns)

    def _now_ns(self) -> int:
        return self.recorders["carts"].now_ns()

    # -- clients --------

    async def _work(self, keyspace: str, place: int, node: NodeId) -> None:
        client = self._client(keyspace, node)
        recorder = self.recorders[keyspace]
        keys = _REGISTERS if keyspace == "ledger" else _CARTS
        process, round_count = place, 0
        try:
            while not self._is_over:
                round_count += 1
                is_read = round_count % _READ_EVERY == 0
                key = keys[round_count % len(keys)]
                if not await self._one(client, recorder, process, place, key, is_read=is_read):
                    process += len(self._nodes)
                await asyncio.sleep(_PAUSE_S)
        finally:
            await client.close()

    async def _one(
        self, client: KeyspaceClient, recorder: Recorder, process: int, place: int, key: str, *, is_read: bool
    ) -> bool:
        """Make one call and record it; return False when its process is retired."""
        is_cart = key in _CARTS
        self._last_value += not is_read
        value = None if is_read else self._last_value
        f = "read" if is_read else "add" if is_cart else "write"
        words: tuple[str | int, ...]
        if is_read:
            words = ("SMEMBERS" if is_cart else "GET", key)
        else:
            words = ("SADD" if is_cart else "SET", key, self._last_value)
        call = recorder.invoke(process=process, worker=place, f=f, key=key, value=value)
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await client.command(*words)
            recorder.ok(call, _result(reply, call))
        except (errors.QuorateError, OSError, ValueError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                await client.close()
                error = errors.TimedOut("no answer within the client's time")
            return not recorder.failed(call, error)
        return True

    # -- convergence --------

    async def _converged(self, healed_ns: int) -> int | None:
        """Read every cart on every node until all agree; return how long after the healing that was."""
        clients = [self._client("carts", node) for node in self._nodes]
        try:
            while self._now_ns() - healed_ns < self._scenes.convergence_s * SECOND:
                held = [await self._read_all(client, place) for place, client in enumerate(clients)]
                if all(found is not None and found == held[0] for found in held):
                    return self._now_ns() - healed_ns
                await asyncio.sleep(_PAUSE_S)
        finally:
            for client in clients:
                await client.close()
        return None

    async def _read_all(self, client: KeyspaceClient, place: int) -> list[list[int]] | None:
        """Return what a node holds of every cart; None when it does not say."""
        recorder = self.recorders["carts"]
        found: list[list[int]] = []
        for key in _CARTS:
            # A process of its own each time: these are the last reads, by which what was lost is known.
            self._last_process += 1
            await self._one(client, recorder, self._last_process, place, key, is_read=True)
            last = recorder.events[-1]
            if last.type != "ok":
                return None
            found.append(last.value)
        return found

    # -- verdict --------

    def _judge(self, cut_ns: int, healed_ns: int, convergence_ns: int | None) -> ActResult:
        sides = tuple(
            self._side(keyspace, side, nodes, cut_ns, healed_ns)
            for keyspace in ("ledger", "carts")
            for side, nodes in (("minority", self.minority), ("majority", self.majority))
        )
        registers = check(self.recorders["ledger"].history(), "kv")
        carts = self._judge_carts()
        verdict, reason = self._verdict(registers, carts, convergence_ns, sides)
        alone = [
            call
            for call in self.recorders["carts"].calls
            if call.f == "add"
            and call.outcome == "ok"
            and self._nodes[call.worker] in self.minority
            and cut_ns <= call.invoke_ns < healed_ns
        ]
        return ActResult(
            self.minority, self.majority, sides, len(alone), convergence_ns, registers, carts, verdict, reason
        )

    def _judge_carts(self) -> Finding:
        findings = []
        for key in _CARTS:
            events = [event for event in self.recorders["carts"].events if event.key == key]
            findings.append(workloads.check_set_full(History(events)))
        return next((found for found in findings if found.verdict != "valid"), findings[0])

    def _side(self, keyspace: str, side: str, nodes: tuple[NodeId, ...], cut_ns: int, healed_ns: int) -> SideFacts:
        # What began and ended while the links were cut, without the time in which nodes find out about it.
        calls = [
            call
            for call in self.recorders[keyspace].calls
            if cut_ns + self._scenes.notice_s * SECOND <= call.invoke_ns
            and call.complete_ns <= healed_ns
            and self._nodes[call.worker] in nodes
        ]
        return SideFacts(
            keyspace,
            side,
            nodes,
            latencies(calls, updates=False),
            latencies(calls, updates=True),
            _share([call for call in calls if not call.is_update]),
            _share([call for call in calls if call.is_update]),
        )

    def _verdict(
        self, registers: Finding, carts: Finding, convergence_ns: int | None, sides: tuple[SideFacts, ...]
    ) -> tuple[Verdict, str]:
        if registers.verdict != "valid":
            return registers.verdict, f"ledger: {registers.explanation}"
        if carts.verdict != "valid":
            return carts.verdict, f"carts: {carts.explanation}"
        if convergence_ns is None:
            return "invalid", f"carts: nodes still differed {self._scenes.convergence_s:.0f} s after the healing"
        refused, served = (next(s for s in sides if s.keyspace == name and s.side == "minority") for name in
                           ("ledger", "carts"))  # fmt: skip
        if refused.write_share:
            return "invalid", "ledger: a minority acknowledged writes"
        if not served.write_share or served.write_share < 0.9 or not served.read_share or served.read_share < 0.9:
            return "invalid", "carts: the minority side was not served"
        return "valid", "Raft refused where it had to; without a leader both sides went on, and nothing was lost"


def _result(reply: Any, call: Call) -> Any:
    if call.f != "read":
        return None if call.f == "write" else call.value
    if isinstance(reply, list | set | tuple | frozenset):
        return sorted(int(item) for item in reply)
    return None if reply is None else int(reply)


def _share(calls: Sequence[Call]) -> float | None:
    done = [call for call in calls if call.outcome != "open"]
    return sum(call.outcome == "ok" for call in done) / len(done) if done else None


def _names(nodes: Sequence[NodeId]) -> str:
    return ", ".join(map(str, nodes))


def history_lines(recorder: Recorder) -> str:
    """Return a recorder's history as JSON lines."""
    return "".join(f"{format_event(event)}\n" for event in recorder.history().events)
