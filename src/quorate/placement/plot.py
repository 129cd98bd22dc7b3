"""The comparison as one picture, in SVG: survival against balance, and what moves, without any plotting library."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from quorate.kernel import errors
from quorate.placement.comparison import ComparisonRow

_PANEL_PX: Final = 360
_MARGIN_PX: Final = 70
_COLOURS: Final = ("#1f4e79", "#b03a2e", "#1e8449", "#7d3c98", "#b9770e", "#117a65", "#5d6d7e", "#a04000", "#2e4053")


def to_svg(rows: Sequence[ComparisonRow], *, title: str) -> str:
    """Return the picture.

    Left: chance that two dead nodes lose a majority (x) against the fullest node over the mean (y); lower left is
    better. Right: share of keys that moves when a node joins, as bars, with the ideal as a line; the scale ends at five
    times the ideal, and a longer bar says its figure.

    Complexity: O(rows).
    """
    if not rows:
        raise errors.UsageError("there is nothing to draw")
    width, height = 2 * _PANEL_PX + 3 * _MARGIN_PX, _PANEL_PX + 2 * _MARGIN_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(width / 2, 28, title, size=16, anchor="middle"),
        *_scatter(rows),
        *_bars(rows, left=_PANEL_PX + 2 * _MARGIN_PX),
    ]
    return "\n".join([*parts, "</svg>"])


def _scatter(rows: Sequence[ComparisonRow]) -> list[str]:
    left, top, bottom = _MARGIN_PX, _MARGIN_PX, _MARGIN_PX + _PANEL_PX
    highest = max(1.05, *(row.balance_max for row in rows)) if len(rows) > 1 else max(1.05, rows[0].balance_max)
    parts = _frame(left)
    for step in range(5):
        x, y = left + _PANEL_PX * step / 4, bottom - _PANEL_PX * step / 4
        parts.append(_text(x, bottom + 16, f"{step / 4:.2f}", anchor="middle"))
        parts.append(_text(left - 6, y + 4, f"{1 + (highest - 1) * step / 4:.2f}", anchor="end"))
    parts.append(
        _text(left + _PANEL_PX / 2, bottom + 38, "chance that two dead nodes lose a majority", anchor="middle")
    )
    parts.append(_text(left, top - 10, "keys on the fullest node / mean"))
    for number, row in enumerate(rows):
        x = left + _PANEL_PX * row.two_dead_loss
        y = bottom - _PANEL_PX * (row.balance_max - 1) / (highest - 1)
        # Labels lean inwards, and each a little lower than the last, so that neighbours stay readable.
        leans_left = row.two_dead_loss > 0.6
        label_x = x - 8 if leans_left else x + 8
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{_colour(number)}"/>')
        parts.append(_text(label_x, y - 3 - 9 * (number % 3), row.kind, anchor="end" if leans_left else "start"))
    return parts


def _bars(rows: Sequence[ComparisonRow], *, left: float) -> list[str]:
    top = _MARGIN_PX
    step = _PANEL_PX / len(rows)
    scale_end = 5 * max(row.join_ideal for row in rows)
    parts = _frame(left)
    parts.append(_text(left, top - 10, "keys moved when a node joins (line: least possible)"))
    for number, row in enumerate(rows):
        y = top + step * number
        length = _PANEL_PX * min(1.0, row.join_moved / scale_end)
        parts.append(
            f'<rect x="{left}" y="{y + step * 0.2:.1f}" width="{length:.1f}" height="{step * 0.6:.1f}"'
            f' fill="{_colour(number)}" fill-opacity="0.75"/>'
        )
        parts.append(_text(left + 6, y + step / 2 + 4, f"{row.kind}  {100 * row.join_moved:.2f} %"))
        ideal = left + _PANEL_PX * row.join_ideal / scale_end
        parts.append(
            f'<line x1="{ideal:.1f}" y1="{y:.1f}" x2="{ideal:.1f}" y2="{y + step:.1f}" stroke="black"'
            ' stroke-dasharray="3 2"/>'
        )
    return parts


def _frame(left: float) -> list[str]:
    return [
        f'<rect x="{left}" y="{_MARGIN_PX}" width="{_PANEL_PX}" height="{_PANEL_PX}" fill="none" stroke="#888"/>',
    ]


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
