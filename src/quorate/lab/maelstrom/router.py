"""The network between Maelstrom nodes: every message is delayed, lost, repeated or held back here, and noted."""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final, Literal, TextIO

import msgspec

from quorate.kernel import errors
from quorate.lab.maelstrom.machines import KeyValues
from quorate.lab.maelstrom.messages import Message, encode
from quorate.lab.maelstrom.node import reply

LatencyKind = Literal["constant", "uniform", "exponential"]
LATENCY_KINDS: Final = ("constant", "uniform", "exponential")


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """How the network between nodes behaves. Clients sit beside their node: their messages are not delayed."""

    latency_ms: float = 0.0
    latency_kind: LatencyKind = "exponential"
    # Chances of one message.
    lose_chance: float = 0.0
    # Of messages between nodes only: what a client asks for twice may well happen twice.
    repeat_chance: float = 0.0

    def __post_init__(self) -> None:
        if self.latency_kind not in LATENCY_KINDS:
            raise errors.UsageError(f"latencies are {', '.join(LATENCY_KINDS)}, not {self.latency_kind!r}")
        if not (0 <= self.lose_chance < 1 and 0 <= self.repeat_chance < 1 and self.latency_ms >= 0):
            raise errors.UsageError("chances are from 0 to below 1, and a latency is not negative")

    def draw_s(self, rng: random.Random) -> float:
        """Return the delay of one message, in seconds; its mean is `latency_ms`."""
        match self.latency_kind:
            case "constant":
                return self.latency_ms / 1e3
            case "uniform":
                return rng.uniform(0, 2 * self.latency_ms) / 1e3
            case _:
                return rng.expovariate(1e3 / self.latency_ms) if self.latency_ms else 0.0


class Router:
    """Carries messages between endpoints by name.

    Args:
        rng: draws delays, losses and repetitions.
        conditions: between nodes.
        journal: where each message that is delivered or dropped becomes one line; None: nowhere.
    """

    def __init__(self, rng: random.Random, conditions: Conditions, journal: TextIO | None = None) -> None:
        self.conditions = conditions
        self.counts = {"sent": 0, "delivered": 0, "lost": 0, "cut": 0, "repeated": 0, "nowhere": 0}
        self._rng = rng
        self._journal = journal
        self._endpoints: dict[str, Callable[[Message], None]] = {}
        self._nodes: dict[str, None] = {}
        # (from, to) that are cut off.
        self._cut: dict[tuple[str, str], None] = {}
        self._kv = {name: KeyValues() for name in ("lin-kv", "seq-kv", "lww-kv")}
        self._timestamp = 0
        for name in (*self._kv, "lin-tso"):
            self._endpoints[name] = self._serve

    def join(self, name: str, receiver: Callable[[Message], None], *, is_node: bool) -> None:
        """Deliver messages for a name from now on."""
        self._endpoints[name] = receiver
        if is_node:
            self._nodes[name] = None

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Drop everything from the first to the second of each pair, also what is already on its way."""
        self._cut.update(dict.fromkeys(pairs))

    def heal(self) -> None:
        """Cut nothing any more."""
        self._cut.clear()

    def post(self, message: Message) -> None:
        """Take a message from its sender."""
        self.counts["sent"] += 1
        is_between_nodes = message.src in self._nodes and (message.dest in self._nodes or self._is_service(message))
        is_answer_of_service = message.dest in self._nodes and message.src not in self._nodes
        is_delayed = is_between_nodes or (is_answer_of_service and not message.src.startswith("c"))
        if self._rng.random() < self.conditions.lose_chance:
            self._note("lost", message)
            return
        copies = 1
        if message.src in self._nodes and message.dest in self._nodes:
            copies += self._rng.random() < self.conditions.repeat_chance
        self.counts["repeated"] += copies - 1
        loop = asyncio.get_running_loop()
        for _ in range(copies):
            delay_s = self.conditions.draw_s(self._rng) if is_delayed else 0.0
            if delay_s:
                loop.call_later(delay_s, self._deliver, message)
            else:
                loop.call_soon(self._deliver, message)

    def _is_service(self, message: Message) -> bool:
        return message.dest in self._kv or message.dest == "lin-tso"

    def _deliver(self, message: Message) -> None:
        receiver = self._endpoints.get(message.dest)
        if (message.src, message.dest) in self._cut:
            self._note("cut", message)
        elif receiver is None:
            self._note("nowhere", message)
        else:
            self._note("delivered", message)
            receiver(message)

    def _note(self, fate: str, message: Message) -> None:
        self.counts[fate] += 1
        if self._journal is not None:
            self._journal.write(f"{fate}\t{encode(message).decode()}")

    def _serve(self, message: Message) -> None:
        """Answer as Maelstrom's services do. seq-kv and lww-kv promise less than they keep here."""
        if message.dest == "lin-tso":
            self._timestamp += 1
            answer = {"type": "ts_ok", "ts": self._timestamp - 1}
        else:
            answer = self._kv[message.dest].apply(message.body)
        self.post(reply(message, answer, message.dest))
