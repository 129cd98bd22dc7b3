"""What is seen while a trial runs: on a terminal a panel that renews itself, elsewhere a line per fault."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from quorate.kernel import SECOND
from quorate.lab.nemesis import Nemesis
from quorate.lab.options import TrialOptions
from quorate.lab.recorder import Recorder
from quorate.lab.statistics import availability, throughput
from quorate.lab.strip import bars, spans_line
from quorate.lab.systems import Leadership

_REFRESH_INTERVAL_S = 0.25


class Display:
    """A context manager around the load.

    Args:
        console: where to draw.
        options: for the length of the trial.
        recorder: what clients have seen so far.
        nemesis: what is being done.
        leadership: who leads.
    """

    def __init__(
        self,
        console: Console,
        options: TrialOptions,
        recorder: Recorder,
        nemesis: Nemesis,
        leadership: Callable[[], Leadership],
    ) -> None:
        self.phase = "load and faults"
        self._console = console
        self._options = options
        self._recorder = recorder
        self._nemesis = nemesis
        self._leadership = leadership
        self._told_count = 0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    async def keep_fresh(self) -> None:
        """Redraw until cancelled."""
        while True:
            if self._live is not None:
                self._live.update(self._panel(), refresh=True)
            else:
                self._tell()
            await asyncio.sleep(_REFRESH_INTERVAL_S)

    def _tell(self) -> None:
        for span in self._nemesis.spans[self._told_count :]:
            ok = self._recorder.outcomes["ok"]
            self._console.print(
                f"{span.start_ns / SECOND:5.1f} s  {span.name}: {span.detail}  ({ok:,} answered so far)",
                soft_wrap=True,
            )
            self._told_count += 1

    def _panel(self) -> RenderableType:
        recorder, options = self._recorder, self._options
        now_ns = recorder.now_ns()
        total_s = options.duration / SECOND
        recent = recorder.calls[-int(options.rate_per_second * 8) - 200 :]
        rates = throughput(recent, end_ns=now_ns + 1)
        span = self._nemesis.current
        leadership = self._leadership()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", justify="right")
        table.add_column()
        table.add_row("time", Text(f"{min(now_ns / SECOND, total_s):4.1f} of {total_s:.0f} s   {self.phase}"))
        counts = recorder.outcomes
        counted = f"{len(recorder.calls):,}   ok {counts['ok']:,}   fail {counts['fail']:,}   info {counts['info']:,}"
        table.add_row("operations", f"{counted}   {rates[-2] if len(rates) > 1 else 0}/s")
        fault = Text(f"{span.name}: {span.detail}", style="bold red") if span else Text("none", style="green")
        table.add_row("fault", fault)
        node = "nobody" if leadership.node is None else f"node {leadership.node}"
        table.add_row("leader", f"{node}, term {leadership.term}, {len(leadership.answered)} nodes answer")
        table.add_row("availability", Text(bars(availability(recorder.calls, end_ns=now_ns + 1)), style="cyan"))
        marks = [(s.start_ns, s.end_ns or now_ns, chr(ord("a") + n % 26)) for n, s in enumerate(self._nemesis.spans)]
        line = spans_line(marks, step_ns=SECOND, width=now_ns // SECOND + 1)
        table.add_row("faults", Text(line, style="red"))
        progress = ProgressBar(total=total_s, completed=min(now_ns / SECOND, total_s))
        return Panel(Group(table, progress), title=f"quorate trial: {self._nemesis.system_name}", border_style="cyan")
