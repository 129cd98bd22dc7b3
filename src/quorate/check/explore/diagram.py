"""A run as a space-time diagram: one lane for each actor, time going down; as text and as HTML without dependencies."""

from collections.abc import Sequence
from html import escape
from typing import Final, Literal

import msgspec

from quorate.check.explore.cluster import Cluster
from quorate.check.explore.scope import Choice
from quorate.check.explore.system import C, Example, S, System, replay

_LANE_WIDTH_MIN: Final = 14
_ROW_HEIGHT: Final = 34
_LANE_PIXELS: Final = 200
_LETTER_PIXELS: Final = 7


class Row(msgspec.Struct, frozen=True):
    """One moment of a run."""

    lane: str
    text: str
    # Row in which the message that arrives here was sent, and by whom; None where no message arrives.
    sent_row: int | None = None
    sent_lane: str | None = None
    # The part that repeats for ever begins here.
    is_loop_start: bool = False
    # What is drawn in another way: a message that is lost here, a node that goes down.
    harm: Literal["", "lost", "down"] = ""


def rows_of(system: System[S, C], example: Example[C]) -> list[Row]:
    """Return the rows of a run.

    Complexity: O(choices) replayed steps.
    """
    sources = _sources(system, example) if isinstance(system, Cluster) else [(None, None)] * len(example.choices)
    return [
        Row(system.lane(choice), system.describe(choice), source[0], source[1], place == example.loop, _harm(choice))
        for place, (choice, source) in enumerate(zip(example.choices, sources, strict=True))
    ]


def _harm(choice: object) -> Literal["", "lost", "down"]:
    kind = choice.kind if isinstance(choice, Choice) else ""
    return "lost" if kind == "lose" else "down" if kind == "crash" else ""


def _sources(cluster: Cluster, example: Example[C]) -> list[tuple[int | None, str | None]]:
    """Return for each choice where the message that it delivers was sent: the latest moment that added one like it."""
    states = replay(cluster, example)  # type: ignore[misc]  # a cluster's choices are Choice
    sources: list[tuple[int | None, str | None]] = []
    for place, choice in enumerate(example.choices):
        assert isinstance(choice, Choice), "a cluster's choices are Choice"
        source: tuple[int | None, str | None] = (None, None)
        if choice.message is not None:
            wanted = (choice.node, choice.sender, choice.message)
            for earlier in range(place, 0, -1):
                if _count(states[earlier].network, wanted) > _count(states[earlier - 1].network, wanted):
                    source = (earlier - 1, f"node {choice.sender}")
                    break
            else:
                source = (None, f"node {choice.sender}")
        sources.append(source)
    return sources


def _count(network: Sequence[tuple[object, object, bytes, object]], wanted: tuple[object, object, object]) -> int:
    return sum(1 for receiver, sender, _, message in network if (receiver, sender, message) == wanted)


def lanes_of(rows: Sequence[Row]) -> list[str]:
    """Return the lanes, sorted by name."""
    names = dict.fromkeys(row.lane for row in rows) | dict.fromkeys(row.sent_lane for row in rows if row.sent_lane)
    return sorted(names)


def draw_text(rows: Sequence[Row]) -> str:
    """Return a diagram for the terminal: `●` where something happens, an arrow from the sender's lane to it.

    Example:
        >>> print(draw_text([Row("a", "sends"), Row("b", "hears", 0, "a")]))
             a              b
          0  ●              │               sends
          1  └─────────────▶●               hears (sent at 0)
    """
    lanes = lanes_of(rows)
    width = max([_LANE_WIDTH_MIN, *(len(lane) for lane in lanes)]) + 1
    lines = ["     " + "".join(lane.ljust(width) for lane in lanes).rstrip()]
    for number, row in enumerate(rows):
        if row.is_loop_start:
            lines.append("     " + " from here for ever ".center(width * len(lanes), "~"))
        at = lanes.index(row.lane)
        cells = list(("│" + " " * (width - 1)) * len(lanes))
        cells[at * width] = {"": "●", "lost": "│", "down": "✗"}[row.harm]
        if row.sent_lane is not None and row.sent_lane != row.lane:
            _draw_arrow(cells, lanes.index(row.sent_lane) * width, at * width, is_lost=row.harm == "lost")
        sent = "" if row.sent_row is None else f" (sent at {row.sent_row})"
        lines.append(f"{number:3}  {''.join(cells)} {row.text}{sent}")
    if any(row.is_loop_start for row in rows):
        lines.append("     " + " and again ".center(width * len(lanes), "~"))
    return "\n".join(lines)


def _draw_arrow(cells: list[str], source: int, target: int, *, is_lost: bool) -> None:
    first, last = sorted((source, target))
    for place in range(first + 1, last):
        cells[place] = "─"
    cells[source] = "└" if source < target else "┘"
    tip = "✗" if is_lost else "▶" if source < target else "◀"
    cells[target - 1 if source < target else target + 1] = tip


def draw_html(rows: Sequence[Row], *, title: str) -> str:
    """Return one self-contained HTML page with the diagram as SVG: messages are lines from sending to arrival."""
    lanes = lanes_of(rows)
    x = {lane: 60 + place * _LANE_PIXELS for place, lane in enumerate(lanes)}
    y = [70 + number * _ROW_HEIGHT for number in range(len(rows))]
    height = 70 + _ROW_HEIGHT * (len(rows) + 1)
    width = 60 + _LANE_PIXELS * len(lanes) + _LETTER_PIXELS * max([60, *(len(row.text) + 8 for row in rows)])
    shapes = [
        f'<line x1="{x[lane]}" y1="50" x2="{x[lane]}" y2="{height - 20}" class="lane"/>'
        f'<text x="{x[lane]}" y="36" class="name">{escape(lane)}</text>'
        for lane in lanes
    ]
    for number, row in enumerate(rows):
        if row.is_loop_start:
            shapes.append(
                f'<line x1="20" y1="{y[number] - 17}" x2="{width - 20}" y2="{y[number] - 17}" class="loop"/>'
                f'<text x="{width - 160}" y="{y[number] - 22}" class="loop">from here for ever</text>'
            )
        if row.sent_lane is not None and row.sent_lane != row.lane:
            start = 50 if row.sent_row is None else y[row.sent_row]
            shapes.append(
                f'<line x1="{x[row.sent_lane]}" y1="{start}" x2="{x[row.lane]}" y2="{y[number]}" '
                f'class="message {row.harm}" marker-end="url(#tip)"/>'
            )
        shapes.append(
            f'<circle cx="{x[row.lane]}" cy="{y[number]}" r="5" class="{row.harm}">'
            f"<title>{escape(row.text)}</title></circle>"
            f'<text x="{60 + _LANE_PIXELS * len(lanes)}" y="{y[number] + 4}">{number}. {escape(row.text)}</text>'
        )
    style = (
        "body{font:14px system-ui,sans-serif;margin:1.5em}text{font-size:12px}.name{font-weight:600;"
        "text-anchor:middle}.lane{stroke:#bbb}.message{stroke:#2563a8}.loop{stroke:#b03030;stroke-dasharray:4 3}"
        "text.loop{stroke:none;fill:#b03030}circle{fill:#222}"
        "line.lost{stroke:#b03030;stroke-dasharray:5 4}circle.down,circle.lost{fill:#b03030}"
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="9" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#2563a8"/></marker></defs>'
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><h1>{escape(title)}</h1>"
        f'<svg width="{width}" height="{height}" role="img">{tip}{"".join(shapes)}</svg></body></html>\n'
    )
