"""The comparison as one page that needs no network: tables and pictures."""

import html
import math
from collections.abc import Sequence
from importlib import resources

from quorate.kernel import MILLISECOND
from quorate.lab.compare.card import Card, Comparison
from quorate.lab.compare.display import label_of, service_of, summary_rows
from quorate.lab.compare.letters import RULES
from quorate.lab.compare.measures import MODELS
from quorate.lab.compare.predictions import Predicted, binned
from quorate.lab.compare.results import RunResult, Service, Side
from quorate.lab.compare.scenarios import SCENARIOS, scenario_named
from quorate.lab.compare.svg import Axis, Series, chart, colour_of, spans, strip

_PREDICTED_HEAD = (
    "<table><thead><tr><th></th><th></th><th>predicted</th><th>measured</th><th>judged by</th></tr></thead>"
)
_SIMULATED = "One file, no network. The same command gives the same page: everything was simulated from the seed."
_REAL = "One file, no network. Measured on real processes: the same command gives other figures every time."
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def render_page(comparison: Comparison) -> str:
    """Return the page. Complexity: O(runs)."""
    cards = comparison.cards
    parts = [
        _tiles(cards),
        _overview(cards),
        _trade_offs(cards),
        _staleness(cards),
        _latencies(cards),
        _ladder(cards),
        *[_card(number, card) for number, card in enumerate(cards)],
        _rules(),
    ]
    options = comparison.options
    within, count = comparison.prediction_counts
    seeds = ", ".join(map(str, options.seeds))
    where = "real processes: " if options.is_real else "simulated: "
    subtitle = (
        f"{where}{options.node_count} nodes in three zones, {options.rate:g} operations a second through all of them, "
        f"{options.span_s:g} s of each fault, seed {seeds}; {within} of {count} predictions within their tolerance"
    )
    return (
        _resource("page.html")
        .replace("{{style}}", _resource("page.css"))
        .replace("{{subtitle}}", html.escape(subtitle))
        .replace("{{footer}}", _REAL if options.is_real else _SIMULATED)
        .replace("{{command}}", html.escape(comparison.command))
        .replace("{{body}}", "\n".join(parts))
    )


def _resource(name: str) -> str:
    return resources.files("quorate.lab.compare").joinpath(name).read_text(encoding="utf-8")


