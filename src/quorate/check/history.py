"""Histories: what clients saw, in Jepsen's vocabulary, one event per JSON line.

    {"index": 0, "time": 12000, "process": 3, "type": "invoke", "f": "write", "key": "x", "value": 1}
    {"index": 1, "time": 15000, "process": 3, "type": "ok", "f": "write", "key": "x", "value": 1}

`time` is in nanoseconds and never runs back; the order of the lines is the real-time order. `ok` says that the
operation happened, `fail` that it did not and will not, `info` that nobody knows. An operation without a completion
counts as `info`. A process whose name is text (`"nemesis"`) is no client: its events are notes, kept and never paired.
Values are any JSON; bytes are written as `{"b64": "…"}`.

Source: the Jepsen history format (jepsen.history documentation).
"""

import base64
import binascii
from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, Literal, cast

import msgspec

from quorate.kernel import errors

# Any JSON value, or bytes, alone or nested. A checker compares values only through `freeze`.
Value = Any
EventType = Literal["invoke", "ok", "fail", "info"]
Outcome = Literal["ok", "fail", "info"]

# Beyond every position in a history: the completion of an operation that never completed.
NEVER: Final = 1 << 62


class BadHistory(errors.UsageError):
    """A history cannot be judged; `line` is the place of the first fault (the first line is 1), or None."""

    code = "BADHISTORY"

    def __init__(self, sentence: str, *, line: int | None = None) -> None:
        super().__init__(sentence if line is None else f"line {line}: {sentence}")
        self.line = line


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One line of a history: a call, or what became of it."""

    # Place in the history, growing; the reader does not ask for steps of one.
    index: int
    # Nanoseconds on one clock; never smaller than on the line before.
    time: int
    # The client-side actor; text for what is no client.
    process: int | str
    type: EventType
    # The function: read, write, cas, get, put, add, ...
    f: str
    key: Value = None
    # The argument of an invocation; the result of a completion.
    value: Value = None
    # Why it failed or is unknown; for people.
    error: Value = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A call and its completion, paired."""

    process: int
    f: str
    key: Value = None
    # What was asked.
    value: Value = None
    # What was answered; None unless the outcome is `ok`.
    result: Value = None
    invoke_ns: int = 0
    # None while nobody knows when it took effect, or whether.
    complete_ns: int | None = None
    outcome: Outcome = "ok"
    # Places of the call and of its `ok` or `fail` in the history: these, not the times, are the real-time order.
    call: int = 0
    # `NEVER` for an operation that may take effect at any time after its call.
    done: int = NEVER

    def __str__(self) -> str:
        """Say the operation in words."""
        place = "" if self.key is None else f" of key {show(self.key)}"
        argument = "" if self.value is None else f" {show(self.value)}"
        match self.outcome:
            case "ok":
                answer = f" answered {show(self.result)}"
            case "fail":
                answer = " failed"
            case _:
                answer = " never answered"
        return f"process {self.process}: {self.f}{argument}{place}{answer}"


class _Truth(Enum):
    """JSON's true and false, kept apart from 1 and 0, which Python takes for equal."""

    FALSE = False
    TRUE = True


_TRUE: Final = _Truth.TRUE
_FALSE: Final = _Truth.FALSE


