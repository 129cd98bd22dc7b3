"""The card: what a trial came to, on one screen."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quorate.kernel import MILLISECOND, SECOND
from quorate.lab.faults import PlannedFault
from quorate.lab.options import TrialOptions, TrialResult
from quorate.lab.statistics import Latencies
from quorate.lab.strip import bars, ruler, spans_line

_COLOURS = {"valid": "green", "invalid": "red", "unknown": "yellow"}
_LEADERS_SHOWN_MAX = 16
_WITNESS_SHOWN_MAX = 12


def print_schedule(console: Console, options: TrialOptions, system: str, planned: Sequence[PlannedFault]) -> None:
    """Print what is going to be done."""
    length_s = options.duration / SECOND
    nodes = f"{options.node_count} node{'s' if options.node_count > 1 else ''}"
    console.print(
        f"[bold]{system}[/], {nodes}, {options.worker_count} clients, up to {options.rate_per_second:.0f} operations/s "
        f"for {length_s:.0f} s, seed {options.seed}",
        highlight=False,
    )
    for fault in planned:
        console.print(f"  {fault}", highlight=False, soft_wrap=True)
    if not planned:
        console.print("  no faults", highlight=False)


def print_card(console: Console, result: TrialResult) -> None:
    """Print the card of a trial."""
    body = Group(
        *_strip_lines(result), Text(), _outage_table(result), Text(), _facts(result), Text(), *_verdict_lines(result)
    )
    colour = _COLOURS[result.verdict]
    console.print(Panel(body, title=f"trial of {result.system}, seed {result.options.seed}", border_style=colour))
    console.print(f"report   {result.report}", highlight=False, soft_wrap=True)
    console.print(f"history  {result.history}", highlight=False, soft_wrap=True)


def letters(result: TrialResult) -> list[str]:
    """Return one letter per fault, in order, from a on."""
    return [chr(ord("a") + place % 26) for place in range(len(result.spans))]


def _strip_lines(result: TrialResult) -> list[Text]:
    width = len(result.availability)
    marked = [
        (span.start_ns, span.end_ns or result.load_end_ns, letter)
        for span, letter in zip(result.spans, letters(result), strict=True)
    ]
    return [
        Text(f"{'availability':>14}  {bars(result.availability)}", style="cyan", no_wrap=True),
        Text(f"{'faults':>14}  {spans_line(marked, step_ns=SECOND, width=width)}", style="red", no_wrap=True),
        Text(f"{'seconds':>14}  {ruler(width)}", style="dim", no_wrap=True),
    ]


def _outage_table(result: TrialResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "fault", "who", "at", "lasted", "without service"):
        table.add_column(name, justify="right" if name in {"at", "lasted", "without service"} else "left")
    for outage, letter in zip(result.outages, letters(result), strict=True):
        lasted_s = ((outage.end_ns or result.load_end_ns) - outage.start_ns) / SECOND
        gap = f"{outage.gap_ns / MILLISECOND:,.0f} ms"
        table.add_row(
            Text(letter, style="red"),
            outage.fault,
            outage.detail,
            f"{outage.start_ns / SECOND:.1f} s",
            f"{lasted_s:.1f} s",
            gap if outage.recovered else f"{gap}, to the end",
        )
    return table


def _facts(result: TrialResult) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column()
    counts = result.outcomes
    total = sum(counts.values())
    table.add_row(
        "operations",
        f"{total:,} on {result.key_count} keys: ok {counts.get('ok', 0):,}, fail {counts.get('fail', 0):,}, "
        f"info {counts.get('info', 0):,}",
    )
    if result.error_codes:
        codes = sorted(result.error_codes.items(), key=lambda item: (-item[1], item[0]))
        table.add_row("errors", ", ".join(f"{code} {count:,}" for code, count in codes))
    table.add_row("updates", _latency_words(result.updates))
    table.add_row("reads", _latency_words(result.reads))
    table.add_row("leaders", _leader_words(result))
    recovery = "never" if result.recovery_ns is None else f"{result.recovery_ns / MILLISECOND:,.0f} ms"
    table.add_row(
        "recovery", f"served again after the last fault: {recovery}" if result.spans else "nothing to recover"
    )
    table.add_row(
        "processors",
        f"servers {result.server_cpu:.2f}, clients and proxies {result.generator_cpu:.2f} of one processor",
    )
    return table


def _latency_words(found: Latencies) -> str:
    if not found.count:
        return "none answered"
    parts = (("p50", found.p50_ns), ("p99", found.p99_ns), ("max", found.max_ns))
    return f"{found.count:,} answered, " + ", ".join(f"{name} {ns / MILLISECOND:,.1f} ms" for name, ns in parts)


def _leader_words(result: TrialResult) -> str:
    words = [
        f"{at_ns / SECOND:.1f} s {'nobody' if seen.node is None else f'node {seen.node}'} (term {seen.term})"
        for at_ns, seen in result.leaders
    ]
    left_count = len(words) - _LEADERS_SHOWN_MAX
    shown = words[:_LEADERS_SHOWN_MAX] + ([f"and {left_count} more"] if left_count > 0 else [])
    return " → ".join(shown) or "never asked"


def _verdict_lines(result: TrialResult) -> list[Text]:
    lines = [
        Text(f"{'verdict':>10}  {result.verdict.upper()}", style=f"bold {_COLOURS[result.verdict]}"),
        Text(f"{'':>10}  {result.reason} (judged in {result.judge_ns / SECOND:.2f} s)"),
    ]
    if result.verdict != "invalid":
        return lines
    for operation in result.finding.witness[:_WITNESS_SHOWN_MAX]:
        blamed = operation == result.finding.blame
        lines.append(Text(f"{'':>10}  {'→' if blamed else ' '} {operation}", style="bold red" if blamed else ""))
    left_count = len(result.finding.witness) - _WITNESS_SHOWN_MAX
    if left_count > 0:
        lines.append(Text(f"{'':>12}and {left_count} more in the report", style="dim"))
    return lines
