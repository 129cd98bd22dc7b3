"""Small charts in SVG, without any plotting library; they follow the light or dark colours of the page they are in."""

import math
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

import msgspec

COLOURS: Final = ("#4f63d9", "#e0662f", "#1e9e8a", "#b5489b", "#c19a1a", "#2f8fce", "#7a5cc8", "#5f7a3a", "#d9363e")
_INK: Final = "var(--ink, #1b2330)"
_SOFT: Final = "var(--soft, #667085)"
_FONT: Final = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica Neue, sans-serif"'
_LINE: Final = "var(--line, #e3e7ed)"


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one colour."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str
    # A line through them; dashed: what was predicted.
    is_line: bool = True
    is_dashed: bool = False
    has_dots: bool = False
    # Of a point without a line; those that come later are smaller, so that none hides another.
    radius: float = 7
    # Written beside each point, as many as there are points, or none.
    labels: tuple[str, ...] = ()


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One axis: what is on it, from where to where, and where its marks are."""

    name: str
    low: float
    high: float
    ticks: tuple[float, ...]
    # Logarithmic; 0 stands at the lower end.
    is_log: bool = False
    form: str = "{:g}"

    def place(self, value: float) -> float:
        """Return the share of the axis at a value, 0 to 1."""
        if self.is_log:
            low, high = math.log10(self.low), math.log10(self.high)
            at = math.log10(max(value, self.low))
        else:
            low, high, at = self.low, self.high, value
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def label(self, tick: float) -> str:
        """Return the text of a mark."""
        return "0" if self.is_log and tick <= self.low else self.form.format(tick)


def colour_of(number: int) -> str:
    """Return the colour of a design by its number."""
    return COLOURS[number % len(COLOURS)]


def chart(
    series: Sequence[Series], *, x: Axis, y: Axis, width: int = 560, height: int = 320, has_names: bool = False
) -> str:
    """Return a chart with grid, axes and all series; with their names in its lower right, if asked.

    Complexity: O(points).
    """
    left, right, top, bottom = 58, 16, 14, 44
    wide, high = width - left - right, height - top - bottom

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + wide * x.place(point[0]), top + high * (1 - y.place(point[1]))

    parts = [*_grid(x, y, left, top, wide, high)]
    for one in series:
        parts += _series(one, at)
    for number, one in enumerate(series if has_names else ()):
        down = top + high - 18 * (len(series) - number)
        parts.append(f'<circle cx="{left + wide - 112}" cy="{down - 4}" r="5" fill="{one.colour}"/>')
        parts.append(text(left + wide - 100, down, one.name))
    return _document(parts, width, height)


def _grid(x: Axis, y: Axis, left: int, top: int, wide: int, high: int) -> list[str]:
    parts: list[str] = []
    for tick in y.ticks:
        at = top + high * (1 - y.place(tick))
        parts.append(_rule(left, at, left + wide, at))
        parts.append(text(left - 8, at + 4, y.label(tick), anchor="end", colour=_SOFT))
    for tick in x.ticks:
        at = left + wide * x.place(tick)
        parts.append(_rule(at, top, at, top + high))
        parts.append(text(at, top + high + 17, x.label(tick), anchor="middle", colour=_SOFT))
    parts.append(text(left + wide / 2, top + high + 36, x.name, anchor="middle", colour=_SOFT))
    parts.append(
        f'<text transform="translate(13 {top + high / 2:.1f}) rotate(-90)" text-anchor="middle" font-size="12"'
        f' style="fill:{_SOFT}">{escape(y.name)}</text>'
    )
    return parts


def _series(series: Series, at: Callable[[tuple[float, float]], tuple[float, float]]) -> list[str]:
    places = [at(point) for point in series.points]
    parts: list[str] = []
    if series.is_line and len(places) > 1:
        path = " ".join([f"{px:.1f},{py:.1f}" for px, py in places])
        dashes = ' stroke-dasharray="6 4" stroke-opacity="0.75"' if series.is_dashed else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{series.colour}" stroke-width="2.2"'
            f' stroke-linejoin="round"{dashes}/>'
        )
    if series.has_dots or not series.is_line:
        radius = 4 if series.is_line else series.radius
        parts += [
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius}" fill="{series.colour}" fill-opacity="0.9"'
            ' style="stroke:var(--panel, #fff);stroke-width:1.5"><title>'
            f"{escape(series.name)}: {point[0]:.4g}, {point[1]:.4g}</title></circle>"
            for (px, py), point in zip(places, series.points, strict=True)
        ]
    for label, (px, py) in zip(series.labels, places, strict=False):
        parts.append(text(px + 11, py + 4, label, colour=series.colour, weight=600))
    return parts


def strip(shares: Sequence[float | None], *, harm: tuple[float, float], width: int = 260, height: int = 16) -> str:
    """Return a line of cells over time: green where all was served, red where nothing was, and a mark over the harm.

    Args:
        shares: served of what was asked, per step; None where nothing was asked.
        harm: from where to where it lasted, as shares of the line.
        width: pixels.
        height: pixels of the cells.
    """
    step = width / max(1, len(shares))
    parts = [
        f'<rect x="{number * step:.2f}" y="5" width="{step:.2f}" height="{height}" shape-rendering="crispEdges"'
        f' style="fill:{_heat(share)}"/>'
        for number, share in enumerate(shares)
    ]
    start, end = harm[0] * width, harm[1] * width
    parts.append(
        f'<rect x="{start:.1f}" y="0" width="{end - start:.1f}" height="3" rx="1.5"'
        ' style="fill:var(--fault, #d9363e)"/>'
    )
    return _document(parts, width, height + 6, is_fixed=True)


def _heat(share: float | None) -> str:
    if share is None:
        return "var(--lane, #f3f5f8)"
    served = 100 * share
    return f"color-mix(in oklab, var(--served, #2fa36b) {served:.0f}%, var(--refused, #d9534f))"


def spans(rows: Sequence[tuple[str, str, float, float]], *, x: Axis, width: int = 560) -> str:
    """Return a bar from one value to another for each row: (name, colour, from, to), as p50 to p99."""
    left, right, top, step = 90, 80, 8, 22
    wide, height = width - left - right, top + step * len(rows) + 42
    parts: list[str] = []
    for tick in x.ticks:
        at = left + wide * x.place(tick)
        parts.append(_rule(at, top, at, height - 36))
        parts.append(text(at, height - 20, x.label(tick), anchor="middle", colour=_SOFT))
    for number, (name, colour, low, high) in enumerate(rows):
        y = top + step * number + step / 2
        start, end = left + wide * x.place(low), left + wide * x.place(high)
        if name:
            parts.append(_rule(0, y - step / 2, width, y - step / 2))
            parts.append(text(4, y + 4, name))
        parts.append(
            f'<rect x="{start:.1f}" y="{y - 5:.1f}" width="{max(3.0, end - start):.1f}" height="10" rx="5"'
            f' fill="{colour}" fill-opacity="0.35"/>'
        )
        parts.append(f'<circle cx="{start:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        parts.append(text(end + 8, y + 4, f"{low:.3g} · {high:.3g}", colour=_SOFT, size=11))
    parts.append(text(left + wide / 2, height - 3, x.name, anchor="middle", colour=_SOFT))
    return _document(parts, width, height)


def text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = _INK, size: int = 12, weight: int = 400
) -> str:
    """Return words at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f' style="fill:{colour}">{escape(words)}</text>'
    )


def standalone(picture: str) -> str:
    """Return a picture as a file of its own, on white."""
    return picture.replace(">", '><rect width="100%" height="100%" fill="white"/>', 1)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke:{_LINE}"/>'


def _document(parts: Sequence[str], width: int, height: int, *, is_fixed: bool = False) -> str:
    size = f' width="{width}" height="{height}"' if is_fixed else ""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"{size} {_FONT} role="img">'
    return "\n".join([head, *parts, "</svg>"])
