"""The comparisons as pictures, in SVG, without any plotting library."""

import math
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from quorate.kernel.errors import UsageError
from quorate.lab.membership.detectors import DetectorRow
from quorate.lab.membership.options import MembershipRow

_PANEL_PX: Final = 330
_MARGIN_PX: Final = 70
_COLOURS: Final = (
    *("#1f4e79", "#b03a2e", "#1e8449", "#7d3c98", "#b9770e", "#117a65"),
    *("#5d6d7e", "#a04000", "#2e4053", "#6c3483", "#0b5345"),
)


class Series(msgspec.Struct, frozen=True):
    """Points of one colour; a line through them when they are joined."""

    name: str
    points: tuple[tuple[float, float], ...]
    is_joined: bool = False
    is_theory: bool = False


class Panel(msgspec.Struct, frozen=True):
    """One picture of several: what is on its axes, and what is drawn."""

    title: str
    x_name: str
    y_name: str
    series: tuple[Series, ...]
    is_x_log: bool = False
    is_y_log: bool = False


def membership_svg(rows: Sequence[MembershipRow]) -> str:
    """Return the picture of a comparison of sizes: measured as points, theory as dashed lines."""
    if not rows:
        raise UsageError("there is nothing to draw")

    def series(name: str, read: Callable[[MembershipRow], float | None], *, is_theory: bool = False) -> Series:
        found = [(float(row.member_count), read(row)) for row in rows if row.member_count > 1]
        points = tuple([(x, y) for x, y in found if y is not None])
        return Series(name, points, is_joined=is_theory, is_theory=is_theory)

    return _document(
        [
            Panel(
                "gossip rounds until all know",
                "members",
                "rounds",
                (
                    series("measured", lambda row: row.spread_rounds),
                    series("theory", lambda row: row.spread_rounds_theory, is_theory=True),
                ),
                is_x_log=True,
            ),
            Panel(
                "seconds after a crash",
                "members",
                "seconds",
                (
                    series("first suspicion", lambda row: row.suspect_first),
                    series("its theory", lambda row: row.suspect_first_theory, is_theory=True),
                    series("all know it is dead", lambda row: row.dead_all),
                    series("least window", lambda row: row.dead_window_theory[0], is_theory=True),
                ),
                is_x_log=True,
            ),
            Panel(
                "bytes per member and second, quiet",
                "members",
                "bytes / s",
                (
                    series("measured", lambda row: row.quiet_bytes),
                    series("theory", lambda row: row.quiet_bytes_theory, is_theory=True),
                ),
                is_x_log=True,
            ),
        ]
    )


def detectors_svg(rows: Sequence[DetectorRow]) -> str:
    """Return the picture of a comparison of detectors: a panel per condition, better is lower left."""
    if not rows:
        raise UsageError("there is nothing to draw")
    conditions = list(dict.fromkeys([row.condition for row in rows]))
    return _document(
        [
            Panel(
                condition,
                "detection time, s",
                "mistakes per peer and hour, + 0.1",
                tuple(
                    [
                        Series(row.detector, ((row.detection_mean, row.mistakes + 0.1),))
                        for row in rows
                        if row.condition == condition
                    ]
                ),
                is_y_log=True,
            )
            for condition in conditions
        ]
    )


def _document(panels: Sequence[Panel]) -> str:
    width = len(panels) * (_PANEL_PX + _MARGIN_PX) + _MARGIN_PX
    legend_count = max(len(panel.series) for panel in panels)
    height = _PANEL_PX + 2 * _MARGIN_PX + 16 * legend_count
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, left=_MARGIN_PX + number * (_PANEL_PX + _MARGIN_PX))
    return "\n".join([*parts, "</svg>"])


def _panel(panel: Panel, *, left: float) -> list[str]:
    top, bottom = _MARGIN_PX, _MARGIN_PX + _PANEL_PX
    points = [point for series in panel.series for point in series.points] or [(1.0, 1.0)]
    place_x = _scale([x for x, _ in points], is_log=panel.is_x_log)
    place_y = _scale([y for _, y in points], is_log=panel.is_y_log)
    parts = [
        f'<rect x="{left}" y="{top}" width="{_PANEL_PX}" height="{_PANEL_PX}" fill="none" stroke="#888"/>',
        _text(left + _PANEL_PX / 2, top - 14, panel.title, size=13, anchor="middle"),
        _text(left + _PANEL_PX / 2, bottom + 34, panel.x_name, anchor="middle"),
        _text(left, top - 2, panel.y_name, size=10),
    ]
    for value, share in place_x(None):
        parts.append(_text(left + _PANEL_PX * share, bottom + 16, f"{value:.4g}", anchor="middle"))
    for value, share in place_y(None):
        parts.append(_text(left - 4, bottom - _PANEL_PX * share + 4, f"{value:.3g}", anchor="end"))
    for number, series in enumerate(panel.series):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [
            (left + _PANEL_PX * place_x(x)[0][1], bottom - _PANEL_PX * place_y(y)[0][1]) for x, y in series.points
        ]
        parts += _drawn(series, places, colour)
        y = bottom + 52 + 16 * number
        parts.append(f'<rect x="{left}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(left + 16, y, series.name))
    return parts


def _drawn(series: Series, places: Sequence[tuple[float, float]], colour: str) -> list[str]:
    if series.is_joined:
        path = " ".join([f"{x:.1f},{y:.1f}" for x, y in places])
        dashes = ' stroke-dasharray="5 3"' if series.is_theory else ""
        return [f'<polyline points="{path}" fill="none" stroke="{colour}"{dashes}/>']
    return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}" fill-opacity="0.8"/>' for x, y in places]


def _scale(values: Sequence[float], *, is_log: bool) -> Callable[[float | None], list[tuple[float, float]]]:
    """Return a function from a value to its share of the axis; for None, the labels with theirs."""
    low, high = (min(values), max(values)) if is_log else (0.0, max(values))
    if is_log:
        low, high = math.log10(low) - 0.1, math.log10(high) + 0.1
    else:
        high = high * 1.08 or 1.0

    def place(value: float | None) -> list[tuple[float, float]]:
        if value is None:
            steps = [low + (high - low) * step / 4 for step in range(5)]
            return [(10**step if is_log else step, (step - low) / (high - low)) for step in steps]
        at = math.log10(value) if is_log else value
        return [(value, (at - low) / (high - low))]

    return place


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
