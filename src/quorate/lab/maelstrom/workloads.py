"""What clients ask for in each workload, how answers become history, and who judges it."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quorate.check import Finding, History, Operation
from quorate.kernel import errors
from quorate.lab.checkers import JudgeOptions, judge_named
from quorate.lab.maelstrom.messages import KEY_DOES_NOT_EXIST, PRECONDITION_FAILED, Body


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request: what goes to the node, and what goes into the history."""

    body: Body
    f: str
    key: Any = None
    value: Any = None


class Workload(ABC):
    """Draws requests and understands answers; one object for all clients of a run."""

    # Each client makes one of these of each node when all faults are over.
    final: Ask | None = None
    # Judges by name, and whether they see all reads or only the final ones.
    judge: str = ""
    sees_final_reads_only: bool = False

    @abstractmethod
    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return the next request of a process."""

    @abstractmethod
    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return what the history says was answered; KeyError, TypeError or ValueError for what makes no sense."""

    def refusal(self, ask: Ask, code: int) -> tuple[Any] | None:
        """Return the answer that an error stands for, in a tuple; None: the request did not happen."""
        del ask, code
        return None

    def findings(self, history: History, final_call: int, options: JudgeOptions) -> Mapping[str, Finding]:
        """Judge a history; reads called from `final_call` on are final."""
        if not self.sees_final_reads_only:
            return {self.judge: judge_named(self.judge).run(history, options)}
        kept = [o for o in history.operations if o.f != "read" or o.call >= final_call]
        return {self.judge: judge_named(self.judge).run(kept_history(kept), options)}


def kept_history(operations: Sequence[Operation]) -> History:
    """Return a history of some operations only, in their order."""
    return History.from_operations(operations)


class Echo(Workload):
    """echo → the same."""

    judge = "echo"

    def __init__(self) -> None:
        self._count = 0

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return a request with a text that no other has."""
        self._count += 1
        text = f"please echo {self._count} {rng.randrange(1000)} {process}"
        return Ask(body={"type": "echo", "echo": text}, f="echo", value=text)

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return what came back."""
        return answer["echo"]


class UniqueIds(Workload):
    """generate → id."""

    judge = "unique-ids"

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return the one request there is."""
        return Ask(body={"type": "generate"}, f="generate")

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return the id."""
        return answer["id"]


class LinearizableKV(Workload):
    """read, write, cas over a few keys; a key retires after a while, so that its history stays small."""

    judge = "kv"
    _asks_per_key: Final = 120

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._keys = list(range(4))

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return a request for one of the keys in use."""
        seat = rng.randrange(len(self._keys))
        key = self._keys[seat]
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] >= self._asks_per_key:
            self._keys[seat] = max(self._keys) + 1
        match rng.randrange(3):
            case 0:
                return Ask(body={"type": "read", "key": key}, f="read", key=key)
            case 1:
                value = rng.randrange(5)
                return Ask(body={"type": "write", "key": key, "value": value}, f="write", key=key, value=value)
            case _:
                old, new = rng.randrange(5), rng.randrange(5)
                return Ask(
                    body={"type": "cas", "key": key, "from": old, "to": new}, f="cas", key=key, value=[old, new]
                )  # fmt: skip

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return the value read, or that it was done."""
        return answer["value"] if ask.f == "read" else True if ask.f == "cas" else ask.value

    def refusal(self, ask: Ask, code: int) -> tuple[Any] | None:
        """Say that a missing key reads as null, and that a cas whose condition failed answers false."""
        if ask.f == "read" and code == KEY_DOES_NOT_EXIST:
            return (None,)
        if ask.f == "cas" and code in {KEY_DOES_NOT_EXIST, PRECONDITION_FAILED}:
            return (False,)
        return None


class Elements(Workload):
    """broadcast and g-set: put in, read all; judged by what final reads hold on every node."""

    judge = "set-full-linearizable"
    sees_final_reads_only = True
    final = Ask(body={"type": "read"}, f="read")

    def __init__(self, put: str, field: str, answer: str) -> None:
        self._put, self._field, self._answer = put, field, answer
        self._count = 0

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return a new element, or now and then a read."""
        if rng.random() < 0.1:
            return Ask(body={"type": "read"}, f="read")
        self._count += 1
        return Ask(body={"type": self._put, self._field: self._count}, f="add", value=self._count)

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return the elements of a read, each once: a set sent as a list may repeat."""
        if ask.f != "read":
            return ask.value
        return list(dict.fromkeys(answer[self._answer]))


