"""State machines of the workloads: what a request does to the state, and what it answers.

All are deterministic, so that a log of requests gives every node the same state; none raises for what a client sends.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, Final

from quorate.check import freeze
from quorate.lab.maelstrom.messages import (
    KEY_DOES_NOT_EXIST,
    MALFORMED,
    NOT_SUPPORTED,
    PRECONDITION_FAILED,
    Body,
    failure,
)


class StateMachine(ABC):
    """The state of one workload."""

    # Types of requests that change nothing: they need not go through the log.
    queries: tuple[str, ...] = ("read",)

    def apply(self, body: Body) -> Body:
        """Return the answer to a request; the state is as if it had never come when it is wrong."""
        try:
            return self._apply(body)
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            return failure(MALFORMED, f"{body.get('type')}: {type(cause).__name__} {cause}")

    @abstractmethod
    def _apply(self, body: Body) -> Body:
        """Apply a request; look at all of it before changing anything."""

    def is_query(self, body: Body) -> bool:
        """Say whether a request changes nothing."""
        return body["type"] in self.queries


def unsupported(body: Body) -> Body:
    """Return the answer to a request that the workload does not have."""
    return failure(NOT_SUPPORTED, f"no request is named {body.get('type')!r} here")


class KeyValues(StateMachine):
    """lin-kv: read, write, cas of single keys."""

    def __init__(self) -> None:
        self.values: dict[Hashable, Any] = {}

    def _apply(self, body: Body) -> Body:
        kind = body["type"]
        if kind not in {"read", "write", "cas"}:
            return unsupported(body)
        key = freeze(body["key"])
        if kind == "write":
            self.values[key] = body["value"]
            return {"type": "write_ok"}
        if key not in self.values and not (kind == "cas" and body.get("create_if_not_exists")):
            return failure(KEY_DOES_NOT_EXIST, "the key does not exist")
        if kind == "read":
            return {"type": "read_ok", "value": self.values[key]}
        expected, value = body["from"], body["to"]
        if key in self.values and freeze(self.values[key]) != freeze(expected):
            return failure(PRECONDITION_FAILED, f"the value is {self.values[key]!r}, not {expected!r}")
        self.values[key] = value
        return {"type": "cas_ok"}


class Transactions(StateMachine):
    """txn-list-append and txn-rw-register: all steps of a transaction at once."""

    queries = ()

    def __init__(self) -> None:
        self.values: dict[Hashable, Any] = {}

    def is_query(self, body: Body) -> bool:
        """Say whether all steps read."""
        steps = body.get("txn")
        return isinstance(steps, list) and all(isinstance(step, list) and step[:1] == ["r"] for step in steps)

    def _apply(self, body: Body) -> Body:
        if body["type"] != "txn":
            return unsupported(body)
        steps = [(f, key, value) for f, key, value in body["txn"]]
        for f, key, _ in steps:
            if f not in {"r", "w", "append"}:
                return failure(MALFORMED, f"a step is r, w or append, not {f!r}")
            if f == "append" and not isinstance(self.values.get(freeze(key), []), list):
                return failure(MALFORMED, f"{key!r} holds no list")
        answered: list[list[Any]] = []
        for f, key, value in steps:
            name = freeze(key)
            if f == "r":
                found = self.values.get(name)
                answered.append([f, key, list(found) if isinstance(found, list) else found])
                continue
            if f == "w":
                self.values[name] = value
            else:
                known = self.values.get(name, [])
                self.values[name] = [*(known if isinstance(known, list) else []), value]
            answered.append([f, key, value])
        return {"type": "txn_ok", "txn": answered}


class Messages(StateMachine):
    """broadcast and g-set: what was ever put in."""

    def __init__(self, put: str, field: str, answer: str) -> None:
        self._put, self._field, self._answer = put, field, answer
        # Frozen → as it came; in the order of arrival.
        self.elements: dict[Hashable, Any] = {}

    def _apply(self, body: Body) -> Body:
        if body["type"] == self._put:
            element = body[self._field]
            self.elements[freeze(element)] = element
            return {"type": f"{self._put}_ok"}
        if body["type"] == "read":
            return {"type": "read_ok", self._answer: list(self.elements.values())}
        return unsupported(body)


class Counter(StateMachine):
    """g-counter and pn-counter: add, read."""

    def __init__(self, *, can_fall: bool) -> None:
        self._can_fall = can_fall
        self.total = 0

    def _apply(self, body: Body) -> Body:
        if body["type"] == "read":
            return {"type": "read_ok", "value": self.total}
        if body["type"] != "add":
            return unsupported(body)
        delta = body["delta"]
        if not isinstance(delta, int) or isinstance(delta, bool) or (delta < 0 and not self._can_fall):
            return failure(MALFORMED, f"{delta!r} cannot be added")
        self.total += delta
        return {"type": "add_ok"}


class Logs(StateMachine):
    """kafka: send, poll, commit_offsets, list_committed_offsets."""

    queries = ("poll", "list_committed_offsets")
    # Messages of one key in one answer.
    batch_count: Final = 100

    def __init__(self) -> None:
        self.logs: dict[str, list[Any]] = {}
        self.committed: dict[str, int] = {}

    def _apply(self, body: Body) -> Body:
        match body["type"]:
            case "send":
                log = self.logs.setdefault(str(body["key"]), [])
                log.append(body["msg"])
                return {"type": "send_ok", "offset": len(log) - 1}
            case "poll":
                found = {str(key): self._from(str(key), offset) for key, offset in body["offsets"].items()}
                return {"type": "poll_ok", "msgs": found}
            case "commit_offsets":
                offsets = {str(key): int(offset) for key, offset in body["offsets"].items()}
                for key, offset in offsets.items():
                    self.committed[key] = max(offset, self.committed.get(key, 0))
                return {"type": "commit_offsets_ok"}
            case "list_committed_offsets":
                known = {str(key): self.committed[str(key)] for key in body["keys"] if str(key) in self.committed}
                return {"type": "list_committed_offsets_ok", "offsets": known}
            case _:
                return unsupported(body)

    def _from(self, key: str, offset: int) -> list[list[Any]]:
        rows = self.logs.get(key, [])[max(offset, 0) : max(offset, 0) + self.batch_count]
        return [[max(offset, 0) + place, message] for place, message in enumerate(rows)]


def machine_of(workload: str) -> StateMachine | None:
    """Return the empty state of a workload; None for those that need none (echo, unique-ids)."""
    match workload:
        case "lin-kv":
            return KeyValues()
        case "txn-list-append" | "txn-rw-register":
            return Transactions()
        case "broadcast":
            return Messages("broadcast", "message", "messages")
        case "g-set":
            return Messages("add", "element", "value")
        case "g-counter" | "pn-counter":
            return Counter(can_fall=workload == "pn-counter")
        case "kafka":
            return Logs()
        case _:
            return None
