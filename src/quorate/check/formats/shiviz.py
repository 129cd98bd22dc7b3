"""Logs for ShiViz: each event with a vector clock, so that the picture shows what could have caused what.

Between clients nothing is known but who read what, so the clocks follow each process, and each read follows the call of
the write whose value it saw.

Source: the ShiViz log format: a host, a clock as JSON, an event.
"""

from collections.abc import Hashable, Iterator
from typing import Final

import msgspec

from quorate.check.history import History, freeze, show

PATTERN: Final = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)"
"""The regular expression to give to ShiViz with the log."""


def write_shiviz(history: History) -> Iterator[str]:
    """Yield the lines of a log: for each event of a client one line with its clock and one with its words.

    A read is caused by the call of the latest write of the value that it saw.

    Complexity: O(events × processes).
    """
    clocks: dict[int, dict[str, int]] = {}
    wrote: dict[tuple[Hashable, Hashable], dict[str, int]] = {}
    for event in history.events:
        if isinstance(event.process, str):
            continue
        clock = clocks.setdefault(event.process, {})
        name = (freeze(event.key), freeze(event.value))
        if event.type == "ok" and event.f in {"read", "get"} and name in wrote:
            for host, count in wrote[name].items():
                clock[host] = max(clock.get(host, 0), count)
        host = f"process-{event.process}"
        clock[host] = clock.get(host, 0) + 1
        if event.type == "invoke" and event.f in {"write", "put"}:
            wrote[name] = dict(clock)
        key = "" if event.key is None else f" {show(event.key)}"
        value = "" if event.value is None else f" {show(event.value)}"
        yield f"{host} {msgspec.json.encode(clock, order='sorted').decode()}"
        yield f"{event.type} {event.f}{key}{value}"
