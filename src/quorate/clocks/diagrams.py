"""Space-time diagrams of a happened-before graph: for the terminal and as SVG."""

from typing import Final
from xml.sax.saxutils import escape

from quorate.clocks.happened import HappenedBefore, RecordedEvent

_COLUMN_MIN: Final = 12
_LANE_PX: Final = 60
_STEP_PX: Final = 70
_LEFT_PX: Final = 110


def to_text(graph: HappenedBefore) -> str:
    """Return the diagram with one column per actor and one row per event, time running down.

    A message is named m1, m2 … where it leaves and where it arrives.

    Complexity: O(events · actors).

    Example:
        >>> graph = HappenedBefore(["alice", "bob"])
        >>> ask = graph.record("alice", "ask")
        >>> _ = graph.record("bob", "answer", sent_by=ask)
        >>> print(to_text(graph))
        alice           bob
        ● ask m1→       │
                        ● →m1 answer
    """
    names = _message_names(graph)
    cells = [_cell(event, names) for event in graph.events]
    width = max([_COLUMN_MIN, *(len(actor) for actor in graph.actors), *(len(cell) for cell in cells)]) + 4
    lines = ["".join(actor.ljust(width) for actor in graph.actors).rstrip()]
    last = {event.actor: event.index for event in graph.events}
    for event, cell in zip(graph.events, cells, strict=True):
        row = [cell if place == event.actor else "│" for place in range(len(graph.actors))]
        # A lane ends with its last event, as a reader expects of a life line.
        row = [c if event.index <= last.get(place, -1) else " " for place, c in enumerate(row)]
        lines.append("".join(c.ljust(width) for c in row).rstrip())
    return "\n".join(lines)


def to_svg(graph: HappenedBefore) -> str:
    """Return the diagram as an SVG document: one lane per actor, time running to the right, messages as arrows.

    Complexity: O(events + actors).
    """
    width = _LEFT_PX + _STEP_PX * (len(graph.events) + 1)
    height = _LANE_PX * (len(graph.actors) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<path d="M0 0L8 4L0 8z" fill="#b03a2e"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, actor in enumerate(graph.actors):
        y = _y(place)
        parts.append(f'<text x="8" y="{y + 4}" font-weight="bold">{escape(actor)}</text>')
        parts.append(f'<line x1="{_LEFT_PX}" y1="{y}" x2="{width - 10}" y2="{y}" stroke="#888"/>')
    for event in graph.events:
        if event.sent_by is not None:
            sender = graph.events[event.sent_by]
            parts.append(
                f'<line x1="{_x(sender)}" y1="{_y(sender.actor)}" x2="{_x(event)}" y2="{_y(event.actor)}"'
                ' stroke="#b03a2e" marker-end="url(#head)"/>'
            )
    for event in graph.events:
        x, y = _x(event), _y(event.actor)
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#1f4e79"/>')
        parts.append(f'<text x="{x}" y="{y - 9}" text-anchor="middle">{escape(event.label)}</text>')
    return "\n".join([*parts, "</svg>"])


def _x(event: RecordedEvent) -> int:
    return _LEFT_PX + _STEP_PX * (event.index + 1) - _STEP_PX // 2


def _y(place: int) -> int:
    return _LANE_PX * (place + 1)


def _message_names(graph: HappenedBefore) -> dict[int, str]:
    """Name each sending event by the order in which it sent."""
    senders = sorted({event.sent_by for event in graph.events if event.sent_by is not None})
    return {sender: f"m{number}" for number, sender in enumerate(senders, start=1)}


def _cell(event: RecordedEvent, names: dict[int, str]) -> str:
    arrives = f"→{names[event.sent_by]}" if event.sent_by is not None else ""
    leaves = f"{names[event.index]}→" if event.index in names else ""
    return " ".join(part for part in ("●", arrives, event.label, leaves) if part)
