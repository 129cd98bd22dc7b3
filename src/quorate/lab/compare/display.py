"""Cards in the terminal: one table of all designs, then a card for each."""

from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quorate.kernel import MILLISECOND
from quorate.lab.compare.card import Card, Comparison
from quorate.lab.compare.letters import RULES
from quorate.lab.compare.results import RunResult, Service, Side
from quorate.lab.compare.scenarios import scenario_named
from quorate.lab.strip import bars

_WITNESS_SHOWN_MAX = 5
# Columns of the overview, and a terminal that is wide enough for cards with all their columns.
_NAME_WIDTH = 32
_VALUE_WIDTH = 24
_WIDE = 112


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print the table of all designs, a card for each, and the rules of the letters."""
    cards, at_once = comparison.cards, max(1, (console.width - _NAME_WIDTH) // _VALUE_WIDTH)
    for start in range(0, len(cards), at_once):
        console.print(summary_table(comparison, cards[start : start + at_once]))
    for card in cards:
        console.print(card_panel(card, is_wide=console.width >= _WIDE))
    console.print(Text("how the letters are derived", style="bold"))
    for rule in RULES:
        console.print(Text(f"  {rule}", style="dim"))
    within, count = comparison.prediction_counts
    console.print(f"{within} of {count} predictions are within their tolerance", highlight=False)
    console.print(Text(f"again: {comparison.command}", style="dim"), soft_wrap=True)


# -- all designs ------------------------------------------------------------------------------------------------------


def summary_rows(cards: Sequence[Card]) -> list[tuple[str, list[str]]]:
    """Return (name, a text for each card) of everything on the overview; used by the page too."""
    rows: list[tuple[str, Callable[[Card], str]]] = [
        ("PACELC, derived", lambda card: card.letters.text),
        ("strongest model not refuted", lambda card: card.strongest or "none"),
        ("weakest model refuted", _weakest),
        ("reads served under partition, worst side", lambda card: _worst(card, "reads")),
        ("writes served under partition, worst side", lambda card: _worst(card, "writes")),
        ("longest without writes, serving side", _outage),
        ("reads, p50 / p99", lambda card: _latency(card, "reads")),
        ("writes, p50 / p99", lambda card: _latency(card, "writes")),
        ("stale reads, no fault / under faults", _stale),
        ("stalest read: versions / time", _stalest),
        ("read at once is consistent (predicted)", _at_once),
        ("messages / bytes per operation", _traffic),
        ("acknowledged writes lost", _lost),
        ("converged after healing, at most", _converged),
        ("predictions within tolerance", _predicted),
    ]
    return [(name, [read(card) for card in cards]) for name, read in rows]


def summary_table(comparison: Comparison, cards: Sequence[Card] | None = None) -> Table:
    """Return the overview: a column per design, of all or of some."""
    cards = comparison.cards if cards is None else cards
    options = comparison.options
    seeds = ", ".join(map(str, options.seeds))
    load = f"{options.node_count} nodes, {options.rate:g} operations/s"
    where = "real processes, " if options.is_real else ""
    table = Table(title=f"{where}{load}, {options.span_s:g} s of each fault, seed {seeds}")
    table.add_column("", style="dim")
    for card in cards:
        table.add_column(card.design.replace(":", ":\n").replace(",", ", "), justify="right")
    for name, values in summary_rows(cards):
        style = "bold" if name.startswith("PACELC") else ""
        table.add_row(name, *[Text(value, style=style) for value in values])
    return table


def _weakest(card: Card) -> str:
    name = card.weakest_refuted
    return f"{name} ({card.refuted_by[name]})" if name else "none"


def _cut_runs(card: Card) -> list[RunResult]:
    return [run for run in card.runs if scenario_named(run.plan.scenario, run.plan.node_count).is_between_zones]


def _worst(card: Card, word: str) -> str:
    shares = [service_of(side, word).late_share for run in _cut_runs(card) for side in run.sides]
    return f"{min(shares):.0%}" if shares else "-"


def service_of(side: Side, word: str) -> Service:
    """Return how reads, or writes, of a side were served."""
    return side.reads if word == "reads" else side.writes


def _outage(card: Card) -> str:
    """Return the longest time without an acknowledged write on any side that was served at the end."""
    gaps = [
        side.writes.gap_ns
        for run in card.runs
        if run.plan.scenario not in {"none", "slow-link"}
        for side in run.sides
        if side.writes.late_share > 0.99
    ]
    return f"{max(gaps) / MILLISECOND:,.0f} ms" if gaps else "-"


def _latency(card: Card, word: str) -> str:
    calm = card.calm
    if calm is None:
        return "-"
    service = calm.reads if word == "reads" else calm.writes
    return f"{service.p50_ns / MILLISECOND:.1f} / {service.p99_ns / MILLISECOND:.1f} ms"


def _stale(card: Card) -> str:
    harmed = [run for run in card.runs if run.plan.scenario != "none"]
    parts = [card.staleness_of(card.of("none")), card.staleness_of(harmed)]
    return " / ".join([f"{part.share:.1%}" if part.read_count else "-" for part in parts])


def _stalest(card: Card) -> str:
    worst = card.staleness_of(card.runs)
    if not worst.stale_count:
        return "never stale"
    return f"{worst.versions_max} / {worst.age_max_ns / MILLISECOND:,.0f} ms"


def _at_once(card: Card) -> str:
    found = [row for row in card.predictions if row.name == "consistent, read at once"]
    return f"{found[0].measured} ({found[0].predicted})" if found else "-"


def _traffic(card: Card) -> str:
    if card.calm is None:
        return "-"
    messages, size = card.per_operation()
    return f"{'-' if card.calm.is_real else f'{messages:.1f}'} / {size:,.0f}"


def _lost(card: Card) -> str:
    undone = sum([run.undone_count for run in card.runs])
    lost = card.lost_count - undone
    more = f", {undone} undone" if undone else ""
    return f"{lost} of {card.acknowledged_count:,}{more}"


def _converged(card: Card) -> str:
    spans = [run.observed.converged_ns for run in card.runs if run.plan.scenario != "none"]
    if not spans or any(run.is_real for run in card.runs):
        return "-"
    if any(span is None for span in spans):
        return "not within 30 s"
    return f"{max([span or 0 for span in spans]) / MILLISECOND:,.0f} ms"


def _predicted(card: Card) -> str:
    return f"{sum([row.is_within for row in card.predictions])} of {len(card.predictions)}"


# -- one design -------------------------------------------------------------------------------------------------------


def card_panel(card: Card, *, is_wide: bool = True) -> Panel:
    """Return the card of one design; without what was served over time where that does not fit."""
    body: list[RenderableType] = [_scenario_table(card, is_wide=is_wide), Text()]
    body += [Text(f"{card.letters.text}: {reason}", style="cyan") for reason in card.letters.reasons]
    body += [Text(), *_prediction_lines(card)]
    body += _witness_lines(card)
    title = f"[bold]{card.design}[/]  {card.letters.text}"
    return Panel(Group(*body), title=title, title_align="left")


def _scenario_table(card: Card, *, is_wide: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("fault")
    table.add_column("side")
    for name in ("reads", "writes", "r p50/p99", "w p50/p99", "gap", "stale", "converged"):
        table.add_column(name, justify="right", no_wrap=True)
    if is_wide:
        table.add_column("writes served over time", no_wrap=True)
    for run in card.runs:
        for place, side in enumerate(run.sides):
            first = place == 0
            table.add_row(
                Text(label_of(run, card) if first else "", style="red" if run.plan.scenario != "none" else ""),
                side.name,
                _share(side.reads),
                _share(side.writes),
                _spans(side.reads),
                _spans(side.writes),
                f"{side.writes.gap_ns / MILLISECOND:,.0f}",
                f"{run.staleness.share:.0%}" if first else "",
                _converged_of(run) if first else "",
                *([Text(bars(side.write_strip), style="cyan")] if is_wide else []),
            )
    return table


def label_of(run: RunResult, card: Card) -> str:
    """Return what names a run on its card: the scenario, and the seed where there are several."""
    return run.plan.scenario + (f" #{run.plan.seed}" if len(card.of(run.plan.scenario)) > 1 else "")


def _converged_of(run: RunResult) -> str:
    span = run.observed.converged_ns
    if run.is_real:
        return "-"
    return ">30 s" if span is None else f"{span / MILLISECOND:,.0f}"


def _share(service: Service) -> Text:
    share = service.late_share
    return Text(f"{share:.0%}", style="green" if share >= 0.99 else "red" if share < 0.5 else "yellow")


def _spans(service: Service) -> str:
    if not service.served:
        return "-"
    return f"{_short(service.p50_ns)}/{_short(service.p99_ns)}"


def _short(span_ns: int) -> str:
    span = span_ns / MILLISECOND
    return f"{span:.1f}" if span < 10 else f"{span:.0f}"


def _prediction_lines(card: Card) -> list[Text]:
    """Say all that is not about single sides, and of those what is beyond its tolerance."""
    lines: list[Text] = []
    for row in card.predictions:
        is_detail = "served," in row.name or row.name.startswith("without writes")
        if row.is_within and is_detail:
            continue
        mark, style = ("✓", "green") if row.is_within else ("✗", "red")
        lines.append(
            Text.assemble(
                (f"  {mark} ", style),
                f"{row.name}: predicted {row.predicted}, measured {row.measured}",
                (f"  ({row.rule})", "dim"),
            )
        )
    hidden = len(card.predictions) - len(lines)
    if hidden:
        lines.append(Text(f"  ✓ and {hidden} more, of service by side and fault", style="green"))
    return [Text("predicted, and measured", style="bold"), *lines]


def _witness_lines(card: Card) -> list[Text]:
    weakest = card.weakest_refuted
    if not weakest:
        return []
    run = next(run for run in card.runs if run.judgement.verdicts[weakest] == "invalid")
    lines = [Text(), Text(f"{weakest} is refuted under {run.plan.scenario}", style="bold red")]
    lines.append(Text(f"  {run.judgement.explanation}"))
    shown = run.judgement.witness[:_WITNESS_SHOWN_MAX]
    lines += [Text(f"    {line}", style="dim") for line in shown]
    if run.judgement.witness_count > len(shown):
        lines.append(Text(f"    and {run.judgement.witness_count - len(shown)} more operations", style="dim"))
    return lines