class _Map(tuple[Any, ...]):
    """A frozen JSON object, never equal to a frozen array."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Map) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(("map", tuple(self)))


# Types whose values are their own twins; bool is none of them.
_SCALARS: Final = frozenset({int, str, bytes, float, type(None)})


def freeze(value: Value) -> Hashable:
    """Return a hashable twin of a JSON value: equal twins for equal values, and true is not 1.

    Complexity: O(size of the value), O(1) for scalars.
    """
    kind = type(value)
    if kind is int or kind is str or value is None or kind is bytes or kind is float:
        return cast("Hashable", value)
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is list and _SCALARS.issuperset(map(type, value)):
        return tuple(value)
    if isinstance(value, list | tuple) and not isinstance(value, _Map):
        return tuple([freeze(item) for item in value])
    if isinstance(value, dict):
        return _Map(sorted((str(name), freeze(item)) for name, item in value.items()))
    return cast("Hashable", value)


def thaw(value: Hashable) -> Value:
    """Return the JSON value of a frozen one. Complexity: O(size of the value)."""
    match value:
        case _Truth():
            return value.value
        case _Map():
            return {name: thaw(item) for name, item in value}
        case tuple():
            return [thaw(item) for item in value]
        case _:
            return value


def show(value: Value) -> str:
    """Return a value as people read it: JSON, with bytes as Python writes them."""
    value = thaw(value)
    if isinstance(value, bytes):
        return repr(value)
    return msgspec.json.encode(_to_json(value)).decode()


def _to_json(value: Value) -> Value:
    """Return the value with bytes wrapped; refuse what would come back as something else."""
    match value:
        case bytes() | bytearray():
            return {"b64": base64.b64encode(value).decode()}
        case list() | tuple():
            return [_to_json(item) for item in value]
        case dict():
            if len(value) == 1 and "b64" in value:
                raise BadHistory('an object whose only key is "b64" stands for bytes and cannot be a value')
            return {name: _to_json(item) for name, item in value.items()}
        case _:
            return value


def _from_json(value: Value) -> Value:
    match value:
        case list():
            return [_from_json(item) for item in value]
        case dict():
            if len(value) == 1 and isinstance(value.get("b64"), str):
                try:
                    return base64.b64decode(value["b64"], validate=True)
                except (binascii.Error, ValueError) as cause:
                    raise BadHistory(f'"b64" holds no base64: {cause}') from cause
            return {name: _from_json(item) for name, item in value.items()}
        case _:
            return value


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Event)


def parse_event(text: str | bytes, *, line: int | None = None) -> Event:
    """Return the event on one line.

    Raises:
        BadHistory: no JSON, a missing or unknown field, a wrong type.
    """
    try:
        event = _DECODER.decode(text)
        if not _is_plain(event.key) or not _is_plain(event.value) or not _is_plain(event.error):
            event = msgspec.structs.replace(
                event, key=_from_json(event.key), value=_from_json(event.value), error=_from_json(event.error)
            )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise BadHistory(str(cause), line=line) from cause
    except BadHistory as cause:
        raise BadHistory(str(cause), line=line) from cause
    return event


def format_event(event: Event) -> str:
    """Return the event as one line of JSON, without the line's end."""
    if not _is_plain(event.key) or not _is_plain(event.value) or not _is_plain(event.error):
        event = msgspec.structs.replace(
            event, key=_to_json(event.key), value=_to_json(event.value), error=_to_json(event.error)
        )
    return _ENCODER.encode(event).decode()


def _is_plain(value: Value) -> bool:
    """Say whether a value is the same in JSON: the common case, so that scalars are not copied."""
    return value is None or isinstance(value, str | int | float)


