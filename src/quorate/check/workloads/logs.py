"""Append-only logs with offsets, as Kafka's: send to a key, poll from several, each consumer in order.

Source: the Jepsen and Maelstrom workloads named kafka.
"""

from collections.abc import Hashable, Iterable
from itertools import pairwise

from quorate.check.finding import Finding
from quorate.check.history import BadHistory, History, Operation, freeze
from quorate.check.workloads.answers import few, invalid, operations_of, valid

_Found = tuple[str, list[Operation]]


def check_kafka(history: History | Iterable[Operation]) -> Finding:
    """Say whether a log keeps its messages, and shows each consumer all of them in order.

    send (key, message) → offset; poll → {key: [[offset, message], ...]}; assign or subscribe lets a consumer begin
    anywhere. Each message is sent to a key once. Found are: an offset with two messages, a message at two offsets, a
    message that nobody sent, an acknowledged message below what was polled that nobody ever saw, and polls that go back
    or skip, within one poll or from one to the next.

    Complexity: O(n log n + messages polled).
    """
    operations = operations_of(history)
    log = _Log()
    for operation in operations:
        if operation.outcome == "fail":
            continue
        if operation.f == "send":
            log.sends[str(operation.key), freeze(operation.value)] = operation
    for operation in operations:
        found = log.read(operation) if operation.outcome == "ok" else None
        if found is not None:
            return invalid("kafka", found[0], found[1], len(operations))
    found = log.lost() or log.disorder(operations)
    if found is not None:
        return invalid("kafka", found[0], found[1], len(operations))
    return valid("kafka", f"{len(log.messages)} messages kept and seen in order", len(operations))


class _Log:
    def __init__(self) -> None:
        self.sends: dict[tuple[str, Hashable], Operation] = {}
        # (key, offset) → message, and who says so.
        self.messages: dict[tuple[str, int], tuple[Hashable, Operation]] = {}
        self.offsets: dict[tuple[str, Hashable], tuple[int, Operation]] = {}
        # (key, offset) that some poll saw.
        self.polled: dict[tuple[str, int], None] = {}
        self.highest: dict[str, tuple[int, Operation]] = {}

    def read(self, operation: Operation) -> _Found | None:
        if operation.f == "send" and operation.result is not None:
            return self._place(str(operation.key), operation.result, freeze(operation.value), operation)
        if operation.f != "poll":
            return None
        for key, rows in polled_by(operation):
            for offset, message in rows:
                found = self._place(key, offset, message, operation)
                if found is not None:
                    return found
                self.polled[key, offset] = None
                if key not in self.highest or self.highest[key][0] < offset:
                    self.highest[key] = (offset, operation)
        return None

    def _place(self, key: str, offset: int, message: Hashable, operation: Operation) -> _Found | None:
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise BadHistory(f"an offset is an integer: {operation}")
        if (key, message) not in self.sends:
            return f"nobody sent the {few([message])} at offset {offset} of key {key}.", [operation]
        known, by = self.messages.setdefault((key, offset), (message, operation))
        if known != message:
            return f"offset {offset} of key {key} holds {few([known])} and {few([message])}.", [by, operation]
        place, by = self.offsets.setdefault((key, message), (offset, operation))
        if place != offset:
            return f"{few([message])} is at offsets {place} and {offset} of key {key}.", [by, operation]
        return None

    def lost(self) -> _Found | None:
        for (key, offset), (message, by) in self.messages.items():
            if (key, offset) in self.polled or key not in self.highest:
                continue
            highest, poll = self.highest[key]
            if offset < highest:
                sentence = f"{few([message])} was acknowledged at offset {offset} of key {key} and never seen, though"
                return f"{sentence} offset {highest} was.", [by, poll]
        return None

    def disorder(self, operations: list[Operation]) -> _Found | None:
        known: dict[str, list[int]] = {}
        for key, offset in sorted(self.messages):
            known.setdefault(key, []).append(offset)
        following = {(key, offset): after for key, offsets in known.items() for offset, after in pairwise(offsets)}
        last: dict[tuple[int, str], tuple[int, Operation]] = {}
        for operation in operations:
            if operation.f in {"assign", "subscribe"}:
                for name in [name for name in last if name[0] == operation.process]:
                    del last[name]
            if operation.f != "poll" or operation.outcome != "ok":
                continue
            for key, rows in polled_by(operation):
                for offset, _ in rows:
                    before = last.get((operation.process, key))
                    last[operation.process, key] = (offset, operation)
                    if before is None:
                        continue
                    if offset <= before[0]:
                        sentence = f"process {operation.process} polled offset {offset} of key {key} after {before[0]}."
                        return sentence, [before[1], operation]
                    if following.get((key, before[0]), offset) < offset:
                        missed = following[key, before[0]]
                        sentence = f"process {operation.process} went from offset {before[0]} of key {key} to {offset}"
                        return f"{sentence} and never saw {missed}.", [before[1], operation]
        return None


def polled_by(operation: Operation) -> list[tuple[str, list[tuple[int, Hashable]]]]:
    """Return the keys of a poll, each with its offsets and messages."""
    if not isinstance(operation.result, dict):
        raise BadHistory(f"poll needs an object of keys and messages as its answer: {operation}")
    found = []
    for key, rows in operation.result.items():
        if not isinstance(rows, list | tuple) or not all(
            isinstance(row, list | tuple) and len(row) == 2 for row in rows
        ):
            raise BadHistory(f"a poll answers with pairs of offset and message: {operation}")
        found.append((str(key), [(row[0], freeze(row[1])) for row in rows]))
    return found
