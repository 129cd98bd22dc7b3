"""Jepsen's histories (Knossos' and Maelstrom's are the same) as EDN, in and out."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, cast

from quorate.check.formats.edn import format_edn, keyword, parse_edn
from quorate.check.history import BadHistory, Event, EventType, History, Value

_TYPES: Final = ("invoke", "ok", "fail", "info")


def read_jepsen(text: str | Iterable[str], *, keyed: bool = False) -> History:
    """Return a history from EDN: one operation map after another, or vectors of them.

    Processes that are not numbers (`:nemesis`) are kept as notes. Missing times and indexes follow from the order.

    Args:
        text: the whole file, or its lines with their ends: then only the events are held.
        keyed: values are [key value] pairs, as `jepsen.independent` writes them.

    Raises:
        BadHistory: with the line where the faulty operation begins.
    """
    events: list[Event] = []
    lines: list[int] = []
    for line, row in parse_edn(text, is_opened=True):
        events.append(_event(row, events, line, keyed=keyed))
        lines.append(line)
    return History(events, lines=lines)


def _event(row: Value, earlier: list[Event], line: int, *, keyed: bool) -> Event:
    if not isinstance(row, dict):
        raise BadHistory(f"an operation is a map, and this is none: {row!r}", line=line)
    kind, f, process = row.get("type"), row.get("f"), row.get("process")
    if kind not in _TYPES or not isinstance(f, str) or not isinstance(process, int | str):
        raise BadHistory("an operation needs :type (invoke, ok, fail, info), :f and :process", line=line)
    index = row.get("index", earlier[-1].index + 1 if earlier else 0)
    time = row.get("time", earlier[-1].time if earlier else 0)
    if not isinstance(index, int) or not isinstance(time, int):
        raise BadHistory(":index and :time are whole numbers", line=line)
    key, value = row.get("key"), row.get("value")
    if keyed and isinstance(process, int) and value is not None:
        if not isinstance(value, list) or len(value) != 2:
            raise BadHistory("with keys, a value is a pair of key and value", line=line)
        key, value = value
    return Event(
        index=index, time=time, process=process, type=cast("EventType", kind), f=f, key=key, value=value,
        error=row.get("error"),
    )  # fmt: skip


def write_jepsen(history: History, *, keyed: bool = False) -> Iterator[str]:
    """Yield each event as a line of EDN. Text within values stays text, though Jepsen may have had keywords there."""
    for event in history.events:
        value = [event.key, event.value] if keyed and isinstance(event.process, int) else event.value
        process = keyword(event.process) if isinstance(event.process, str) else str(event.process)
        fields = [
            f":index {event.index}", f":time {event.time}", f":type :{event.type}", f":process {process}",
            f":f {keyword(event.f)}", f":value {format_edn(value)}",
        ]  # fmt: skip
        if not keyed and event.key is not None:
            fields.append(f":key {format_edn(event.key)}")
        if event.error is not None:
            fields.append(f":error {format_edn(event.error)}")
        yield "{" + ", ".join(fields) + "}"


def read_etcd_log(lines: Iterable[str]) -> History:
    r"""Return the history in the log lines of Jepsen's etcd test, as Porcupine's test data have them.

    `INFO  jepsen.util - 4\t:invoke\t:cas\t[1 2]`. Lines of another kind are skipped. A cas that failed is an answer
    (the value was another), so it becomes `ok` with false.

    Raises:
        BadHistory: with the line number, for a log line that cannot be understood.
    """
    events: list[Event] = []
    numbers: list[int] = []
    for number, text in enumerate(lines, start=1):
        _, found, rest = text.partition("jepsen.util - ")
        words = rest.strip().split("\t") if found else []
        if len(words) != 4 or not words[0].strip().isdecimal():
            continue
        kind, f = words[1].strip().removeprefix(":"), words[2].strip().removeprefix(":")
        if kind not in _TYPES:
            raise BadHistory(f"{kind!r} is no type of event", line=number)
        values = [value for _, value in parse_edn(words[3])]
        if len(values) != 1:
            raise BadHistory("an event has one value", line=number)
        value = values[0]
        known: Literal["invoke", "ok", "fail", "info"] = cast("EventType", kind)
        if kind == "fail" and f == "cas" and value != "timed-out":
            known, value = "ok", False
        elif f == "cas" and kind == "ok":
            value = True
        place = len(events)
        events.append(Event(index=place, time=place, process=int(words[0]), type=known, f=f, value=value))
        numbers.append(number)
    return History(events, lines=numbers)
