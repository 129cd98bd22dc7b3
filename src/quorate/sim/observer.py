"""What went on between the hosts of a run, and its space-time diagram: a lane for each host, time going down."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from quorate.sim.host import Host

LANE_WIDTH: Final = 30
ROW_COUNT_MAX: Final = 60
LABEL_BYTES: Final = 120


class Sight(msgspec.Struct, frozen=True):
    """One thing that was seen: a packet that arrived or was held, or something that happened on a host."""

    # True time in nanoseconds at which it arrived or happened.
    at: int
    text: str
    host: str
    # Who sent it and when; None for what happened on a host.
    source: str | None = None
    sent_at: int = 0


class Observer:
    """Keeps the last sights of a run.

    Args:
        limit: sights kept; older ones are forgotten.
    """

    def __init__(self, limit: int = 2_000) -> None:
        self.sights: deque[Sight] = deque(maxlen=limit)
        self.count = 0
        # Called with (source, target, payload) of every packet; for audits.
        self.on_payload: Callable[[str, str, bytes], object] | None = None

    def arrived(self, at: int, source: "Host", target: "Host", sent_at: int, parts: Sequence[bytes]) -> None:
        """Note a packet that reached a host."""
        self.count += 1
        if self.on_payload is not None:
            self.on_payload(source.name, target.name, b"".join(parts))
        self.sights.append(Sight(at, label_of(b"".join(parts)), target.name, source.name, sent_at))

    def happened(self, at: int, host: str, text: str) -> None:
        """Note what happened on a host."""
        self.count += 1
        self.sights.append(Sight(at, text, host))

    def diagram(self, *, row_count_max: int = ROW_COUNT_MAX) -> str:
        """Return the last moments of the run as text."""
        return diagram(list(self.sights)[-row_count_max:], missing_count=max(0, self.count - row_count_max))


def label_of(payload: bytes) -> str:
    """Return the beginning of a payload as one printable line; the empty payload is a FIN."""
    if not payload:
        return "FIN"
    text = payload[:LABEL_BYTES].decode("latin-1").replace("\r\n", " ")
    return "".join(letter if " " <= letter <= "~" else "·" for letter in text)


def diagram(sights: Sequence[Sight], *, missing_count: int = 0) -> str:
    """Return a space-time diagram: an arrow for each packet at the time of its arrival.

    Example:
        >>> print(diagram([Sight(1_500_000, "PING", "b", "a", 1_400_000)]))
             seconds               a                             b
            0.001500                │ ───────────PING───────────▶ │               (0.100 ms)
    """
    names = list(dict.fromkeys(name for sight in sights for name in (sight.source, sight.host) if name is not None))
    lanes = {name: place for place, name in enumerate(sorted(names, key=lambda name: (name == "nemesis", name)))}
    head = "".join(f"{name:^{LANE_WIDTH}}"[:LANE_WIDTH] for name in lanes)
    lines = [f"{'seconds':>12} {head}".rstrip()]
    if missing_count:
        lines.insert(0, f"… {missing_count} earlier moments are not shown")
    lines += [_row(sight, lanes) for sight in sights]
    return "\n".join(lines)


def _row(sight: Sight, lanes: dict[str, int]) -> str:
    cells = [" "] * (LANE_WIDTH * len(lanes))
    for place in lanes.values():
        cells[_middle(place)] = "│"
    to = _middle(lanes[sight.host])
    tail = ""
    if sight.source is None or sight.source == sight.host:
        text = f"■ {sight.text}"
        begin = min(to, max(0, len(cells) - len(text)))
        cells[begin : begin + len(text)] = text
    else:
        _draw_arrow(cells, _middle(lanes[sight.source]), to, sight.text)
        tail = f" ({(sight.at - sight.sent_at) / 1e6:.3f} ms)"
    return f"{sight.at / 1e9:12.6f} {''.join(cells)}{tail}".rstrip()


def _draw_arrow(cells: list[str], begin: int, end: int, text: str) -> None:
    low, high = min(begin, end) + 2, max(begin, end) - 1
    room = high - low
    line = f"{text[: room - 4]:─^{room - 1}}"
    cells[low:high] = (line + "▶") if begin < end else ("◀" + line)


def _middle(place: int) -> int:
    return place * LANE_WIDTH + LANE_WIDTH // 2