class History:
    """Events in real-time order, checked once, paired on demand.

    Args:
        events: in order. `lines`, where given, holds the line number of each, for errors.

    Raises:
        BadHistory: time or index runs back, a completion without a call, a process with two open calls, a completion of
            another function or key than its call.

    Complexity: O(n) time and memory, n events.
    """

    def __init__(self, events: Iterable[Event], *, lines: Sequence[int] | None = None) -> None:
        self.events: tuple[Event, ...] = tuple(events)
        self._lines = lines
        self._operations = self._pair()

    @classmethod
    def from_lines(cls, lines: Iterable[str | bytes]) -> "History":
        """Read a history from lines of JSON; empty lines are skipped.

        Raises:
            BadHistory: with the line number of the first fault.
        """
        events: list[Event] = []
        numbers: list[int] = []
        for number, text in enumerate(lines, start=1):
            if text.strip():
                events.append(parse_event(text, line=number))
                numbers.append(number)
        return cls(events, lines=numbers)

    def to_lines(self) -> Iterator[str]:
        """Yield each event as a line of JSON, without line ends."""
        for event in self.events:
            yield format_event(event)

    @classmethod
    def from_operations(cls, operations: Iterable[Operation]) -> "History":
        """Return the history of paired operations, ordered by their `call` and `done` places.

        An operation that never completed stays without a completion.
        """
        places: list[tuple[int, bool, Operation]] = []
        for operation in operations:
            places.append((operation.call, False, operation))
            if operation.done != NEVER:
                places.append((operation.done, True, operation))
        places.sort(key=lambda place: place[:2])
        # Times are made to agree with the order, for operations that were built without times.
        events: list[Event] = []
        time = 0
        for index, (_, is_done, operation) in enumerate(places):
            time = max(time, (operation.complete_ns or 0) if is_done else operation.invoke_ns)
            events.append(
                Event(
                    index=index,
                    time=time,
                    process=operation.process,
                    type=operation.outcome if is_done else "invoke",
                    f=operation.f,
                    key=operation.key,
                    value=operation.result if is_done else operation.value,
                )
            )
        return cls(events)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All operations of clients, in the order of their calls."""
        return self._operations

    def by_key(self) -> dict[Hashable, list[Operation]]:
        """Return the operations of each key (frozen), keys in the order of their first call."""
        groups: dict[Hashable, list[Operation]] = {}
        for operation in self._operations:
            groups.setdefault(freeze(operation.key), []).append(operation)
        return groups

    def __len__(self) -> int:
        return len(self.events)

    def _line(self, place: int) -> int:
        return self._lines[place] if self._lines is not None else place + 1

    def _pair(self) -> tuple[Operation, ...]:
        open_calls: dict[int, int] = {}
        # The completion of the call at each place.
        completions: dict[int, int] = {}
        time, index = None, None
        for place, event in enumerate(self.events):
            if time is not None and event.time < time:
                raise BadHistory(f"time runs back from {time} to {event.time} ns", line=self._line(place))
            if index is not None and event.index <= index:
                raise BadHistory(f"index {event.index} follows {index}: it must grow", line=self._line(place))
            time, index = event.time, event.index
            if isinstance(event.process, str):
                continue
            if event.type == "invoke":
                if event.process in open_calls:
                    earlier = self._line(open_calls[event.process])
                    sentence = f"process {event.process} calls while its call of line {earlier} is open"
                    raise BadHistory(sentence, line=self._line(place))
                open_calls[event.process] = place
            else:
                completions[self._take_open(open_calls, event, place)] = place
        return tuple(
            _paired(self.events, place, completions.get(place))
            for place, event in enumerate(self.events)
            if event.type == "invoke" and isinstance(event.process, int)
        )

    def _take_open(self, open_calls: dict[int, int], event: Event, place: int) -> int:
        call_place = open_calls.pop(cast("int", event.process), None)
        if call_place is None:
            raise BadHistory(f"{event.type} of process {event.process} without an invoke", line=self._line(place))
        call = self.events[call_place]
        if call.f != event.f:
            sentence = f"{event.type} of {event.f!r} answers an invoke of {call.f!r} (line {self._line(call_place)})"
            raise BadHistory(sentence, line=self._line(place))
        if event.key is not None and freeze(event.key) != freeze(call.key):
            sentence = f"{event.type} of key {show(event.key)} answers an invoke of key {show(call.key)}"
            raise BadHistory(sentence, line=self._line(place))
        return call_place


def _paired(events: Sequence[Event], call_place: int, done_place: int | None) -> Operation:
    call = events[call_place]
    assert isinstance(call.process, int), "only clients' calls are paired"
    done = None if done_place is None else events[done_place]
    outcome: Outcome = "info"
    if done is not None and done.type != "info":
        assert done.type != "invoke", "a completion is no call"
        outcome = done.type
    is_known = outcome != "info"
    return Operation(
        process=call.process,
        f=call.f,
        key=call.key,
        value=call.value,
        result=done.value if done is not None and outcome == "ok" else None,
        invoke_ns=call.time,
        complete_ns=done.time if done is not None and is_known else None,
        outcome=outcome,
        call=call_place,
        done=done_place if done_place is not None and is_known else NEVER,
    )
