"""The published fits, predicted again and measured on simulated clusters, beside what the paper says."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from quorate.lab.compare.fits import FITS, PUBLISHED, Fit, Published, fit_named
from quorate.lab.compare.pbs import Prediction, miss_probability, predict_fit, quantile
from quorate.lab.compare.pbs_cluster import measure_fit
from quorate.lab.compare.svg import Axis, Series, chart, colour_of, standalone

# How far a prediction may be from the paper: its figures come from fits of other runs (absolute; relative; relative).
AT_ONCE_TOLERANCE = 0.01
VISIBLE_TOLERANCE = 0.20
LATENCY_TOLERANCE = 0.05
_SURE_SIGMAS = 3.5
CURVE_MS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


class PBSOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which fits and quorums, and how many trials."""

    fits: tuple[str, ...] = tuple(FITS)
    quorums: tuple[tuple[int, int], ...] = ((1, 1), (2, 1), (1, 2), (2, 2))
    trial_count: int = 200_000
    # Trials on a simulated cluster of real machines, for each row; 0: none.
    cluster_trial_count: int = 600
    seed: int = 1


class PBSRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fit and one pair of quorums, N = 3; milliseconds."""

    fit: str
    read_quorum: int
    write_quorum: int
    at_once: float
    # Probability that a read is consistent after each of CURVE_MS.
    curve: tuple[float, ...]
    visible_ms: float
    # 99.9th percentiles.
    read_ms: float
    write_ms: float
    # Probability that blindly drawn quorums do not meet: the bound without time.
    miss: float
    # What a simulated cluster did: its share of consistent reads at once, and of how many.
    measured: float | None = None
    measured_count: int = 0
    published: Published | None = None

    @property
    def verdicts(self) -> dict[str, bool]:
        """Figure that is given elsewhere → whether ours is within the tolerance."""
        paper = self.published
        found: dict[str, bool] = {}
        if self.measured is not None:
            chance = _SURE_SIGMAS * (max(self.at_once * (1 - self.at_once), 0.001) / self.measured_count) ** 0.5
            found["cluster"] = abs(self.measured - self.at_once) <= AT_ONCE_TOLERANCE + chance
        if paper is None:
            return found
        if paper.at_once is not None:
            found["at once"] = abs(self.at_once - paper.at_once) <= AT_ONCE_TOLERANCE
        if paper.visible_ms is not None:
            found["99.9 %"] = abs(self.visible_ms / paper.visible_ms - 1) <= VISIBLE_TOLERANCE
        if paper.latency_ms is not None:
            found["latency"] = abs((self.read_ms + self.write_ms) / paper.latency_ms - 1) <= LATENCY_TOLERANCE
        return found


def predict_rows(options: PBSOptions) -> list[PBSRow]:
    """Predict every fit with every pair of quorums, and measure it on a simulated cluster.

    Raises:
        UsageError: an unknown fit, quorums that three replicas do not have, no trials.
    """
    return [_row(fit_named(name), r, w, options) for name in options.fits for r, w in options.quorums]


def _row(fit: Fit, r: int, w: int, options: PBSOptions) -> PBSRow:
    found: Prediction = predict_fit(fit, r=r, w=w, trial_count=options.trial_count, seed=options.seed)
    measured: float | None = None
    measured_count = 0
    if options.cluster_trial_count:
        trials = measure_fit(fit, r=r, w=w, trial_count=options.cluster_trial_count, after_ms=(0.0,), seed=options.seed)
        measured, measured_count = trials.consistent_at(0.0)
    paper = [row for row in PUBLISHED if (row.fit, row.read_quorum, row.write_quorum) == (fit.name, r, w)]
    return PBSRow(
        fit=fit.name,
        read_quorum=r,
        write_quorum=w,
        at_once=found.consistent_at(0.0),
        curve=tuple([found.consistent_at(after) for after in CURVE_MS]),
        visible_ms=found.visible_ms(),
        read_ms=quantile(found.read_latencies, 0.999),
        write_ms=quantile(found.write_latencies, 0.999),
        miss=miss_probability(3, r, w),
        measured=measured,
        measured_count=measured_count,
        published=paper[0] if paper else None,
    )


def print_rows(console: Console, rows: Sequence[PBSRow], options: PBSOptions) -> None:
    """Print a row per fit and quorums; what the paper says in brackets, with a verdict."""
    title = f"PBS, N = 3, {options.trial_count:,} trials, seed {options.seed}; ms"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("fit", "R/W"):
        table.add_column(name, no_wrap=True)
    for name in ("at once", "paper", "cluster", "at 10", "99.9 %", "paper", "r+w p99.9", "paper"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for row in rows:
        paper, verdicts = row.published or Published(fit="", read_quorum=0, write_quorum=0), row.verdicts
        table.add_row(
            row.fit if row.fit != last else "",
            f"{row.read_quorum}/{row.write_quorum}",
            f"{row.at_once:.1%}",
            _paper(paper.at_once, "{:.1%}", is_within=verdicts.get("at once")),
            _paper(row.measured, "{:.1%}", is_within=verdicts.get("cluster")),
            f"{row.curve[CURVE_MS.index(10.0)]:.1%}",
            f"{row.visible_ms:,.1f}",
            _paper(paper.visible_ms, "{:,g}", is_within=verdicts.get("99.9 %")),
            f"{row.read_ms + row.write_ms:.2f}",
            _paper(paper.latency_ms, "{:g}", is_within=verdicts.get("latency")),
        )
        last = row.fit
    console.print(table)
    console.print(
        "at once, at 10: consistent reads begun so long after the acknowledgement; cluster: the same, of "
        f"{options.cluster_trial_count} trials on simulated machines; 99.9 %: when so many are consistent; r+w: reads "
        "and writes, 99.9th percentiles",
        style="dim",
    )


def _paper(value: float | None, form: str, *, is_within: bool | None) -> str:
    if value is None:
        return ""
    return f"{form.format(value)} {'[green]✓[/]' if is_within else '[red]✗[/]'}"


def pbs_svg(rows: Sequence[PBSRow]) -> str:
    """Return the curves of R = W = 1: how likely a read is consistent, by how long after the write it begins."""
    shown = [row for row in rows if (row.read_quorum, row.write_quorum) == (1, 1)] or list(rows)
    series = [
        Series(
            name=row.fit,
            points=tuple([(max(at, _AXIS.low), share) for at, share in zip(CURVE_MS, row.curve, strict=True)]),
            colour=colour_of(number),
            has_dots=True,
        )
        for number, row in enumerate(shown)
    ]
    return standalone(chart(series, x=_AXIS, y=SHARE_AXIS, width=720, height=400, has_names=True))


SHARE_AXIS = Axis(
    name="consistent reads", low=0.0, high=1.0, ticks=(0.0, 0.25, 0.5, 0.75, 1.0), form="{:.0%}"
)  # fmt: skip
_AXIS = Axis(
    name="begun after the acknowledgement, ms",
    low=0.5,
    high=2000.0,
    ticks=(0.5, 1.0, 10.0, 100.0, 1000.0),
    is_log=True,
)
