"""The live display shows time, operations, fault, leader and availability, on terminals and elsewhere."""

import asyncio
import io
import random

from rich.console import Console

from quorate.kernel import SECOND, NodeId, seconds
from quorate.lab.live import Display
from quorate.lab.nemesis import FaultSpan, Nemesis
from quorate.lab.options import TrialOptions
from quorate.lab.proxy import Links
from quorate.lab.recorder import Recorder
from quorate.lab.systems import Leadership, RedisSystem


def shown(*, is_terminal: bool) -> str:
    """Return what is displayed 3 s into a trial, while node 2 is down."""

    async def run() -> str:
        now = iter([0, *range(0, 4 * SECOND, SECOND // 5)])
        recorder = Recorder(clock=lambda: next(now, 4 * SECOND))
        for number in range(8):
            recorder.ok(recorder.invoke(process=1, worker=1, f="write", key="k", value=number), None)
        links = Links([NodeId(1)], rng=random.Random(0))
        leader = Leadership(NodeId(3), 7, (NodeId(1), NodeId(3)))
        nemesis = Nemesis(
            system=RedisSystem(), links=links, nodes=[NodeId(1)], recorder=recorder, leadership=lambda: leader
        )
        nemesis.spans.append(FaultSpan("crash-leader", "node 2 (leader)", 3 * SECOND))
        out = io.StringIO()
        console = Console(file=out, width=100, force_terminal=is_terminal, color_system=None)
        display = Display(console, TrialOptions(duration=seconds(30)), recorder, nemesis, lambda: leader)
        with display:
            task = asyncio.create_task(display.keep_fresh())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        return out.getvalue()

    return asyncio.run(run())


def test_a_terminal_gets_a_panel_with_everything() -> None:
    text = shown(is_terminal=True)
    for part in ("3.2 of 30 s", "ok 8", "crash-leader: node 2 (leader)", "node 3, term 7, 2 nodes answer", "███"):
        assert part in text


def test_a_pipe_gets_a_line_per_fault() -> None:
    assert shown(is_terminal=False) == "  3.0 s  crash-leader: node 2 (leader)  (8 answered so far)\n"
