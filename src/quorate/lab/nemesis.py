"""The nemesis: carries out a schedule of faults on the processes and links of a system."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec

from quorate.kernel import SECOND, NodeId
from quorate.lab.faults import PlannedFault
from quorate.lab.proxy import Conditions, Links
from quorate.lab.recorder import Recorder
from quorate.lab.systems import Leadership, Signal, Skewing, System

SLOW = Conditions(delay_s=0.04, jitter_s=0.08)
LOSSY = Conditions(loss=0.2, bandwidth_bytes=1_000_000)
_RESET_INTERVAL_S = 0.3
_SKEW_LOG2_MAX = 7.0  # 128 s


class FaultSpan(msgspec.Struct):
    """What was done, and when."""

    name: str
    # Who was hit, in words.
    detail: str
    start_ns: int
    # 0 while it lasts.
    end_ns: int = 0


class Nemesis:
    """Harms one system as planned, one fault at a time, and heals it.

    Args:
        system: whose processes are stopped.
        links: whose links are harmed.
        nodes: all nodes.
        recorder: notes what is done, and has the time.
        leadership: tells who leads, as sampled last.
    """

    def __init__(
        self,
        *,
        system: System,
        links: Links,
        nodes: Sequence[NodeId],
        recorder: Recorder,
        leadership: Callable[[], Leadership],
    ) -> None:
        self._system = system
        self._links = links
        self._nodes = tuple(nodes)
        self._recorder = recorder
        self._leadership = leadership
        self._stopped: list[NodeId] = []
        self._skewed: list[NodeId] = []
        self._resetting: asyncio.Task[None] | None = None
        self.spans: list[FaultSpan] = []

    @property
    def system_name(self) -> str:
        """Whom this nemesis harms."""
        return self._system.name

    @property
    def current(self) -> FaultSpan | None:
        """The fault that lasts now."""
        return self.spans[-1] if self.spans and not self.spans[-1].end_ns else None

    async def run(self, planned: Sequence[PlannedFault]) -> None:
        """Carry out a whole schedule; heals even when cancelled."""
        try:
            for fault in planned:
                await self._sleep_until(fault.start_ns)
                await self.begin(fault)
                await self._sleep_until(fault.end_ns)
                await self.end()
        finally:
            await self.end()

    async def begin(self, fault: PlannedFault) -> None:
        """Do the harm of one fault."""
        rng = random.Random(fault.seed)
        leader = self._leadership().node or rng.choice(self._nodes)
        followers = [node for node in self._nodes if node != leader] or [leader]
        # The time of a fault is that at which it begins to act, so that nothing is blamed on it that came before.
        span = FaultSpan(fault.name, "", self._recorder.now_ns())
        span.detail = await self._harm(fault, rng, leader=leader, followers=followers)
        self.spans.append(span)
        self._recorder.fault(fault.name, span.detail)

    async def end(self) -> None:
        """Heal everything."""
        span = self.current
        if self._resetting is not None:
            self._resetting.cancel()
            self._resetting = None
        self._links.heal()
        for node in self._stopped:
            await self._system.start(node)
        self._stopped.clear()
        for node in self._skewed:
            _skew(self._system, node, 0.0)
        self._skewed.clear()
        if span is not None:
            span.end_ns = self._recorder.now_ns()
            self._recorder.fault("heal", span.name)

    async def _harm(self, fault: PlannedFault, rng: random.Random, *, leader: NodeId, followers: list[NodeId]) -> str:
        rng.shuffle(followers)
        minority_count = (len(self._nodes) - 1) // 2
        match fault.name:
            case "crash-leader":
                return await self._stop([leader], "crash")
            case "crash-follower":
                return await self._stop(followers[:1], "crash")
            case "crash-majority":
                return await self._stop([leader, *followers[:minority_count]], "crash")
            case "pause-leader":
                return await self._stop([leader], "pause")
            case "pause-follower":
                return await self._stop(followers[:1], "pause")
            case "isolate-leader":
                self._links.partition([leader], followers)
                return f"leader {leader} | {_names(followers)}"
            case "partition-halves":
                return self._halve(rng, leader, followers, minority_count)
            case "partition-one-way":
                deaf = leader if rng.random() < 0.5 else followers[0]
                others = [node for node in self._nodes if node != deaf]
                self._links.partition(others, [deaf], is_one_way=True)
                return f"node {deaf}{' (leader)' if deaf == leader else ''} sends but does not hear"
            case "partition-bridge":
                return self._bridge(rng)
            case "slow-links":
                self._links.change_all(SLOW)
                return "40 to 120 ms each way"
            case "lossy-links":
                self._links.change_all(LOSSY)
                return "20 % retransmitted, 1 MB/s"
            case "reset-links":
                self._resetting = asyncio.get_running_loop().create_task(self._reset_often())
                return f"every {_RESET_INTERVAL_S * 1000:.0f} ms"
            case "skew":
                return self._set_wrong(rng, leader if rng.random() < 0.5 else followers[0], leader)
            case _:
                assert_never(fault.name)

    async def _stop(self, nodes: list[NodeId], how: Signal) -> str:
        leader = self._leadership().node
        self._stopped += nodes
        for node in nodes:
            await self._system.stop(node, how)
        return ", ".join(f"node {node}{' (leader)' if node == leader else ''}" for node in nodes)

    def _halve(self, rng: random.Random, leader: NodeId, followers: list[NodeId], minority_count: int) -> str:
        # The leader alone on the wrong side is the harder case, and the other one must not be left out.
        with_leader = rng.random() < 0.6
        minority = [leader, *followers[: minority_count - 1]] if with_leader else followers[:minority_count]
        majority = [node for node in self._nodes if node not in minority]
        self._links.partition(minority, majority)
        return f"{_names(minority)} | {_names(majority)}; leader {leader}"

    def _bridge(self, rng: random.Random) -> str:
        shuffled = list(self._nodes)
        rng.shuffle(shuffled)
        bridge, rest = shuffled[0], shuffled[1:]
        half = len(rest) // 2
        self._links.partition(rest[:half], rest[half:])
        return f"{_names(rest[:half])} | {bridge} | {_names(rest[half:])}"

    def _set_wrong(self, rng: random.Random, node: NodeId, leader: NodeId) -> str:
        # By a second as often as by minutes: small jumps find other mistakes than large ones.
        offset_s = rng.choice((-1, 1)) * 2 ** rng.uniform(0, _SKEW_LOG2_MAX)
        _skew(self._system, node, offset_s)
        self._skewed.append(node)
        return f"node {node}{' (leader)' if node == leader else ''} {offset_s:+.1f} s"

    async def _reset_often(self) -> None:
        while True:
            self._links.reset()
            await asyncio.sleep(_RESET_INTERVAL_S)

    async def _sleep_until(self, at_ns: int) -> None:
        wait_ns = at_ns - self._recorder.now_ns()
        if wait_ns > 0:
            await asyncio.sleep(wait_ns / SECOND)


def _skew(system: System, node: NodeId, offset_s: float) -> None:
    assert isinstance(system, Skewing), "a trial refuses skew for systems without it before it begins"
    system.skew(node, offset_s)


def _names(nodes: Sequence[NodeId]) -> str:
    return " ".join(str(node) for node in sorted(nodes))
