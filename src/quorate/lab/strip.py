"""Bar strips: one character per step of time."""

from collections.abc import Sequence

_BARS = " ▁▂▃▄▅▆▇█"


def bar(share: float | None) -> str:
    """Return the bar of a share: the empty one only for exactly 0, the full one only for exactly 1; `·` for nothing.

    Example:
        >>> bar(0.001) + bar(0.999) + bar(1) + bar(None)
        '▁▇█·'
    """
    if share is None:
        return "·"
    if share <= 0:
        return _BARS[0]
    if share >= 1:
        return _BARS[-1]
    return _BARS[1 + min(6, int(share * 7))]


def bars(shares: Sequence[float | None]) -> str:
    """Return one bar per share."""
    return "".join(map(bar, shares))


def spans_line(spans: Sequence[tuple[int, int, str]], *, step_ns: int, width: int) -> str:
    """Return a line that marks when something lasted: a letter over each step it touches.

    Args:
        spans: (start_ns, end_ns, letter), in order; a later one writes over an earlier one.
        step_ns: time per character.
        width: characters.
    """
    line = [" "] * width
    for start_ns, end_ns, letter in spans:
        for place in range(start_ns // step_ns, min(width, max(start_ns, end_ns - 1) // step_ns + 1)):
            line[place] = letter
    return "".join(line)


def ruler(width: int, *, every: int = 5) -> str:
    """Return a line of second marks: 0, 5, 10, each at its place.

    Example:
        >>> ruler(12)
        '0    5    10'
    """
    line = [" "] * (width + 4)
    for place in range(0, width, every):
        text = str(place)
        line[place : place + len(text)] = text
    return "".join(line[:width]).rstrip()