class Counting(Workload):
    """g-counter and pn-counter: add, read; judged by final reads."""

    judge = "counter-bounds"
    sees_final_reads_only = True
    final = Ask(body={"type": "read"}, f="read")

    def __init__(self, *, can_fall: bool) -> None:
        self._least = -5 if can_fall else 0

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return an addition, or now and then a read."""
        if rng.random() < 0.1:
            return Ask(body={"type": "read"}, f="read")
        delta = rng.randrange(self._least, 6)
        return Ask(body={"type": "add", "delta": delta}, f="add", value=delta)

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return the total that was read."""
        return int(answer["value"]) if ask.f == "read" else ask.value


class Transactions(Workload):
    """txn-list-append and txn-rw-register: one to four steps over a few keys, each value written once."""

    def __init__(self, write: str) -> None:
        self.judge = "list-append" if write == "append" else "rw-register"
        self._write = write
        self._first_key = 0
        self._count = 0

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return a transaction."""
        steps: list[list[Any]] = []
        for _ in range(rng.randrange(1, 5)):
            key = self._first_key + rng.randrange(5)
            if rng.random() < 0.5:
                steps.append(["r", key, None])
            else:
                self._count += 1
                steps.append([self._write, key, self._count])
                self._first_key = self._count // 50
        return Ask(body={"type": "txn", "txn": steps}, f="txn", value=steps)

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return the steps with what was read."""
        return [[f, key, value] for f, key, value in answer["txn"]]


class Kafka(Workload):
    """send, poll, commit_offsets, list_committed_offsets over a few logs; each process polls from where it was."""

    judge = "kafka"
    _keys: Final = ("k0", "k1", "k2")

    def __init__(self) -> None:
        self._count = 0
        # Process → key → the next offset to poll.
        self._offsets: dict[int, dict[str, int]] = {}

    def draw(self, rng: random.Random, process: int) -> Ask:
        """Return a request."""
        offsets = self._offsets.setdefault(process, dict.fromkeys(self._keys, 0))
        chance = rng.random()
        if chance < 0.45:
            self._count += 1
            key = rng.choice(self._keys)
            body = {"type": "send", "key": key, "msg": self._count}
            return Ask(body=body, f="send", key=key, value=self._count)
        if chance < 0.9:
            return Ask(body={"type": "poll", "offsets": dict(offsets)}, f="poll", value=dict(offsets))
        if chance < 0.95:
            return Ask(body={"type": "commit_offsets", "offsets": dict(offsets)}, f="commit", value=dict(offsets))
        return Ask(body={"type": "list_committed_offsets", "keys": list(self._keys)}, f="committed")

    def result(self, ask: Ask, answer: Body, process: int) -> Any:
        """Return offset or messages, and move on behind what was polled."""
        match ask.f:
            case "send":
                return int(answer["offset"])
            case "poll":
                messages = {str(key): [[int(at), value] for at, value in rows] for key, rows in answer["msgs"].items()}
                for key, rows in messages.items():
                    if rows:
                        self._offsets[process][key] = rows[-1][0] + 1
                return messages
            case "commit":
                return None
            case _:
                return dict(answer["offsets"])


_MAKERS: Final[Mapping[str, Callable[[], Workload]]] = {
    "lin-kv": LinearizableKV,
    "echo": Echo,
    "unique-ids": UniqueIds,
    "broadcast": lambda: Elements("broadcast", "message", "messages"),
    "g-set": lambda: Elements("add", "element", "value"),
    "g-counter": lambda: Counting(can_fall=False),
    "pn-counter": lambda: Counting(can_fall=True),
    "txn-list-append": lambda: Transactions("append"),
    "txn-rw-register": lambda: Transactions("w"),
    "kafka": Kafka,
}


def make_workload(name: str) -> Workload:
    """Return a workload by its name.

    Raises:
        UsageError: none has that name.
    """
    if name not in _MAKERS:
        raise errors.UsageError(f"no workload is named {name!r}; there are {', '.join(_MAKERS)}")
    return _MAKERS[name]()