def _tiles(cards: Sequence[Card]) -> str:
    tiles = []
    for number, card in enumerate(cards):
        reasons = "".join([f"<li>{html.escape(reason)}</li>" for reason in card.letters.reasons])
        tiles.append(
            f'<a class="tile" href="#design-{number}" style="--design:{colour_of(number)}">'
            f"<code>{html.escape(card.design)}</code><b>{html.escape(card.letters.text)}</b><ul>{reasons}</ul></a>"
        )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _overview(cards: Sequence[Card]) -> str:
    head = "".join(
        [
            f'<th class="n"><i class="dot" style="background:{colour_of(number)}"></i>{html.escape(card.design)}</th>'
            for number, card in enumerate(cards)
        ]
    )
    body = ""
    for name, values in summary_rows(cards)[1:]:
        cells = "".join([f"<td class=n>{html.escape(value)}</td>" for value in values])
        body += f"<tr><td>{html.escape(name)}</td>{cells}</tr>"
    return _panel("Side by side", f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>")


# -- pictures ---------------------------------------------------------------------------------------------------------


def _trade_offs(cards: Sequence[Card]) -> str:
    """Return the two choices of PACELC as pictures: up and to the right is what cannot be had."""
    partition: list[Series] = []
    otherwise: list[Series] = []
    for number, card in enumerate(cards):
        cut = [run for run in card.runs if scenario_named(run.plan.scenario, run.plan.node_count).is_between_zones]
        if cut:
            shares = [
                service_of(side, word).late_share for run in cut for side in run.sides for word in ("reads", "writes")
            ]
            partition.append(_dot(number, card, min(shares), 1 - card.staleness_of(cut).share))
        if card.calm is not None:
            calm = card.calm
            mean = (calm.reads.p50_ns + calm.writes.p50_ns) / 2 / MILLISECOND
            otherwise.append(_dot(number, card, max(mean, 0.05), 1 - calm.staleness.share))
    fresh = Axis(name="reads that are not stale", low=0.0, high=1.0, ticks=_SHARES, form="{:.0%}")
    served = Axis(name="served on the worst side, reads or writes", low=0.0, high=1.0, ticks=_SHARES, form="{:.0%}")
    slowest = max([series.points[0][0] for series in otherwise], default=1.0)
    ticks = tuple([tick for tick in (0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0) if tick <= slowest * 2])
    wait = Axis(name="median wait of an operation, ms", low=0.05, high=slowest * 2, ticks=ticks, is_log=True)
    low, marks = _lowest(min([series.points[0][1] for series in otherwise], default=1.0))
    fresh_calm = Axis(name="reads that are not stale", low=low, high=1.0, ticks=marks, form="{:.0%}")
    parts = []
    if partition:
        parts.append(
            "<div><h3>If there is a partition: availability or consistency?</h3>"
            f"{chart(partition, x=served, y=fresh)}{_legend(cards)}</div>"
        )
    if otherwise:
        parts.append(
            f"<div><h3>Else: latency or consistency?</h3>{chart(otherwise, x=wait, y=fresh_calm)}{_legend(cards)}</div>"
        )
    return _panel("The two choices, measured", f'<div class="columns">{"".join(parts)}</div>')


def _lowest(value: float) -> tuple[float, tuple[float, ...]]:
    """Return where an axis of shares begins so that a value is on it and its marks are round, and the marks."""
    low = min(0.8, math.floor(5 * max(0.0, value - 0.02)) / 5)
    return low, tuple([low + (1 - low) * step / 4 for step in range(5)])


def _dot(number: int, card: Card, x: float, y: float) -> Series:
    return Series(name=card.design, points=((x, y),), colour=colour_of(number), is_line=False, radius=11 - number)


def _legend(cards: Sequence[Card]) -> str:
    items = [
        f'<span><i style="background:{colour_of(number)}"></i>{html.escape(card.design)}</span>'
        for number, card in enumerate(cards)
    ]
    return f'<div class="legend">{"".join(items)}</div>'


def _staleness(cards: Sequence[Card]) -> str:
    """Return the PBS curves: measured as dots and a line, predicted from the measured delays as a dashed line."""
    series: list[Series] = []
    lowest = 1.0
    for number, card in enumerate(cards):
        moments = [moment for run in card.of("none") for moment in run.moments]
        points = [(max(at, 0.1), share) for at, share, _ in binned(moments)]
        if not points:
            continue
        lowest = min(lowest, *[share for _, share in points])
        series.append(Series(name=card.design, points=tuple(points), colour=colour_of(number), has_dots=True))
        dashed = tuple([(max(at, 0.1), share) for at, share in card.curve])
        lowest = min(lowest, *[share for _, share in dashed], 1.0)
        series.append(Series(name=f"{card.design}, predicted", points=dashed, colour=colour_of(number), is_dashed=True))
    if not series:
        return ""
    low, marks = _lowest(lowest)
    y = Axis(name="reads that see the last write", low=low, high=1.0, ticks=marks, form="{:.0%}")
    x = Axis(
        name="begun after the acknowledgement, ms", low=0.1, high=150.0, ticks=(0.1, 1.0, 10.0, 100.0), is_log=True
    )  # fmt: skip
    body = chart(series, x=x, y=y, width=1240, height=340) + _legend(cards)
    return _panel(
        "How soon a write is seen (without faults)",
        body + '<p class="hint">Dots: measured. Dashed: predicted from the delays of the links alone (PBS).</p>',
    )


def _latencies(cards: Sequence[Card]) -> str:
    columns = []
    names = list(dict.fromkeys([run.plan.scenario for card in cards for run in card.runs]))
    for word in ("reads", "writes"):
        rows: list[tuple[str, str, float, float]] = []
        for name in names:
            for number, card in enumerate(cards):
                for run in card.of(name)[:1]:
                    service = run.reads if word == "reads" else run.writes
                    label = name if number == 0 else ""
                    rows.append((label, colour_of(number), service.p50_ns / MILLISECOND, service.p99_ns / MILLISECOND))
        ticks = (0.02, 0.1, 1.0, 10.0, 100.0, 1000.0)
        name = f"{word}: p50 to p99 of those served, ms"
        x = Axis(name=name, low=0.02, high=1500.0, ticks=ticks, is_log=True)
        columns.append(f"<div><h3>{word}</h3>{spans(rows, x=x)}</div>")
    return _panel(
        "How long it takes, under each fault", f'<div class="columns">{"".join(columns)}</div>{_legend(cards)}'
    )


def _ladder(cards: Sequence[Card]) -> str:
    """Return which consistency models are refuted, the strongest first."""
    words = {"valid": "not refuted", "invalid": "refuted", "unknown": "undecided"}
    head = "".join([f"<th>{html.escape(card.design)}</th>" for card in cards])
    rows = []
    for model in MODELS:
        cells = []
        for card in cards:
            verdict = card.models[model]
            by = f" under {card.refuted_by[model]}" if model in card.refuted_by else ""
            cells.append(f'<td class="verdict {verdict}">{words[verdict]}{html.escape(by)}</td>')
        rows.append(f"<tr><td>{model}</td>{''.join(cells)}</tr>")
    body = f'<table class="ladder"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    hint = '<p class="hint">“Not refuted” is what these histories allow to say; it proves nothing about others.</p>'
    return _panel("Consistency models, the strongest first", body + hint)


# -- one design -------------------------------------------------------------------------------------------------------


def _card(number: int, card: Card) -> str:
    rows = "".join([_scenario_rows(run, label_of(run, card)) for run in card.runs])
    head = "".join(
        [
            f"<th{' class=n' if is_number else ''}>{name}</th>"
            for name, is_number in (
                *(("fault", False), ("side", False), ("reads served", True), ("writes served", True)),
                *(("reads over time", False), ("writes over time", False), ("reads p50 / p99", True)),
                *(("writes p50 / p99", True), ("without writes", True), ("stale reads", True), ("converged", True)),
            )
        ]
    )
    table = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    predicted = "".join([_prediction_row(row) for row in card.predictions])
    parts = [
        f'<div class="title"><h2>{html.escape(card.design)}</h2><b>{html.escape(card.letters.text)}</b></div>',
        f"<p>{html.escape('; '.join(card.letters.reasons))}.</p>",
        table,
        _witness(card),
        f"<details><summary>Predicted, and measured: {_kept(card)}</summary>{_PREDICTED_HEAD}",
        f"<tbody>{predicted}</tbody></table></details>",
    ]
    style = f"--design:{colour_of(number)}"
    return f'<section class="panel design" id="design-{number}" style="{style}">{"".join(parts)}</section>'


def _kept(card: Card) -> str:
    """Say how many predictions are within their tolerance, and show those that are not."""
    missed = [row.name for row in card.predictions if not row.is_within]
    words = f"{len(card.predictions) - len(missed)} of {len(card.predictions)} within tolerance"
    return words + (f"; not: {html.escape('; '.join(missed))}" if missed else "")


def _scenario_rows(run: RunResult, label: str) -> str:
    timeline = run.plan.timeline
    harm = (
        (timeline.calm / timeline.end, timeline.heal_at / timeline.end) if run.plan.scenario != "none" else (0.0, 0.0)
    )
    rows = []
    for place, side in enumerate(run.sides):
        first = place == 0
        title = html.escape(SCENARIOS[run.plan.scenario])
        name = f'<td rowspan="{len(run.sides)}" title="{title}">{label}</td>' if first else ""
        stale = f'<td class="n" rowspan="{len(run.sides)}">{_stale(run)}</td>' if first else ""
        converged = f'<td class="n" rowspan="{len(run.sides)}">{_converged(run)}</td>' if first else ""
        strips = "".join([f"<td>{strip(s, harm=harm, width=150)}</td>" for s in (side.read_strip, side.write_strip)])
        rows.append(
            f"<tr>{name}<td>{_side_name(side)}</td>{_served(side.reads)}{_served(side.writes)}{strips}"
            f"<td class=n>{_spans(side.reads)}</td><td class=n>{_spans(side.writes)}</td>"
            f"<td class=n>{side.writes.gap_ns / MILLISECOND:,.0f} ms</td>{stale}{converged}</tr>"
        )
    return "".join(rows)


def _side_name(side: Side) -> str:
    return f"{html.escape(side.name)} <small>{' '.join(map(str, side.nodes))}</small>"


def _served(service: Service) -> str:
    share = service.late_share
    kind = "good" if share >= 0.99 else "bad" if share < 0.5 else "fair"
    return f'<td class="n {kind}">{share:.0%}</td>'


def _spans(service: Service) -> str:
    if not service.served:
        return "none"
    return f"{service.p50_ns / MILLISECOND:.1f} / {service.p99_ns / MILLISECOND:,.1f} ms"


def _stale(run: RunResult) -> str:
    found = run.staleness
    if not found.stale_count:
        return "0"
    worst = f"to {found.versions_max} versions, {found.age_max_ns / MILLISECOND:,.0f} ms"
    return f"{found.share:.1%}<br><small>{worst}</small>"


def _converged(run: RunResult) -> str:
    if run.plan.scenario == "none":
        return ""
    if run.is_real:
        return "-"
    span = run.observed.converged_ns
    return "not in 30 s" if span is None else f"{span / MILLISECOND:,.0f} ms"


def _prediction_row(row: Predicted) -> str:
    mark = '<td class="good">✓</td>' if row.is_within else '<td class="bad">✗</td>'
    cells = "".join([f"<td>{html.escape(value)}</td>" for value in (row.name, row.predicted, row.measured, row.rule)])
    return f"<tr>{mark}{cells}</tr>"


def _witness(card: Card) -> str:
    weakest = card.weakest_refuted
    if not weakest:
        return ""
    run = next(run for run in card.runs if run.judgement.verdicts[weakest] == "invalid")
    lines = "".join([f"<li>{html.escape(line)}</li>" for line in run.judgement.witness])
    left_count = run.judgement.witness_count - len(run.judgement.witness)
    rest = f"<p>and {left_count} more operations</p>" if left_count > 0 else ""
    return (
        f'<div class="witness"><b>{weakest}</b> is refuted under {run.plan.scenario}, seed {run.plan.seed}. '
        f"{html.escape(run.judgement.explanation)}<ol>{lines}</ol>{rest}</div>"
    )


def _rules() -> str:
    items = "".join([f"<li>{html.escape(rule)}</li>" for rule in RULES])
    faults = "".join([f"<li><b>{name}</b>: {html.escape(sentence)}</li>" for name, sentence in SCENARIOS.items()])
    body = (
        f'<div class="columns"><div><h3>The letters</h3><ul>{items}</ul></div>'
        f"<div><h3>The faults</h3><ul>{faults}</ul></div></div>"
    )
    return _panel("By what rules", body)


def _panel(title: str, body: str) -> str:
    return f'<section class="panel"><h2>{html.escape(title)}</h2>{body}</section>'
